// Unsafe by design: reads a row's bytes, [p, end), and compares with `end` before each.

import CSluice
import ClickHouseNative
import ProducerProtocol

/// Cuts a row of CSV or TSV into cells, and writes it as the JSON that says the same.
struct TextRow {
    private var p: Bytes
    private let end: Bytes
    private let delimiter: UInt8

    /// - Parameter bytes: of the row, without its line break.
    init(_ bytes: UnsafeRawBufferPointer, _ format: SessionFormat) {
        p = bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self)
        var end = p + bytes.count
        if format.format.isCSV, end > p, end[-1] == 0x0D { end -= 1 }
        self.end = end
        delimiter = format.format.isCSV ? format.delimiter : 0x09
    }

    // MARK: - CSV

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    private mutating func skipBlanks() { while p < end, Self.isBlank(p.pointee), p.pointee != delimiter { p += 1 } }

    /// The value at `p`, which is left at the delimiter or the row's end.
    private mutating func cell() throws(ParseFault) -> Cell {
        skipBlanks()
        guard p < end, p.pointee == UInt8(ascii: "\"") else {
            let start = p
            let found = memchr(p, Int32(delimiter), end - p)
            p = found.map { Bytes($0.assumingMemoryBound(to: UInt8.self)) } ?? end
            var last = p
            while last > start, Self.isBlank(last[-1]) { last -= 1 }
            // A line would end there.
            guard memchr(start, 0x0D, last - start) == nil else { throw ParseFault(.malformedCell) }
            return Cell(
                bytes: UnsafeRawBufferPointer(start: start, count: last - start), isQuoted: false,
                endsInBlanks: last < p)
        }
        p += 1
        let start = p
        var hasDoubled = false
        while true {
            guard let found = memchr(p, 0x22, end - p) else { throw ParseFault(.unterminatedString) }
            let quote = Bytes(found.assumingMemoryBound(to: UInt8.self))
            p = quote + 1
            if p < end, p.pointee == UInt8(ascii: "\"") {
                hasDoubled = true
                p += 1
                continue
            }
            let cell = Cell(
                bytes: UnsafeRawBufferPointer(start: start, count: quote - start), isQuoted: true,
                hasDoubledQuotes: hasDoubled)
            skipBlanks()
            guard p == end || p.pointee == delimiter else { throw ParseFault(.malformedCell) }
            return cell
        }
    }

    /// Moves over the delimiter before another value.
    private mutating func nextCell() throws(ParseFault) {
        guard p < end else { throw ParseFault(.tooFewCells) }
        p += 1
    }

    /// Values of a tuple, each a cell.
    private mutating func tuple(
        _ first: Cell, _ elements: [CellForm], _ keys: [[UInt8]], to writer: inout CellWriter
    ) throws(ParseFault) {
        writer.openTuple(keys)
        for (place, element) in elements.enumerated() {
            var cell = first
            if place > 0 {
                try nextCell()
                cell = try self.cell()
            }
            writer.beginElement(place, keys)
            // To ClickHouse it stands for all of a tuple within the tuple, not for its first value of several.
            guard !cell.isNull || !element.hasSeveralCells else { throw ParseFault(.malformedCell) }
            try value(cell, element, to: &writer)
        }
        writer.closeTuple(keys)
    }

    private mutating func value(_ cell: Cell, _ form: CellForm, to writer: inout CellWriter) throws(ParseFault) {
        if form.isSpread, case .tuple(let elements, let keys) = form.kind {
            try tuple(cell, elements, keys, to: &writer)
        } else if cell.isNull {
            writer.null()
        } else {
            try writer.csv(cell, form)
        }
    }

    private mutating func csv(_ plan: TextPlan, to writer: inout CellWriter) throws(ParseFault) {
        var isFirst = true
        for (place, column) in plan.columns.enumerated() {
            if place > 0 { try nextCell() }
            let cell = try cell()
            // What is empty is left out: the column's default (`input_format_csv_empty_as_default`).
            if cell.isEmpty { continue }
            if !isFirst { writer.out.append(UInt8(ascii: ",")) }
            isFirst = false
            writer.key(column.key)
            do throws(ParseFault) {
                try value(cell, column.form, to: &writer)
            } catch {
                throw error.of(column: place)
            }
        }
        // One more delimiter may end a row.
        if p < end {
            p += 1
            skipBlanks()
        }
        guard p == end else { throw ParseFault(.tooManyCells) }
    }

    // MARK: - TSV

    private mutating func tsv(_ plan: TextPlan, to writer: inout CellWriter) throws(ParseFault) {
        // ClickHouse takes no CRLF here.
        guard p == end || end[-1] != 0x0D else { throw ParseFault(.malformedCell) }
        for (place, column) in plan.columns.enumerated() {
            if place > 0 {
                try nextCell()
                writer.out.append(UInt8(ascii: ","))
            }
            let cell = takeEscaped()
            writer.key(column.key)
            do throws(ParseFault) {
                if cell.count == 2, cell[0] == UInt8(ascii: "\\"), cell[1] == UInt8(ascii: "N") {
                    writer.null()
                } else {
                    try writer.tsv(cell, column.form)
                }
            } catch {
                throw error.of(column: place)
            }
        }
        guard p == end else { throw ParseFault(.tooManyCells) }
    }

    private mutating func takeEscaped() -> UnsafeRawBufferPointer {
        let start = p
        let found = memchr(p, Int32(delimiter), end - p)
        p = found.map { Bytes($0.assumingMemoryBound(to: UInt8.self)) } ?? end
        return UnsafeRawBufferPointer(start: start, count: p - start)
    }

    // MARK: - Rows

    /// Appends a line of JSON to what the writer has. On a fault, whose column is a place in the plan, part of a line is there.
    mutating func write(_ plan: TextPlan, to writer: inout CellWriter) throws(ParseFault) {
        writer.out.append(UInt8(ascii: "{"))
        if plan.form.format.isCSV { try csv(plan, to: &writer) } else { try tsv(plan, to: &writer) }
        writer.out.append(UInt8(ascii: "}"))
        writer.out.append(UInt8(0x0A))
    }

    /// All cells, as text: of a header.
    mutating func texts(isCSV: Bool) throws(ParseFault) -> [String] {
        var texts: [String] = []
        var writer = CellWriter()
        defer { writer.deallocate() }
        while true {
            let text: String
            if isCSV {
                let cell = try cell()
                text = String(decoding: cell.bytes, as: UTF8.self).replacing("\"\"", with: "\"")
            } else {
                var cursor = SQLCursor(takeEscaped())
                writer.out.truncate(to: 0)
                while cursor.p < cursor.end { try cursor.takeCharacter(into: &writer.out) }
                text = String(decoding: writer.out.bytes, as: UTF8.self)
            }
            texts.append(text)
            guard p < end else { return texts }
            p += 1
        }
    }
}

extension ParseFault {
    /// The same, about a column unless it is about one already.
    fileprivate func of(column place: Int) -> ParseFault { column < 0 ? ParseFault(code, column: Int32(place)) : self }
}
