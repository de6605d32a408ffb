import ClickHouseNative

/// What ClickHouse 26.9 finds a JSON value to be that goes into a Dynamic column
/// (Formats/SchemaInferenceUtils.cpp, with default settings).
indirect enum InferredType: Equatable {
    case null
    case bool
    case int(isNegative: Bool)
    case uint
    case float
    case string
    case date
    case dateTime
    case dateTime64
    case array([InferredType])
    case emptyObject
    /// Sorted by name; never empty.
    case object([Member])

    struct Member: Equatable {
        let name: String
        let type: InferredType
    }

    /// The type of a value that stands alone; nil where it is not certain.
    var dataType: DataType? {
        switch self {
        case .null: .nullable(.string)
        case .bool: .bool
        case .int: .int64
        case .uint: .uint64
        case .float: .float64
        // An object without members is kept as text.
        case .string, .emptyObject: .string
        case .date: .date
        case .dateTime: .dateTime(timeZone: nil)
        case .dateTime64: .dateTime64(precision: 9, timeZone: nil)
        case .array(let elements): Self.common(elements).map { .array($0) }
        case .object(let members): Self.tuple(members)
        }
    }

    private static func tuple(_ members: [Member]) -> DataType? {
        var elements: [TupleElement] = []
        for member in members {
            guard let type = member.type.dataType else { return nil }
            elements.append(TupleElement(name: member.name, type: type))
        }
        return .tuple(elements)
    }

    /// One type for the elements of an array: the widest of numbers or of times, text for texts among times and booleans,
    /// and Dynamic for what has nothing in common.
    private static func common(_ elements: [InferredType]) -> DataType? {
        let values = elements.filter { $0 != .null }
        let hasNull = values.count < elements.count
        guard let first = values.first else { return hasNull ? .nullable(.string) : .string }
        let arrays = values.compactMap { value -> [InferredType]? in
            if case .array(let inner) = value { inner } else { nil }
        }
        if arrays.count == values.count { return array(of: arrays) }
        // Beside others, ClickHouse takes an empty object for one of theirs.
        guard !values.contains(.emptyObject) else { return nil }
        let objects = values.filter { value in if case .object = value { true } else { false } }
        if objects.count == values.count {
            // ClickHouse makes one tuple of objects that differ.
            guard let type = first.dataType, values.allSatisfy({ $0.dataType == type }) else { return nil }
            return type
        }
        guard arrays.isEmpty, objects.isEmpty, let type = scalar(values) else {
            return .dynamic(name: "Dynamic")
        }
        return hasNull ? .nullable(type) : type
    }

    private static func array(of arrays: [[InferredType]]) -> DataType? {
        // An empty one beside one in which there is an empty one beside others: ClickHouse finds Dynamic in some of these.
        guard !arrays.contains(where: \.isEmpty) || !arrays.contains(where: hasGaps) else { return nil }
        let types = arrays.map { common($0) }
        guard !types.contains(nil) else { return nil }
        guard let whole = common(arrays.flatMap { $0 }) else { return nil }
        // What differs within one array, and not only between them, is a case of its own.
        if whole == .dynamic(name: "Dynamic") {
            let isMixedWithin = types.contains { $0 == whole }
            guard !isMixedWithin || types.allSatisfy({ $0 == whole }) else { return nil }
            return isMixedWithin ? .array(whole) : whole
        }
        return .array(whole)
    }

    private static func hasGaps(_ elements: [InferredType]) -> Bool {
        elements.contains(.array([])) && elements.contains { $0 != .array([]) }
    }

    private static func scalar(_ values: [InferredType]) -> DataType? {
        func all(_ test: (InferredType) -> Bool) -> Bool { values.allSatisfy(test) }
        func any(_ test: (InferredType) -> Bool) -> Bool { values.contains(where: test) }
        if all({ $0 == .bool }) { return .bool }
        if all({ $0.isNumber || $0 == .bool }) {
            if any({ $0 == .float }) { return .float64 }
            guard any({ $0 == .uint }) else { return .int64 }
            return any { $0 == .int(isNegative: true) } ? nil : .uint64
        }
        if all({ $0.isTime }) {
            if any({ $0 == .dateTime64 }) { return .dateTime64(precision: 9, timeZone: nil) }
            return any { $0 == .dateTime } ? .dateTime(timeZone: nil) : .date
        }
        return all({ $0.isTime || $0 == .string || $0 == .bool }) ? .string : nil
    }

    private var isNumber: Bool {
        switch self {
        case .int, .uint, .float: true
        default: false
        }
    }

    private var isTime: Bool { self == .date || self == .dateTime || self == .dateTime64 }
}
