import ClickHouseNative
import Foundation
import NIOCore
import Pipeline

/// Reads NDJSON of one table into blocks, without sockets or stages: for tools, benchmarks and tests.
public final class RowReader {
    private let reader: ChunkReader
    private let pool: BlockPool
    private var chunks: UInt64 = 0

    /// - Parameters:
    ///   - seed: of chance, where the table's rules leave something to it.
    ///   - now: seconds since 1970, for times that leave out the year.
    /// - Throws: `TimeZoneError` for a zone that this host does not know, `RuleProblems` for rules that do not fit.
    public init(
        table: TableName, structure: TableStructure, settings: ValidateSettings = ValidateSettings(),
        seed: UInt64 = .random(in: .min ... .max),
        now: @escaping @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970) }
    ) throws {
        var settings = settings
        settings.defaultTable = table.description
        let options = RowOptions(settings.input(of: table), depthMax: settings.depthMax)
        pool = BlockPool(bytesMax: settings.recycledBytesMax)
        reader = ChunkReader(settings: settings, pool: pool, now: now)
        reader.add(
            try TableWriter(
                table: table, structure: structure, options: options, rules: settings.rules(of: table), seed: seed,
                pool: pool))
    }

    /// Reads whole lines. Rows for other tables are rejected.
    public func read(_ lines: ByteBuffer) -> [Rejection] {
        guard lines.readableBytes > 0 else { return [] }
        return read(Chunk(session: 0, number: chunks, table: nil, bytes: lines, received: .now))
    }

    /// Reads whole rows of another format than NDJSON.
    ///
    /// - Parameter rows: how many `bytes` are, as a frame would say.
    public func read(_ bytes: ByteBuffer, as format: SessionFormat, rows: Int) -> [Rejection] {
        guard rows > 0 else { return [] }
        return read(
            Chunk(
                session: 0, number: chunks, table: nil, bytes: bytes, received: .now, format: format,
                window: RowWindow(all: rows)))
    }

    private func read(_ chunk: Chunk) -> [Rejection] {
        chunks += 1
        var offset = 0
        reading: while true {
            switch reader.read(chunk, from: offset) {
            case .done: break reading
            case .needsTable(let table, let at):
                offset = at
                reader.refuse(
                    table, because: CatalogError(.unknownTable, table: table, message: "only one table is read"))
            case .needsStructure(let writer, let at):
                offset = at
                writer.asksForUnknownFields = false
            }
        }
        return reader.takeRejections()
    }

    /// What was read since the last call: a block for each set of columns that rows had.
    public func takeBlocks() -> [Block] { reader.takeBatches().map(\.block) }

    /// Rows since the last call that the table's rules do not keep.
    public func takeSampledRows() -> Int { reader.takeSampled().reduce(0) { $0 + $1.rows } }

    /// Gives blocks back for reuse.
    public func recycle(_ blocks: [Block]) { pool.give(blocks) }
}
