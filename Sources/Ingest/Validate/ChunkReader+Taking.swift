import ClickHouseNative
import NIOCore
import Pipeline

// What was read, or gathered, as row batches.
extension ChunkReader {
    /// What was gathered is read table by table.
    struct Reading {
        let lines: [GatheredLine]
        /// Those of a table at a time, the next one last.
        var tables: [(number: Int, lines: Range<Int>)]
    }

    /// A step of taking what was read.
    enum Step {
        /// Of one table.
        case batches([RowBatch])
        /// A row has a field that its table lacks: ask the catalog anew, `follow` what it says, go on.
        case needsStructure(TableWriter)
    }

    /// The next row batches of what was read since the last time; nil: that was all. No chunk may be read in between.
    ///
    /// A table's rows come in their order, at most `rowBatchRowsMax` of those that were gathered at once. `rejections` may have new ones.
    func takeNext() -> Step? {
        if reading == nil {
            sortGathered()
            filled.reverse()
        }
        while let (writer, isWhole) = readNextTable(rowsMax: settings.rowBatchRowsMax) {
            guard isWhole else { return .needsStructure(writer) }
            let batches = writer.takeBatches()
            if !batches.isEmpty { return .batches(batches) }
        }
        while let writer = filled.popLast() {
            writer.isFilled = false
            let batches = writer.takeBatches()
            if !batches.isEmpty { return .batches(batches) }
        }
        clearGathered()
        hasReadGathered = false
        bytesBound = 0
        hasFullTable = false
        return nil
    }

    /// Reads the rows that were gathered; they are there to be taken, with others that come.
    ///
    /// - Returns: A table to ask the catalog for, and `follow` what it says, and then to go on; nil: that was all. `rejections` may have new ones.
    func readGathered() -> TableWriter? {
        if reading == nil { sortGathered() }
        hasReadGathered = true
        while let (writer, isWhole) = readNextTable(rowsMax: .max) {
            note(writer)
            guard isWhole else { return writer }
        }
        clearGathered()
        countBytes()
        return nil
    }

    private func sortGathered() {
        let (lines, tables) = gathered.sorted()
        reading = Reading(lines: lines, tables: tables.reversed())
    }

    private func clearGathered() {
        reading = nil
        gathered.clear()
    }

    /// Reads gathered rows of the next table.
    ///
    /// - Returns: The table, and whether the rows were read, all or `rowsMax`; otherwise it is to be asked for. nil: none are left.
    private func readNextTable(rowsMax: Int) -> (writer: TableWriter, isWhole: Bool)? {
        guard let (number, all) = reading?.tables.popLast() else { return nil }
        let writer = numbered[number]
        let lines = all.prefix(rowsMax)
        let read = readLines(lines, of: writer)
        let rest = all.dropFirst(read)
        if !rest.isEmpty { reading?.tables.append((number, rest)) }
        return (writer, read == lines.count)
    }

    /// All that was read; the tables are asked for nothing.
    func takeBatches() -> [RowBatch] {
        var batches: [RowBatch] = []
        while let step = takeNext() {
            switch step {
            case .batches(let more): batches += more
            case .needsStructure(let writer): writer.hasAsked()
            }
        }
        return batches
    }

    /// - Returns: How many of the lines were dealt with.
    private func readLines(_ lines: Range<Int>, of writer: TableWriter) -> Int {
        guard let all = reading?.lines, let first = lines.first else { return 0 }
        let chunks = gathered.chunks
        let context = TableWriter.Context(
            tableKey: tableKey, pool: pool, variantsMax: settings.variantsMax,
            received: chunks[all[first].chunk].chunk.received, now: now())
        return writer.read(all[lines], of: chunks, context) { fault, writer, line, bytes in
            let held = chunks[line.chunk]
            rejections.append(
                Rejection(
                    table: writer.table, column: writer.name(ofColumn: fault.column), reason: fault.reason,
                    message: fault.message, session: held.chunk.session, bytes: slice(held.bytes, held.start, bytes),
                    number: held.chunk.numbering.map { $0.range.first + UInt64(line.linesBefore) },
                    producer: held.chunk.numbering?.producer.identity))
        }
    }
}
