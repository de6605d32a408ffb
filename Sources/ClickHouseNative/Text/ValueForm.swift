/// How the bytes of a node become text; strings and what is made of parts have no form of their own.
enum ValueForm {
    case int8, int16, int32, int64
    case uint8, uint16, uint32, uint64
    case float32, float64
    case bool
    case text
    case uuid
    case date
    case date32
    case dateTime(TimeZoneRules)
    case dateTime64(precision: Int, TimeZoneRules)
    /// The names in quotes.
    case enumeration(width: Int, [Int16: [UInt8]])
    case decimal(width: Int, scale: Int)
    /// A low-cardinality node whose first value stands for NULL.
    case nullable
    case parts

    init(_ type: DataType, timeZone: String) throws(TimeZoneError) {
        switch type {
        case .int8: self = .int8
        case .int16: self = .int16
        case .int32: self = .int32
        case .int64: self = .int64
        case .uint8: self = .uint8
        case .uint16: self = .uint16
        case .uint32: self = .uint32
        case .uint64: self = .uint64
        case .float32: self = .float32
        case .float64: self = .float64
        case .bool: self = .bool
        case .fixedString: self = .text
        case .uuid: self = .uuid
        case .date: self = .date
        case .date32: self = .date32
        case .dateTime(let zone): self = .dateTime(try .named(zone ?? timeZone))
        case .dateTime64(let precision, let zone):
            self = .dateTime64(precision: precision, try .named(zone ?? timeZone))
        case .enum8(let enumeration): self = .enumeration(width: 1, Self.names(enumeration))
        case .enum16(let enumeration): self = .enumeration(width: 2, Self.names(enumeration))
        case .decimal(_, let scale): self = .decimal(width: type.fixedWidth ?? 0, scale: scale)
        case .lowCardinality(.nullable): self = .nullable
        case .string, .nullable, .lowCardinality, .array: self = .parts
        }
    }

    private static func names(_ enumeration: EnumMembers) -> [Int16: [UInt8]] {
        Dictionary(
            uniqueKeysWithValues: enumeration.members.map { member in
                var name: [UInt8] = []
                name.append(quoted: member.name)
                return (member.value, name)
            })
    }

    func append(_ bytes: UnsafeRawBufferPointer, to out: inout [UInt8]) {
        switch self {
        case .int8: out.append(decimal: Int64(bytes.loadUnaligned(as: Int8.self)))
        case .int16: out.append(decimal: Int64(bytes.loadUnaligned(as: Int16.self)))
        case .int32: out.append(decimal: Int64(bytes.loadUnaligned(as: Int32.self)))
        case .int64: out.append(decimal: bytes.loadUnaligned(as: Int64.self))
        case .uint8: out.append(decimal: UInt64(bytes[0]))
        case .uint16: out.append(decimal: UInt64(bytes.loadUnaligned(as: UInt16.self)))
        case .uint32: out.append(decimal: UInt64(bytes.loadUnaligned(as: UInt32.self)))
        case .uint64: out.append(decimal: bytes.loadUnaligned(as: UInt64.self))
        case .float32: out.append(float: bytes.loadUnaligned(as: Float.self))
        case .float64: out.append(float: bytes.loadUnaligned(as: Double.self))
        case .bool: bytes[0] == 0 ? out.append(text: "false") : out.append(text: "true")
        case .text: out.append(quoted: bytes)
        case .enumeration(let width, let names):
            let value = width == 1 ? Int16(bytes.loadUnaligned(as: Int8.self)) : bytes.loadUnaligned(as: Int16.self)
            if let name = names[value] { out.append(contentsOf: name) } else { out.append(decimal: Int64(value)) }
        case .decimal(let width, let scale):
            let unscaled: Int128 =
                switch width {
                case 4: Int128(bytes.loadUnaligned(as: Int32.self))
                case 8: Int128(bytes.loadUnaligned(as: Int64.self))
                default: bytes.loadUnaligned(as: Int128.self)
                }
            out.append(decimal: unscaled, scale: scale)
        case .uuid, .date, .date32, .dateTime, .dateTime64:
            out.append(UInt8(ascii: "\""))
            appendUnquoted(bytes, to: &out)
            out.append(UInt8(ascii: "\""))
        case .nullable, .parts: out.append(text: "null")
        }
    }

    private func appendUnquoted(_ bytes: UnsafeRawBufferPointer, to out: inout [UInt8]) {
        switch self {
        case .uuid: out.append(uuid: bytes)
        case .date: out.append(day: Int32(bytes.loadUnaligned(as: UInt16.self)))
        case .date32: out.append(day: bytes.loadUnaligned(as: Int32.self))
        case .dateTime(let zone): out.append(instant: Int64(bytes.loadUnaligned(as: UInt32.self)), in: zone)
        case .dateTime64(let precision, let zone):
            out.append(ticks: bytes.loadUnaligned(as: Int64.self), precision: precision, in: zone)
        default: break
        }
    }
}

extension [UInt8] {
    mutating func append(quoted text: String) {
        var text = text
        text.withUTF8 { append(quoted: UnsafeRawBufferPointer($0)) }
    }
}
