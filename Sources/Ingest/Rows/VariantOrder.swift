import ClickHouseNative

/// In which order a Variant's types are tried for a value: the more of nesting first, then by kind, numbers before dates
/// before strings (ClickHouse's DataTypes/Serializations/SerializationVariant.cpp, getVariantsDeserializeTextOrder).
enum VariantOrder {
    private struct Rank: Comparable {
        var depth: Int
        var priority: Int
        var wrappers: Int

        static func < (a: Rank, b: Rank) -> Bool {
            (a.depth, a.priority, a.wrappers) < (b.depth, b.priority, b.wrappers)
        }
    }

    /// The places of the types, the first to be tried first.
    static func order(of types: [DataType]) -> [Int] {
        let ranks = types.map { rank(of: $0, depth: 0, wrappers: 0) }
        return types.indices.sorted { ranks[$0] == ranks[$1] ? $0 < $1 : ranks[$0] > ranks[$1] }
    }

    private static func rank(of named: DataType, depth: Int, wrappers: Int) -> Rank {
        var type = named.underlying
        // By its name ClickHouse tells a Bool, which is a UInt8 under another one: SimpleAggregateFunction(any, Bool).
        if case .named = named, type == .bool { type = .uint8 }
        switch type {
        case .nullable(let inner), .lowCardinality(let inner):
            return rank(of: inner, depth: depth, wrappers: wrappers + 1)
        case .array(let inner):
            var found = rank(of: inner, depth: depth + 1, wrappers: wrappers)
            found.priority += priority(of: type)
            return found
        case .tuple(let elements):
            return combined(elements.map(\.type), of: type, depth, wrappers)
        case .map(let key, let value):
            return combined([key, value], of: type, depth, wrappers)
        case .variant(let alternatives):
            var found = Rank(depth: 0, priority: 0, wrappers: 0)
            for inner in alternatives.map({ rank(of: $0, depth: depth, wrappers: wrappers) }) {
                found.depth = max(found.depth, inner.depth)
                found.priority = max(found.priority, inner.priority)
                found.wrappers = max(found.wrappers, inner.wrappers)
            }
            return found
        default:
            return Rank(depth: depth, priority: priority(of: type), wrappers: wrappers)
        }
    }

    private static func combined(_ inner: [DataType], of type: DataType, _ depth: Int, _ wrappers: Int) -> Rank {
        var found = Rank(depth: 0, priority: priority(of: type), wrappers: 0)
        for rank in inner.map({ rank(of: $0, depth: depth + 1, wrappers: wrappers) }) {
            found.depth = max(found.depth, rank.depth)
            found.priority += rank.priority
            found.wrappers = max(found.wrappers, rank.wrappers)
        }
        return found
    }

    /// Higher is earlier; what ClickHouse's list does not have is 0.
    private static func priority(of type: DataType) -> Int {
        switch type {
        case .array: 33
        case .tuple: 32
        case .map: 31
        case .enum8: 29
        case .enum16: 28
        case .uuid: 27
        case .ipv4: 26
        case .ipv6: 25
        // Before all integers.
        case .bool: 25
        case .int8: 24
        case .uint8: 23
        case .int16: 22
        case .uint16: 21
        case .int32: 20
        case .uint32: 19
        case .int64: 18
        case .uint64: 17
        case .int128: 16
        case .uint128: 15
        case .int256: 14
        case .uint256: 13
        case .decimal(let precision, _): precision <= 9 ? 12 : precision <= 18 ? 11 : precision <= 38 ? 10 : 9
        case .float32: 8
        case .float64: 7
        case .date: 6
        case .date32: 5
        case .dateTime: 4
        case .dateTime64: 3
        case .fixedString: 2
        case .string: 1
        default: 0
        }
    }
}
