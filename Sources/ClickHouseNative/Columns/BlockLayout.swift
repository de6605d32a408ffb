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
        public let type: DataType
        /// Bytes of a value; 0 where they differ.
        public let width: Int
        /// Place of the child in `nodes`; -1: none.
        public let child: Int
    }

    public let columns: [ColumnDefinition]
    public let nodes: [Node]
    /// The first node of each column.
    public let roots: [Int]

    public init(_ columns: [ColumnDefinition]) {
        self.columns = columns
        var nodes: [Node] = []
        roots = columns.map { Self.add($0.type, to: &nodes) }
        self.nodes = nodes
    }

    private static func add(_ type: DataType, to nodes: inout [Node]) -> Int {
        let place = nodes.count
        func withChild(_ kind: NodeKind, width: Int, of inner: DataType) {
            nodes.append(Node(kind: kind, type: type, width: width, child: place + 1))
            _ = add(inner, to: &nodes)
        }
        switch type {
        case .nullable(let inner): withChild(.nullable, width: 1, of: inner)
        case .array(let inner): withChild(.array, width: 8, of: inner)
        case .lowCardinality(.nullable(let inner)), .lowCardinality(let inner):
            withChild(.lowCardinality, width: 4, of: inner)
        case .string: nodes.append(Node(kind: .string, type: type, width: 0, child: -1))
        default: nodes.append(Node(kind: .fixed, type: type, width: type.fixedWidth ?? 0, child: -1))
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
}
