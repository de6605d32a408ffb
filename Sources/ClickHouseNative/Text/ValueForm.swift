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
    case enumeration(width: Int, [Int16: [UInt8]])
    case decimal(width: Int, scale: Int)
    /// A low-cardinality node whose first value stands for NULL.
    case nullable
    case parts
    case int128, uint128
    case int256, uint256
    case bfloat16
    case ipv4, ipv6
    case time
    case time64(precision: Int)
    /// An array of keys and values, written as an object.
    case map
    /// What comes before each element of a tuple with names: the name and a colon.
    case named([[UInt8]])
    /// Text that is JSON already.
    case json
    /// A value with its type.
    case dynamic(timeZone: String)

    /// - Parameter type: a node's: names are taken off.
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
        case .lowCardinality: self = type.isNullableDictionary ? .nullable : .parts
        case .int128: self = .int128
        case .int256: self = .int256
        case .uint128: self = .uint128
        case .uint256: self = .uint256
        case .bfloat16: self = .bfloat16
        case .ipv4: self = .ipv4
        case .ipv6: self = .ipv6
        case .time: self = .time
        case .time64(let precision): self = .time64(precision: precision)
        case .interval: self = .int64
        case .map: self = .map
        case .json: self = .json
        case .dynamic: self = .dynamic(timeZone: timeZone)
        case .tuple(let elements) where elements.first?.name != nil:
            self = .named(
                elements.map { element in
                    var key: [UInt8] = []
                    key.append(quoted: element.name ?? "")
                    key.append(UInt8(ascii: ":"))
                    return key
                })
        case .string, .nullable, .array, .nothing, .tuple, .nested, .named, .variant: self = .parts
        }
    }

    private static func names(_ enumeration: EnumMembers) -> [Int16: [UInt8]] {
        Dictionary(
            uniqueKeysWithValues: enumeration.members.map { ($0.value, Array($0.name.utf8)) })
    }

    /// - Parameter style: of what is text.
    func append(_ bytes: UnsafeRawBufferPointer, to out: inout [UInt8], as style: ValueStyle = .json) {
        switch self {
        case .int8: out.append(decimal: Int64(bytes.loadUnaligned(as: Int8.self)))
        case .int16: out.append(decimal: Int64(bytes.loadUnaligned(as: Int16.self)))
        case .int32: out.append(decimal: Int64(bytes.loadUnaligned(as: Int32.self)))
        case .int64: out.append(decimal: bytes.loadUnaligned(as: Int64.self))
        case .uint8: out.append(decimal: UInt64(bytes[0]))
        case .uint16: out.append(decimal: UInt64(bytes.loadUnaligned(as: UInt16.self)))
        case .uint32: out.append(decimal: UInt64(bytes.loadUnaligned(as: UInt32.self)))
        case .uint64: out.append(decimal: bytes.loadUnaligned(as: UInt64.self))
        case .float32: out.append(float: bytes.loadUnaligned(as: Float.self), as: style)
        case .float64: out.append(float: bytes.loadUnaligned(as: Double.self), as: style)
        case .bool: bytes[0] == 0 ? out.append(text: "false") : out.append(text: "true")
        case .text, .json: out.append(bytes, as: style)
        case .enumeration(let width, let names):
            let value = width == 1 ? Int16(bytes.loadUnaligned(as: Int8.self)) : bytes.loadUnaligned(as: Int16.self)
            if let name = names[value] {
                name.withUnsafeBytes { out.append($0, as: style) }
            } else {
                out.append(decimal: Int64(value))
            }
        case .decimal(32, let scale):
            out.append(decimal: bytes.loadUnaligned(as: WideInteger.self), scale: scale)
        case .decimal(let width, let scale):
            let unscaled: Int128 =
                switch width {
                case 4: Int128(bytes.loadUnaligned(as: Int32.self))
                case 8: Int128(bytes.loadUnaligned(as: Int64.self))
                default: bytes.loadUnaligned(as: Int128.self)
                }
            out.append(decimal: unscaled, scale: scale)
        case .uuid, .date, .date32, .dateTime, .dateTime64, .ipv4, .ipv6, .time, .time64:
            if let quote = style.quote { out.append(quote) }
            appendUnquoted(bytes, to: &out)
            if let quote = style.quote { out.append(quote) }
        case .int128: out.append(decimal: bytes.loadUnaligned(as: Int128.self), scale: 0)
        case .uint128: out.append(decimal: WideInteger(low: bytes.loadUnaligned(as: UInt128.self)), scale: 0)
        case .int256: out.append(decimal: bytes.loadUnaligned(as: WideInteger.self), scale: 0)
        case .uint256: out.append(digits: bytes.loadUnaligned(as: WideInteger.self), scale: 0)
        case .bfloat16:
            let upper = UInt32(bytes.loadUnaligned(as: UInt16.self)) << 16
            out.append(float: Float(bitPattern: upper), as: style)
        case .nullable, .parts, .map, .named, .dynamic: out.append(text: "null")
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
        case .ipv4: out.append(ipv4: bytes.loadUnaligned(as: UInt32.self))
        case .ipv6: out.append(ipv6: bytes)
        case .time: out.append(clock: Int64(bytes.loadUnaligned(as: Int32.self)), precision: 0)
        case .time64(let precision): out.append(clock: bytes.loadUnaligned(as: Int64.self), precision: precision)
        default: break
        }
    }
}

/// How text looks where it stands.
enum ValueStyle {
    /// In JSON: between double quotes.
    case json
    /// A map's key, before it becomes JSON: as it is.
    case text
    /// Within the arrays and tuples of a map's key: as SQL has it.
    case sql

    var quote: UInt8? {
        switch self {
        case .json: UInt8(ascii: "\"")
        case .text: nil
        case .sql: UInt8(ascii: "'")
        }
    }
}

extension [UInt8] {
    mutating func append(quoted text: String) {
        var text = text
        text.withUTF8 { append(quoted: UnsafeRawBufferPointer($0)) }
    }
}
