import ClickHouseNative
import Foundation
import Ingest
import NIOCore
import Pipeline
import ProducerProtocol
import TestSupport
import Testing

/// Values of Dynamic columns in RowBinary: each says its type before it.
@Suite struct DynamicBinaryTests {
    static let values = [
        "NULL", "true", "toInt8(-1)", "toUInt16(700)", "toInt64(-5)", "toUInt128(1)", "toInt256(-1)", "toFloat32(1.5)",
        "1.5", "CAST(1, 'BFloat16')",
        "'text'", "''", "toFixedString('ab', 3)", "toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')",
        "toDate('2024-02-29')",
        "toDate32('1950-01-01')", "toDateTime('2024-02-29 12:34:56')",
        "toDateTime('2024-02-29 12:34:56', 'Europe/Berlin')",
        "toDateTime64('2024-02-29 12:34:56.789', 3)", "toDateTime64('2024-02-29 12:34:56.789', 9, 'America/New_York')",
        "CAST('12:34:56' AS Time)",
        "toTime64('12:34:56.789', 3)", "toIPv4('1.2.3.4')", "toIPv6('2001:db8::1')", "toDecimal32('1.5', 2)",
        "toDecimal64('1.5', 3)",
        "toDecimal128('1.5', 20)", "toDecimal256('-1.5', 40)", "CAST('a' AS Enum8('a' = 1, 'it''s' = -2))",
        "CAST('b' AS Enum16('b' = 300))",
        "toLowCardinality('low')", "[1, 2, 3]", "[NULL, 'x']", "map('a', [1])", "(1, 'a')",
        "CAST((1, 'a') AS Tuple(a UInt8, `b c` String))",
        "CAST((1, 2) AS Point)", "CAST([[(1, 2)]] AS Polygon)", "toIntervalDay(5)", "toIntervalNanosecond(1)",
        "toIntervalYear(2)", "toIntervalQuarter(3)",
        "[map('k', (toDate('2024-01-01'), [toUInt8(1)]))]",
    ]

    @Test(.enabled { await ClickHouseServer.isAvailable(.modern) })
    func eachTypeIsReadAsItWasWritten() async throws {
        let server = try await ClickHouseServer.modern()
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-dynamic-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (theirs, ours) = (folder.appendingPathComponent("theirs"), folder.appendingPathComponent("ours"))
        let rows = Self.values.enumerated().map { "SELECT toUInt32(\($0)) AS n, CAST(\($1), 'Dynamic') AS c0" }
        var settings = FormatOracle.settings
        settings["output_format_native_use_flattened_dynamic_and_json_serialization"] = "1"
        let names = "n UInt32, c0 Dynamic, c1 Array(Dynamic)"
        try await server.query(
            "INSERT INTO FUNCTION file('\(theirs.path)', RowBinary, '\(names)') SELECT n, c0, [c0, c0] FROM (\(rows.joined(separator: " UNION ALL "))) ORDER BY n",
            settings: settings)
        let fixture = try RowFixture([("n", "UInt32", nil), ("c0", "Dynamic", nil), ("c1", "Array(Dynamic)", nil)])
        let bytes = Array(try #require(FileManager.default.contents(atPath: theirs.path)))
        let outcome = try fixture.read(bytes, as: SessionFormat(.rowBinary), rows: Self.values.count)
        #expect(outcome.refusals == [])
        try Data(try #require(outcome.blocks.first).native).write(to: ours)
        func cells(_ path: URL, _ format: String) async throws -> [String] {
            try await server.query(
                """
                SELECT n, dynamicType(c0), formatRow('JSONCompactEachRow', c0), toString(c0), arrayMap(x -> dynamicType(x), c1), toString(c1)
                FROM file('\(path.path)', \(format), '\(names)') ORDER BY n FORMAT TSV
                """, settings: settings
            ).split(separator: "\n").map(String.init)
        }
        let (read, expected) = (try await cells(ours, "Native"), try await cells(theirs, "RowBinary"))
        #expect(read.count == Self.values.count)
        for (mine, own) in zip(read, expected) { #expect(mine == own) }
    }

    @Test(
        arguments: [
            // Nullable, Dynamic, JSON, an aggregate function, a number that there is none of.
            [0x23, 0x07, 0, 1], [0x2B, 0x20, 0x07, 1], [0x30, 0, 1], [0x25, 1], [0xEE, 1],
            // A Decimal of 80 digits, one of another width; DateTime64(77); a zone that there is not; a Bool of 2; no member; nothing in a tuple.
            [0x1C, 80, 0], [0x19, 18, 2, 0, 0, 0, 0], [0x13, 77], [0x12, 3, 0x61, 0x2F, 0x62, 0, 0, 0, 0], [0x2D, 2],
            [0x17, 1, 1, 0x61, 1, 2], [0x1F, 0],
            // An element named null, two of one name.
            [0x20, 1, 4, 0x6E, 0x75, 0x6C, 0x6C, 0x01, 1], [0x20, 2, 1, 0x61, 0x01, 1, 0x61, 0x01, 1, 1],
        ] as [[UInt8]])
    func aValueOfNoTypeIsRejected(value: [UInt8]) throws {
        let fixture = try RowFixture([("v", "Dynamic", nil)])
        let outcome = try fixture.read([0x01, 7] + value, as: SessionFormat(.rowBinary), rows: 2)
        #expect(outcome.rejections.count == 1)
        #expect(outcome.blocks.reduce(0) { $0 + $1.rows } == 1)
    }

    @Test func anEndlessTypeIsRejected() throws {
        let fixture = try RowFixture([("v", "Dynamic", nil)])
        let outcome = try fixture.read(Array(repeating: 0x1E, count: 100_000), as: SessionFormat(.rowBinary), rows: 1)
        #expect(outcome.refusals == ["malformed_row"])
    }

    /// The server would refuse a block with it, and with it the rows of others.
    @Test func aTimeZoneThatThereIsNotIsRejectedInABlock() throws {
        let fixture = try RowFixture([("v", "Dynamic", nil)])
        let type = Array("DateTime('a/b')".utf8)
        let block: [UInt8] =
            [1, 1, 1] + Array("v".utf8) + [7] + Array("Dynamic".utf8) + [3, 0, 0, 0, 0, 0, 0, 0, 1, UInt8(type.count)]
            + type
            + [0, 1, 0, 0, 0]
        let outcome = try fixture.read(block, as: SessionFormat(.native), rows: 1)
        #expect(outcome.refusals == ["malformed_row"])
        #expect(outcome.rejections.first?.message.contains("time zone") == true)
    }

    @Test func aBoolOfTwoIsRejectedInABlock() throws {
        let fixture = try RowFixture([("v", "Dynamic", nil)])
        let block: [UInt8] =
            [1, 2, 1] + Array("v".utf8) + [7] + Array("Dynamic".utf8) + [3, 0, 0, 0, 0, 0, 0, 0, 1, 4]
            + Array("Bool".utf8)
            + [0, 0, 2, 1]
        let outcome = try fixture.read(block, as: SessionFormat(.native), rows: 2)
        #expect(outcome.refusals == ["type_mismatch v"])
        #expect(outcome.rows == [#"{"v":true}"#])
    }

    @Test func rulesDoNotPassOverCellsWhoseTypeIsTried() throws {
        for type in ["Dynamic", "Variant(String, UInt64)"] {
            var fixture = try RowFixture([("v", type, nil)])
            var rules = TableRules()
            rules.fields["v", default: FieldRules()].required = true
            fixture.settings.rules["t"] = rules
            let outcome = try fixture.read(Array("1\n".utf8), as: SessionFormat(.csv), rows: 1)
            #expect(outcome.refusals == ["unsupported_format v"])
        }
    }
}
