// Unsafe by design: lends the bytes of a chunk, and of lines made from it, to cursors that end before they do.

import ClickHouseNative
import NIOCore
import Pipeline
import ProducerProtocol

/// Rows of a chunk that were refused, by their places in its bytes.
struct RowRefusals {
    struct Refusal {
        let row: Int
        let fault: ParseFault
        let column: String?
        /// In place of the fault's own.
        var message: String?
    }

    private(set) var all: [Refusal] = []

    mutating func add(_ row: Int, _ fault: ParseFault, column: String? = nil, message: String? = nil) {
        all.append(Refusal(row: row, fault: fault, column: column, message: message))
    }

    /// Of rows before this one; the others will be read again.
    func before(_ end: Int) -> RowRefusals {
        var kept = RowRefusals()
        kept.all = all.filter { $0.row < end }
        return kept
    }
}

extension ChunkReader {
    /// Reads a chunk of another format than NDJSON.
    ///
    /// - Parameter offset: rows of the chunk's window that are dealt with.
    func read(_ chunk: Chunk, as format: SessionFormat, from offset: Int) -> Progress {
        guard let window = chunk.window, chunk.bytes.readableBytes > 0 else { return .done }
        let rows = window.range.lowerBound + offset..<window.range.upperBound
        guard !rows.isEmpty else { return .done }
        guard let table = chunk.table.flatMap({ TableName(parsing: $0) }) ?? defaultTable else {
            refuseAll(rows, of: chunk, format, table: nil, .noTable, ParseFault(.noTable).message)
            return .done
        }
        if routes.has(table) {
            refuseAll(rows, of: chunk, format, table: table, .unsupportedFormat, ParseFault(.routedFormat).message)
            return .done
        }
        if let error = refused[table] {
            refuseAll(rows, of: chunk, format, table: table, error.code.rejectReason, error.message)
            return .done
        }
        guard let writer = writers[table] else {
            guard writers.count < settings.tablesMax else {
                refuse(table, because: CatalogError(.tooManyTables, table: table, message: "more than tables_max"))
                return read(chunk, as: format, from: offset)
            }
            return .needsTable(table, offset: offset)
        }
        return format.format.isText
            ? readText(chunk, format, writer, rows) : readBinary(chunk, format, writer, rows)
    }

    func context(of chunk: Chunk) -> TableWriter.Context {
        TableWriter.Context(
            tableKey: noTableKey, pool: pool, variantsMax: settings.variantsMax, received: chunk.received, now: now())
    }

    // MARK: - Lines of JSON

    /// Why not all lines were read.
    struct LineStop {
        /// Of the line that a question is about.
        let line: Int
    }

    /// Reads lines that were made of rows.
    ///
    /// - Parameter lines: ended by line breaks, each a row of the writer's table.
    /// - Returns: nil: all of them were read, or refused.
    func readLines(
        _ lines: UnsafeRawBufferPointer, _ writer: TableWriter, _ context: TableWriter.Context,
        refuse: (_ line: Int, ParseFault, _ column: String?) -> Void
    ) -> LineStop? {
        let before = writer.rows
        defer { note(writer, rowsBefore: before, textBytes: lines.count) }
        return readChecked(lines, writer, context, refuse: refuse)
    }

    /// The same, of which nobody is to know what was read.
    func readChecked(
        _ lines: UnsafeRawBufferPointer, _ writer: TableWriter, _ context: TableWriter.Context,
        refuse: (_ line: Int, ParseFault, _ column: String?) -> Void
    ) -> LineStop? {
        guard let base = lines.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return nil }
        var cursor = LineCursor(base, end: base + lines.count)
        let counted = LineCounter(at: base)
        func reject(_ fault: ParseFault, _ writer: TableWriter, _ line: UnsafeRawBufferPointer) {
            refuse(counted.line(at: line.baseAddress), fault, writer.name(ofColumn: fault.column))
        }
        while cursor.p < cursor.end {
            var stop = writer.read(&cursor, context, takesUnnamed: true, decided: false, reject: reject)
            if case .otherTable = stop {
                // The row is refused: asked for by itself, it says why.
                stop = writer.read(&cursor, context, takesUnnamed: true, decided: true, reject: reject)
            }
            if case .unknownColumn = stop { return LineStop(line: counted.line(at: cursor.p)) }
        }
        return nil
    }

    // MARK: - Refusals

    /// Keeps the refused rows, in their order.
    ///
    /// - Parameters:
    ///   - form: by which they are read again.
    ///   - bytes: of a row.
    func keep(
        _ refusals: RowRefusals, of chunk: Chunk, _ table: TableName, form: SessionFormat, bytes: (Int) -> ByteBuffer
    ) {
        for refusal in refusals.all.sorted(by: { $0.row < $1.row }) {
            rejections.append(
                Rejection(
                    table: table, column: refusal.column, reason: refusal.fault.reason,
                    message: refusal.message ?? refusal.fault.message, session: chunk.session,
                    bytes: bytes(refusal.row),
                    number: chunk.number(ofRow: refusal.row), producer: chunk.numbering?.producer.identity, form: form))
        }
    }

    /// Keeps rows that could not be told apart: the first has all the bytes, the others none.
    func keepUndivided(
        _ rows: Range<Int>, of chunk: Chunk, _ table: TableName?, form: SessionFormat, bytes: ByteBuffer,
        _ reason: RejectReason, _ message: String, others: (reason: RejectReason, message: String)? = nil
    ) {
        for row in rows {
            let isFirst = row == rows.lowerBound
            var rejection = Rejection(
                table: table, reason: isFirst ? reason : others?.reason ?? reason,
                message: isFirst ? message : others?.message ?? message, session: chunk.session,
                bytes: isFirst ? bytes : ByteBuffer(), number: chunk.number(ofRow: row),
                producer: chunk.numbering?.producer.identity, form: form)
            rejection.undividedRows = isFirst ? rows.count : 0
            rejections.append(rejection)
        }
    }

    /// No row of the chunk goes anywhere, whatever it says.
    private func refuseAll(
        _ rows: Range<Int>, of chunk: Chunk, _ format: SessionFormat, table: TableName?, _ reason: RejectReason,
        _ message: String
    ) {
        guard format.format.isText, let lines = TextLines(chunk.bytes, format) else {
            keepUndivided(rows, of: chunk, table, form: format, bytes: chunk.bytes, reason, message)
            return
        }
        for row in rows {
            rejections.append(
                Rejection(
                    table: table, reason: reason, message: message, session: chunk.session,
                    bytes: lines.bytes(ofRow: row),
                    number: chunk.number(ofRow: row), producer: chunk.numbering?.producer.identity, form: lines.form))
        }
    }
}

extension Chunk {
    /// The number of a row, by its place in the bytes.
    func number(ofRow row: Int) -> UInt64? {
        guard let numbering, let window else { return nil }
        return numbering.range.first + UInt64(row - window.range.lowerBound)
    }
}

/// Counts lines up to places that are asked for in ascending order.
private final class LineCounter {
    private var at: Bytes
    private var count = 0

    init(at start: Bytes) { at = start }

    func line(at place: UnsafeRawPointer?) -> Int {
        guard let place = place?.assumingMemoryBound(to: UInt8.self) else { return count }
        while at < place {
            if at.pointee == 0x0A { count += 1 }
            at += 1
        }
        return count
    }
}
