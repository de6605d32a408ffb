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
    /// `a String`, a tuple's element.
    indirect case element(String, TypeNode)
    /// A type whose arguments only the server understands, as it was written.
    case opaque(String, arguments: String)
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
        case UInt8(ascii: "`"):
            let name = try quotedText()
            return .element(name, try node())
        default:
            let name = try identifier()
            skipSpace()
            guard let next = peek else { return .name(name, nil) }
            if next == UInt8(ascii: "`") || next == UInt8(ascii: "_") || next.isASCIILetter {
                return .element(name, try node())
            }
            guard next == UInt8(ascii: "(") else { return .name(name, nil) }
            position += 1
            if Self.opaqueTypes.contains(name) { return .opaque(name, arguments: try rawArguments()) }
            return .name(name, try arguments())
        }
    }

    /// Types with arguments of their own kinds: `JSON(max_dynamic_paths=8, a.b UInt8, SKIP c)`, `Dynamic(max_types=3)`.
    private static let opaqueTypes: Set<String> = ["JSON", "Dynamic"]

    /// The text up to the closing parenthesis, with the line breaks of `DESCRIBE` taken out.
    private mutating func rawArguments() throws(Failure) -> String {
        var text: [UInt8] = []
        var open = 1
        var isSpaced = false
        while let byte = peek {
            if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "`") {
                let start = position
                _ = try quotedText()
                if isSpaced { text.append(0x20) }
                isSpaced = false
                text.append(contentsOf: bytes[start..<position])
                continue
            }
            position += 1
            if byte == 0x20 || byte == 0x0A || byte == 0x09 {
                isSpaced = !text.isEmpty && text.last != UInt8(ascii: "(")
                continue
            }
            if byte == UInt8(ascii: "(") { open += 1 }
            if byte == UInt8(ascii: ")") {
                open -= 1
                isSpaced = false
            }
            guard open > 0 else { return String(decoding: text, as: UTF8.self) }
            if byte == UInt8(ascii: "="), text.last != UInt8(ascii: "'") {
                // A limit; only an enum's members have spaces there.
                isSpaced = false
                skipSpace()
            }
            guard open + depth <= DataType.depthMax else {
                throw Failure(code: .limit, reason: "nested deeper than \(DataType.depthMax)")
            }
            if isSpaced { text.append(0x20) }
            isSpaced = false
            text.append(byte)
        }
        throw syntax("a closing parenthesis is missing")
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
            default: throw syntax("unexpected text at byte \(position - 1)")
            }
        }
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

    /// Between the quotes, or backticks, of which the first is at `position`.
    private mutating func quotedText() throws(Failure) -> String {
        let quote = bytes[position]
        position += 1
        var text: [UInt8] = []
        while let byte = peek {
            position += 1
            switch byte {
            case quote:
                // A doubled quote stands for one.
                guard peek == quote else { return String(decoding: text, as: UTF8.self) }
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

// MARK: - From names to meanings

extension DataTypeParser {
    static func type(from node: TypeNode) throws(Failure) -> DataType {
        if case .opaque(let name, let arguments) = node {
            let text = "\(name)(\(arguments))"
            return name == "JSON" ? .json(name: text) : .dynamic(name: text)
        }
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
        case ("Time64", let given):
            guard given.count <= 1, case .number(let precision)? = given.first ?? .number(3),
                (0...9).contains(precision)
            else { throw takes("a precision from 0 to 9", name) }
            return .time64(precision: precision)
        case ("Tuple", let given):
            return .tuple(try elements(given, name))
        case ("Nested", let given):
            let elements = try elements(given, name)
            guard let first = elements.first, first.name != nil else { throw takes("elements with names", name) }
            return .nested(elements)
        case ("Map", let given):
            guard given.count == 2 else { throw takes("a type of keys and one of values", name) }
            let key = try type(from: given[0])
            guard key.canBeMapKey else { throw takes("a type of keys that is not Nullable, not \(key)", name) }
            return .map(key: key, value: try type(from: given[1]))
        case ("SimpleAggregateFunction", let given):
            guard given.count == 2 else { throw takes("a function and a type", name) }
            let inner = try type(from: given[1])
            return .named("SimpleAggregateFunction(\(try functionName(given[0])), \(inner))", inner)
        case ("Variant", let given):
            return .variant(try alternatives(given, name))
        default:
            throw unsupported(name: name)
        }
    }

    private static let plainTypes: [String: DataType] = [
        "Int8": .int8, "Int16": .int16, "Int32": .int32, "Int64": .int64,
        "UInt8": .uint8, "UInt16": .uint16, "UInt32": .uint32, "UInt64": .uint64,
        "Float32": .float32, "Float64": .float64, "Bool": .bool, "String": .string, "UUID": .uuid,
        "Date": .date, "Date32": .date32,
        "Int128": .int128, "Int256": .int256, "UInt128": .uint128, "UInt256": .uint256, "BFloat16": .bfloat16,
        "IPv4": .ipv4, "IPv6": .ipv6, "Time": .time, "Nothing": .nothing,
        "JSON": .json(name: "JSON"), "Dynamic": .dynamic(name: "Dynamic"),
    ]
    .merging(IntervalUnit.allCases.map { ("Interval" + $0.rawValue, .interval($0)) }) { $1 }
    .merging(geometries) { $1 }

    /// Names for tuples and arrays of coordinates (ClickHouse's DataTypes/DataTypeCustomGeo.cpp).
    private static let geometries: [String: DataType] = {
        let point = DataType.tuple([TupleElement(name: nil, type: .float64), TupleElement(name: nil, type: .float64)])
        let shapes: [(name: String, dimensions: Int)] = [
            ("Point", 0), ("MultiPoint", 1), ("Ring", 1), ("LineString", 1), ("Polygon", 2), ("MultiLineString", 2),
            ("MultiPolygon", 3),
        ]
        var types: [String: DataType] = [:]
        for shape in shapes {
            let type = (0..<shape.dimensions).reduce(point) { inner, _ in .array(inner) }
            types[shape.name] = .named(shape.name, type)
        }
        let members = ["LineString", "MultiLineString", "MultiPolygon", "Point", "Polygon", "Ring"]
        types["Geometry"] = .named("Geometry", .variant(members.compactMap { types[$0] }))
        return types
    }()

    private static func only(_ given: [TypeNode], _ name: String) throws(Failure) -> DataType {
        guard given.count == 1 else { throw takes("one type", name) }
        return try type(from: given[0])
    }

    /// Elements with names that differ, or all without.
    private static func elements(_ given: [TypeNode], _ name: String) throws(Failure) -> [TupleElement] {
        var elements: [TupleElement] = []
        for node in given {
            if case .element(let name, let inner) = node {
                elements.append(TupleElement(name: name, type: try type(from: inner)))
            } else {
                elements.append(TupleElement(name: nil, type: try type(from: node)))
            }
        }
        let names = Set(elements.compactMap(\.name))
        guard names.isEmpty || names.count == elements.count else {
            throw takes("elements with names that differ, or all without a name", name)
        }
        return elements
    }

    /// Sorted by name, each once; Nothing has no values and is left out (ClickHouse's DataTypes/DataTypeVariant.cpp).
    private static func alternatives(_ given: [TypeNode], _ name: String) throws(Failure) -> [DataType] {
        var found: [String: DataType] = [:]
        for node in given {
            let inner = try type(from: node)
            guard inner.canBeInsideVariant else { throw takes("types that can be inside Variant, not \(inner)", name) }
            if inner != .nothing { found[inner.description] = inner }
        }
        guard (1...254).contains(found.count) else { throw takes("one to 254 types", name) }
        return found.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }.map(\.value)
    }

    /// An aggregate function as it was written, its parameters being numbers, texts and names.
    private static func functionName(_ node: TypeNode) throws(Failure) -> String {
        switch node {
        case .number(let number): return String(number)
        case .text(let text): return DataType.quoted(text)
        case .name(let name, nil): return name
        case .name(let name, let parameters?):
            var texts: [String] = []
            for parameter in parameters { texts.append(try functionName(parameter)) }
            return "\(name)(\(texts.joined(separator: ", ")))"
        default: throw takes("a function and a type", "SimpleAggregateFunction")
        }
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
    /// As DataTypeNullable of ClickHouse has it.
    var canBeNullable: Bool {
        switch self {
        case .nullable, .lowCardinality, .array, .map, .nested, .variant, .dynamic: false
        case .named(_, let inner): inner.canBeNullable
        default: true
        }
    }

    /// As DataTypeLowCardinality of ClickHouse has it: strings, numbers, dates, addresses and UUID, plain or Nullable.
    var canBeLowCardinality: Bool {
        switch self {
        case .nullable(let inner): inner.canBeLowCardinality && inner.canBeNullable
        case .named(_, let inner): inner.canBeLowCardinality
        case .array, .lowCardinality, .decimal, .enum8, .enum16, .dateTime64, .time64, .nothing, .tuple, .map, .nested,
            .variant, .dynamic, .json:
            false
        default: true
        }
    }

    /// As DataTypeMap of ClickHouse has it.
    var canBeMapKey: Bool {
        switch underlying {
        case .nullable, .lowCardinality(.nullable): false
        default: true
        }
    }

    /// As DataTypeVariant of ClickHouse has it.
    var canBeInsideVariant: Bool {
        switch underlying {
        case .nullable, .lowCardinality(.nullable), .variant, .dynamic: false
        default: true
        }
    }
}
