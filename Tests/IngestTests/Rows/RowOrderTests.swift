import CSluice
import ClickHouseNative
import NIOCore
import Pipeline
import TestSupport
import Testing

@testable import Ingest

/// Rows whose keys come in no order are read in the order of the columns, once all of their keys were found. Nobody may see a difference
/// to a row that is alone, which is read in its own order.
struct RowOrderTests {
    private static let columns: [(name: String, type: String, expression: String?)] = [
        ("id", "UInt32", nil), ("s", "String", nil), ("fifteen_letters", "Nullable(String)", nil),
        ("sixteen_letters_", "UInt8", nil), ("long enough to be compared twice", "Int64", nil),
        ("long enough to be compared twice, too", "String", nil), ("f", "FixedString(3)", nil),
        ("u", "UUID", nil), ("l", "LowCardinality(String)", nil), ("ln", "LowCardinality(Nullable(String))", nil),
        ("a", "Array(String)", nil), ("aa", "Array(Array(UInt8))", nil), ("e", "Enum8('x' = 1, 'y' = -2)", nil),
        ("t", "DateTime64(3, 'UTC')", nil), ("d", "Decimal(18, 4)", nil), ("x", "Float64", nil), ("b", "Bool", nil),
        ("n.x", "Array(UInt8)", nil), ("n.y", "Array(String)", nil), ("j", "JSON", nil), ("é", "Int8", nil),
        ("quote\"", "Int8", nil),
    ]

    private static let texts = [
        #""""#, #""plain""#, #""\n\u00e9\ud83d\ude00""#, #"",\"s\":1,\"id\":2""#, #"",""#, #"", \":\"""#, #"":""#,
        #""}""#,
        #""{\"id\" : 1 , \"u\":null}""#, "\"" + String(repeating: "long, ", count: 60) + "\"", "null",
    ]
    private static let values: [String: [String]] = [
        "s": texts + ["17", "true", #"["id","s" , "l"]"#, #"{"id":1,"s":[{"u":2}]}"#, #"[ {"x" : 1} ,{"l":2}]"#],
        "fifteen_letters": texts, "sixteen_letters_": ["0", "255", "true", "null"],
        "long enough to be compared twice": ["-1", "9223372036854775807"],
        "long enough to be compared twice, too": texts, "f": [#""""#, #""abc""#],
        "u": [#""61f0c404-5cb3-11e7-907b-a6006ad3dba0""#, #""61f0c4045cb311e7907ba6006ad3dba0""#, "null"],
        "l": [#""a""#, #""id""#, #""""#], "ln": ["null", #""a""#, #""""#],
        "a": ["[]", #"["id","s"]"#, #"["\u0041" ,"",  "u"]"#], "aa": ["[]", "[[]]", "[[1,2],[3]]"],
        "e": [#""x""#, #""y""#, "1"], "t": [#""2024-02-29 12:00:00.5""#, "0"], "d": ["1.5", #""-2.25""#],
        "x": ["0.5", "1e300", "-7", "nan"], "b": ["true", "0"], "n.x": ["[]", "[1,2]"], "n.y": ["[]", #"["id",":"]"#],
        "j": [#"{"id":1,"s":{"u":2}}"#, "{}"], "é": ["1"], "quote\"": ["2"],
    ]
    private static let blanks = [
        "", "", "", " ", "\t", "\r", "  ", " \t \r", String(repeating: " ", count: 17), "\u{B}",
    ]

    private static func key(_ name: String, _ random: inout SeededRandom) -> String {
        let name = name.replacing("\"", with: "\\\"")
        return random.one(in: 60) ? "\"" + name.replacing("e", with: #"\u0065"#) + "\"" : "\"\(name)\""
    }

    /// A row with blank space, most often such as JSON has; one in ten has something that most rows have not.
    private static func row(_ id: Int, _ random: inout SeededRandom) -> String {
        var fields = [(#""id""#, "\(id)")]
        for (name, values) in values.sorted(by: { $0.key < $1.key }) where !random.one(in: 4) {
            guard !name.contains("\"") || random.one(in: 20) else { continue }
            fields.append((key(name, &random), values.randomElement(using: &random)!))
        }
        if random.one(in: 25) { fields.append((#""nobody""#, #"{"id":[1,{"s":2}]}"#)) }
        if random.one(in: 25) { fields.append(fields.randomElement(using: &random)!) }
        if random.one(in: 25) { fields.append((#""table""#, ["\"t\"", "\"other\""].randomElement(using: &random)!)) }
        if random.one(in: 25) { fields.append((#""x""#, "nope")) }
        fields.shuffle(using: &random)
        // One in forty is no blank space at all.
        func blank() -> String { blanks[random.int(0...(random.one(in: 400) ? 9 : 7))] }
        var text = blank() + "{" + blank()
        for (number, field) in fields.enumerated() {
            if number > 0 { text += blank() + (random.one(in: 600) ? "" : ",") + blank() }
            text += field.0 + blank() + ":" + blank() + field.1
        }
        text += blank() + (random.one(in: 40) ? ",}" : "}") + blank() + (random.one(in: 40) ? "x" : "")
        return text
    }

    private static func outcome(_ fixture: RowFixture, _ lines: [String]) throws -> (rows: [String], refusals: [String])
    {
        let outcome = try fixture.read(lines)
        return (outcome.rows, zip(outcome.refusals, outcome.rejections).map { "\($0): \(String(buffer: $1.bytes))" })
    }

    @Test("A row is the same alone and among others whose keys come in another order", arguments: Seeds.some(24))
    func random(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let fixture = try RowFixture(Self.columns)
        let lines = (0..<150).map { Self.row($0, &random) }
        let together = try Self.outcome(fixture, lines)
        let alone = try lines.map { try Self.outcome(fixture, [$0]) }
        #expect(together.rows == alone.flatMap(\.rows))
        #expect(together.refusals == alone.flatMap(\.refusals))
        #expect(together.rows.count > 40)
    }

    private static let short: [(name: String, type: String, expression: String?)] = [
        ("a", "Int32", nil), ("bb", "String", nil), ("long enough to ask", "Int32", nil), ("d", "Nullable(Int8)", nil),
    ]
    /// Enough of them for the keys to be in no order.
    private static let disordered: [String] = {
        var random = SeededRandom(seed: 1)
        return (0..<24).map { _ in
            "{"
                + ["\"a\":9", "\"bb\":\"x\"", "\"long enough to ask\":9", "\"d\":9"].shuffled(using: &random)
                .joined(separator: ",") + "}"
        }
    }()

    @Test(
        "A row with one wrong character is the same among rows in no order",
        arguments: [
            #"{"a":1,"bb":"x","long enough to ask":2,"d":null}"#, #"{"d":3,"long enough to ask":4,"a":5,"bb":"y,"}"#,
            #"{ "a" : 1, "bb": ",\"d" ,"long enough to ask" :2,\#t"d":3 }"#, #"{"bb"  :"",  "d" : -1 , "a":2}"#,
        ])
    func wrongCharacters(row: String) throws {
        let fixture = try RowFixture(Self.short)
        let filler = #"{"unknown":"\#(String(repeating: "x", count: 200))"}"#
        let around = try fixture.read(Self.disordered).rows
        let defaults = try fixture.read([filler]).rows
        for place in row.indices {
            let rest = row[row.index(after: place)...]
            for other in ["", "\"", ",", ":", " ", "\t", "x", "0", "{", "}", "\\", "\u{1}", "\u{0}", "\n"] {
                for line in [row[..<place] + other + rest, row[..<place] + other + row[place...]] {
                    let alone = try fixture.read([String(line)])
                    let among = try fixture.read(Self.disordered + [String(line), filler])
                    #expect(among.rows == around + alone.rows + defaults, "\(line)")
                    #expect(among.refusals == alone.refusals, "\(line)")
                }
            }
        }
    }

    @Test(
        "What is wrong with a row in no order is said as of any other",
        arguments: [
            (#"{"d":1,"a":2,"d":3,"bb":"x"}"#, "duplicate_key d"), (#"{"a":2,"a":2}"#, "duplicate_key a"),
            (#"{"bb":"","a":"no","d":300}"#, "type_mismatch a"), (#"{"d":300,"bb":"","a":"no"}"#, "out_of_range d"),
            (#"{"bb":"x","a":1,}"#, "malformed_json"), (#"{"bb":"x","a":1} d"#, "malformed_json"),
        ])
    func refusals(line: String, refusal: String) throws {
        let filler = #"{"unknown":"\#(String(repeating: "x", count: 200))"}"#
        let outcome = try RowFixture(Self.short).read(Self.disordered + [line, filler])
        #expect(outcome.refusals == [refusal])
        #expect(outcome.rows.count == Self.disordered.count + 1)
    }

    @Test("Tables of any number of columns take keys in any order", arguments: [1, 2, 63, 64, 65, 200, 256, 257, 300])
    func sizes(count: Int) throws {
        var random = SeededRandom(seed: UInt64(count))
        let fixture = try RowFixture((0..<count).map { ("key\($0)", "UInt32", nil) })
        var lines: [String] = []
        var expected: [String] = []
        for row in 0..<40 {
            let given = Set((0..<count).filter { _ in random.one(in: 2) })
            lines.append(
                "{" + given.sorted().shuffled(using: &random).map { "\"key\($0)\":\(row)" }.joined(separator: ",") + "}"
            )
            expected.append(
                "{" + (0..<count).map { "\"key\($0)\":\(given.contains($0) ? row : 0)" }.joined(separator: ",") + "}")
        }
        let outcome = try fixture.read(lines)
        #expect(outcome.refusals == [])
        #expect(outcome.rows == expected)
    }

    @Test(
        "Rows in no order are sorted, those in a steady one are not, and it is seen when that changes",
        .enabled(if: SLUICE_SORTS_ROWS != 0))
    func whenRowsAreSorted() throws {
        let names = (0..<20).map { "key\($0)" }
        let plan = try FieldPlan(try RowFixture(names.map { ($0, "UInt32", nil) }).structure)
        let block = Block(layout: plan.layout)
        let none = KeyIndex([])
        let successors = UnsafeMutablePointer<Int32>.allocate(capacity: names.count + 2)
        successors.initialize(repeating: -1, count: names.count + 2)
        var parser = RowParser(
            plan: plan, block: block, options: RowOptions(), tableKey: none, tableName: none, successors: successors,
            scratch: ByteRun())
        defer {
            parser.scratch.deallocate()
            successors.deallocate()
            none.deallocate()
        }
        var random = SeededRandom(seed: 5)
        /// Whether it was sorted.
        func read(_ names: [String], _ value: Int = 1) throws -> Bool {
            var line = Array(("{" + names.map { "\"\($0)\":\(value)" }.joined(separator: ",") + "}\n").utf8)
            // What is read behind a row.
            line += [UInt8](repeating: 0x0A, count: 200)
            let before = parser.reading.sorted
            do {
                try line.withUnsafeBufferPointer { line in
                    var cursor = LineCursor(line.baseAddress!, end: line.baseAddress! + line.count)
                    try parser.row(&cursor)
                    #expect(cursor.p.pointee == 0x0A)
                }
                block.commitRow()
            } catch {
                block.rollback()
                throw error
            }
            return parser.reading.sorted != before
        }
        func sorted(_ count: Int, _ names: () -> [String]) throws -> Int {
            try (0..<count).count { _ in try read(names()) }
        }
        #expect(try sorted(100) { names } == 0)
        #expect(try sorted(100) { names.shuffled(using: &random) } > 90)
        // A fault is that of the row in its own order.
        let fault = #expect(throws: ParseFault.self) {
            _ = try read((["key3"] + names).shuffled(using: &random) + ["key4"])
        }
        #expect(fault?.code == .duplicateKey)
        // A row in so many is read as if there were an order.
        _ = try sorted(100) { names.reversed() }
        #expect(try sorted(100) { names.reversed() } == 0)
        // What cannot be sorted is not tried for long.
        _ = try sorted(10) { names.shuffled(using: &random) }
        _ = try sorted(200) { (names + ["unknown"]).shuffled(using: &random) }
        #expect(parser.reading.unsorted > 0 && parser.reading.failed > 3)
        _ = try sorted(100) { names.shuffled(using: &random) }
        #expect(try sorted(100) { names.shuffled(using: &random) } > 90)
        #expect(block.rows == 810)
    }
}
