// Unsafe by design: compares names within their counts, reads rows up to the end of their chunk, and counts newlines between two places
// of a chunk, the later of which was reached by reading.

import CSluice
import ClickHouseNative

/// Tables by their names as rows have them: finding one takes no text apart and allocates nothing. What is not here is looked up the
/// long way.
struct KnownNames {
    /// Nothing that is counted when it is copied.
    private struct Entry {
        /// Of the name's text.
        let hash: UInt64
        let start: Int32
        let length: Int32
        /// `TableWriter.number`; -1: there is none.
        let number: Int
    }

    /// A power of two.
    private static let places = 4096
    /// A name is in one of so many, from the one of its hash on. Names that find none free take turns.
    private static let steps = 16
    private static let nameBytesMax = 512

    /// Empty until something was noted.
    private var entries: [Entry] = []
    /// Of all names that were noted, one after the other.
    private var text: [UInt8] = []
    /// Beyond it all are forgotten: names that take turns are noted again and again.
    private static let textBytesMax = 1 << 20

    /// What stands before the name in rows that name their table first, from the brace to the quote, as the last one had it.
    private var head: [UInt8] = []
    private static let headBytesMax = 64

    var isEmpty: Bool { entries.isEmpty }

    /// The text of the row's first field if that is the one which names the table, and if it has no escapes.
    ///
    /// - Parameters:
    ///   - row: at its brace, where it is one.
    ///   - key: finds the name of that field.
    mutating func firstName(of row: LineCursor, key: KeyIndex) -> UnsafeRawBufferPointer? {
        var ahead = row
        guard ahead.take(UInt8(ascii: "{")) else { return nil }
        ahead.skipSpace()
        guard ahead.p.pointee == UInt8(ascii: "\""), let field = try? ahead.plainString(),
            let start = field.baseAddress,
            key.find(start.assumingMemoryBound(to: UInt8.self), field.count) >= 0
        else { return nil }
        ahead.skipSpace()
        guard ahead.take(UInt8(ascii: ":")) else { return nil }
        ahead.skipSpace()
        guard ahead.p.pointee == UInt8(ascii: "\"") else { return nil }
        let before = UnsafeBufferPointer(start: row.p, count: ahead.p + 1 - row.p)
        if before.count <= Self.headBytesMax, !head.elementsEqual(before) { head = Array(before) }
        return try? ahead.plainString()
    }

    /// The same as a number of a table, of a row that begins as the last one did; nil: who knows.
    @inline(__always)
    func quickNumber(of row: LineCursor) -> Int? {
        let isSame = head.withUnsafeBytes { head in
            row.end - row.p > head.count && head.count > 0 && sluice_equal(row.p, head.baseAddress!, head.count) != 0
        }
        guard isSame else { return nil }
        let start = row.p + head.count
        guard let close = sluice_scan_string(start, row.end), close < row.end, close.pointee == UInt8(ascii: "\"")
        else { return nil }
        return number(of: UnsafeRawBufferPointer(start: start, count: close - start))
    }

    /// `TableWriter.number` of the table.
    func number(of name: UnsafeRawBufferPointer) -> Int? {
        let hash = KeyIndex.hash(of: name)
        for step in 0..<Self.steps {
            let entry = entries[Self.place(hash, step)]
            guard entry.number >= 0 else { return nil }
            guard entry.hash == hash, Int(entry.length) == name.count else { continue }
            let isSame = text.withUnsafeBytes { known in
                guard let a = known.baseAddress, let b = name.baseAddress else { return true }
                return sluice_equal(a + Int(entry.start), b, name.count) != 0
            }
            if isSame { return entry.number }
        }
        return nil
    }

    private static func place(_ hash: UInt64, _ step: Int) -> Int { Int((hash &+ UInt64(step)) & UInt64(places - 1)) }

    mutating func note(_ name: UnsafeRawBufferPointer, _ number: Int) {
        // Noted again and again, as by the first row of each chunk, it would take the places of others.
        guard name.count <= Self.nameBytesMax, isEmpty || self.number(of: name) != number else { return }
        if text.count + name.count > Self.textBytesMax { forget() }
        if entries.isEmpty {
            entries = Array(repeating: Entry(hash: 0, start: 0, length: 0, number: -1), count: Self.places)
        }
        let hash = KeyIndex.hash(of: name)
        let free = (0..<Self.steps).first { entries[Self.place(hash, $0)].number < 0 }
        entries[Self.place(hash, free ?? 0)] = Entry(
            hash: hash, start: Int32(text.count), length: Int32(name.count), number: number)
        text += name
    }

    mutating func forget() {
        entries = []
        text = []
    }
}

/// Finds the numbers of a chunk's lines. Asked for some of them, in their order, so that each newline is counted once.
struct LineCount {
    /// Of the chunk's first line; 0: lines have no numbers.
    let first: UInt64
    /// The newlines before this were counted.
    private var at: Bytes
    private var next: UInt64?

    init(at start: Bytes, number: UInt64?) {
        at = start
        next = number
        first = number ?? 0
    }

    /// The number of the line with this byte.
    mutating func number(at byte: Bytes) -> UInt64? {
        guard let number = next else { return nil }
        if at < byte {
            next = number + UInt64(sluice_count(at, byte - at, 0x0A))
            at = byte
        }
        return next
    }

    /// The line that was asked for last ends right before this.
    mutating func passed(to end: Bytes) {
        guard let number = next else { return }
        next = number + 1
        at = end
    }
}
