import ClickHouseNative
import NIOConcurrencyHelpers
import NIOCore

/// What the blocks of tables looked like that were read back from the spool last: the next ones are likely to look the same, and are then read
/// without taking names and types apart.
public final class StoredLayouts: Sendable {
    /// Tables that are remembered; beyond it the memory starts anew.
    static let tablesMax = 4096

    private struct State: Sendable {
        var tables: [TableName: BlockLayout] = [:]
        /// One for all tables that have these columns.
        var layouts: [[ColumnDefinition]: BlockLayout] = [:]
    }

    private let state = NIOLockedValueBox(State())

    public init() {}

    func layout(of table: TableName) -> BlockLayout? { state.withLockedValue { $0.tables[table] } }

    func note(_ layout: BlockLayout, of table: TableName) {
        state.withLockedValue { state in
            if state.tables.count >= Self.tablesMax { state = State() }
            let known = state.layouts[layout.columns] ?? layout
            state.layouts[layout.columns] = known
            state.tables[table] = known
        }
    }
}

/// Reads row batches of a record, one after the other.
struct StoredBlocks {
    /// As `SpoolFormat.RowsWriter` writes rows whose frames blocks take over.
    private static let encoding = BlockEncoding(revision: SpoolFormat.blockRevision, compression: .lz4)

    /// Up to so many bytes rows are copied out of a block that the next ones are read into.
    private static let copyBytesMax = 64 << 10

    private let layouts: StoredLayouts
    private var scratch: [ObjectIdentifier: Block] = [:]

    init(_ layouts: StoredLayouts = StoredLayouts()) { self.layouts = layouts }

    /// The rows for blocks to be made of: in their frames, if they lie in such as blocks take over and are of a table that was read before, otherwise as a
    /// block of their own.
    mutating func part(_ part: SpoolFormat.RowsHead.Part, of body: ByteBuffer) throws -> BlockPart {
        if let layout = layouts.layout(of: part.table),
            let frames = body.getSlice(at: body.readerIndex + part.offset, length: part.length),
            let read = BlockPart(
                framesOf: frames, rows: part.rows, layout: layout, encoding: Self.encoding,
                frameBytes: SpoolFormat.frameBytes)
        {
            return read
        }
        return BlockPart(try read(part, of: body))
    }

    /// - Returns: A block of its own, with as many rows as the part says.
    mutating func read(_ part: SpoolFormat.RowsHead.Part, of body: ByteBuffer) throws -> Block {
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

    /// nil: the table's columns are not those of the last time.
    private mutating func readAlike(_ part: SpoolFormat.RowsHead.Part, _ raw: inout ByteBuffer) -> Block? {
        guard let layout = layouts.layout(of: part.table) else { return nil }
        let isSmall = raw.readableBytes <= Self.copyBytesMax
        let block = isSmall ? scratch[ObjectIdentifier(layout)] ?? Block(layout: layout) : Block(layout: layout)
        block.removeAll()
        guard BlockReader.read(&raw, into: block, revision: SpoolFormat.blockRevision), block.rows == part.rows else {
            return nil
        }
        guard isSmall else { return block }
        scratch[ObjectIdentifier(layout)] = block
        return block.compacted()
    }
}
