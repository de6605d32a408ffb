import ClickHouseNative
import NIOConcurrencyHelpers
import NIOCore

/// What the blocks of tables looked like that were read back from the spool last: the next ones are likely to look the same, and are then read
/// without taking names and types apart, into a block that is there.
public final class StoredLayouts: Sendable {
    /// Tables that are remembered; beyond it the memory starts anew.
    static let tablesMax = 4096

    private struct State: Sendable {
        /// The latest first.
        var tables: [TableName: [BlockLayout]] = [:]
        /// One for all tables that have these columns.
        var layouts: [[ColumnDefinition]: BlockLayout] = [:]
        /// To read into, the one that was used last at the end.
        var blocks: [Block] = []
    }

    /// Blocks that are kept to read into: as many as there are who read, and some more for tables of other columns.
    private static let blocksMax = 4

    private let state = NIOLockedValueBox(State())

    public init() {}

    /// Of the last different ones, the latest first: rows that leave out other columns come mixed.
    func layouts(of table: TableName) -> [BlockLayout] { state.withLockedValue { $0.tables[table] ?? [] } }

    func note(_ layout: BlockLayout, of table: TableName) {
        state.withLockedValue { state in
            if state.tables.count >= Self.tablesMax { state = State() }
            let known = state.layouts[layout.columns] ?? layout
            state.layouts[layout.columns] = known
            var layouts = state.tables[table] ?? []
            layouts.removeAll { $0 === known }
            layouts.insert(known, at: 0)
            state.tables[table] = Array(layouts.prefix(BatchPlanner.layoutsMax))
        }
    }

    /// An empty block to read into, for `giveBack`.
    fileprivate func borrow(_ layout: BlockLayout) -> Block {
        let block = state.withLockedValue { state in
            state.blocks.firstIndex { $0.layout === layout }.map { state.blocks.remove(at: $0) }
        }
        return block ?? Block(layout: layout)
    }

    fileprivate func giveBack(_ block: Block) {
        block.removeAll()
        // What has no place is freed outside of the lock.
        let oldest = state.withLockedValue { state -> Block? in
            state.blocks.append(block)
            return state.blocks.count > Self.blocksMax ? state.blocks.removeFirst() : nil
        }
        _ = oldest
    }
}

/// Reads row batches of a record, one after the other.
struct StoredBlocks {
    /// As `SpoolFormat.RowsWriter` writes rows whose frames blocks take over.
    private static let encoding = BlockEncoding(revision: SpoolFormat.blockRevision, compression: .lz4)

    /// Up to so many bytes rows are copied out of a block that the next ones are read into: into memory that is as large as they are, and
    /// was asked for once.
    private static let copyBytesMax = 1 << 20

    private let layouts: StoredLayouts

    init(_ layouts: StoredLayouts = StoredLayouts()) { self.layouts = layouts }

    /// The rows for blocks to be made of: in their frames, if they lie in such as blocks take over and are of a table that was read
    /// before, otherwise as a block of their own.
    func part(_ part: SpoolFormat.RowsHead.Part, of body: ByteBuffer) throws -> BlockPart {
        for layout in layouts.layouts(of: part.table) {
            guard let frames = body.getSlice(at: body.readerIndex + part.offset, length: part.length) else { break }
            let found = BlockPart(
                framesOf: frames, rows: part.rows, layout: layout, encoding: Self.encoding,
                frameBytes: SpoolFormat.frameBytes)
            if let found { return found }
        }
        return BlockPart(try read(part, of: body))
    }

    /// - Returns: A block of its own, with as many rows as the part says.
    func read(_ part: SpoolFormat.RowsHead.Part, of body: ByteBuffer) throws -> Block {
        guard var frames = body.getSlice(at: body.readerIndex + part.offset, length: part.length) else {
            throw SpoolBodyError()
        }
        var raw = try FrameReader.readAll(&frames)
        if let block = readAlike(part, &raw) { return block }
        guard let block = try BlockReader.read(&raw, revision: SpoolFormat.blockRevision), block.rows == part.rows
        else {
            throw SpoolBodyError()
        }
        layouts.note(block.layout, of: part.table)
        return block
    }

    private func fill(_ block: Block, _ part: SpoolFormat.RowsHead.Part, _ raw: inout ByteBuffer) -> Bool {
        BlockReader.read(&raw, into: block, revision: SpoolFormat.blockRevision) && block.rows == part.rows
    }

    /// nil: the table's columns are not those of the last time.
    private func readAlike(_ part: SpoolFormat.RowsHead.Part, _ raw: inout ByteBuffer) -> Block? {
        guard let layout = layouts.layouts(of: part.table).first else { return nil }
        guard raw.readableBytes <= Self.copyBytesMax else {
            let block = Block(layout: layout)
            return fill(block, part, &raw) ? block : nil
        }
        let block = layouts.borrow(layout)
        defer { layouts.giveBack(block) }
        return fill(block, part, &raw) ? block.compacted() : nil
    }
}
