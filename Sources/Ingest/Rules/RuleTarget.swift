import ClickHouseNative
import Pipeline

/// What of rules a column's type allows.
struct RuleTarget {
    enum Form {
        /// String and FixedString, also in a dictionary.
        case text
        /// Numbers and times: their values have an order.
        case ordered(ValueOrder)
        /// Values that are the same or not.
        case identity(ValueOrder)
        case other
    }

    let type: DataType
    /// Without Nullable, and without the dictionary.
    let bare: DataType
    let form: Form
    let isDictionary: Bool
    let isNullable: Bool

    init(_ type: DataType) {
        self.type = type
        var bare = type.underlying
        var isNullable = false
        var isDictionary = false
        if case .lowCardinality(let inner) = bare {
            isDictionary = true
            bare = inner.underlying
        }
        if case .nullable(let inner) = bare {
            isNullable = true
            bare = inner.underlying
        }
        self.bare = bare
        self.isNullable = isNullable
        self.isDictionary = isDictionary
        form =
            switch bare {
            case .string, .fixedString: .text
            case _ where isDictionary: .other
            default: Self.form(of: bare)
            }
    }

    private static func form(of type: DataType) -> Form {
        switch type {
        case .int8, .int16, .int32, .int64, .int128, .date32, .dateTime64, .time, .time64, .interval: .ordered(.signed)
        case .uint8, .uint16, .uint32, .uint64, .uint128, .date, .dateTime: .ordered(.unsigned)
        case .float32, .float64: .ordered(.float)
        case .bfloat16: .ordered(.bfloat16)
        case .decimal(let precision, scale: _) where precision <= 38: .ordered(.signed)
        case .enum8, .enum16: .identity(.signed)
        case .bool, .uuid, .ipv4, .ipv6: .identity(.unsigned)
        default: .other
        }
    }

    /// Its values are written as JSON's arrays and objects, or as anything.
    var isCompound: Bool {
        switch bare {
        case .array, .tuple, .map, .nested, .variant, .dynamic, .json: true
        default: false
        }
    }

    var isText: Bool { if case .text = form { true } else { false } }

    /// Texts may become longer or shorter.
    var isString: Bool { bare == .string }

    /// A literal as JSON has it.
    func json(_ literal: Literal) -> String {
        if isCompound { return literal.text }
        if literal.isPlain, !isText, literal.isNumberOrBoolean { return literal.text }
        var text = "\""
        for scalar in literal.text.unicodeScalars {
            switch scalar {
            case "\"", "\\": text += "\\\(scalar)"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }
}

extension Literal {
    fileprivate var isNumberOrBoolean: Bool {
        if text == "true" || text == "false" { return true }
        var line = text + "\n"
        return line.withUTF8 { bytes in
            guard let base = bytes.baseAddress, bytes.count > 1 else { return false }
            var cursor = LineCursor(base, end: base + bytes.count)
            guard (try? cursor.skipNumber()) != nil else { return false }
            return cursor.p == base + bytes.count - 1
        }
    }
}

/// How the bytes of a value become a number that has the values' order.
enum ValueOrder: UInt8 {
    case signed, unsigned, float, bfloat16

    /// nil: the value is in no order (NaN).
    @inline(__always)
    func key(_ p: UnsafeRawPointer, width: Int) -> UInt128? {
        switch self {
        case .unsigned:
            switch width {
            case 1: return UInt128(p.loadUnaligned(as: UInt8.self))
            case 2: return UInt128(p.loadUnaligned(as: UInt16.self))
            case 4: return UInt128(p.loadUnaligned(as: UInt32.self))
            case 8: return UInt128(p.loadUnaligned(as: UInt64.self))
            default: return p.loadUnaligned(as: UInt128.self)
            }
        case .signed:
            switch width {
            case 1: return Self.shifted(Int128(p.loadUnaligned(as: Int8.self)))
            case 2: return Self.shifted(Int128(p.loadUnaligned(as: Int16.self)))
            case 4: return Self.shifted(Int128(p.loadUnaligned(as: Int32.self)))
            case 8: return Self.shifted(Int128(p.loadUnaligned(as: Int64.self)))
            default: return Self.shifted(p.loadUnaligned(as: Int128.self))
            }
        case .float:
            return width == 4
                ? Self.ordered(Double(p.loadUnaligned(as: Float.self))) : Self.ordered(p.loadUnaligned(as: Double.self))
        case .bfloat16:
            return Self.ordered(Double(Float(bitPattern: UInt32(p.loadUnaligned(as: UInt16.self)) << 16)))
        }
    }

    @inline(__always)
    private static func shifted(_ value: Int128) -> UInt128 { UInt128(bitPattern: value) ^ (1 << 127) }

    private static func ordered(_ value: Double) -> UInt128? {
        guard !value.isNaN else { return nil }
        // -0 is 0.
        let bits = (value + 0).bitPattern
        return UInt128(bits >> 63 == 0 ? bits | 1 << 63 : ~bits)
    }
}
