import ClickHouseNative
import Foundation
import Ingest
import ProducerProtocol
import TestSupport
import Testing

/// Cells of CSV and TSV whose type is found by trying: what sluice stores of them, and as which type, is what ClickHouse itself does.
/// `SLUICE_TEST_ROWS` says how many, `SLUICE_TEST_SEED` replays one seed.
@Suite(.serialized) struct TriedCellTests {
    static let cellsOfATable = 30
    static let seeds = Seeds.some(max(1, (Seeds.rows ?? 600) / (4 * cellsOfATable)))

    private static let types = [
        "Array(DateTime)", "Array(DateTime64(3))", "Array(IPv4)", "Array(FixedString(2))", "Map(String, Array(String))",
        "Int256", "UInt128",
        "Decimal(18, 4)", "Decimal(76, 20)", "Array(Int128)", "Array(JSON)", "Int8", "UInt8", "Int16", "UInt32",
        "Int64", "UInt64", "Int128", "UInt256", "Float32", "Float64", "BFloat16",
        "Decimal(9, 2)", "Decimal(38, 10)", "Bool", "String", "FixedString(4)", "UUID", "Date", "Date32", "DateTime",
        "DateTime64(3)", "IPv4", "IPv6", "Time", "Time64(3)", "Enum8('a' = 1, 'b' = 2, '7' = 3)", "Array(UInt8)",
        "Array(String)", "Array(Nullable(Int64))", "Array(Float64)", "Array(Decimal(9, 2))",
        "Map(String, Decimal(9, 2))", "Array(Enum8('a' = 1, 'b' = 2))", "Array(Time)", "Array(UUID)",
        "Array(LowCardinality(String))", "Map(Date, Array(Float32))", "Array(Date)", "Array(Bool)",
        "Array(Array(UInt8))",
        "Map(String, UInt8)", "Map(UInt8, String)", "JSON", "LowCardinality(String)", "LowCardinality(UInt16)",
        "IntervalDay", "Tuple(UInt8, String)", "Tuple(a Date, b Array(UInt8))",
    ]

    private static let cells = [
        "", "0", "1", "-1", "+1", "-0", "00", "007", "7", "42", "255", "256", "300", "-128", "-129", "65535", "65536",
        "4294967295", "4294967296", "9223372036854775807", "9223372036854775808", "18446744073709551615",
        "18446744073709551616", "-9223372036854775809", "340282366920938463463374607431768211456",
        "+9223372036854775808",
        "1.5", "1.", ".5", "-.5", "00.5", "-00.5", "-01", "1e2", "1e-2", "0e100", "12345678.12", "1.123456789", "nan",
        "NaN", "inf", "-inf",
        "Infinity", "true", "false", "True", "FALSE", "tRue", "t", "f", "yes", "on", "abc", "a", "b", "abcde", "é",
        "2024-02-29",
        "2024-02-30", "2024-2-9", "1969-12-31", "2150-01-01", "2300-01-01", "2024-02-29 12:34:56",
        "2024-02-29T12:34:56Z",
        "2024-02-29 12:34:56.789", "2024-02-29 25:00:00", "1709210096", "1709210096.5", "1709210096789", "20240229",
        "12:34:56", "-12:34:56", "999:59:59", "1000:00:00", "12:34:56.789", "12:61:00",
        "61f0c404-5cb3-11e7-907b-a6006ad3dba0", "1.2.3.4", "256.1.1.1", "::1", "2001:db8::1", "[1,2]", "[]", "[1,300]",
        "['a','b']", "['a','']", "[1, 2 ]", " [1]", "[1] ", "[1,]", "[,]", "[INFO] text", "[1] text", "[['a']]",
        "[[1],[2]]", "[[],[1]]", "[null,1]", "[null]", "[1.5,2]", "[1.5]", "{'a':1.5}", "['12:34:56']",
        "['61f0c404-5cb3-11e7-907b-a6006ad3dba0']", "{'2024-01-01':[1.5]}", "[1.50,-2.25]", "['b']", "[1, 2]", "[ ]",
        "[true,false]",
        "['2024-01-01']", "['2024-01-01','x']", "[1,'a']", "[true,1]", "[1e5]", "[-0]", "[+1]", "[007]", "[nan]",
        "[18446744073709551615]",
        "[18446744073709551616]", "[18446744073709551615,-1]", "['it''s']", "['1''2']", "{}", "{'a':1}", "{'a':'b'}",
        "{1:2}", "{1:'x',2:'y'}", "{'a':1,'b':'x'}", "{'a':1,'b':1.5}",
        "{'2024-01-01':1}", "{'a':1,}", "{'a':null}", "{\"a\":1}", "{\"a\":\n1}", "{\"a\":\"x\\ny\"}", "{not",
        "(1,'a')", "(1)", "(1,)", "()", "(hello)", "('2024-01-01',[1])", "([1,2],(3,4))",
        "NULL", "null", "\\N", "\\N ", "\\N\t", " \\N", "0x10", "0b1", "1 ", " 1", "1 2", "1x", "t7", " n1", "1,2",
        "1_000", "-",
        "+", ".", "e", "1e", "--1",
        "+-1", "'1'", "'a'",
        "'2024-01-01'", "'[1]'", "''", "'", "Mar 3 2024", "29 Feb 2024 1:02 PM", "12/31/2024", "2024/02/29", "5 days",
        "\\", "a\\tb", "x\ty", "x y", "  x", "x  ", "a\"b", "x\ny",
        "12345678901234567890123", "-1.5e-3", "0.1", "-0.0", "1234567890.123456789", "(", "[", "{", "]", "\u{1}",
    ]

    private static let pieces: [Character] = Array(",'\"[](){}:.+-eE017anx \\té")

    /// A cell, or what is left of one in which something was changed.
    private static func cell(_ random: inout SeededRandom) -> String {
        var cell = Array(cells.randomElement(using: &random)!)
        guard random.one(in: 3) else { return String(cell) }
        let piece = pieces.randomElement(using: &random)!
        switch random.int(0...3) {
        case 0 where !cell.isEmpty: cell.remove(at: random.int(0...cell.count - 1))
        case 1 where !cell.isEmpty: cell[random.int(0...cell.count - 1)] = piece
        case 2: cell += cells.randomElement(using: &random)!
        default: cell.insert(piece, at: random.int(0...cell.count))
        }
        return String(cell)
    }

    /// A cell as it stands in a row.
    private static func written(_ cell: String, isCSV: Bool, _ random: inout SeededRandom) -> String {
        guard isCSV else {
            // As it is, or with escapes where it needs them.
            if random.one(in: 4), !cell.contains("\t"), !cell.contains("\n") { return cell }
            return cell.replacing("\\", with: "\\\\").replacing("\t", with: "\\t").replacing("\n", with: "\\n")
        }
        let needsQuotes = cell.contains(",") || cell.contains("\"") || cell.contains("\n")
        guard needsQuotes || random.one(in: 2) else { return cell }
        return "\"" + cell.replacing("\"", with: "\"\"") + "\""
    }

    private static func variant(_ random: inout SeededRandom) -> String {
        let found = Set((0..<random.int(1...3)).map { _ in types.randomElement(using: &random)! })
        // As ClickHouse has them.
        return "Variant(" + found.sorted().joined(separator: ", ") + ")"
    }

    @Test(.enabled { await ClickHouseServer.isAvailable(.modern) }, arguments: seeds)
    func cellsAreStoredAsTheTypeThatClickHouseFinds(seed: UInt64) async throws {
        let server = try await ClickHouseServer.modern()
        var random = SeededRandom(seed: seed)
        var counts = (both: 0, neither: 0, refusedHere: 0)
        for (format, isDynamic) in [(RowFormat.csv, true), (.csv, false), (.tsv, true), (.tsv, false)] {
            let type = isDynamic ? "Dynamic" : Self.variant(&random)
            let oracle = FormatOracle(types: [try DataType(parsing: type)])
            let rows = (0..<Self.cellsOfATable).map { number in
                let cell = Self.written(Self.cell(&random), isCSV: format.isCSV, &random)
                return Array("\(number)\(format.isCSV ? "," : "\t")\(cell)".utf8)
            }
            var ours: [Int: String] = [:]
            let outcome = try oracle.fixture().read(
                rows.flatMap { $0 + [10] }, as: SessionFormat(format), rows: rows.count)
            for block in outcome.blocks {
                let file = FileManager.default.temporaryDirectory.appendingPathComponent(
                    "sluice-cells-\(UUID()).native")
                defer { try? FileManager.default.removeItem(at: file) }
                try Data(block.native).write(to: file)
                try await ours.merge(oracle.kinds(ofNative: file.path, server)) { $1 }
            }
            for (number, row) in rows.enumerated() {
                let theirs = await oracle.kind(row, as: format, server)
                let about =
                    "seed \(seed): \(format.rawValue) \(type) \(String(decoding: row, as: UTF8.self).debugDescription)"
                switch (ours[number], theirs) {
                case (nil, nil): counts.neither += 1
                case (nil, let theirs?):
                    counts.refusedHere += 1
                    if ProcessInfo.processInfo.environment["SLUICE_TEST_SHOW"] != nil {
                        print("refused here: \(about): \(theirs)")
                    }
                case (let ours?, let theirs):
                    counts.both += 1
                    // See docs/fidelity.md: a NULL within an enumeration is its default, where ClickHouse stores a 0 that it cannot print.
                    if theirs == nil, type.contains("Enum"), String(decoding: row, as: UTF8.self).contains("null") {
                        continue
                    }
                    if ours != theirs {
                        Issue.record("\(about): \(ours) is stored, ClickHouse reads \(theirs ?? "nothing")")
                    }
                }
            }
        }
        #expect(counts.both > 0, "seed \(seed): \(counts)")
    }
}

extension FormatOracle {
    /// Of which type the value is that a row has, and the value.
    private var kind: String {
        let name = types[0].description.hasPrefix("Dynamic") ? "dynamicType(c0)" : "toString(variantType(c0))"
        return "hex(\(name) || ' ' || formatRow('JSONCompactEachRow', c0) || ' ' || ifNull(toString(c0), ''))"
    }

    fileprivate func kinds(ofNative path: String, _ server: ClickHouseServer) async throws -> [Int: String] {
        let sql = "SELECT n, \(kind) FROM file(\(Self.quoted(path)), Native) FORMAT TSVRaw"
        return Dictionary(uniqueKeysWithValues: Self.rows(try await server.query(sql, settings: Self.settings)))
    }

    fileprivate func kind(_ row: [UInt8], as format: RowFormat, _ server: ClickHouseServer) async -> String? {
        let sql =
            "SELECT n, \(kind) FROM format(\(format.rawValue), \(Self.quoted(table.structure)), \(Self.quoted(row + [10]))) FORMAT TSVRaw"
        guard let answer = try? await server.query(sql, settings: Self.settings) else { return nil }
        let rows = Self.rows(answer)
        return rows.count == 1 ? rows[0].1 : nil
    }

    private static func rows(_ answer: String) -> [(Int, String)] {
        answer.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
            guard fields.count == 2, let row = Int(fields[0]) else { return nil }
            return (row, readable(fields[1]))
        }
    }
}
