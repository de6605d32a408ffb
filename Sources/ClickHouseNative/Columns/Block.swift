// Unsafe by design. The invariant: `nodes` points to `layout.nodes.count` initialized nodes, and `counter` to one number, that this
// object owns from init to deinit; where there is a `slab`, these and the runs of all nodes lie in it. A block is written by one owner (the parser or the reader that made it) and only read after it was
// handed on; that hand-over is what makes `@unchecked Sendable` true.

/// The memory of one node of a layout, and how many values it has.
@frozen
public struct ColumnNode {
    public var data: ByteRun
    public var rows: Int
    /// String nodes: where the newest value began, or, below an array, where the row that is being written began.
    @usableFromInline var mark: Int
    /// Low-cardinality nodes: finds a value's place in the child.
    @usableFromInline var dictionary: UnsafeMutablePointer<DictionaryIndex>?

    /// From a node's first byte to `rows`.
    public static let rowsOffset = MemoryLayout<ColumnNode>.offset(of: \.rows)!

    @usableFromInline
    init() {
        data = ByteRun()
        rows = 0
        mark = 0
        dictionary = nil
    }
}

/// ClickHouse's set of equal-length named columns: what is parsed into, sealed, sent and read back.
public final class Block: @unchecked Sendable {
    public let layout: BlockLayout
    /// Rows in every column (while a row is being written, some have one more).
    public internal(set) var rows: Int {
        get { counter.pointee }
        set { counter.pointee = newValue }
    }
    /// Apart from the object, whose own variables are watched at each access.
    private let counter: UnsafeMutablePointer<Int>
    /// One for each of `layout.nodes`.
    public let nodes: UnsafeMutablePointer<ColumnNode>
    /// Whether rows may be added: not to copies, whose dictionaries find nothing.
    public let takesRows: Bool
    /// All memory of a copy, and where it came from; nil: each run has its own.
    private let slab: (memory: SlabPool.Slab, pool: SlabPool)?

    public init(layout: BlockLayout) {
        self.layout = layout
        takesRows = true
        slab = nil
        counter = .allocate(capacity: 1)
        counter.initialize(to: 0)
        nodes = .allocate(capacity: max(1, layout.nodes.count))
        for place in layout.nodes.indices {
            (nodes + place).initialize(to: ColumnNode())
            if layout.nodes[place].kind == .lowCardinality {
                let index = UnsafeMutablePointer<DictionaryIndex>.allocate(capacity: 1)
                let child = layout.nodes[place].child
                index.initialize(to: DictionaryIndex(child: child, isString: layout.nodes[child].kind == .string))
                nodes[place].dictionary = index
            }
        }
        removeAll()
    }

    /// A block whose dictionaries find nothing: for copies that nobody adds to.
    init(bare layout: BlockLayout) {
        self.layout = layout
        takesRows = false
        slab = nil
        counter = .allocate(capacity: 1)
        counter.initialize(to: 0)
        nodes = .allocate(capacity: max(1, layout.nodes.count))
        for place in layout.nodes.indices { (nodes + place).initialize(to: ColumnNode()) }
    }

    /// A copy that has the runs of some nodes only, in memory that is no larger than they are and was asked for once. For the encoder: no
    /// row can be added to it, and none be read from it that has values in other runs.
    init(keepingOf block: Block, in buffers: BufferPool = .none, where isKept: (Int) -> Bool) {
        layout = block.layout
        takesRows = false
        let count = layout.nodes.count
        let head = MemoryLayout<Int>.stride + count * MemoryLayout<ColumnNode>.stride
        var bytes = head
        for place in 0..<count where isKept(place) { bytes += Self.aligned(block.nodes[place].data.count) }
        let memory = buffers.slabs.take(bytes)
        self.slab = (memory, buffers.slabs)
        let slab = memory.start
        counter = slab.bindMemory(to: Int.self, capacity: 1)
        counter.initialize(to: block.rows)
        nodes = (slab + MemoryLayout<Int>.stride).bindMemory(to: ColumnNode.self, capacity: count)
        var place = slab + head
        for number in 0..<count {
            (nodes + number).initialize(to: ColumnNode())
            nodes[number].rows = block.nodes[number].rows
            let run = block.nodes[number].data
            guard let base = run.base, run.count > 0, isKept(number) else { continue }
            place.copyMemory(from: base, byteCount: run.count)
            nodes[number].data = ByteRun(borrowing: place, count: run.count)
            place += Self.aligned(run.count)
        }
    }

    private static func aligned(_ count: Int) -> Int { (count + 7) & ~7 }

    /// The same rows in memory that is hardly larger than they are, for the encoder only.
    ///
    /// - Parameter buffers: the memory comes from there.
    public func compacted(_ buffers: BufferPool = .none) -> Block { Block(keepingOf: self, in: buffers) { _ in true } }

    deinit {
        if let slab {
            slab.pool.give(slab.memory)
            return
        }
        for place in layout.nodes.indices {
            nodes[place].data.deallocate()
            if let index = nodes[place].dictionary {
                index.pointee.deallocate()
                index.deallocate()
            }
        }
        nodes.deallocate()
        counter.deallocate()
    }

    /// Bytes that the values take in memory.
    public var byteCount: Int {
        layout.nodes.indices.reduce(0) { $0 + nodes[$1].data.count }
    }

    /// Bytes that the block holds in memory, room for growth included.
    public var byteCapacity: Int {
        layout.nodes.indices.reduce(0) {
            $0 + nodes[$1].data.capacity + (nodes[$1].dictionary?.pointee.byteCapacity ?? 0)
        }
    }

    /// Empties the block and keeps its memory for reuse.
    public func removeAll() {
        rows = 0
        for place in layout.nodes.indices {
            nodes[place].data.truncate(to: 0)
            nodes[place].rows = 0
            nodes[place].mark = 0
        }
        for place in layout.nodes.indices where nodes[place].dictionary != nil { seedDictionary(place) }
    }

    /// The row that was begun is whole: every column has a value for it.
    public func commitRow() {
        rows &+= 1
        for place in layout.stringsBelowArrays { nodes[place].mark = nodes[place].data.count }
    }

    /// Takes back what was written since the last `commitRow()`. Dictionaries keep the values that the row added:
    /// later rows may use them, and ClickHouse takes a dictionary with values that no row uses.
    public func rollback() {
        for root in layout.roots { cut(root, to: rows) }
    }

    private func cut(_ place: Int, to rows: Int) {
        let node = layout.nodes[place]
        let had = nodes[place].rows
        if had > rows {
            nodes[place].rows = rows
            switch node.kind {
            case .string: nodes[place].data.truncate(to: nodes[place].mark)
            case .fixed, .lowCardinality: nodes[place].data.truncate(to: rows * node.width)
            case .nullable: nodes[place].data.truncate(to: rows)
            case .array: nodes[place].data.truncate(to: rows * 8)
            case .tuple: break
            case .variant: cutVariants(place, from: rows, to: had)
            }
        }
        switch node.kind {
        case .nullable: cut(node.child, to: rows)
        case .array:
            // Also where the array itself was never ended: its elements come first.
            let kept = nodes[place].rows
            cut(node.child, to: kept == 0 ? 0 : Int(nodes[place].data.load(UInt64.self, at: (kept - 1) * 8)))
        case .tuple:
            var child = node.child
            while child < layout.ends[place] {
                cut(child, to: rows)
                child = layout.ends[child]
            }
        case .string, .fixed, .lowCardinality, .variant: break
        }
    }

    /// The children of a variant have a value for each row that names them, and never one more: who writes one takes it
    /// back himself where the row's byte is not written.
    private func cutVariants(_ place: Int, from first: Int, to end: Int) {
        for (number, child) in layout.children(of: place).enumerated() {
            let cutOff = (first..<end).reduce(0) {
                $0 + (nodes[place].data.load(UInt8.self, at: $1) == UInt8(number) ? 1 : 0)
            }
            if cutOff > 0 { cut(child, to: nodes[child].rows - cutOff) }
        }
        nodes[place].data.truncate(to: first)
    }

    /// Every dictionary begins with the default value, which for a nullable type stands for NULL
    /// (ClickHouse's Columns/ColumnUnique.h).
    private func seedDictionary(_ place: Int) {
        let child = layout.nodes[place].child
        nodes[child].data.truncate(to: 0)
        nodes[child].rows = 0
        appendDefault(child)
        nodes[place].dictionary!.pointee.removeAll()
        if layout.types[place].isNullableDictionary {
            nodes[place].dictionary!.pointee.reserveFirst()
        } else {
            nodes[place].dictionary!.pointee.adoptFirst(of: nodes[child].data, layout.nodes[child])
        }
    }

    /// Brings columns that lag behind up to the block's rows, with defaults. A block may be read after this only.
    public func complete() {
        for root in layout.roots where nodes[root].rows < rows { pad(root, to: rows) }
    }

    /// Appends defaults to a node until it has so many values.
    public func pad(_ place: Int, to rows: Int) {
        let missing = rows - nodes[place].rows
        guard missing > 0 else { return }
        let node = layout.nodes[place]
        switch node.kind {
        case .fixed where node.defaultBits == 0: nodes[place].data.appendZeros(missing * node.width)
        case .lowCardinality: nodes[place].data.appendZeros(missing * 4)
        case .string where node.defaultBits == 0: nodes[place].data.appendZeros(missing)
        case .variant: nodes[place].data.append(repeating: BlockLayout.nullVariant, count: missing)
        case .tuple:
            var child = node.child
            while child < layout.ends[place] {
                pad(child, to: rows)
                child = layout.ends[child]
            }
        case .nullable:
            nodes[place].data.append(repeating: 1, count: missing)
            pad(node.child, to: rows)
        case .array:
            let end = UInt64(nodes[node.child].rows)
            nodes[place].data.reserve(missing * 8)
            for _ in 0..<missing { nodes[place].data.append(end) }
        case .fixed, .string:
            for _ in 0..<missing { appendDefault(place) }
        }
        nodes[place].rows = rows
    }

    /// Appends the type's default (NULL where it can be) to a node.
    public func appendDefault(_ place: Int) {
        let node = layout.nodes[place]
        switch node.kind {
        case .fixed:
            if node.defaultBits != 0 {
                withUnsafeBytes(of: node.defaultBits.littleEndian) {
                    nodes[place].data.append($0.baseAddress!, count: min(8, node.width))
                }
            } else {
                nodes[place].data.appendZeros(node.width)
            }
        case .string:
            nodes[place].markIfTopLevel(node)
            if node.defaultBits != 0 {
                withUnsafeBytes(of: node.defaultBits.littleEndian) {
                    nodes[place].data.append($0.baseAddress!, count: 1 + Int($0[0]))
                }
            } else {
                nodes[place].data.append(UInt8(0))
            }
        case .nullable:
            nodes[place].data.append(UInt8(1))
            appendDefault(node.child)
        case .array:
            nodes[place].data.append(UInt64(nodes[node.child].rows))
        case .lowCardinality:
            nodes[place].data.append(UInt32(0))
        case .tuple:
            var child = node.child
            while child < layout.ends[place] {
                appendDefault(child)
                child = layout.ends[child]
            }
        case .variant:
            nodes[place].data.append(BlockLayout.nullVariant)
        }
        nodes[place].rows &+= 1
    }

    /// Appends NULL to a nullable node.
    @inlinable @inline(__always)
    public func appendNull(_ place: Int) {
        nodes[place].appendFixed(UInt8(1))
        let child = layout.nodes[place].child
        let node = layout.nodes[child]
        if node.kind == .fixed, node.defaultBits == 0, node.width <= 16 {
            nodes[child].data.appendZeros(node.width)
            nodes[child].rows &+= 1
        } else {
            appendDefault(child)
        }
    }

    /// Appends a value to a low-cardinality node by the bytes that it has in the child.
    public func appendLowCardinality(_ place: Int, _ bytes: UnsafeRawPointer, count: Int) {
        nodes[place].appendLowCardinality(bytes, count: count, nodes)
    }
}

extension ColumnNode {
    @inlinable @inline(__always)
    mutating func markIfTopLevel(_ node: BlockLayout.Node) {
        if !node.isBelowArray { mark = data.count }
    }

    /// Appends a value to a string node.
    @inlinable @inline(__always)
    public mutating func appendString(_ bytes: UnsafeRawPointer, count: Int, node: BlockLayout.Node) {
        markIfTopLevel(node)
        data.appendString(bytes, count: count)
        rows &+= 1
    }

    /// Appends a value to a string node that `copy` puts where it is told: up to 127 bytes, for which it may use `room`. Returns
    /// their number; below zero, and nothing is appended, when `copy` says so, or there is no such room.
    @inlinable @inline(__always)
    public mutating func appendShortString(
        room: Int, isBelowArray: Bool, _ copy: (UnsafeMutableRawPointer) -> Int
    ) -> Int {
        guard data.hasRoom(room &+ 1) else { return -1 }
        let place = data.claim(room &+ 1)
        let length = copy(place + 1)
        guard length >= 0 else { return length }
        assert(length <= room && length < 0x80)
        if !isBelowArray { mark = data.count }
        place.storeBytes(of: UInt8(truncatingIfNeeded: length), as: UInt8.self)
        data.commit(length &+ 1)
        rows &+= 1
        return length
    }

    /// The same of a longer one, of up to 16,383 bytes.
    @inlinable
    public mutating func appendLongString(
        room: Int, isBelowArray: Bool, _ copy: (UnsafeMutableRawPointer) -> Int
    ) -> Int {
        precondition(room < 1 << 14)
        let place = data.claim(room &+ 2)
        let length = copy(place + 1)
        guard length >= 0 else { return length }
        precondition(length <= room)
        if !isBelowArray { mark = data.count }
        // How many bytes the length itself takes is known only now (see `ByteRun.appendVarUInt`).
        if length >= 0x80 {
            (place + 2).copyMemory(from: place + 1, byteCount: length)
            place.storeBytes(of: UInt8(truncatingIfNeeded: length &>> 7), toByteOffset: 1, as: UInt8.self)
            place.storeBytes(of: UInt8(truncatingIfNeeded: length) | 0x80, as: UInt8.self)
        } else {
            place.storeBytes(of: UInt8(truncatingIfNeeded: length), as: UInt8.self)
        }
        data.commit(length &+ (length >= 0x80 ? 2 : 1))
        rows &+= 1
        return length
    }

    /// Appends the lowest `width` (1, 2, 4 or 8) bytes of a number to a fixed node.
    @inlinable @inline(__always)
    public mutating func appendNumber(_ value: UInt64, width: Int) {
        data.claim(8).storeBytes(of: value.littleEndian, as: UInt64.self)
        data.commit(width)
        rows &+= 1
    }

    /// Appends a value of up to 15 bytes to a low-cardinality node by its words (`sluice_short_text`), if the dictionary has it.
    @inlinable @inline(__always)
    public mutating func appendKnown(_ low: UInt64, _ high: UInt64) -> Bool {
        guard let found = dictionary.unsafelyUnwrapped.pointee.place(ofShort: low, high) else { return false }
        appendFixed(found)
        return true
    }

    /// Appends a value to a low-cardinality node by the bytes that it has in the child.
    ///
    /// - Parameter nodes: the first one of the block.
    public mutating func appendLowCardinality(
        _ bytes: UnsafeRawPointer, count: Int, _ nodes: UnsafeMutablePointer<ColumnNode>
    ) {
        let dictionary = dictionary.unsafelyUnwrapped
        appendFixed(dictionary.pointee.place(of: bytes, count: count, in: &nodes[dictionary.pointee.child]))
    }

    /// Appends a value to a fixed node; the caller vouches that the width is the value's.
    @inlinable @inline(__always)
    public mutating func appendFixed<T: BitwiseCopyable>(_ value: T) {
        data.append(value)
        rows &+= 1
    }
}
