import ClickHouseNative

/// Tells whether a column's DEFAULT is only a longer way to say the type's own default, so that the column can be filled
/// here and needs not be left to the server.
enum DefaultExpression {
    static func value(of expression: String, for type: DataType) -> TableStructure.Default {
        let text = expression.filter { !$0.isWhitespace }
        return isOwnDefault(text, of: type) ? .type : .expression(expression)
    }

    private static func isOwnDefault(_ text: String, of type: DataType) -> Bool {
        switch type {
        case .int8, .int16, .int32, .int64, .int128, .int256, .uint8, .uint16, .uint32, .uint64, .uint128, .uint256:
            text == "0"
        case .float32, .float64, .bfloat16, .decimal: ["0", "0.", "0.0"].contains(text)
        case .bool: ["0", "false", "FALSE"].contains(text)
        case .string, .fixedString: text == "''"
        case .uuid:
            ["'\(zeroUUID)'", "toUUID('\(zeroUUID)')"].contains(text)
        case .date: ["0", "toDate(0)", "'1970-01-01'", "toDate('1970-01-01')"].contains(text)
        // The default of Date32 is 1900-01-01, which nobody writes as a literal of zero.
        case .date32: false
        // Texts are left to the server: they are read in a time zone.
        case .dateTime: ["0", "toDateTime(0)"].contains(text)
        case .dateTime64:
            text == "0" || (0...9).contains { text == "toDateTime64(0,\($0))" }
        // ClickHouse keeps the members in the order of their values, and the first is the default.
        case .enum8(let members), .enum16(let members):
            members.members.min { $0.value < $1.value }.map { text == "'\($0.name)'" } ?? false
        case .nullable: text.uppercased() == "NULL"
        case .lowCardinality(let inner): isOwnDefault(text, of: inner)
        case .array: ["[]", "array()", "emptyArrayString()"].contains(text)
        case .map: text == "map()"
        case .variant, .dynamic: text.uppercased() == "NULL"
        case .named(_, let inner): isOwnDefault(text, of: inner)
        // Texts and functions of many shapes: the server computes them.
        case .ipv4, .ipv6, .time, .time64, .interval, .nothing, .tuple, .nested, .json: false
        }
    }

    private static let zeroUUID = "00000000-0000-0000-0000-000000000000"
}
