/// A type as it stands in binary form before a value of a Dynamic column (ClickHouse's DataTypes/DataTypesBinaryEncoding.h).
///
/// Not read: types that no value of a Dynamic column can have (Nullable on the outside), or that would have to be looked at value by value
/// (Variant, Dynamic, JSON, Nested, aggregate functions).
enum BinaryTypeName {
    /// Elements of a tuple, or members of an enumeration.
    static let elementsMax = 65_536

    /// - Returns: nil for `Nothing`, the type of NULL.
    static func take(_ bytes: inout ByteCursor) throws(BlockReadFailure) -> DataType? {
        var left = DataType.nameBytesMax
        guard let name = try name(&bytes, depth: 1, &left) else { return nil }
        // Whatever is in the name is held to the same as the name of a column's type.
        guard let type = try? DataType(parsing: name) else { throw Self.refusal("a type that there is not") }
        if let obstacle = DynamicValue.obstacle(to: type) { throw Self.refusal(obstacle) }
        switch type {
        case .nullable, .lowCardinality(.nullable): throw Self.refusal("a Nullable type, which none has")
        default: return type
        }
    }

    private static func refusal(_ what: String) -> BlockReadFailure {
        .refused(BlockError(.unsupportedType, "a value of a Dynamic column has \(what)"))
    }

    /// Types that are no more than their number.
    private static let plain: [UInt8: String] = [
        0x01: "UInt8", 0x02: "UInt16", 0x03: "UInt32", 0x04: "UInt64", 0x05: "UInt128", 0x06: "UInt256", 0x07: "Int8",
        0x08: "Int16", 0x09: "Int32", 0x0A: "Int64", 0x0B: "Int128", 0x0C: "Int256", 0x0D: "Float32", 0x0E: "Float64",
        0x0F: "Date", 0x10: "Date32", 0x11: "DateTime", 0x15: "String", 0x1D: "UUID", 0x28: "IPv4", 0x29: "IPv6",
        0x2D: "Bool", 0x31: "BFloat16", 0x32: "Time",
    ]
    /// Names over types that have no number of their own.
    private static let custom: Set<String> = [
        "Point", "Ring", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "MultiPoint",
    ]
    private static let intervals: [IntervalUnit] = [
        .nanosecond, .microsecond, .millisecond, .second, .minute, .hour, .day, .week, .month, .quarter, .year,
    ]

    /// - Parameter left: bytes that names in the type may still have.
    /// - Returns: nil for `Nothing` on the outside.
    private static func name(
        _ bytes: inout ByteCursor, depth: Int, _ left: inout Int
    ) throws(BlockReadFailure) -> String? {
        guard depth <= DataType.depthMax else {
            throw .refused(BlockError(.limit, "a type nested deeper than \(DataType.depthMax)"))
        }
        func inner(_ bytes: inout ByteCursor, _ left: inout Int) throws(BlockReadFailure) -> String {
            guard let found = try name(&bytes, depth: depth + 1, &left) else {
                throw refusal("Nothing within its type")
            }
            return found
        }
        let number = try bytes.take(UInt8.self)
        if let known = plain[number] { return known }
        switch number {
        case 0x00:
            guard depth == 1 else { throw refusal("Nothing within its type") }
            return nil
        case 0x12: return "DateTime(\(try zone(&bytes)))"
        case 0x13: return "DateTime64(\(try bytes.take(UInt8.self)))"
        case 0x14: return "DateTime64(\(try bytes.take(UInt8.self)), \(try zone(&bytes)))"
        case 0x16: return "FixedString(\(try bytes.takeVarUInt()))"
        case 0x17:
            return
                "Enum8(\(try members(&bytes, &left) { (bytes) throws(BlockReadFailure) in Int(try bytes.take(Int8.self)) }))"
        case 0x18:
            return
                "Enum16(\(try members(&bytes, &left) { (bytes) throws(BlockReadFailure) in Int(try bytes.take(Int16.self)) }))"
        case 0x19...0x1C:
            let precision = try bytes.take(UInt8.self)
            // Of which width it is follows from the precision, here as there.
            guard width(ofDecimal: precision) == number else {
                throw refusal("a Decimal of another width than its digits")
            }
            return "Decimal(\(precision), \(try bytes.take(UInt8.self)))"
        case 0x1E: return "Array(\(try inner(&bytes, &left)))"
        case 0x1F, 0x20:
            var elements: [String] = []
            let count = try count(&bytes)
            guard count > 0 else { throw refusal("a Tuple without elements, which has no bytes") }
            for _ in 0..<count {
                let name = number == 0x20 ? DataType.identifier(try text(&bytes, &left)) + " " : ""
                elements.append(name + (try inner(&bytes, &left)))
            }
            return "Tuple(\(elements.joined(separator: ", ")))"
        case 0x22:
            let unit = Int(try bytes.take(UInt8.self))
            guard unit < intervals.count else { throw refusal("an Interval of a kind that there is not") }
            return "Interval\(intervals[unit].rawValue)"
        case 0x23: return "Nullable(\(try inner(&bytes, &left)))"
        case 0x26: return "LowCardinality(\(try inner(&bytes, &left)))"
        case 0x27:
            let key = try inner(&bytes, &left)
            return "Map(\(key), \(try inner(&bytes, &left)))"
        case 0x2C:
            let name = try text(&bytes, &left)
            guard custom.contains(name) else { throw refusal("a type that is not read there") }
            return name
        case 0x34: return "Time64(\(try bytes.take(UInt8.self)))"
        default: throw refusal("a type that is not read there (0x\(String(number, radix: 16)))")
        }
    }

    private static func width(ofDecimal precision: UInt8) -> UInt8 {
        switch precision {
        case ...9: 0x19
        case ...18: 0x1A
        case ...38: 0x1B
        default: 0x1C
        }
    }

    private static func count(_ bytes: inout ByteCursor) throws(BlockReadFailure) -> Int {
        let count = try bytes.takeVarUInt()
        // Each takes a byte at least.
        guard count <= UInt64(min(bytes.left, elementsMax)) else {
            if count <= UInt64(elementsMax) { throw .short }
            throw .refused(BlockError(.limit, "a type of \(count) elements"))
        }
        return Int(count)
    }

    private static func text(_ bytes: inout ByteCursor, _ left: inout Int) throws(BlockReadFailure) -> String {
        let before = bytes.left
        let text = try bytes.takeString(bytesMax: left)
        left -= before - bytes.left
        // What is no UTF-8 would come back as another name.
        guard left >= 0, !text.contains("\u{FFFD}") else { throw refusal("a name that is too long, or no text") }
        return text
    }

    private static func zone(_ bytes: inout ByteCursor) throws(BlockReadFailure) -> String {
        DataType.quoted(try bytes.takeString(bytesMax: 100))
    }

    private static func members(
        _ bytes: inout ByteCursor, _ left: inout Int,
        _ value: (inout ByteCursor) throws(BlockReadFailure) -> Int
    ) throws(BlockReadFailure) -> String {
        var members: [String] = []
        for _ in 0..<(try count(&bytes)) {
            let name = DataType.quoted(try text(&bytes, &left))
            members.append("\(name) = \(try value(&bytes))")
        }
        return members.joined(separator: ", ")
    }
}
