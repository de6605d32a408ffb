// Unsafe by design, under RowParser's invariant. What is read of a key at once is compared with the input's end before.

import CSluice
import ClickHouseNative

/// Keys, and the marks around them.
extension RowParser {
    /// Keys in the learned order that are compared before a key is looked up, at most.
    static let keysAheadMax = 4
    static let unknownField = -1
    static let tableField = -2
    /// Less the number of the Nested, whose fields an object has.
    static let nestedField = -3

    /// The column whose key is at `p`, and where its value begins, of a row as programs write them: in the order of those before,
    /// and without blank space. A column below zero: this is none.
    @inline(__always)
    mutating func orderlyKey(_ p: Bytes, _ end: Bytes, after previous: Int) -> (column: Int, value: Bytes) {
        guard isOrderly, end - p > Self.orderlyBytes else { return (Self.unknownField, p) }
        let (low, high) = (sluice_word(p + 1), sluice_word(p + 9))
        // Rows leave fields out, so what comes after the next one is looked at, too.
        var guess = Int(successors[previous])
        var tries = Self.keysAheadMax
        while UInt(bitPattern: guess) < UInt(bitPattern: columnCount) {
            let operation = operations + guess
            if operation.pointee.key.mayBe(low, high) {
                guard
                    !operation.pointee.key.isLong
                        || KeyIndex.isLongKey(keys.entries + guess, keys.text, p + 1, left: end - p - 1)
                else { break }
                let value = p + operation.pointee.key.span
                guard value.pointee > 0x20 else { break }
                return (guess, value)
            }
            tries &-= 1
            guard tries > 0 else { break }
            guess = Int(successors[guess &+ 1])
        }
        return (Self.unknownField, p)
    }

    /// What is read of a short key at most.
    private static let orderlyBytes = 32

    /// The number of the key at the cursor, which is left at its value.
    @inline(never)
    mutating func anyKey(_ cursor: inout LineCursor, after previous: Int) throws(ParseFault) -> Int {
        var (key, length) = quickKey(cursor.p + 1, cursor.end, after: previous)
        if _fastPath(length >= 0) {
            cursor.p += length &+ 2
        } else {
            key = try unexpectedKey(&cursor, after: previous)
        }
        guard let value = behind(UInt8(ascii: ":"), cursor.p, cursor.end) else { throw ParseFault(.malformed) }
        cursor.p = value
        isOrderly = keysAhead == Self.keysAheadMax && blanks == 0
        return key
    }

    /// For so many marks at least blank space is looked for first, once there was some.
    private static let blanksMin = 64

    /// Where what follows a mark, and blank space on both of its sides, begins; nil: another byte is there.
    @inline(__always)
    mutating func behind(_ mark: UInt8, _ p: Bytes, _ end: Bytes) -> Bytes? {
        if blanks == 0 {
            if _fastPath(p.pointee == mark && p[1] > 0x20) { return p + 1 }
        } else if _fastPath(end - p >= 16) {
            let length = sluice_skip_mark(p, mark)
            if _fastPath(length > 0) {
                // Many more where there was some, without a branch that would be guessed wrong.
                blanks = (blanks &- 1) | (length &- 1) &* Self.blanksMin
                return p + length
            }
        }
        return behindAny(mark, p, end)
    }

    @inline(never)
    private mutating func behindAny(_ mark: UInt8, _ p: Bytes, _ end: Bytes) -> Bytes? {
        var cursor = LineCursor(p, end: end)
        cursor.skipSpace()
        guard cursor.take(mark) else { return nil }
        cursor.skipSpace()
        if cursor.p - p > 1 {
            blanks = Self.blanksMin
            isOrderly = false
        }
        return cursor.p
    }

    /// The number of the key at `p`, behind its opening quote, and its length; a length below zero: that takes a closer look.
    @inline(__always)
    private mutating func quickKey(_ p: Bytes, _ end: Bytes, after previous: Int) -> (number: Int, length: Int) {
        let left = end - p
        guard _fastPath(left > KeyIndex.quickBytes) else { return (Self.unknownField, -1) }
        let (low, high) = (sluice_word(p), sluice_word(p + 8))
        // Rows leave fields out, so what comes after the next one is looked at, too.
        var guess = Int(successors[previous])
        var tries = keysAhead
        while tries > 0, guess >= 0 {
            if _fastPath(guess < keys.count) {
                let entry = keys.entries + guess
                if keys.isThere(entry, low, high, p, left: left) {
                    if _slowPath(keysAhead < Self.keysAheadMax) { keysAhead &+= 1 }
                    return (guess, entry.pointee.span)
                }
            } else if tableKey.isThere(tableKey.entries, low, high, p, left: left) {
                return (Self.tableField, tableKey.entries.pointee.span)
            }
            guess = Int(successors[guess &+ 1])
            tries &-= 1
        }
        // Where keys come in no order, guesses are not worth their while.
        if keysAhead > 0 { keysAhead &-= 1 }
        let name = sluice_read_short_text(p)
        guard name.length >= 0 else { return (Self.unknownField, -1) }
        let number = keys.find(name)
        guard number >= 0 else { return (Self.unknownField, -1) }
        if Int(successors[previous]) == number {
            keysAhead &+= 1
        } else {
            successors[previous] = Int32(truncatingIfNeeded: number)
        }
        return (number, name.length)
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
