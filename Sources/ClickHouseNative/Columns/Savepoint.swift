/// How far some nodes of a block were written, to take back what comes after. Made anew for each value of a Variant that
/// is tried as one type after the other; rows as a whole are taken back by `Block.rollback()`.
public struct Savepoint {
    private var sizes: [(place: Int, bytes: Int, rows: Int, mark: Int)] = []

    /// - Parameter root: the node that, with all below it, may be taken back.
    public init(_ block: Block, root: Int) {
        var place = root
        let layout = block.layout
        while place < layout.ends[root] {
            let node = block.nodes[place]
            sizes.append((place, node.data.count, node.rows, node.mark))
            // Dictionaries keep what was added to them: their index knows it.
            place = layout.nodes[place].kind == .lowCardinality ? layout.ends[place] : place + 1
        }
    }

    /// Takes back what was written to the block since.
    public func restore(_ block: Block) {
        for size in sizes {
            block.nodes[size.place].data.truncate(to: size.bytes)
            block.nodes[size.place].rows = size.rows
            block.nodes[size.place].mark = size.mark
        }
    }
}
