// Unsafe by design: lends the bytes of a chunk to cursors, row by row; each row's range comes from a scan of the same bytes.

import ClickHouseNative
import NIOCore
import Pipeline
import ProducerProtocol

/// The rows of a chunk of text, where each lies.
struct TextLines {
    let bytes: ByteBuffer
    /// By which a row is read again.
    let form: SessionFormat
    let header: SessionFormat.Header?
    /// Of each row without its line break, from the reader index.
    let rows: [Range<Int>]

    /// - Returns: nil when the header is none.
    init?(_ bytes: ByteBuffer, _ format: SessionFormat) {
        let headerRows = format.format.headerRows
        let (header, rows) = bytes.withUnsafeReadableBytes { raw -> (SessionFormat.Header?, [Range<Int>]) in
            var scanner = RowScanner(delimiter: format.format.isCSV ? format.delimiter : nil)
            var rows: [Range<Int>] = []
            var place = 0
            while place < raw.count {
                // Only the last row of a session comes without its line break.
                guard let end = scanner.end(in: raw, from: place) else {
                    rows.append(place..<raw.count)
                    break
                }
                rows.append(place..<end - 1)
                place = end
            }
            let head = rows.prefix(headerRows).map { UnsafeRawBufferPointer(rebasing: raw[$0]) }
            return (headerRows == 0 ? nil : format.header(head), Array(rows.dropFirst(headerRows)))
        }
        guard headerRows == 0 || header != nil else { return nil }
        self.bytes = bytes
        self.header = header
        self.rows = rows
        form =
            header.map { SessionFormat(format.format.bare, columns: $0.names, delimiter: format.delimiter) } ?? format
    }

    func bytes(ofRow row: Int) -> ByteBuffer {
        guard row < rows.count else { return ByteBuffer() }
        return bytes.getSlice(at: bytes.readerIndex + rows[row].lowerBound, length: rows[row].count) ?? ByteBuffer()
    }
}

extension ChunkReader {
    func readText(_ chunk: Chunk, _ format: SessionFormat, _ writer: TableWriter, _ rows: Range<Int>) -> Progress {
        guard let lines = TextLines(chunk.bytes, format), lines.rows.count >= rows.upperBound else {
            keepUndivided(
                rows, of: chunk, writer.table, form: format, bytes: chunk.bytes, .malformedRow,
                "the header must have a name for each column, each once")
            return .done
        }
        let plan = textPlan(format, lines.header, writer)
        var refusals = RowRefusals()
        if let (column, fault) = plan.obstacle {
            for row in rows { refusals.add(row, fault, column: column) }
            keep(refusals, of: chunk, writer.table, form: plan.form) { lines.bytes(ofRow: $0) }
            return .done
        }
        cells.out.truncate(to: 0)
        // Of each line of JSON.
        var rowOfLine: [Int] = []
        rowOfLine.reserveCapacity(rows.count)
        chunk.bytes.withUnsafeReadableBytes { raw in
            for row in rows {
                let start = cells.out.count
                // A pointer even to a row of nothing.
                var cursor = TextRow(
                    UnsafeRawBufferPointer(
                        start: raw.baseAddress! + lines.rows[row].lowerBound, count: lines.rows[row].count),
                    plan.form)
                do throws(ParseFault) {
                    try cursor.write(plan, to: &cells)
                    rowOfLine.append(row)
                } catch {
                    cells.out.truncate(to: start)
                    let column = plan.form.columns.flatMap { error.column < 0 ? nil : $0[Int(error.column)] }
                    refusals.add(row, error, column: column)
                }
            }
        }
        var context = context(of: chunk)
        context.takesChosen = true
        let stop = readLines(cells.out.bytes, writer, context) { line, fault, column in
            refusals.add(rowOfLine[line], fault, column: column)
        }
        let end = stop.map { rowOfLine[$0.line] } ?? rows.upperBound
        keep(refusals.before(end), of: chunk, writer.table, form: plan.form) { lines.bytes(ofRow: $0) }
        guard stop != nil, let window = chunk.window else { return .done }
        return .needsStructure(writer, offset: end - window.range.lowerBound)
    }

    private func textPlan(_ format: SessionFormat, _ header: SessionFormat.Header?, _ writer: TableWriter) -> TextPlan {
        let (names, types) = (header?.names ?? format.columns, header?.types ?? format.types)
        let key = TextPlanKey(table: writer.table, format: format, names: names, types: types)
        if let known = textPlans[key], known.structure == writer.structure { return known.plan }
        if textPlans.count >= FormatLimits.plansMax { textPlans.removeAll() }
        let plan = TextPlan(
            format, names: names, types: types, structure: writer.structure, options: writer.options,
            hasRules: writer.plan.hasRules)
        textPlans[key] = (writer.structure, plan)
        return plan
    }
}

struct TextPlanKey: Hashable {
    let table: TableName
    let format: SessionFormat
    let names: [String]?
    let types: [String]?
}
