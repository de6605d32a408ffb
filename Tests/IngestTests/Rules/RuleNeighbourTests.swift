import ClickHouseNative
import NIOCore
import TestSupport
import Testing

@testable import Ingest
@testable import Pipeline

/// Rows with rules among each other: what one is refused for costs the next nothing.
@Suite struct RuleNeighbourTests {
    private static let columns: [(name: String, type: String, expression: String?)] = [
        ("id", "UInt32", nil), ("name", "LowCardinality(String)", nil), ("mail", "Nullable(String)", nil),
        ("tags", "Array(String)", nil), ("made", "DateTime('UTC')", "now()"), ("extra", "String", nil),
        ("region", "String", nil),
    ]
    private static let rules = """
        fields:
          id: {aliases: [uid], required: true, range: {min: 10, max: 1000}}
          name: {one_of: [a, b, c], default: a}
          mail: {length: {max_bytes: 12}, regex: "@", redact: {method: mask, keep_last: 2}}
          region: {constant: eu}
        unknown_fields: {action: collect, column: extra, bytes_max: 40}
        """

    /// A row, and what is stored of it, by a model of the rules; nil: it is refused.
    private static func row(_ random: inout SeededRandom) -> (line: String, stored: String?) {
        var fields: [String] = []
        var isGood = true
        let id = random.int(0...1100)
        if random.one(in: 20) {
            isGood = false
        } else {
            fields.append("\"\(random.one(in: 2) ? "id" : "uid")\":\(id)")
            if !(10...1000).contains(id) { isGood = false }
        }
        var name = "a"
        if !random.one(in: 3) {
            name = ["a", "b", "c", "d"].randomElement(using: &random)!
            fields.append("\"name\":\"\(name)\"")
            if name == "d" { isGood = false }
        }
        var mail = "null"
        if random.one(in: 2) {
            let text = ["x@y", "no", "ab@example.org", "\\u00e4@b.c"].randomElement(using: &random)!
            fields.append("\"mail\":\"\(text)\"")
            switch text {
            case "x@y": mail = "\"*@y\""
            case "\\u00e4@b.c": mail = "\"***.c\""
            default: isGood = false
            }
        }
        var tags = "[]"
        if random.one(in: 3) {
            tags = random.one(in: 5) ? "[1" : "[\"t\",\"u\"]"
            if tags == "[1" { isGood = false; tags = "[{]" }
            fields.append("\"tags\":\(tags)")
        }
        var made = ""
        if random.one(in: 2) {
            made = "\"made\":\"2024-01-01 00:00:00\","
            fields.append("\"made\":\"2024-01-01 00:00:00\"")
        }
        var extra = ""
        for number in 0..<random.int(0...2) {
            let value = random.one(in: 8) ? "\"\(String(repeating: "z", count: 50))\"" : "\(number)"
            if value.count > 10 { isGood = false }
            fields.append("\"w\(number)\":\(value)")
        }
        if random.one(in: 4) { fields.append("\"region\":[\"any\"]") }
        fields.shuffle(using: &random)
        let unknown = fields.filter { $0.hasPrefix("\"w") }
        if !unknown.isEmpty { extra = "{\(unknown.joined(separator: ","))}".replacing("\"", with: "\\\"") }
        let line = "{" + fields.joined(separator: ",") + "}"
        let stored =
            "{\"id\":\(id),\"name\":\"\(name)\",\"mail\":\(mail),\"tags\":\(tags),\(made)\"extra\":\"\(extra)\",\"region\":\"eu\"}"
        return (line, isGood ? stored : nil)
    }

    @Test(arguments: Seeds.some(12)) func landAsAModelSays(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let rows = (0..<400).map { _ in Self.row(&random) }
        let fixture = try RowFixture(Self.columns, rules: Self.rules)
        let outcome = try fixture.read(rows.map(\.line))
        #expect(outcome.rows.sorted() == rows.compactMap(\.stored).sorted(), "seed \(seed)")
        #expect(
            outcome.rejections.map { String(buffer: $0.bytes) } == rows.filter { $0.stored == nil }.map(\.line),
            "seed \(seed)")
        // Without the refused rows, the same blocks come out.
        let good = try fixture.read(rows.filter { $0.stored != nil }.map(\.line))
        #expect(good.rows == outcome.rows, "seed \(seed)")
    }

    /// Acks count rows; what is sampled out or refused must not shift them.
    @Test(arguments: Seeds.some(6)) func rowsKeepTheirNumbers(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let rows = (0..<300).map { _ in Self.row(&random) }
        var settings = ValidateSettings()
        settings.rules = try RuleFixture.tables(["t": Self.rules + "\nsample: {keep_one_in: 3, by: name}"])
        settings.defaultTable = "t"
        let structure = try RowFixture(Self.columns).structure
        let reader = ChunkReader(settings: settings, pool: BlockPool(bytesMax: 0)) { 0 }
        let options = RowOptions(settings.input, depthMax: settings.depthMax)
        let writer = try TableWriter(
            table: TableName(table: "t"), structure: structure, options: options, rules: settings.rules["t"],
            seed: seed,
            pool: BlockPool(bytesMax: 0))
        writer.asksForUnknownFields = false
        reader.add(writer)
        let producer = Producer(Producer.Identity(name: "p", epoch: 1))
        let chunk = Chunk(
            session: 1, number: 0, table: nil, bytes: ByteBuffer(string: rows.map { $0.line + "\n" }.joined()),
            received: .now, numbering: .init(producer: producer, range: RowRange(first: 1001, last: 1300)))
        guard case .done = reader.read(chunk) else { return #expect(Bool(false), "seed \(seed)") }
        let expected = rows.indices.filter { rows[$0].stored == nil }.map { UInt64(1001 + $0) }
        #expect(reader.takeRejections().map(\.number) == expected, "seed \(seed)")
        let kept = reader.takeBatches().reduce(0) { $0 + $1.rows }
        let sampled = reader.takeSampled().reduce(0) { $0 + $1.rows }
        #expect(kept + sampled + expected.count == rows.count, "seed \(seed)")
        #expect(sampled > 0)
    }

    /// A table with rules that say nothing of a row stores it as one without rules.
    @Test func rulesThatAreKeptChangeNothing() throws {
        let plain = try RowFixture(Self.columns)
        let ruled = try RowFixture(
            Self.columns,
            rules:
                "fields: {id: {range: {min: 0}}, name: {regex: .}, mail: {length: {max_bytes: 1000}}, made: {aliases: [m]}}\nunknown_fields: {action: drop}"
        )
        let lines = (0..<200).map { number in
            let made = number % 3 == 0 ? "" : ",\"made\":\(number)"
            return
                "{\"name\":\"n\(number % 7)\",\"id\":\(number),\"tags\":[\"a\"],\"mail\":\"m\(number)\"\(made),\"w\":1}"
        }
        let (first, second) = (try plain.read(lines), try ruled.read(lines))
        #expect(first.rejections.isEmpty && second.rejections.isEmpty)
        #expect(try first.blocks.map { try $0.native } == second.blocks.map { try $0.native })
    }

    /// A table that changes while rows come does not lose its rules.
    @Test func aChangedTableKeepsItsRules() throws {
        let rules = try RuleFixture.tables(["t": "fields: {mail: {redact: {method: mask}}, n: {range: {max: 5}}}"])
        let pool = BlockPool(bytesMax: 0)
        let before = try RowFixture([("mail", "String", nil), ("n", "UInt8", nil)]).structure
        let after = try RowFixture([("x", "UInt8", nil), ("n", "UInt16", nil), ("mail", "LowCardinality(String)", nil)])
        let writer = try TableWriter(table: RowFixture.table, structure: before, rules: rules["t"], pool: pool)
        try writer.follow(after.structure, pool: pool)
        var settings = ValidateSettings()
        settings.defaultTable = "t"
        let reader = ChunkReader(settings: settings, pool: pool) { 0 }
        reader.add(writer)
        let lines = #"{"mail":"s3cret","n":1}"# + "\n" + #"{"mail":"s3cret","n":6}"# + "\n"
        _ = reader.read(
            Chunk(session: 1, number: 0, table: nil, bytes: ByteBuffer(string: lines), received: .now))
        #expect(reader.takeRejections().map(\.reason) == [.ruleRange])
        let native = try reader.takeBatches().map { String(decoding: try $0.block.native, as: UTF8.self) }
        #expect(native.count == 1 && !native[0].contains("s3cret") && native[0].contains("***"))
        let without = try RowFixture([("n", "UInt16", nil)]).structure
        #expect(throws: RuleProblems.self) { try writer.follow(without, pool: pool) }
    }

    // MARK: Routes

    private func routed(_ rules: String, _ lines: [String], tables: [String]) throws -> (
        rows: [String: Int], refusals: [String]
    ) {
        var settings = ValidateSettings()
        settings.rules = try RuleFixture.tables(["inbox": rules, "b": "fields: {n: {range: {max: 5}}}"])
        settings.defaultTable = "inbox"
        let reader = ChunkReader(settings: settings, pool: BlockPool(bytesMax: 0)) { 0 }
        let structure = try RowFixture([("n", "UInt8", nil), ("kind", "String", nil)]).structure
        let chunk = Chunk(
            session: 1, number: 0, table: nil, bytes: ByteBuffer(string: lines.map { $0 + "\n" }.joined()),
            received: .now)
        var offset = 0
        while case .needsTable(let table, let at) = reader.read(chunk, from: offset) {
            offset = at
            guard tables.contains(table.description) else {
                reader.refuse(table, because: CatalogError(.unknownTable, table: table, message: "none"))
                continue
            }
            reader.add(
                try TableWriter(
                    table: table, structure: structure, rules: settings.rules(of: table), pool: BlockPool(bytesMax: 0)))
        }
        let rows = Dictionary(reader.takeBatches().map { ($0.table.description, $0.rows) }, uniquingKeysWith: +)
        let refusals = reader.takeRejections().map { "\($0.reason.rawValue) \($0.table?.description ?? "-")" }
        return (rows, refusals)
    }

    @Test func aFieldPicksTheTable() throws {
        let lines = [
            #"{"n":1,"kind":"x"}"#, #"{"kind":"y","n":2}"#, #"{"kind":"y","n":7}"#, #"{"n":3,"kind":"\u0078"}"#,
            #"{"n":4,"kind":"z"}"#, #"{"n":5}"#, #"{"kind":null,"n":6}"#, #"{"kind":5,"n":7}"#, "nonsense",
            #"{"table":"a","kind":"y","n":8}"#, #"{"table":"inbox","kind":"y","n":1}"#,
        ]
        let rules = "route: {field: kind, tables: {x: a, y: b, \"5\": a}}"
        let outcome = try routed(rules, lines, tables: ["a", "b", "inbox"])
        #expect(outcome.rows == ["a": 4, "b": 2])
        #expect(
            outcome.refusals == [
                "rule_route inbox", "rule_route inbox", "rule_route inbox", "malformed_json inbox", "rule_range b",
            ])
        let kept = try routed(
            rules.replacing("}}", with: "}, otherwise: keep}"), lines, tables: ["a", "b", "inbox"])
        #expect(kept.rows == ["a": 4, "b": 2, "inbox": 3])
    }

    @Test func aFieldMayNameTheTableWithinLimits() throws {
        let lines = ["e_9", "e_1", "e_2", "e_1", "f_1", "e_3", "e_2", "a.b\\u0000", ""].map {
            #"{"n":1,"kind":"\#($0)"}"#
        }
        let outcome = try routed(
            "route: {field: kind, patterns: [\"e_?\", a.*], tables_max: 2}", lines, tables: ["e_1", "e_2", "e_3"])
        #expect(outcome.rows == ["e_1": 2, "e_2": 2])
        #expect(
            outcome.refusals == [
                "unknown_table e_9", "rule_route inbox", "too_many_tables e_3", "rule_route inbox", "rule_route inbox",
            ])
    }
}
