// Unsafe by design: lends lines that were printed from a block to a cursor that ends before they do.

import ClickHouseNative
import NIOCore
import Pipeline
import ProducerProtocol

/// Rows of a block on their way into a table, and where they were in their chunk.
private struct BlockRows {
    private(set) var block: Block
    /// Of each row, its place in the chunk.
    private(set) var rows: [Int]

    init(_ block: Block, _ selection: Range<Int>, first: Int) {
        self.block = selection == 0..<block.rows ? block : block.gathering([selection])
        rows = Array(first + selection.lowerBound..<first + selection.upperBound)
    }

    /// Of rows that `BlockCheck` found nothing in. A dead letter has the text as it came.
    mutating func joinLinesOfJSON() {
        if let joined = BlockCheck(block).withJSONOnOneLine() { block = joined }
    }

    /// Leaves rows out, by their places in the block.
    mutating func remove(_ bad: Set<Int>) {
        guard !bad.isEmpty else { return }
        var kept: [Range<Int>] = []
        for row in 0..<block.rows where !bad.contains(row) {
            if let last = kept.last, last.upperBound == row {
                kept[kept.count - 1] = last.lowerBound..<row + 1
            } else {
                kept.append(row..<row + 1)
            }
        }
        rows = kept.flatMap { rows[$0] }
        block = block.gathering(kept)
    }
}

extension ChunkReader {
    func readBinary(_ chunk: Chunk, _ format: SessionFormat, _ writer: TableWriter, _ rows: Range<Int>) -> Progress {
        guard let window = chunk.window else { return .done }
        let binary: BinaryRows
        do {
            binary = try BinaryRows(chunk.bytes, format, writer.structure, rowsMax: window.total)
        } catch {
            keepUndivided(
                rows, of: chunk, writer.table, form: format, bytes: chunk.bytes,
                error.code == .unsupportedType ? .unsupportedFormat : .malformedRow, error.reason)
            return .done
        }
        guard !binary.hasMore, binary.failure != nil || binary.count == window.total else {
            keepUndivided(
                rows, of: chunk, writer.table, form: format, bytes: chunk.bytes, .rowCountMismatch,
                "the frame says \(window.total) rows and has \(binary.hasMore ? "more" : "\(binary.count)")")
            return .done
        }
        var refusals = RowRefusals()
        var first = 0
        for block in binary.blocks {
            defer { first += block.rows }
            let own = rows.clamped(to: first..<first + block.rows)
            guard !own.isEmpty else { continue }
            let selection = own.lowerBound - first..<own.upperBound - first
            if take(BlockRows(block, selection, first: first), writer, chunk, &refusals) == .asks {
                let before = refusals.before(own.lowerBound)
                keep(before, of: chunk, writer.table, form: binary.form, bytes: binary.bytes(ofRow:))
                return .needsStructure(writer, offset: own.lowerBound - window.range.lowerBound)
            }
        }
        keep(refusals, of: chunk, writer.table, form: binary.form, bytes: binary.bytes(ofRow:))
        let unread = rows.clamped(to: binary.count..<max(binary.count, window.total))
        if let failure = binary.failure, !unread.isEmpty {
            keepUndivided(
                unread, of: chunk, writer.table, form: binary.form, bytes: binary.unreadBytes, .malformedRow,
                failure.message, others: (.unreadableRest, ParseFault(.unreadableRest).message))
        }
        return .done
    }

    private enum Taking { case done, asks }

    /// Takes the rows of a block into the table, or refuses them.
    private func take(
        _ given: BlockRows, _ writer: TableWriter, _ chunk: Chunk, _ refusals: inout RowRefusals
    ) -> Taking {
        var given = given
        let bad = BlockCheck(given.block).findings()
        let names = given.block.layout.columns.map(\.name)
        for finding in bad {
            refusals.add(given.rows[finding.row], ParseFault(finding.code), column: names[finding.column])
        }
        given.remove(Set(bad.map(\.row)))
        given.joinLinesOfJSON()
        do {
            var fit = try fitted(given.block, writer)
            if let name = fit.computed {
                refuse(given, ParseFault(.computedColumn), name, &refusals)
                return .done
            }
            if let unknown = fit.unknown.first.map({ names[$0] }), !writer.plan.hasRules {
                if writer.waits(forField: unknown) { return .asks }
                guard writer.options.skipUnknownFields else {
                    refuse(given, ParseFault(.unknownField), unknown, &refusals)
                    return .done
                }
            }
            // A NULL that is refused hides what the other rows have in its column.
            while !fit.misfits.isEmpty {
                var seen = Set<Int>()
                for misfit in fit.misfits where seen.insert(misfit.row).inserted {
                    refusals.add(given.rows[misfit.row], ParseFault(misfit.code), column: misfit.column)
                }
                given.remove(seen)
                fit = try fitted(given.block, writer)
            }
            guard given.block.rows > 0 else { return .done }
            if writer.plan.hasRules || writer.plan.hasNestedGroups || fit.leavesOut {
                if !fit.unprintable.isEmpty {
                    var seen = Set<Int>()
                    for (row, column) in fit.unprintable where seen.insert(row).inserted {
                        refusals.add(given.rows[row], ParseFault(.uncheckedType), column: column)
                    }
                    given.remove(seen)
                    guard given.block.rows > 0 else { return .done }
                    fit = try fitted(given.block, writer)
                }
                return try takeAsText(given, fit, writer, chunk, &refusals)
            }
            // JSON that a Variant may have, or not, cannot be looked at by itself.
            if let column = fit.hiddenJSON(writer.structure) {
                refuse(given, ParseFault(.uncheckedType), column, &refusals)
                return .done
            }
            let faults = try jsonFaults(fit, writer, chunk)
            if !faults.isEmpty {
                for (row, fault, column) in faults { refusals.add(given.rows[row], fault, column: column) }
                given.remove(Set(faults.map(\.row)))
                fit = try fitted(given.block, writer)
            }
            guard given.block.rows > 0 else { return .done }
            let before = writer.rows
            if let fault = writer.append(fit.columns, rows: given.block.rows, context(of: chunk)) {
                refuse(given, fault, nil, &refusals)
            }
            note(writer, rowsBefore: before, textBytes: chunk.bytes.readableBytes)
        } catch {
            // A zone that this host does not know; the table's own are known.
            for row in given.rows { refusals.add(row, ParseFault(.notConvertible), message: "\(error)") }
        }
        return .done
    }

    private func fitted(_ block: Block, _ writer: TableWriter) throws -> ColumnFit {
        try ColumnFit(
            block, to: writer.structure, expressions: writer.plan.expressionColumns,
            nullAsDefault: writer.options.nullAsDefault)
    }

    private func refuse(_ given: BlockRows, _ fault: ParseFault, _ column: String?, _ refusals: inout RowRefusals) {
        for row in given.rows { refusals.add(row, fault, column: column) }
    }

    // MARK: - As text

    /// Rows of tables with rules go the way of all rows of such tables: as JSON, through the parser that knows the rules.
    private func takeAsText(
        _ given: BlockRows, _ fit: ColumnFit, _ writer: TableWriter, _ chunk: Chunk, _ refusals: inout RowRefusals
    ) throws -> Taking {
        if let name = fit.uncheckable {
            refuse(given, ParseFault(.uncheckedType), name, &refusals)
            return .done
        }
        let names = writer.structure.columns.map(\.definition.name)
        let columns =
            fit.columns.map { (block: $0.block, place: $0.place, name: names[$0.column]) }
            + fit.unknown.map { (block: given.block, place: $0, name: given.block.layout.columns[$0].name) }
        let lines = try Self.lines(
            columns, namesElements: writer.options.namedTuplesAsObjects, writer.structure.timeZone)
        var found = RowRefusals()
        let stop = lines.withUnsafeReadableBytes { raw in
            readLines(raw, writer, context(of: chunk)) { line, fault, column in
                found.add(given.rows[line], fault, column: column)
            }
        }
        for refusal in found.all { refusals.add(refusal.row, refusal.fault, column: refusal.column) }
        guard let stop else { return .done }
        // Those behind the question: it is asked once, and then they are read without waiting for its answer.
        writer.asksForUnknownFields = false
        var rest = given
        rest.remove(Set(0..<stop.line))
        return try takeAsText(rest, try fitted(rest.block, writer), writer, chunk, &refusals)
    }

    private static func lines(
        _ columns: [(block: Block, place: Int, name: String)], namesElements: Bool, _ timeZone: String
    ) throws -> ByteBuffer {
        let definitions = columns.map { column in
            ColumnDefinition(
                name: column.name,
                type: column.block.layout.columns[column.place].type.exactInText(namesElements: namesElements))
        }
        var lines = ByteBuffer()
        try RowPrinter.print(
            Block.joining(columns.map { ($0.block, $0.place) }, as: definitions), timeZone: timeZone, into: &lines)
        return lines
    }

    /// JSON goes to the server as text, and what the server would refuse is refused here.
    private func jsonFaults(
        _ fit: ColumnFit, _ writer: TableWriter, _ chunk: Chunk
    ) throws -> [(row: Int, fault: ParseFault, column: String?)] {
        let own = fit.columns.filter { writer.structure.columns[$0.column].definition.type.hasJSON }
        guard !own.isEmpty else { return [] }
        let definitions = own.map { writer.structure.columns[$0.column].definition }
        let lines = try Self.lines(
            zip(own, definitions).map { ($0.block, $0.place, $1.name) },
            namesElements: writer.options.namedTuplesAsObjects, writer.structure.timeZone)
        let check = try TableWriter(
            table: writer.table,
            structure: TableStructure(
                columns: definitions.map { TableStructure.Column($0) }, timeZone: writer.structure.timeZone),
            options: writer.options, pool: BlockPool(bytesMax: 0))
        var faults: [(row: Int, fault: ParseFault, column: String?)] = []
        lines.withUnsafeReadableBytes { raw in
            _ = readChecked(raw, check, context(of: chunk)) { faults.append(($0, $1, $2)) }
        }
        return faults
    }
}
