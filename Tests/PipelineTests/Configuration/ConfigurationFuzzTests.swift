import Testing

@testable import Pipeline

/// Damaged files give errors, never a crash.
@Suite struct ConfigurationFuzzTests {
    /// SplitMix64: small, and the same everywhere.
    private struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var value = state
            value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
            return value ^ (value >> 31)
        }
    }

    private let sql = """
        CREATE TABLE IF NOT EXISTS a.`t` UUID 'x' ON CLUSTER {c} (id UUID DEFAULT f(1, [2]) COMMENT 'it''s',
        n INT(11) NOT NULL, e Enum('a', 'b' = -3) /* c */, d Decimal(5) CODEC(Delta, ZSTD(1)) TTL d + 1,
        m Int8 MATERIALIZED n, INDEX i n TYPE set(1) GRANULARITY 4, PROJECTION p (SELECT 1), PRIMARY KEY (id)) ENGINE = Null;
        USE b; CREATE TABLE c AS a.t
        """
    private let yaml = """
        clickhouse:
          hosts: ["a:1", "[::1]:2", b]
          settings: {x: 1, y: "${A:-b}"}
          password: "$${x"
        sink: null
        tables: {a: {rows_max: 5}}
        """

    /// Cut off anywhere, and with bytes lost, doubled or changed.
    private func damaged(_ text: String, _ generator: inout Generator) -> [UInt8] {
        var bytes = Array(text.utf8)
        for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &generator)
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: bytes.removeSubrange(place...)
            case 1: bytes.remove(at: place)
            case 2: bytes.insert(bytes.randomElement(using: &generator) ?? 0, at: place)
            default: bytes[place] = UInt8.random(in: 0...127, using: &generator)
            }
        }
        return bytes
    }

    @Test func damagedSchemaFilesNeverCrash() {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = Generator(state: seed)
        for round in 0..<3000 {
            let text = String(decoding: damaged(sql, &generator), as: UTF8.self)
            var errors: [ConfigurationIssue] = []
            let catalog = SchemaCatalog(files: ["a"], from: MemoryFiles(contents: ["a": text]), errors: &errors)
            #expect(catalog.tables.count <= 4, "seed \(seed), round \(round)")
        }
    }

    @Test func damagedConfigurationsNeverCrash() {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = Generator(state: seed)
        for round in 0..<1500 {
            let text = String(decoding: damaged(yaml, &generator), as: UTF8.self)
            for stage in ["ship", "batch"] {
                let found = configurationErrors(["stages/\(stage).yaml": text])
                #expect(found.allSatisfy { !$0.isEmpty }, "seed \(seed), round \(round)")
            }
        }
    }
}
