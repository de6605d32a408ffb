import Testing

@testable import Pipeline

@Suite struct ConfigurationUnitTests {
    @Test(arguments: [
        ("0", 0), ("4096", 4096), ("16_384", 16_384), ("64KiB", 65_536), ("64MiB", 64 << 20), ("2GiB", 2 << 30),
        ("1TiB", 1 << 40), ("10MB", 10_000_000), ("5kB", 5000), ("5KB", 5000), ("7B", 7),
    ])
    func aSizeIsRead(_ text: String, _ bytes: Int) { #expect(ByteSize.parse(text) == bytes) }

    @Test(arguments: ["", "lots", "MiB", "64 MiB", "1.5GiB", "64mib", "64M", "9223372036854775807KiB", "_1", "+5"])
    func whatIsNoSizeIsRefused(_ text: String) { #expect(ByteSize.parse(text) == nil) }

    @Test(arguments: [
        ("250ms", 250), ("5s", 5000), ("2m", 120_000), ("1h", 3_600_000), ("7d", 604_800_000), ("0", 0),
    ])
    func aDurationIsRead(_ text: String, _ milliseconds: Int) {
        #expect(TimeSpan.parse(text) == .milliseconds(milliseconds))
    }

    @Test(arguments: ["", "5", "s", "5 s", "1.5s", "5sec", "1h30m", "99999999999999999d"])
    func whatIsNoDurationIsRefused(_ text: String) { #expect(TimeSpan.parse(text) == nil) }

    @Test func sizesAndDurationsReadBackAsThemselves() {
        for bytes in [0, 1, 1000, 1024, 65_536, 1 << 20, 3 << 29, 1 << 40, 12_345_678] {
            #expect(ByteSize.parse(ByteSize.format(bytes)) == bytes)
        }
        for milliseconds in [0, 1, 999, 1000, 90_000, 60_000, 3_600_000, 86_400_000, 90_061_001] {
            #expect(TimeSpan.parse(TimeSpan.format(.milliseconds(milliseconds))) == .milliseconds(milliseconds))
        }
    }

    @Test func variablesAreReplaced() throws {
        let substitution = VariableSubstitution(environment: ["A": "1", "EMPTY": "", "D": "${A}"])
        #expect(try substitution.apply(to: "x${A}y$z$") == .init(text: "x1y$z$", variables: ["A"]))
        #expect(try substitution.apply(to: "${B:-d:-e}${EMPTY:-f}").text == "d:-ef")
        #expect(try substitution.apply(to: "[${EMPTY}]").text == "[]")
        #expect(try substitution.apply(to: "$${A}").text == "${A}")
        // What a variable holds is not read again.
        #expect(try substitution.apply(to: "${D}").text == "${A}")
        #expect(throws: VariableSubstitution.Problem.unset(name: "B")) { try substitution.apply(to: "${B}") }
        for text in ["${", "${}", "${A", "${1}", "${A B}", "${:-x}"] {
            #expect(throws: VariableSubstitution.Problem.malformed) { try substitution.apply(to: text) }
        }
    }

    @Test func theNearestWordIsSuggested() {
        #expect(Suggestion.nearest(to: "host", among: ["hosts", "port"]) == "hosts")
        #expect(Suggestion.nearest(to: "conections", among: ["connections", "context"]) == "connections")
        #expect(Suggestion.nearest(to: "Hosts", among: ["hosts"]) == "hosts")
        #expect(Suggestion.nearest(to: "zebra", among: ["hosts", "port"]) == nil)
        #expect(Suggestion.distance(Array("recieve".utf8), Array("receive".utf8)) == 1)
        #expect(Suggestion.distance([], Array("abc".utf8)) == 3)
    }

    @Test func patternsOfFileNames() {
        #expect(FilePath.matches("a.sql", pattern: "*.sql"))
        #expect(FilePath.matches("schema.1.sql", pattern: "s*.?.sql"))
        #expect(!FilePath.matches("a.sqlx", pattern: "*.sql"))
        #expect(!FilePath.matches(".a.sql", pattern: "*.sql"))
        #expect(FilePath.matches("aab", pattern: "*ab"))
    }
}
