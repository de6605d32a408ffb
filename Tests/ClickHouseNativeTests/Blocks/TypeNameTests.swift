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
        ])
    func canonical(name: String) throws {
        #expect(try DataType(parsing: name).description == name)
    }

    @Test(
        "Names that are not supported are refused by name",
        arguments: [
            "Tuple(String, Int8)", "Tuple(a String)", "JSON", "Decimal(76, 2)", "AggregateFunction(sum, UInt64)",
            "Int128",
        ])
    func unsupported(name: String) {
        let error = #expect(throws: DataTypeError.self) { try DataType(parsing: name) }
        #expect(error?.code == .unsupported)
        #expect(error?.description.contains(name) == true)
    }

    @Test(
        "Nonsense is refused",
        arguments: [
            "", "(", "Array", "Array()", "FixedString(0)", "Nullable(Array(String))", "Enum8('a' = 1, 'a' = 2)",
            "Enum8('a' = 200)", "DateTime64(10)", "String)", "Array(String", "Decimal(5, 9)", "'x'",
            "LowCardinality(Decimal(9, 2))",
        ])
    func nonsense(name: String) {
        #expect(throws: DataTypeError.self) { try DataType(parsing: name) }
    }

    @Test("Nesting has an end")
    func depth() {
        let deep = String(repeating: "Array(", count: 100) + "String" + String(repeating: ")", count: 100)
        let error = #expect(throws: DataTypeError.self) { try DataType(parsing: deep) }
        #expect(error?.code == .limit)
    }
}
