// Unsafe by design: copies the runs of blocks that nobody writes to any more into nodes of the same kinds, which is compared first.

extension Block {
    /// Columns of one or several blocks side by side, as a new block that is complete and is only read.
    ///
    /// - Parameters:
    ///   - columns: each of a complete block, with as many rows as the others, and its place there.
    ///   - definitions: what the columns are called and mean; their values must lie in memory as they do in the source.
    public static func joining(_ columns: [(block: Block, place: Int)], as definitions: [ColumnDefinition]) -> Block {
        precondition(columns.count == definitions.count, "a definition for each column")
        let joined = Block(layout: BlockLayout(definitions))
        joined.rows = columns.first?.block.rows ?? 0
        for ((source, place), target) in zip(columns, joined.layout.roots) {
            let root = source.layout.roots[place]
            let count = source.layout.ends[root] - root
            precondition(
                source.rows == joined.rows && joined.layout.ends[target] - target == count, "columns of equal shape")
            for node in 0..<count {
                let (from, to) = (source.layout.nodes[root + node], joined.layout.nodes[target + node])
                precondition(from.kind == to.kind && from.width == to.width, "columns of equal shape")
                joined.nodes[target + node].data.truncate(to: 0)
                joined.nodes[target + node].data.append(source.nodes[root + node].data.bytes)
                joined.nodes[target + node].rows = source.nodes[root + node].rows
            }
        }
        return joined
    }

    /// Some of the columns, by their places.
    public func selecting(_ places: [Int]) -> Block {
        Block.joining(places.map { (self, $0) }, as: places.map { layout.columns[$0] })
    }
}
