import Testing

@testable import ClickHouseNative

@Suite("Type names")
struct TypeNameTests {
    @Test(
        "Canonical names read and print the same",
        arguments: [
            "Int8", "UInt64", "Float32", "Bool", "String", "FixedString(16)", "UUID", "Date", "Date32", "DateTime",
            "DateTime('America/New_York')", "DateTime64(3)", "DateTime64(9, 'UTC')", "Enum8('a' = -128, 'it\\'s' = 1)",
            "Enum16('x' = 1000)", "Decimal(9, 2)", "Decimal(38, 38)", "Nullable(String)",
            "LowCardinality(Nullable(String))", "Array(Array(Nullable(Int32)))", "Array(LowCardinality(String))",
            "Int128", "Int256", "UInt128", "UInt256", "Decimal(76, 20)", "BFloat16", "IPv4", "IPv6", "Time",
            "Time64(6)",
            "IntervalNanosecond", "IntervalQuarter", "Array(Nothing)", "Tuple()", "Tuple(UInt8, Array(String))",
            "Tuple(a UInt8, `b c` Tuple(d String))", "Tuple(`a\\`b` UInt8, `x\\\\y` UInt8, `1` UInt8, `null` UInt8)",
            "Map(String, Map(LowCardinality(String), Nullable(UInt8)))", "Nested(a UInt8, b Array(String))",
            "SimpleAggregateFunction(sum, UInt64)", "SimpleAggregateFunction(groupArrayArray(10), Array(String))",
            "Point", "MultiPoint", "Ring", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "Geometry",
            "Variant(Array(String), UInt8)", "LowCardinality(IPv6)", "LowCardinality(Nullable(Int256))",
            "Nullable(Tuple(a UInt8))", "Nullable(JSON)", "JSON", "Dynamic", "Array(Dynamic(max_types=3))",
            "JSON(max_dynamic_paths=3, a.b UInt8, SKIP c)",
            "JSON(SKIP REGEXP 'a(b\\')', t Tuple(x UInt8))", "LowCardinality(SimpleAggregateFunction(any, String))",
        ])
    func canonical(name: String) throws {
        #expect(try DataType(parsing: name).description == name)
    }

    @Test(
        "Names that are not supported are refused by name",
        arguments: [
            "AggregateFunction(sum, UInt64)", "QBit(Float32, 8)", "Object('json')", "Array(Int512)",
        ])
    func unsupported(name: String) {
        let error = #expect(throws: DataTypeError.self) { try DataType(parsing: name) }
        #expect(error?.code == .unsupported)
        #expect(error?.description.contains(name) == true)
    }

    @Test(
        "Names that servers write in other ways mean the same",
        arguments: [
            (
                "Tuple(\n    a UInt8,\n    b Array(Tuple(\n        c String)))",
                "Tuple(a UInt8, b Array(Tuple(c String)))"
            ),
            ("Variant(UInt8, String, UInt8)", "Variant(String, UInt8)"), ("Variant(Nothing, UInt8)", "Variant(UInt8)"),
            ("Time64", "Time64(3)"),
            ("JSON(\n    a UInt8,\n    b Tuple(\n        c String))", "JSON(a UInt8, b Tuple(c String))"),
            ("Tuple(`a` UInt8)", "Tuple(a UInt8)"),
        ])
    func otherWays(name: String, canonical: String) throws {
        #expect(try DataType(parsing: name).description == canonical)
    }

    @Test(
        "Nonsense is refused",
        arguments: [
            "", "(", "Array", "Array()", "FixedString(0)", "Nullable(Array(String))", "Enum8('a' = 1, 'a' = 2)",
            "Enum8('a' = 200)", "DateTime64(10)", "String)", "Array(String", "Decimal(5, 9)", "'x'",
            "LowCardinality(Decimal(9, 2))", "Decimal(77, 2)", "Tuple(a UInt8, String)", "Tuple(a UInt8, a UInt8)",
            "Map(String)", "Map(Nullable(String), UInt8)", "Map(LowCardinality(Nullable(String)), UInt8)",
            "Nested(UInt8)",
            "Nullable(Map(String, UInt8))", "Nullable(Variant(UInt8))", "Variant()", "Variant(Nothing)",
            "Variant(Nullable(UInt8))",
            "Variant(Variant(UInt8), String)", "Time64(10)", "JSON(", "JSON(a", "Tuple(`a UInt8)",
            "SimpleAggregateFunction(sum)",
            "LowCardinality(Tuple(UInt8))", "a UInt8", "Map(a UInt8, String)", "Array(a UInt8)",
        ])
    func nonsense(name: String) {
        #expect(throws: DataTypeError.self) { try DataType(parsing: name) }
    }

    @Test("Types whose form is younger than they are name the server that takes it")
    func firstServers() throws {
        let named: [(String, ServerVersion?)] = [
            ("Map(String, Array(JSON))", ServerVersion(24, 10)), ("Tuple(a JSON, b Dynamic)", ServerVersion(25, 6)),
            ("Nullable(JSON(a UInt8))", ServerVersion(24, 10)), ("Variant(String, UInt8)", nil), ("Point", nil),
        ]
        for (name, first) in named { #expect(try DataType(parsing: name).firstServer == first) }
        #expect(ServerVersion(18, 16) < ServerVersion(24, 10) && ServerVersion(24, 9) < ServerVersion(24, 10))
    }

    @Test("Nesting has an end")
    func depth() {
        let deep = String(repeating: "Array(", count: 100) + "String" + String(repeating: ")", count: 100)
        let error = #expect(throws: DataTypeError.self) { try DataType(parsing: deep) }
        #expect(error?.code == .limit)
    }
}
