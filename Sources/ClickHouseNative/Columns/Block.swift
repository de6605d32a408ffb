// Unsafe by design. The invariant: `nodes` points to `layout.nodes.count` initialized nodes that this object owns from
// init to deinit. A block is written by one owner (the parser or the reader that made it) and only read after it was
// handed on; that hand-over is what makes `@unchecked Sendable` true.

/// The memory of one node of a layout, and how many values it has.
@frozen
public struct ColumnNode {
    public var data: ByteRun
    public var rows: Int
    /// What `rollback()` returns to.
    @usableFromInline var markBytes: Int
    @usableFromInline var markRows: Int
    /// Of a low-cardinality node: finds a value's place in the child.
    @usableFromInline var dictionary: UnsafeMutablePointer<DictionaryIndex>?

    @usableFromInline
    init() {
        data = ByteRun()
        rows = 0
        markBytes = 0
        markRows = 0
        dictionary = nil
    }
}

/// ClickHouse's set of equal-length named columns: what is parsed into, sealed, sent and read back.
public final class Block: @unchecked Sendable {
    public let layout: BlockLayout
    /// Rows in every column (while a row is being written, some have one more).
    public internal(set) var rows: Int
    /// One for each of `layout.nodes`.
    public let nodes: UnsafeMutablePointer<ColumnNode>
    private let nodeCount: Int

    public init(layout: BlockLayout) {
        self.layout = layout
        rows = 0
        nodeCount = layout.nodes.count
        nodes = .allocate(capacity: max(1, nodeCount))
        for place in 0..<nodeCount {
            (nodes + place).initialize(to: ColumnNode())
            if layout.nodes[place].kind == .lowCardinality {
                let index = UnsafeMutablePointer<DictionaryIndex>.allocate(capacity: 1)
                index.initialize(to: DictionaryIndex())
                nodes[place].dictionary = index
            }
        }
        removeAll()
    }

    deinit {
        for place in 0..<nodeCount {
            nodes[place].data.deallocate()
            if let index = nodes[place].dictionary {
                index.pointee.deallocate()
                index.deallocate()
            }
        }
        nodes.deallocate()
    }

    /// Bytes that the values take in memory.
    public var byteCount: Int {
        var sum = 0
        for place in 0..<nodeCount { sum += nodes[place].data.count }
        return sum
    }

    /// Bytes that the block holds in memory, room for growth included.
    public var byteCapacity: Int {
        var sum = 0
        for place in 0..<nodeCount {
            sum += nodes[place].data.capacity + (nodes[place].dictionary?.pointee.byteCapacity ?? 0)
        }
        return sum
    }

    /// Empties the block and keeps its memory for reuse.
    public func removeAll() {
        rows = 0
        for place in 0..<nodeCount {
            nodes[place].data.truncate(to: 0)
            nodes[place].rows = 0
        }
        for place in 0..<nodeCount where nodes[place].dictionary != nil {
            nodes[place].dictionary!.pointee.removeAll()
            seedDictionary(place)
        }
        mark()
    }

    /// The row that was begun is whole: every column has a value for it.
    @inlinable
    public func commitRow() {
        rows &+= 1
        mark()
    }

    /// Takes back what was written since the last `commitRow()`.
    public func rollback() {
        for place in 0..<nodeCount {
            // Dictionaries keep the values that a rejected row added: later rows may use them.
            if isDictionary(place) { continue }
            nodes[place].data.truncate(to: nodes[place].markBytes)
            nodes[place].rows = nodes[place].markRows
        }
    }

    @usableFromInline
    func mark() {
        for place in 0..<nodeCount {
            nodes[place].markBytes = nodes[place].data.count
            nodes[place].markRows = nodes[place].rows
        }
    }

    private func isDictionary(_ place: Int) -> Bool {
        place > 0 && layout.nodes[place - 1].kind == .lowCardinality
    }

    /// Every dictionary begins with the default value, which for a nullable type stands for NULL
    /// (ClickHouse's Columns/ColumnUnique.h).
    private func seedDictionary(_ place: Int) {
        let child = layout.nodes[place].child
        nodes[child].data.truncate(to: 0)
        nodes[child].rows = 0
        nodes[child].appendDefault(layout.nodes[child])
        if case .lowCardinality(.nullable) = layout.nodes[place].type {
            nodes[place].dictionary!.pointee.reserveFirst()
        } else {
            nodes[place].dictionary!.pointee.adoptFirst(of: nodes[child].data, layout.nodes[child])
        }
    }
}

extension ColumnNode {
    /// A value of the type's default into a fixed or string node.
    @inlinable
    mutating func appendDefault(_ node: BlockLayout.Node) {
        if node.kind == .string {
            data.append(UInt8(0))
        } else {
            data.appendZeros(node.width)
        }
        rows &+= 1
    }
}
