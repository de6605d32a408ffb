import ClickHouseNative
import Ingest
import NIOCore
import Pipeline
import TestSupport
import Testing

/// One bad row never costs its neighbours, nor leaves a trace in them.
@Suite struct RowNeighbourTests {
    private static let wide: [(name: String, type: String, expression: String?)] = [
        ("id", "UInt32", nil), ("s", "String", nil), ("f", "FixedString(3)", nil), ("n", "Nullable(String)", nil),
        ("ni", "Nullable(Int16)", nil), ("u", "UUID", nil), ("l", "LowCardinality(String)", nil),
        ("ln", "LowCardinality(Nullable(String))", nil), ("lu", "LowCardinality(UInt16)", nil),
        ("a", "Array(String)", nil), ("aa", "Array(Array(UInt8))", nil), ("an", "Array(Nullable(String))", nil),
        ("al", "Array(LowCardinality(String))", nil), ("e", "Enum8('x' = 1, 'y' = -2)", nil),
        ("t", "DateTime64(3, 'UTC')", nil), ("d", "Decimal(18, 4)", nil),
    ]

    private static let good: [String: [String]] = [
        "s": [#""""#, #""plain""#, #""\n\u00e9\ud83d\ude00""#, "17", "true"], "f": [#""""#, #""ab""#, #""abc""#],
        "n": ["null", #""x""#, #""""#], "ni": ["null", "-7", "12"],
        "u": [#""61f0c404-5cb3-11e7-907b-a6006ad3dba0""#, #""61f0c4045cb311e7907ba6006ad3dba0""#],
        "l": [#""a""#, #""b""#, #""""#], "ln": ["null", #""a""#, #""""#], "lu": ["0", "1", "65535"],
        "a": ["[]", #"["x","yy"]"#, #"["\u0041",""]"#], "aa": ["[]", "[[]]", "[[1,2],[3]]"],
        "an": ["[]", #"[null,"z"]"#], "al": ["[]", #"["p","q","p"]"#], "e": [#""x""#, #""y""#, "1"],
        "t": [#""2024-02-29 12:00:00.5""#, "0"], "d": ["1.5", #""-2.25""#, "0"],
    ]

    private static let bad: [String: [String]] = [
        "s": [#""unended"#, #""\ud800""#, "nope"], "f": [#""four""#, "1"], "n": [#""\udc00""#, "nul"],
        "ni": ["40000", #""x""#], "u": [#""no""#, "7"], "l": ["[1"], "ln": [#""\ud83d""#], "lu": ["-1", "65536"],
        "a": [#"["kept?",{]"#, #"["one","two",nope]"#, #"["a" "b"]"#, #"["a","b""#],
        "aa": ["[[1,2],[3,256]]", "[[1],[2"],
        "an": [#"[null,"a",nope]"#], "al": [#"["new",tru]"#], "e": [#""z""#, "3"], "t": [#""2024-02-30 00:00:00""#],
        "d": ["1e40", "x"],
    ]

    private static func row(_ id: Int, spoiled: Bool, _ random: inout SeededRandom) -> String {
        var fields = ["\"id\":\(id)"]
        for (column, values) in good.sorted(by: { $0.key < $1.key }) where !random.one(in: 4) {
            fields.append("\"\(column)\":\(values[random.int(0...values.count - 1)])")
        }
        fields.shuffle(using: &random)
        guard spoiled else { return "{" + fields.joined(separator: ",") + "}" }
        switch random.int(0...4) {
        case 0: return "{" + fields.joined(separator: ",")
        case 1: return "{" + fields.joined(separator: ",") + "} x"
        case 2: return "{" + fields.joined(separator: ",") + ",\"id\":1}"
        default:
            let (column, values) = bad.sorted { $0.key < $1.key }[random.int(0...bad.count - 1)]
            fields.removeAll { $0.hasPrefix("\"\(column)\":") }
            let value = values[random.int(0...values.count - 1)]
            fields.insert("\"\(column)\":\(value)", at: random.int(0...fields.count))
            return "{" + fields.joined(separator: ",") + "}"
        }
    }

    @Test(arguments: Seeds.some(30))
    func goodRowsAreTheSameWithBadOnesBetweenThem(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var all: [String] = []
        var only: [String] = []
        for id in 0..<400 {
            let spoiled = random.one(in: 2)
            let row = Self.row(id, spoiled: spoiled, &random)
            all.append(row)
            if !spoiled { only.append(row) }
        }
        let fixture = try RowFixture(Self.wide)
        let mixed = try fixture.read(all)
        let model = try fixture.read(only)
        #expect(model.rejections.isEmpty)
        let good = Set(only)
        let refused = mixed.rejections.map { String(buffer: $0.bytes) }
        let taken = Set(all.filter { !good.contains($0) }).subtracting(refused)
        #expect(taken.isEmpty, "spoiled, and taken all the same")
        #expect(refused == all.filter { !good.contains($0) })
        #expect(mixed.rows == model.rows)
        // Dictionaries may keep values of rows that were taken back, so the bytes differ there; lengths must not.
        for block in mixed.blocks { #expect(throws: Never.self) { try block.native } }
    }

    @Test func anArrayThatEndsBadlyLeavesNothingBehind() throws {
        let fixture = try RowFixture([("a", "Array(String)", nil), ("aa", "Array(Array(UInt8))", nil)])
        let outcome = try fixture.read([
            #"{"a":["first"],"aa":[[1],[2,3]]}"#, #"{"a":["left","over",{]}"#, #"{"aa":[[9,9],[9,256]]}"#,
            #"{"a":["second"],"aa":[[4]]}"#, #"{"a":["x","#, "{}",
        ])
        #expect(
            outcome.rows == [
                #"{"a":["first"],"aa":[[1],[2,3]]}"#, #"{"a":["second"],"aa":[[4]]}"#, #"{"a":[],"aa":[]}"#,
            ])
        #expect(outcome.rejections.count == 3)
    }

    @Test(arguments: Seeds.some(10))
    func whereTheInputIsCutIntoChunksMakesNoDifference(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let lines = (0..<40).map { Self.row($0, spoiled: random.one(in: 5), &random) }
        let fixture = try RowFixture(Self.wide)
        let whole = try fixture.read(lines)
        for cut in 1..<lines.count {
            // The last line of a session comes without its newline.
            let chunks = [lines[..<cut], lines[cut...]].map {
                ByteBuffer(string: $0.joined(separator: "\n") + ($0.endIndex == lines.count ? "" : "\n"))
            }
            let parts = try fixture.read(chunks)
            #expect(parts.rows == whole.rows, "cut at line \(cut)")
            #expect(parts.refusals == whole.refusals, "cut at line \(cut)")
        }
        let single = try fixture.read(lines.map { ByteBuffer(string: $0) })
        #expect(single.rows == whole.rows)
        #expect(single.refusals == whole.refusals)
        // Dictionaries may have values of bad rows, and not the same ones.
        let good = (0..<40).map { Self.row($0, spoiled: false, &random) }
        let parts = try fixture.read(good.map { ByteBuffer(string: $0) })
        for (one, other) in zip(parts.blocks, try fixture.read(good).blocks) { #expect(try one.native == other.native) }
    }

    @Test(arguments: Seeds.some(40))
    func bytesTurnedAtRandomHarmNobody(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let fixture = try RowFixture(Self.wide)
        let before = Self.row(1, spoiled: false, &random)
        let after = Self.row(2, spoiled: false, &random)
        let expected = try fixture.read([before, after]).rows
        let alphabet = Array(#"{}[]",:\u0019-+.eEntf null"#.utf8) + [0, 0x7F, 0x80, 0xC3, 0xFF]
        for _ in 0..<150 {
            var line = Array(Self.row(3, spoiled: random.one(in: 3), &random).utf8)
            for _ in 0...random.int(0...4) where !line.isEmpty {
                let place = random.int(0...line.count - 1)
                switch random.int(0...3) {
                case 0: line.remove(at: place)
                case 1: line.insert(alphabet[random.int(0...alphabet.count - 1)], at: place)
                case 2: line.removeLast(line.count - place)
                default: line[place] = alphabet[random.int(0...alphabet.count - 1)]
                }
            }
            let input = ByteBuffer(bytes: Array(before.utf8) + [10] + line + [10] + Array(after.utf8) + [10])
            let outcome = try fixture.read([input])
            #expect(outcome.rows.first == expected.first)
            #expect(outcome.rows.last == expected.last)
            let isBlank = line.allSatisfy { $0 == 0x20 || $0 == 9 || $0 == 13 }
            #expect(outcome.rows.count + outcome.rejections.count == (isBlank ? 2 : 3), "\(line)")
        }
    }
}
