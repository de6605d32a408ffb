/// What the values of a column mean: ClickHouse's data types.
///
/// Only the meaning; how values lie in memory is `BlockLayout`'s business, and how they become bytes the encoder's.
public indirect enum DataType: Hashable, Sendable {
    case int8, int16, int32, int64
    case uint8, uint16, uint32, uint64
    case float32, float64
    case bool
    case string
    /// Bytes of a fixed length, 1 to 16,777,215 (ClickHouse's DataTypeFixedString.h).
    case fixedString(Int)
    case uuid
    /// Days since 1970-01-01, 16 bits.
    case date
    /// Days since 1970-01-01, signed, 1900-01-01 to 2299-12-31.
    case date32
    /// Seconds since the epoch, 32 bits; the zone only says how text is read and shown.
    case dateTime(timeZone: String?)
    /// Ticks of 10^-precision s since the epoch, signed 64 bits; precision 0 to 9.
    case dateTime64(precision: Int, timeZone: String?)
    case enum8(EnumMembers)
    case enum16(EnumMembers)
    /// Up to 76 digits, `scale` of them behind the point; the width in memory follows from the precision.
    case decimal(precision: Int, scale: Int)
    case nullable(DataType)
    case lowCardinality(DataType)
    case array(DataType)

    case int128, int256
    case uint128, uint256
    /// The upper half of a Float32.
    case bfloat16
    /// An address as a number of 32 bits.
    case ipv4
    /// An address as 16 bytes, the first one first.
    case ipv6
    /// Seconds, signed 32 bits, -999:59:59 to 999:59:59 (ClickHouse's DataTypes/DataTypeTime.h).
    case time
    /// Ticks of 10^-precision s, signed 64 bits; precision 0 to 9.
    case time64(precision: Int)
    /// A number of units, signed 64 bits.
    case interval(IntervalUnit)
    /// A type without values, as in `Array(Nothing)`.
    case nothing
    /// Elements with names, or all without.
    case tuple([TupleElement])
    case map(key: DataType, value: DataType)
    /// What tables that keep `Nested` whole call an array of named tuples.
    case nested([TupleElement])
    /// Another name for a type: `Point`, `SimpleAggregateFunction(sum, UInt64)`.
    case named(String, DataType)
    /// One of several types, or NULL; sorted by their names, as ClickHouse has them.
    case variant([DataType])
    /// A value of any type; the name as the server writes it, arguments included.
    case dynamic(name: String)
    /// ClickHouse's object type; the name as the server writes it, arguments included.
    case json(name: String)
}

/// An element of a tuple; its name is nil where the tuple's elements have none.
public struct TupleElement: Hashable, Sendable {
    public let name: String?
    public let type: DataType

    public init(name: String?, type: DataType) {
        self.name = name
        self.type = type
    }
}

/// What an interval counts (ClickHouse's Common/IntervalKind.h).
public enum IntervalUnit: String, Hashable, Sendable, CaseIterable {
    case nanosecond = "Nanosecond"
    case microsecond = "Microsecond"
    case millisecond = "Millisecond"
    case second = "Second"
    case minute = "Minute"
    case hour = "Hour"
    case day = "Day"
    case week = "Week"
    case month = "Month"
    case quarter = "Quarter"
    case year = "Year"
}

extension DataType {
    /// The type that says how values lie in memory: names are taken off, and Nested is what it is made of.
    public var underlying: DataType {
        switch self {
        case .named(_, let inner): inner.underlying
        case .nested(let elements): .array(.tuple(elements))
        default: self
        }
    }
}

/// The members of an Enum8 or Enum16, in the type's order.
public struct EnumMembers: Hashable, Sendable {
    public struct Member: Hashable, Sendable {
        public let name: String
        public let value: Int16
    }

    public let members: [Member]

    /// Nil when there is none, or a name or value stands twice.
    public init?(_ pairs: [(name: String, value: Int16)]) {
        guard !pairs.isEmpty, Set(pairs.map(\.name)).count == pairs.count, Set(pairs.map(\.value)).count == pairs.count
        else { return nil }
        members = pairs.map { Member(name: $0.name, value: $0.value) }
    }

    public func name(of value: Int16) -> String? { members.first { $0.value == value }?.name }
    public func value(of name: String) -> Int16? { members.first { $0.name == name }?.value }
}
