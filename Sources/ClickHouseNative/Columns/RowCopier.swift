/// Takes the rows of a block of one column apart, one after the other: where `Block.gathering(_:)` would look for the
/// beginning of each row's strings anew, this goes over them once.
struct RowCopier {
    private let source: Block
    /// Values, and bytes, taken so far from each node.
    private var rows: [Int]
    private var bytes: [Int]

    init(_ source: Block) {
        self.source = source
        rows = Array(repeating: 0, count: source.layout.nodes.count)
        bytes = rows
    }

    /// A block of the next row alone; there must be one.
    mutating func next() -> Block {
        let block = Block(layout: source.layout)
        copy(0, 1, to: block)
        block.rows = 1
        return block
    }

    private mutating func copy(_ place: Int, _ count: Int, to block: Block) {
        let layout = source.layout
        let node = layout.nodes[place]
        switch node.kind {
        case .fixed: take(count * node.width, from: place, to: block)
        case .string:
            var values = ValueCursor(source.nodes[place].data, width: 0, from: bytes[place])
            for _ in 0..<count { values.skip() }
            take(values.place - bytes[place], from: place, to: block)
        case .nullable:
            take(count, from: place, to: block)
            copy(node.child, count, to: block)
        case .array:
            let ends = source.nodes[place].data
            let first = rows[place] == 0 ? 0 : ends.load(UInt64.self, at: (rows[place] - 1) * 8)
            var last = first
            for row in rows[place]..<rows[place] + count {
                last = ends.load(UInt64.self, at: row * 8)
                block.nodes[place].data.append(last - first)
            }
            copy(node.child, Int(last - first), to: block)
        case .lowCardinality:
            let values = source.nodes[node.child]
            block.nodes[node.child].data.truncate(to: 0)
            block.nodes[node.child].data.append(values.data.bytes)
            block.nodes[node.child].rows = values.rows
            take(count * node.width, from: place, to: block)
        case .tuple:
            for child in layout.children(of: place) { copy(child, count, to: block) }
        case .variant:
            let numbers = source.nodes[place].data
            let range = rows[place]..<rows[place] + count
            for (number, child) in layout.children(of: place).enumerated() {
                copy(child, range.count { numbers.load(UInt8.self, at: $0) == UInt8(number) }, to: block)
            }
            take(count, from: place, to: block)
        }
        rows[place] += count
        block.nodes[place].rows += count
    }

    private mutating func take(_ length: Int, from place: Int, to block: Block) {
        let run = source.nodes[place].data.bytes
        block.nodes[place].data.append(UnsafeRawBufferPointer(rebasing: run[bytes[place]..<bytes[place] + length]))
        bytes[place] += length
    }
}
