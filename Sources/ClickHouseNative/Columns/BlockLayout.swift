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
        /// Nothing of its own; each of the children has as many values.
        case tuple
        /// A byte per value: which of the children has it, 255 for NULL. Each child has its own values only.
        case variant
    }

    public struct Node: Hashable, Sendable {
        public let kind: NodeKind
        /// Bytes of a value; 0 where they differ.
        public let width: Int
        /// Place of the (first) child in `nodes`; -1: none. The next one begins where `ends` says this one ends.
        public let child: Int
        /// The default value of a fixed node, little-endian in the low bytes: an enum's lowest member, else 0
        /// (ClickHouse's DataTypes/DataTypeEnum.cpp). Of a string node: length and text of what is not empty by default.
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

    /// In a variant's bytes: no child has the value, it is NULL (ClickHouse's Columns/ColumnVariant.h).
    public static let nullVariant: UInt8 = 255

    public let columns: [ColumnDefinition]
    public let nodes: [Node]
    /// What the values of each node mean; apart from `nodes`, which are plain bytes and cost nothing to copy.
    public let types: [DataType]
    /// Behind the last node that belongs to each node.
    public let ends: [Int]
    /// The first node of each column.
    public let roots: [Int]
    /// String nodes that a row may add any number of values to.
    let stringsBelowArrays: [Int]
    /// Bytes that a row takes at least, and that a byte of a row's text may become at most.
    private let rowBytesMin: Int
    private let textFactor: Int
    /// Of each column, its name and type as they stand before its values.
    let columnHeads: [[UInt8]]
    /// Whether the wire has of each column what memory has, one run behind the other; otherwise some column says more, or its runs are
    /// others when blocks become one.
    let isFlat: Bool
    /// All `columnHeads`, one behind the other.
    let heads: [UInt8]
    /// Of each column.
    let spans: [ColumnSpan]

    /// What a column is made of, in plain bytes: nothing is counted when it is looked at.
    struct ColumnSpan {
        let headBytes: Int
        let nodes: Range<Int>
    }

    public init(_ columns: [ColumnDefinition]) {
        self.columns = columns
        var builder = LayoutBuilder()
        roots = columns.map { builder.add($0.type, belowArray: false) }
        nodes = builder.nodes
        types = builder.types
        ends = builder.ends
        stringsBelowArrays = nodes.indices.filter { [nodes] in nodes[$0].kind == .string && nodes[$0].isBelowArray }
        let (below, others) = (nodes.filter(\.isBelowArray), nodes.filter { !$0.isBelowArray })
        rowBytesMin = others.reduce(0) { $0 + max(4, $1.width) }
        // An element is a character and a comma at least, and has a value in each node below the array.
        textFactor = 1 + below.reduce(0) { $0 + max(4, $1.width) } / 2
        isFlat = zip(nodes, types).allSatisfy { node, type in
            switch node.kind {
            case .fixed, .nullable, .tuple: true
            case .string: TextColumnFormat(type) == .string
            case .array, .lowCardinality, .variant: false
            }
        }
        columnHeads = columns.map { column in
            [column.name, column.type.description].flatMap { text in
                var run = ByteRun()
                defer { run.deallocate() }
                run.appendVarUInt(UInt64(text.utf8.count))
                return Array(run.bytes) + Array(text.utf8)
            }
        }
        heads = Array(columnHeads.joined())
        spans = columnHeads.indices.map { [columnHeads, roots, ends] place in
            ColumnSpan(headBytes: columnHeads[place].count, nodes: roots[place]..<ends[roots[place]])
        }
    }

    /// About the most that rows take in a block, from the size of their text; for deciding when to look closer.
    public func bytesMax(rows: Int, textBytes: Int) -> Int { rows * rowBytesMin + textBytes * textFactor }

    /// The places of a node's children.
    public func children(of place: Int) -> [Int] {
        var children: [Int] = []
        var next = nodes[place].child
        while next >= 0, next < ends[place] {
            children.append(next)
            next = ends[next]
        }
        return children
    }

    public static func == (a: BlockLayout, b: BlockLayout) -> Bool { a === b || a.columns == b.columns }
    public func hash(into hasher: inout Hasher) { hasher.combine(columns) }
}

private struct LayoutBuilder {
    var nodes: [BlockLayout.Node] = []
    var types: [DataType] = []
    var ends: [Int] = []

    /// Adds the node of a type and those below it; returns its place.
    mutating func add(_ named: DataType, belowArray: Bool) -> Int {
        let type = named.underlying
        let place = nodes.count
        let kind: BlockLayout.NodeKind
        var width = 0
        var children: [DataType] = []
        switch type {
        case .nullable(let inner): (kind, width, children) = (.nullable, 1, [inner])
        case .array(let inner): (kind, width, children) = (.array, 8, [inner])
        case .map(let key, let value):
            let entry = DataType.tuple([TupleElement(name: nil, type: key), TupleElement(name: nil, type: value)])
            (kind, width, children) = (.array, 8, [entry])
        case .lowCardinality(let inner):
            (kind, width) = (.lowCardinality, 4)
            if case .nullable(let bare) = inner.underlying { children = [bare] } else { children = [inner] }
        case .string, .json, .dynamic: kind = .string
        // Of tuples without elements there is a byte for each.
        case .tuple(let elements) where elements.isEmpty: (kind, width) = (.fixed, 1)
        case .tuple(let elements): (kind, children) = (.tuple, elements.map(\.type))
        case .variant(let alternatives): (kind, width, children) = (.variant, 1, alternatives)
        default: (kind, width) = (.fixed, type.fixedWidth ?? 0)
        }
        nodes.append(
            BlockLayout.Node(
                kind: kind, width: width, child: children.isEmpty ? -1 : place + 1, defaultBits: type.defaultBits,
                isBelowArray: belowArray))
        types.append(type)
        ends.append(0)
        for child in children { _ = add(child, belowArray: belowArray || kind == .array) }
        ends[place] = nodes.count
        return place
    }
}

extension DataType {
    /// A low-cardinality type whose first distinct value stands for NULL.
    public var isNullableDictionary: Bool {
        if case .lowCardinality(let inner) = self, case .nullable = inner.underlying { true } else { false }
    }

    /// Bytes of a value in memory and on the wire; nil where values differ in length or are made of parts.
    public var fixedWidth: Int? {
        switch underlying {
        case .int8, .uint8, .bool, .enum8, .nothing: 1
        case .int16, .uint16, .enum16, .date, .bfloat16: 2
        case .int32, .uint32, .float32, .date32, .dateTime, .ipv4, .time: 4
        case .int64, .uint64, .float64, .dateTime64, .time64, .interval: 8
        case .uuid, .int128, .uint128, .ipv6: 16
        case .int256, .uint256: 32
        case .fixedString(let length): length
        case .decimal(let precision, _): precision <= 9 ? 4 : precision <= 18 ? 8 : precision <= 38 ? 16 : 32
        case .string, .nullable, .lowCardinality, .array, .tuple, .map, .nested, .named, .variant, .dynamic, .json: nil
        }
    }

    var defaultBits: Int64 {
        switch self {
        case .enum8(let enumeration), .enum16(let enumeration):
            Int64(enumeration.members.map(\.value).min() ?? 0)
        // What ClickHouse writes for values that are none (SerializationNothing.h, SerializationTuple.cpp).
        case .nothing: 0x30
        case .tuple(let elements) where elements.isEmpty: 0x30
        // "{}", its length before it.
        case .json: 0x7D_7B02
        default: 0
        }
    }
}
