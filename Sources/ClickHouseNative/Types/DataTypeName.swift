extension DataType: CustomStringConvertible {
    /// The type's name as ClickHouse writes it: `LowCardinality(Nullable(String))`.
    public var description: String {
        switch self {
        case .int8: "Int8"
        case .int16: "Int16"
        case .int32: "Int32"
        case .int64: "Int64"
        case .uint8: "UInt8"
        case .uint16: "UInt16"
        case .uint32: "UInt32"
        case .uint64: "UInt64"
        case .float32: "Float32"
        case .float64: "Float64"
        case .bool: "Bool"
        case .string: "String"
        case .fixedString(let length): "FixedString(\(length))"
        case .uuid: "UUID"
        case .date: "Date"
        case .date32: "Date32"
        case .dateTime(nil): "DateTime"
        case .dateTime(let zone?): "DateTime(\(Self.quoted(zone)))"
        case .dateTime64(let precision, nil): "DateTime64(\(precision))"
        case .dateTime64(let precision, let zone?): "DateTime64(\(precision), \(Self.quoted(zone)))"
        case .enum8(let enumeration): "Enum8(\(Self.list(enumeration)))"
        case .enum16(let enumeration): "Enum16(\(Self.list(enumeration)))"
        case .decimal(let precision, let scale): "Decimal(\(precision), \(scale))"
        case .nullable(let inner): "Nullable(\(inner))"
        case .lowCardinality(let inner): "LowCardinality(\(inner))"
        case .array(let inner): "Array(\(inner))"
        }
    }

    private static func list(_ enumeration: EnumMembers) -> String {
        enumeration.members.map { "\(quoted($0.name)) = \($0.value)" }.joined(separator: ", ")
    }

    /// A string literal as ClickHouse writes it (IO/WriteHelpers.h, writeQuotedString).
    static func quoted(_ text: String) -> String {
        var out = "'"
        for scalar in text.unicodeScalars {
            switch scalar {
            case "'": out += "\\'"
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\t": out += "\\t"
            case "\r": out += "\\r"
            case "\u{8}": out += "\\b"
            case "\u{C}": out += "\\f"
            case "\0": out += "\\0"
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "'"
    }
}
