import ClickHouseNative
import NIOConcurrencyHelpers

/// Emptied blocks, kept so that the next ones need no fresh memory.
public final class BlockPool: Sendable {
    /// Idle blocks of a layout. An object, and the pool's own: it is looked up for each thirty rows, where there are many tables.
    private final class Shelf: @unchecked Sendable {
        var blocks: [Block] = []
    }

    private struct State: Sendable {
        /// Of each layout that a block was asked for of.
        var shelves: [ObjectIdentifier: Shelf] = [:]
        var layouts: [[ColumnDefinition]: BlockLayout] = [:]
        var bytes = 0
    }

    /// Bytes of memory that idle blocks may hold together; what is over it is freed.
    public let bytesMax: Int
    private let state = NIOLockedValueBox(State())

    public init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// Layouts that are remembered; beyond it the memory starts anew, and tables share less.
    static let layoutsMax = 1024

    /// The layout of these columns: the same one for all tables that have them, so that a block that one of them is done with, and
    /// which is in the processor's caches, is the next one's.
    func layout(of columns: [ColumnDefinition]) -> BlockLayout {
        state.withLockedValue { state in
            if let known = state.layouts[columns] { return known }
            if state.layouts.count >= Self.layoutsMax { state.layouts.removeAll() }
            let layout = BlockLayout(columns)
            state.layouts[columns] = layout
            return layout
        }
    }

    /// An empty block of this very layout.
    func take(_ layout: BlockLayout) -> Block {
        let known = state.withLockedValue { state -> Block? in
            guard let shelf = state.shelves[ObjectIdentifier(layout)] else {
                state.shelves[ObjectIdentifier(layout)] = Shelf()
                return nil
            }
            guard let block = shelf.blocks.popLast() else { return nil }
            state.bytes -= block.byteCapacity
            return block
        }
        return known ?? Block(layout: layout)
    }

    /// Frees the idle blocks of a layout that is not used any more, at least not by the table that asks.
    func forget(_ layout: BlockLayout) {
        let freed = state.withLockedValue { state in
            if state.layouts[layout.columns] === layout { state.layouts[layout.columns] = nil }
            let freed = state.shelves.removeValue(forKey: ObjectIdentifier(layout))?.blocks ?? []
            state.bytes -= freed.reduce(0) { $0 + $1.byteCapacity }
            return freed
        }
        _ = freed
    }

    /// Takes back blocks that nobody reads any more. Copies, which were made as small as they are, it frees.
    public func give(_ blocks: [Block]) {
        for block in blocks where block.takesRows {
            block.removeAll()
            let bytes = block.byteCapacity
            state.withLockedValue { state in
                guard state.bytes + bytes <= bytesMax else { return }
                // Blocks of other layouts (read back from the spool, or of a table as it was) would lie here for ever.
                guard let shelf = state.shelves[ObjectIdentifier(block.layout)] else { return }
                shelf.blocks.append(block)
                state.bytes += bytes
            }
        }
    }

    /// Bytes that idle blocks hold now.
    public var bytes: Int { state.withLockedValue { $0.bytes } }
}
