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
        case .int128: "Int128"
        case .int256: "Int256"
        case .uint128: "UInt128"
        case .uint256: "UInt256"
        case .bfloat16: "BFloat16"
        case .ipv4: "IPv4"
        case .ipv6: "IPv6"
        case .time: "Time"
        case .time64(let precision): "Time64(\(precision))"
        case .interval(let unit): "Interval\(unit.rawValue)"
        case .nothing: "Nothing"
        case .tuple(let elements): "Tuple(\(Self.list(elements)))"
        case .map(let key, let value): "Map(\(key), \(value))"
        case .nested(let elements): "Nested(\(Self.list(elements)))"
        case .named(let name, _): name
        case .variant(let types): "Variant(\(types.map(\.description).joined(separator: ", ")))"
        case .dynamic(let name), .json(let name): name
        }
    }

    private static func list(_ elements: [TupleElement]) -> String {
        elements.map { element in
            element.name.map { "\(identifier($0)) \(element.type)" } ?? element.type.description
        }.joined(separator: ", ")
    }

    /// A name as it stands in a type: between backticks where it is more than a plain word
    /// (ClickHouse's Common/quoteString.h, backQuoteIfNeed).
    static func identifier(_ name: String) -> String {
        let isWord =
            name.utf8.first.map { $0 == UInt8(ascii: "_") || $0.isASCIILetter } == true
            && name.utf8.allSatisfy { $0 == UInt8(ascii: "_") || $0.isASCIILetter || $0.isASCIIDigit }
        if isWord, !["distinct", "all", "table", "select", "from", "null", "true", "false"].contains(name.lowercased())
        {
            return name
        }
        return "`" + quoted(name, with: "`").dropFirst().dropLast() + "`"
    }

    private static func list(_ enumeration: EnumMembers) -> String {
        enumeration.members.map { "\(quoted($0.name)) = \($0.value)" }.joined(separator: ", ")
    }

    /// A string literal as ClickHouse writes it (IO/WriteHelpers.h, writeQuotedString).
    static func quoted(_ text: String, with quote: Unicode.Scalar = "'") -> String {
        var out = String(Character(quote))
        for scalar in text.unicodeScalars {
            switch scalar {
            case quote: out += "\\\(quote)"
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
        return out + String(Character(quote))
    }
}

extension UInt8 {
    var isASCIILetter: Bool { (self | 0x20) >= 0x61 && (self | 0x20) <= 0x7A }
    var isASCIIDigit: Bool { self >= 0x30 && self <= 0x39 }
}
