import ClickHouseNative
import NIOCore
import Pipeline
import Testing

@testable import Ingest

/// Values of a column whose type was changed: converted as they are, or not at all.
@Suite struct ColumnConversionTests {
    private func convert(_ old: String, _ values: [String], to new: String) throws -> (rows: [String], bad: [Int]) {
        let block = try #require(
            try RowFixture(type: old).read(values.map { "{\"v\":\($0)}" }).blocks.first { $0.rows == values.count })
        switch try ColumnConversion.convert(block, to: [try DataType(parsing: new)], timeZone: "Europe/Berlin") {
        case .impossible(let rows): return ([], rows)
        case .converted(let converted):
            #expect(converted.layout.columns[0].type.description == (try DataType(parsing: new).description))
            var printed = ByteBuffer()
            try RowPrinter.print(converted, into: &printed)
            return (String(buffer: printed).split(separator: "\n").map { String($0.dropFirst(5).dropLast()) }, [])
        }
    }

    @Test(arguments: [
        ("UInt8", "Int64", ["0", "255"], ["0", "255"]),
        ("Int64", "String", ["-5", "9223372036854775807"], [#""-5""#, #""9223372036854775807""#]),
        ("String", "LowCardinality(String)", [#""a""#, #""""#, #""a""#], [#""a""#, #""""#, #""a""#]),
        ("String", "Nullable(String)", [#""a\n\"b""#, #""null""#], [#""a\n\"b""#, #""null""#]),
        ("Nullable(Int32)", "Nullable(Int64)", ["null", "7"], ["null", "7"]),
        ("Decimal(9, 2)", "Decimal(38, 10)", ["1.25", "-0.5"], ["1.25", "-0.5"]),
        ("Decimal(18, 4)", "Decimal(9, 2)", ["1.25", "7"], ["1.25", "7"]),
        ("Enum8('a' = 1, 'b' = 2)", "Enum16('b' = 7, 'a' = 9, 'c' = 1)", [#""a""#, #""b""#], [#""a""#, #""b""#]),
        ("Array(UInt8)", "Array(Nullable(UInt32))", ["[1,2]", "[]"], ["[1,2]", "[]"]),
        (
            "Tuple(a UInt8, b String)", "Tuple(a UInt8, b String, c Int8)", [#"{"a":1,"b":"x"}"#],
            [#"{"a":1,"b":"x","c":0}"#]
        ),
        ("Map(String, UInt8)", "Map(String, UInt64)", [#"{"k":1,"k":2}"#], [#"{"k":1,"k":2}"#]),
        ("Date", "Date32", [#""2024-02-29""#], [#""2024-02-29""#]),
        ("Float32", "Float64", ["0.5", "-3"], ["0.5", "-3"]),
    ])
    func whatLosesNothingIsConverted(old: String, new: String, values: [String], expected: [String]) throws {
        let outcome = try convert(old, values, to: new)
        #expect(outcome.bad == [])
        #expect(outcome.rows == expected)
    }

    /// The same moment, also in the hour that clocks show twice.
    @Test func aMomentStaysTheSameInAnotherZone() throws {
        let outcome = try convert(
            "DateTime('America/New_York')", ["1730611800", "1730615400"], to: "DateTime64(3, 'Asia/Kolkata')")
        #expect(outcome.rows == [#""2024-11-03 11:00:00.000""#, #""2024-11-03 12:00:00.000""#])
    }

    @Test(arguments: [
        ("Int64", "UInt8", ["1", "300", "-1", "255"], [1, 2]),
        ("Nullable(String)", "String", [#""a""#, "null"], [1]),
        ("String", "UInt32", [#""7""#, #""007""#, #""x""#, #""""#], [1, 2, 3]),
        (
            "DateTime64(6, 'UTC')", "DateTime64(3, 'UTC')",
            [#""2024-02-29 12:00:00.123""#, #""2024-02-29 12:00:00.123456""#], [1]
        ),
        ("Float64", "Nullable(Float64)", ["1.5", #""nan""#], [1]),
        ("Float64", "Float32", ["0.5", "0.123456789012"], [1]),
        ("Enum8('a' = 1, 'b' = 2)", "Enum8('a' = 1)", [#""b""#, #""a""#], [0]),
        ("Tuple(a UInt8, b UInt8)", "Tuple(a UInt8)", [#"{"a":1,"b":2}"#, #"{"a":1,"b":0}"#], [0]),
        ("Variant(String, UInt8)", "String", [#""a""#], [0]), ("String", "Dynamic", [#""a""#], [0]),
    ])
    func rowsThatWouldLoseSomethingAreNamed(old: String, new: String, values: [String], bad: [Int]) throws {
        #expect(try convert(old, values, to: new).bad == bad)
    }

    @Test func columnsThatStayAreNotTouched() throws {
        let fixture = try RowFixture([
            ("f", "Float64", nil), ("v", "UInt8", nil), ("d", "Dynamic", nil),
            ("l", "Array(LowCardinality(String))", nil),
        ])
        let block = try #require(
            try fixture.read([#"{"f":"nan","v":1,"d":[1,null],"l":["a","b"]}"#, #"{"f":1,"v":2,"d":"x","l":["b"]}"#])
                .blocks.first)
        var types = block.layout.columns.map(\.type)
        types[1] = .string
        guard case .converted(let converted) = try ColumnConversion.convert(block, to: types, timeZone: "UTC") else {
            Issue.record("not converted")
            return
        }
        #expect(converted.layout.columns.map(\.type) == types)
        #expect(try converted.selecting([0, 2, 3]).native == block.selecting([0, 2, 3]).native)
        #expect(converted.gathering([1..<2]).rows == 1)
    }
}
