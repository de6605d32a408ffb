// Unsafe by design, under RowParser's invariant. What is read of a key at once is compared with the input's end before.

import CSluice
import ClickHouseNative

/// Keys, and the marks around them.
extension RowParser {
    static let unknownField = -1
    static let tableField = -2
    /// Less the number of the Nested, whose fields an object has.
    static let nestedField = -3

    /// The fields of a row, the first one's quote at the cursor; the cursor is left behind the closing brace, and
    /// perhaps blank space.
    ///
    /// - Parameter parser: what the functions that read values of the usual shape get of it is no more than pointers (`QuickReader`). No
    ///   other access to it is under way.
    static func fields(
        _ parser: UnsafeMutablePointer<RowParser>, _ rows: Int, _ cursor: inout LineCursor
    ) throws(ParseFault) {
        // Its own parser is where it lies now.
        parser.pointee.reading.parser = UnsafeMutableRawPointer(parser)
        parser.pointee.reading.begin(cursor, rows: rows)
        if sluice_row_is_to_be_sorted(&parser.pointee.reading) != 0, sorted(parser, &cursor) { return }
        var stop = sluice_read_fields(&parser.pointee.reading, 0)
        while stop != SLUICE_ROW_END {
            cursor.p = parser.pointee.reading.p
            if stop != SLUICE_ROW_MARK {
                let previous = Int(parser.pointee.reading.previous)
                var key = Int(parser.pointee.reading.field)
                if stop == SLUICE_ROW_KEY { key = try parser.pointee.anyKey(&cursor, after: previous) }
                if UInt(bitPattern: key) < UInt(bitPattern: parser.pointee.columnCount) {
                    try parser.pointee.field(key, rows, &cursor)
                } else {
                    try parser.pointee.other(key, rows, &cursor)
                    // What the table lacks changes nothing about what comes next.
                    if key < 0 { key = key == Self.tableField ? parser.pointee.keys.count : previous &- 1 }
                }
                parser.pointee.reading.previous = Int64(key &+ 1)
                parser.pointee.reading.p = cursor.p
                stop = sluice_read_fields(&parser.pointee.reading, 1)
                continue
            }
            guard parser.pointee.behindAny(UInt8(ascii: ","), &cursor) else {
                guard cursor.p.pointee == UInt8(ascii: "}") else { throw ParseFault(.malformed) }
                break
            }
            parser.pointee.reading.p = cursor.p
            stop = sluice_read_fields(&parser.pointee.reading, 0)
        }
        if stop == SLUICE_ROW_END { cursor.p = parser.pointee.reading.p }
        parser.pointee.reading.spaced = parser.pointee.reading.blanks == 0 ? 0 : 1
        cursor.p += 1
    }

    /// False: the row is to be read in its own order, and the cursor where it was.
    @inline(never)
    private static func sorted(_ parser: UnsafeMutablePointer<RowParser>, _ cursor: inout LineCursor) -> Bool {
        guard sluice_read_sorted(&parser.pointee.reading) == SLUICE_SORTED else {
            // What is wrong with it, if anything, is its first fault.
            parser.pointee.block.rollback()
            return false
        }
        cursor.p = parser.pointee.reading.p
        return true
    }

    /// The number of the key at the cursor, which is left at its value.
    @inline(never)
    private mutating func anyKey(_ cursor: inout LineCursor, after previous: Int) throws(ParseFault) -> Int {
        guard cursor.p.pointee == UInt8(ascii: "\"") else { throw ParseFault(.malformed) }
        let (p, end) = (cursor.p + 1, cursor.end)
        var (key, length) = (Self.unknownField, -1)
        if Int(successors[previous]) == keys.count {
            length = tableKey.matches(0, p, left: end - p)
            key = Self.tableField
        }
        if length < 0, end - p > KeyIndex.quickBytes {
            (key, length) = keys.quickFind(p, end)
            if key >= 0 { successors[previous] = Int32(truncatingIfNeeded: key) } else { length = -1 }
        }
        if length >= 0 {
            cursor.p = p + (length &+ 1)
        } else {
            key = try unexpectedKey(&cursor, after: previous)
        }
        guard behindAny(UInt8(ascii: ":"), &cursor) else { throw ParseFault(.malformed) }
        return key
    }

    /// Moves over a mark, and blank space on both of its sides. False: another byte is there, and the cursor at it.
    @inline(never)
    private mutating func behindAny(_ mark: UInt8, _ cursor: inout LineCursor) -> Bool {
        let start = cursor.p
        cursor.skipSpace()
        guard cursor.take(mark) else { return false }
        cursor.skipSpace()
        if cursor.p - start > 1 { (reading.spaced, reading.blanks) = (1, 1) }
        return true
    }

    @inline(never)
    private mutating func unexpectedKey(_ cursor: inout LineCursor, after previous: Int) throws(ParseFault) -> Int {
        if plan.hasRules { plan.rules?.state.pointee.key = cursor.p }
        let name: UnsafeRawBufferPointer
        if let plain = try cursor.plainString() {
            name = plain
        } else {
            try cursor.unescapedString(into: &scratch)
            name = scratch.bytes
        }
        let bytes = name.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? cursor.p
        let column = Int(keys.find(bytes, name.count))
        if column >= 0 {
            successors[previous] = Int32(column)
            return column
        }
        if tableKey.find(bytes, name.count) >= 0 {
            successors[previous] = Int32(keys.count)
            return Self.tableField
        }
        if let nested = plan.nestedFields {
            let place = Int(nested.names.find(bytes, name.count))
            if place >= 0 { return Self.nestedField - place }
        }
        unknownName = KeyIndex.hash(of: name)
        return Self.unknownField
    }
}

extension sluice_row {
    /// - Parameter successors: with a word for each key, and two.
    init(_ plan: FieldPlan, _ block: Block, _ successors: UnsafeMutablePointer<Int32>) {
        self.init()
        fields = UnsafePointer(plan.fields)
        field_count = Int64(plan.columnCount)
        slots = UnsafePointer(plan.slots)
        (low_factor, high_factor) = (plan.keys.table.low_factor, plan.keys.table.high_factor)
        shift = plan.keys.table.shift
        probes = plan.slotsAreProbed
        self.successors = successors
        nodes = UnsafeMutableRawPointer(block.nodes)
        pad = { field, rows, parser in
            parser!.assumingMemoryBound(to: RowParser.self).pointee.pad(
                field!.pointee.operation.assumingMemoryBound(to: FieldOperation.self), Int(rows))
        }
        look = { number, rows, p, end, parser in
            var cursor = LineCursor(p.unsafelyUnwrapped, end: end.unsafelyUnwrapped)
            do throws(ParseFault) {
                try parser!.assumingMemoryBound(to: RowParser.self).pointee.field(Int(number), Int(rows), &cursor)
                return cursor.p
            } catch {
                return nil
            }
        }
        // Rules are asked about each field when its turn comes, and may be about the row so far. Without them a second row tells whether
        // there is no order, or another one than before.
        unsorted = plan.hasRules ? .max : 1
        keys_ahead = SLUICE_KEYS_AHEAD
    }

    fileprivate mutating func begin(_ cursor: LineCursor, rows: Int) {
        (p, end) = (cursor.p, cursor.end)
        previous = 0
        self.rows = Int64(rows)
        blanks = 0
    }
}
