/// How the columns of a block lie in memory: one node for each run of values, children after their parents.
///
/// The layout of memory is the layout of the wire wherever the wire allows it (docs/blocks.md): encoding a column is
/// then a copy, or compression in place, and never a walk over its values.
public final class BlockLayout: Sendable, Hashable {
    public enum NodeKind: UInt8, Sendable {
        /// Values of a fixed width, little-endian.
        case fixed
        /// A varint length and the bytes, for each value.
        case string
        /// A byte per value, 1 for NULL; the child has a value (the default) for these too.
        case nullable
        /// The end of each array as UInt64; the child has the elements.
        case array
        /// A UInt32 per value: its place in the child, which holds each distinct value once.
        case lowCardinality
    }

    public struct Node: Hashable, Sendable {
        public let kind: NodeKind
        /// Bytes of a value; 0 where they differ.
        public let width: Int
        /// Place of the child in `nodes`; -1: none.
        public let child: Int
        /// The default value of a fixed node, little-endian in the low bytes: an enum's lowest member, else 0
        /// (ClickHouse's DataTypes/DataTypeEnum.cpp).
        public let defaultBits: Int64
        /// A row may have any number of values here.
        public let isBelowArray: Bool

        public init(kind: NodeKind, width: Int, child: Int = -1, defaultBits: Int64 = 0, isBelowArray: Bool = false) {
            self.kind = kind
            self.width = width
            self.child = child
            self.defaultBits = defaultBits
            self.isBelowArray = isBelowArray
        }
    }

    public let columns: [ColumnDefinition]
    public let nodes: [Node]
    /// What the values of each node mean; apart from `nodes`, which are plain bytes and cost nothing to copy.
    public let types: [DataType]
    /// The first node of each column.
    public let roots: [Int]
    /// String nodes that a row may add any number of values to.
    let stringsBelowArrays: [Int]

    public init(_ columns: [ColumnDefinition]) {
        self.columns = columns
        var nodes: [Node] = []
        var types: [DataType] = []
        roots = columns.map { Self.add($0.type, to: &nodes, &types, belowArray: false) }
        self.nodes = nodes
        self.types = types
        stringsBelowArrays = nodes.indices.filter { nodes[$0].kind == .string && nodes[$0].isBelowArray }
    }

    private static func add(_ type: DataType, to nodes: inout [Node], _ types: inout [DataType], belowArray: Bool)
        -> Int
    {
        let place = nodes.count
        func add(_ kind: NodeKind, width: Int, child inner: DataType? = nil, inArray: Bool = false) {
            nodes.append(
                Node(
                    kind: kind, width: width, child: inner == nil ? -1 : place + 1,
                    defaultBits: type.defaultBits, isBelowArray: belowArray))
            types.append(type)
            if let inner { _ = Self.add(inner, to: &nodes, &types, belowArray: belowArray || inArray) }
        }
        switch type {
        case .nullable(let inner): add(.nullable, width: 1, child: inner)
        case .array(let inner): add(.array, width: 8, child: inner, inArray: true)
        case .lowCardinality(.nullable(let inner)), .lowCardinality(let inner):
            add(.lowCardinality, width: 4, child: inner)
        case .string: add(.string, width: 0)
        default: add(.fixed, width: type.fixedWidth ?? 0)
        }
        return place
    }

    public static func == (a: BlockLayout, b: BlockLayout) -> Bool { a === b || a.columns == b.columns }
    public func hash(into hasher: inout Hasher) { hasher.combine(columns) }
}

extension DataType {
    /// Bytes of a value in memory and on the wire; nil where values differ in length or are made of parts.
    public var fixedWidth: Int? {
        switch self {
        case .int8, .uint8, .bool, .enum8: 1
        case .int16, .uint16, .enum16, .date: 2
        case .int32, .uint32, .float32, .date32, .dateTime: 4
        case .int64, .uint64, .float64, .dateTime64: 8
        case .uuid: 16
        case .fixedString(let length): length
        case .decimal(let precision, _): precision <= 9 ? 4 : precision <= 18 ? 8 : precision <= 38 ? 16 : 32
        case .string, .nullable, .lowCardinality, .array: nil
        }
    }

    var defaultBits: Int64 {
        switch self {
        case .enum8(let enumeration), .enum16(let enumeration):
            Int64(enumeration.members.map(\.value).min() ?? 0)
        default: 0
        }
    }
}
