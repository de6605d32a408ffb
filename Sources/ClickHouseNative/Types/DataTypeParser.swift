/// Why a type name was refused.
public struct DataTypeError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// Not a type name at all.
        case syntax
        /// A type that ClickHouse may have, but this library does not.
        case unsupported
        /// Arguments that the type does not take: `FixedString(0)`, `Nullable(Array(String))`.
        case arguments
        /// Longer or deeper than the limits below.
        case limit
    }

    public let code: Code
    /// The type name that was being read, cut to 200 characters.
    public let name: String
    public let reason: String

    public var description: String { "data type \(name): \(reason)" }
}

extension DataType {
    /// Longest type name, in bytes: room for an Enum16 of some ten thousand members.
    public static let nameBytesMax = 1 << 20
    /// Deepest nesting of types.
    public static let depthMax = 64

    /// Reads a type by ClickHouse's own name for it, with its aliases of SQL left out: servers send canonical names.
    ///
    /// - Throws: `DataTypeError`, with code `.unsupported` for a well-formed name of a type that is not known here.
    public init(parsing name: String) throws(DataTypeError) {
        func refusal(_ code: DataTypeError.Code, _ reason: String) -> DataTypeError {
            DataTypeError(code: code, name: String(name.prefix(200)), reason: reason)
        }
        guard name.utf8.count <= Self.nameBytesMax else {
            throw refusal(.limit, "the name is longer than \(Self.nameBytesMax) bytes")
        }
        var parser = DataTypeParser(Array(name.utf8))
        do {
            let node = try parser.wholeNode()
            self = try DataTypeParser.type(from: node)
        } catch {
            throw refusal(error.code, error.reason)
        }
    }
}

/// A name with its arguments, as it was written: `DateTime64(3, 'UTC')`.
private enum TypeNode {
    case name(String, [TypeNode]?)
    case number(Int)
    case text(String)
    /// `'a' = 1`, an enum's member.
    indirect case member(String, Int)
}

private struct DataTypeParser {
    struct Failure: Error {
        let code: DataTypeError.Code
        let reason: String
    }

    private let bytes: [UInt8]
    private var position = 0
    private var depth = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func wholeNode() throws(Failure) -> TypeNode {
        let node = try self.node()
        skipSpace()
        guard position == bytes.count else { throw syntax("unexpected text at byte \(position)") }
        return node
    }

    private mutating func node() throws(Failure) -> TypeNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= DataType.depthMax else {
            throw Failure(code: .limit, reason: "nested deeper than \(DataType.depthMax)")
        }
        skipSpace()
        guard let byte = peek else { throw syntax("a type name is missing") }
        switch byte {
        case UInt8(ascii: "'"):
            let text = try quotedText()
            skipSpace()
            guard peek == UInt8(ascii: "=") else { return .text(text) }
            position += 1
            skipSpace()
            return .member(text, try number())
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            return .number(try number())
        default:
            let name = try identifier()
            skipSpace()
            guard peek == UInt8(ascii: "(") else { return .name(name, nil) }
            position += 1
            return .name(name, try arguments())
        }
    }

    private mutating func arguments() throws(Failure) -> [TypeNode] {
        var found: [TypeNode] = []
        skipSpace()
        if peek == UInt8(ascii: ")") {
            position += 1
            return found
        }
        while true {
            found.append(try node())
            skipSpace()
            guard let byte = peek else { throw syntax("a closing parenthesis is missing") }
            position += 1
            switch byte {
            case UInt8(ascii: ")"): return found
            case UInt8(ascii: ","): continue
            // A named element: `a String`. Its type is known by name only, and refused later.
            default: throw unsupportedOrSyntax(at: position - 1)
            }
        }
    }

    private func unsupportedOrSyntax(at place: Int) -> Failure {
        let byte = bytes[place]
        let isWord = byte == UInt8(ascii: "`") || byte == UInt8(ascii: "_") || byte.isASCIILetter
        return isWord
            ? Failure(code: .unsupported, reason: "types with named elements are not supported")
            : syntax("unexpected text at byte \(place)")
    }

    private mutating func identifier() throws(Failure) -> String {
        let start = position
        while let byte = peek, byte.isASCIILetter || byte == UInt8(ascii: "_") || (byte >= 0x30 && byte <= 0x39) {
            position += 1
        }
        guard position > start else { throw syntax("unexpected text at byte \(position)") }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func number() throws(Failure) -> Int {
        let start = position
        if peek == UInt8(ascii: "-") { position += 1 }
        while let byte = peek, byte >= 0x30, byte <= 0x39 { position += 1 }
        guard let value = Int(String(decoding: bytes[start..<position], as: UTF8.self)) else {
            throw syntax("a number is expected at byte \(start)")
        }
        return value
    }

    private mutating func quotedText() throws(Failure) -> String {
        position += 1
        var text: [UInt8] = []
        while let byte = peek {
            position += 1
            switch byte {
            case UInt8(ascii: "'"):
                // A doubled quote stands for one.
                guard peek == UInt8(ascii: "'") else { return String(decoding: text, as: UTF8.self) }
                position += 1
                text.append(byte)
            case UInt8(ascii: "\\"):
                guard let escaped = peek else { throw syntax("a string does not end") }
                position += 1
                switch escaped {
                case UInt8(ascii: "n"): text.append(0x0A)
                case UInt8(ascii: "t"): text.append(0x09)
                case UInt8(ascii: "r"): text.append(0x0D)
                case UInt8(ascii: "b"): text.append(0x08)
                case UInt8(ascii: "f"): text.append(0x0C)
                case UInt8(ascii: "0"): text.append(0x00)
                default: text.append(escaped)
                }
            default: text.append(byte)
            }
        }
        throw syntax("a string does not end")
    }

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x09 { position += 1 }
    }

    private func syntax(_ reason: String) -> Failure { Failure(code: .syntax, reason: reason) }
}

extension UInt8 {
    fileprivate var isASCIILetter: Bool { (self | 0x20) >= 0x61 && (self | 0x20) <= 0x7A }
}

// MARK: - From names to meanings

extension DataTypeParser {
    static func type(from node: TypeNode) throws(Failure) -> DataType {
        guard case .name(let name, let arguments) = node else {
            throw Failure(code: .syntax, reason: "a type name is expected")
        }
        if let plain = plainTypes[name] {
            guard arguments == nil || arguments!.isEmpty else { throw takes("no arguments", name) }
            return plain
        }
        switch (name, arguments ?? []) {
        case ("FixedString", let given):
            guard given.count == 1, case .number(let length) = given[0], length >= 1, length <= 0xFF_FFFF else {
                throw takes("a length from 1 to 16777215", name)
            }
            return .fixedString(length)
        case ("DateTime", let given):
            return .dateTime(timeZone: try zone(given, at: 0, name))
        case ("DateTime64", let given):
            guard given.isEmpty || given.count <= 2, case .number(let precision)? = given.first ?? .number(3),
                (0...9).contains(precision)
            else { throw takes("a precision from 0 to 9 and a time zone", name) }
            return .dateTime64(precision: precision, timeZone: try zone(given, at: 1, name))
        case ("Enum8", let given):
            return .enum8(try members(given, name, -128...127))
        case ("Enum16", let given):
            return .enum16(try members(given, name, -32768...32767))
        case ("Decimal", let given):
            guard given.count == 2, case .number(let precision) = given[0], case .number(let scale) = given[1],
                (1...76).contains(precision), (0...precision).contains(scale)
            else { throw takes("a precision from 1 to 76 and a scale up to it", name) }
            guard precision <= 38 else { throw unsupported(name: "Decimal with more than 38 digits") }
            return .decimal(precision: precision, scale: scale)
        case ("Nullable", let given):
            let inner = try only(given, name)
            guard inner.canBeNullable else { throw takes("a type that can be inside Nullable, not \(inner)", name) }
            return .nullable(inner)
        case ("LowCardinality", let given):
            let inner = try only(given, name)
            guard inner.canBeLowCardinality else {
                throw takes("a type that can be inside LowCardinality, not \(inner)", name)
            }
            return .lowCardinality(inner)
        case ("Array", let given):
            return .array(try only(given, name))
        default:
            throw unsupported(name: name)
        }
    }

    private static let plainTypes: [String: DataType] = [
        "Int8": .int8, "Int16": .int16, "Int32": .int32, "Int64": .int64,
        "UInt8": .uint8, "UInt16": .uint16, "UInt32": .uint32, "UInt64": .uint64,
        "Float32": .float32, "Float64": .float64, "Bool": .bool, "String": .string, "UUID": .uuid,
        "Date": .date, "Date32": .date32,
    ]

    private static func only(_ given: [TypeNode], _ name: String) throws(Failure) -> DataType {
        guard given.count == 1 else { throw takes("one type", name) }
        return try type(from: given[0])
    }

    private static func zone(_ given: [TypeNode], at place: Int, _ name: String) throws(Failure) -> String? {
        guard given.count > place else { return nil }
        guard given.count == place + 1, case .text(let zone) = given[place] else {
            throw takes("a time zone in quotes", name)
        }
        return zone
    }

    private static func members(
        _ given: [TypeNode], _ name: String, _ range: ClosedRange<Int>
    ) throws(Failure) -> EnumMembers {
        var pairs: [(name: String, value: Int16)] = []
        for node in given {
            guard case .member(let text, let value) = node, range.contains(value) else {
                throw takes(
                    "members such as 'a' = 1, with values from \(range.lowerBound) to \(range.upperBound)", name)
            }
            pairs.append((text, Int16(value)))
        }
        guard let members = EnumMembers(pairs) else { throw takes("members that differ in name and value", name) }
        return members
    }

    private static func takes(_ what: String, _ name: String) -> Failure {
        Failure(code: .arguments, reason: "\(name) takes \(what)")
    }

    private static func unsupported(name: String) -> Failure {
        Failure(code: .unsupported, reason: "\(name) is not supported")
    }
}

extension DataType {
    /// As DataTypeNullable of ClickHouse has it, of the types known here.
    var canBeNullable: Bool {
        switch self {
        case .nullable, .lowCardinality, .array: false
        default: true
        }
    }

    /// As DataTypeLowCardinality of ClickHouse has it: strings, numbers, dates and UUID, plain or Nullable.
    var canBeLowCardinality: Bool {
        switch self {
        case .nullable(let inner): inner.canBeLowCardinality && inner.canBeNullable
        case .array, .lowCardinality, .decimal, .enum8, .enum16, .dateTime64: false
        default: true
        }
    }
}
