import TestSupport
import Testing

@testable import Pipeline

@Suite struct TextPatternTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let pattern: String
        let matching: [String]
        let others: [String]
        var testDescription: String { pattern }
    }

    static let cases: [Case] = [
        Case(pattern: "", matching: ["", "a", "\n"], others: []),
        Case(pattern: "^$", matching: [""], others: ["a", "\n"]),
        Case(pattern: "b", matching: ["b", "abc", "b\n"], others: ["", "a", "B"]),
        Case(pattern: "^ab+c?$", matching: ["ab", "abbb", "abc"], others: ["a", "xab", "abcc", "abd"]),
        Case(
            pattern: "^[^@ ]+@[^@ ]+\\.[a-z]{2,6}$", matching: ["a@b.de", "é@ü.info"],
            others: ["a@b", "@b.de", "a@b.d", "a b@c.de"]),
        Case(pattern: "^(?:foo|ba[rz])$", matching: ["foo", "bar", "baz"], others: ["fo", "ba", "bax", "foobar"]),
        Case(pattern: "a.c", matching: ["abc", "aéc", "a😀c", "a\nc"], others: ["ac", "abbc"]),
        Case(pattern: "^.{3}$", matching: ["abc", "äöü", "a😀c"], others: ["ab", "abcd"]),
        Case(pattern: "^\\d{4}-\\d\\d$", matching: ["2024-01"], others: ["2024-1", "x2024-01", "٢٠٢٤-01"]),
        Case(pattern: "^\\w+\\s\\W$", matching: ["ab_9 !", "x\t-"], others: ["ab9!", "a b"]),
        Case(pattern: "(?i)^straße[a-c]$", matching: ["STRAßEA", "straßeb"], others: ["strasseb", "straßed"]),
        Case(pattern: "[]a]", matching: ["]", "a"], others: ["b"]),
        Case(pattern: "[a\\-z]", matching: ["-", "a", "z"], others: ["b"]),
        Case(pattern: "^[äö-]$", matching: ["ä", "ö", "-"], others: ["a", "ü"]),
        Case(pattern: "^a{0}b{2,}$", matching: ["bb", "bbbb"], others: ["b", "abb"]),
        Case(pattern: "^a{,2}$", matching: ["a{,2}"], others: ["a", "aa"]),
        Case(pattern: "(^a|b$)", matching: ["ax", "xb", "a"], others: ["xa", "bx"]),
        Case(pattern: "a$b", matching: [], others: ["ab", "a"]),
        Case(pattern: "\\Ax\\.y\\z", matching: ["x.y"], others: ["xzy", "x.y "]),
        Case(pattern: "(a*)*b", matching: ["b", "aaab"], others: ["aaa"]),
        Case(pattern: "x*?y+?", matching: ["y", "xxy"], others: ["x"]),
        Case(pattern: "\\x41\\n", matching: ["A\n"], others: ["A"]),
    ]

    @Test(arguments: cases) func matches(_ test: Case) throws {
        let pattern = try TextPattern(test.pattern)
        for text in test.matching { #expect(pattern.matches(text), "\(text)") }
        for text in test.others { #expect(!pattern.matches(text), "\(text)") }
    }

    @Test(arguments: [
        ("a(b", "character 4: a ( without its )"), ("a)b", "character 2: a ) without its ("),
        ("[a", "character 3: a [ without its ]"), ("*a", "character 1: * has nothing to repeat"),
        ("a**", "character 3: a repetition cannot be repeated; use (?:…)"),
        ("a{2}{3}", "character 5: a repetition cannot be repeated; use (?:…)"),
        ("(a)\\1", "character 5: \\1 is not supported"), ("\\bx", "character 2: \\b is not supported"),
        ("(?=a)", "character 3: of groups with (? there are (?:…), and (?i) at the beginning"),
        ("\\p{L}", "character 2: \\p is not supported"), ("a\\", "character 3: a backslash at the end"),
        ("[z-a]", "character 5: a range ends before it begins"),
        ("[^é]", "character 5: characters beyond ASCII in [^…] are not supported"),
        ("[[:alpha:]]", "character 2: classes with names, such as [:alpha:], are not supported"),
        ("a{3,2}", "character 7: a repetition must be at most 1000, its first number not above the second"),
        ("(?:a{1000}){1000}", "the expression is too large: more than 10000 steps"),
        ("(?:(?:(?:(?:){1000}){1000}){1000}){1000}", "the expression is too large: more than 10000 steps"),
    ]) func refuses(_ pattern: String, _ message: String) {
        #expect(throws: TextPatternError(message: message)) { try TextPattern(pattern) }
    }

    /// What makes others run for ever is a table like any other, or is refused at once.
    @Test func nothingBacktracks() throws {
        let pattern = try TextPattern("^(a+)+$")
        #expect(!pattern.matches(String(repeating: "a", count: 100_000) + "b"))
        #expect(throws: TextPatternError.self) { try TextPattern("(a|b)*a(a|b){40}c") }
    }

    /// Against the library's own engine: random expressions, random texts.
    @Test(arguments: Seeds.some(20)) func agreesWithRegex(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<100 {
            let source = Self.expression(&random, depth: 3)
            guard let pattern = try? TextPattern(source) else { continue }
            let regex = try Regex(source)
            for _ in 0..<20 {
                let text = String((0..<random.int(0...8)).map { _ in "abc\n".randomElement(using: &random)! })
                #expect(
                    pattern.matches(text) == (try regex.firstMatch(in: text) != nil),
                    "seed \(seed): /\(source)/ on \(text.debugDescription)")
            }
        }
    }

    /// Against ClickHouse's `match`: all that is taken means the same there.
    @Test(.enabled { await ClickHouseServer.isAvailable(.modern) }, arguments: Seeds.some(3))
    func agreesWithClickHouse(_ seed: UInt64) async throws {
        var random = SeededRandom(seed: seed)
        var sql = ""
        var ours: [(source: String, texts: [String], matches: String)] = []
        while ours.count < 200 {
            let source = (random.one(in: 4) ? "(?i)" : "") + Self.richExpression(&random, depth: 3)
            guard let pattern = try? TextPattern(source) else { continue }
            let texts = (0..<20).map { _ in
                String((0..<random.int(0...6)).map { _ in "aabbcAB1_ \n.é€😀".randomElement(using: &random)! })
            }
            let matches = texts.map { pattern.matches($0) ? "1" : "0" }.joined(separator: ",")
            ours.append((source, texts, "[\(matches)]"))
            let items = texts.map { "'\(Self.hex($0))'" }.joined(separator: ",")
            sql += "SELECT arrayMap(t -> match(unhex(t), unhex('\(Self.hex(source))')), [\(items)]);\n"
        }
        let theirs = try await ClickHouseOracle.query(sql).split(separator: "\n").map(String.init)
        try #require(theirs.count == ours.count)
        for (theirs, ours) in zip(theirs, ours) {
            #expect(theirs == ours.matches, "seed \(seed): /\(ours.source.debugDescription)/ on \(ours.texts)")
        }
    }

    private static func hex(_ text: String) -> String {
        text.utf8.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// With all that the syntax has. Bare characters beyond ASCII are not repeated: of `xé?` ClickHouse
    /// demands the first byte of é.
    private static func richExpression(_ random: inout SeededRandom, depth: Int) -> String {
        let atoms = [
            "a", "b", "c", "A", ".", "(?:é)", "(?:€)", "(?:😀)", "\\d", "\\D", "\\w", "\\W", "\\s", "\\S", "[a-c]",
            "[^a-c]",
            "[é€a]", "[\\d_]", "[]a]", "[^]a]", "[a\\-]", "[-a]", "^", "$", "\\A", "\\z", "\\.", "\\x41", "\\n", "{",
            "a{,2}",
            "(?:)", "_",
        ]
        func inner() -> String { richExpression(&random, depth: depth - 1) }
        switch depth == 0 ? 0 : random.int(0...10) {
        case 0...2: return atoms.randomElement(using: &random)!
        case 3...6: return inner() + inner()
        case 7: return "(\(inner())|\(inner()))"
        case 8: return "(?:\(inner()))" + ["*", "+", "?", "*?", "+?", "??"].randomElement(using: &random)!
        case 9: return inner() + ["*", "+", "?", "{2}", "{1,}", "{0,2}?"].randomElement(using: &random)!
        default: return "(?:\(inner())){\(random.int(0...2)),\(random.int(2...3))}"
        }
    }

    private static func expression(_ random: inout SeededRandom, depth: Int) -> String {
        switch depth == 0 ? random.int(0...4) : random.int(0...10) {
        case 0...2: return String("abc".randomElement(using: &random)!)
        case 3: return ["[ab]", "[^a]", "[b-c]", "\\w", "\\s"].randomElement(using: &random)!
        case 4: return random.one(in: 4) ? ["^", "\\z"].randomElement(using: &random)! : "b"
        case 5, 6: return expression(&random, depth: depth - 1) + expression(&random, depth: depth - 1)
        case 7: return "(?:\(expression(&random, depth: depth - 1))|\(expression(&random, depth: depth - 1)))"
        case 8: return "(?:\(expression(&random, depth: depth - 1)))*"
        case 9: return "(?:\(expression(&random, depth: depth - 1)))?"
        default: return "(?:\(expression(&random, depth: depth - 1))){\(random.int(0...2)),\(random.int(2...3))}"
        }
    }
}
