// Unsafe by design: compares names within their counts, and counts newlines between two places of a chunk, the later of which was
// reached by reading.

import CSluice
import ClickHouseNative

/// Tables by their names as rows have them: finding one takes no text apart and allocates nothing. What is not here is looked up the
/// long way.
struct KnownNames {
    private struct Entry {
        let hash: UInt64
        let name: [UInt8]
        let writer: TableWriter
    }

    /// A power of two; two names of one place take turns.
    private static let places = 4096
    private static let nameBytesMax = 512

    /// Empty until something was noted.
    private var entries: [Entry?] = []

    var isEmpty: Bool { entries.isEmpty }

    func writer(of name: UnsafeRawBufferPointer) -> TableWriter? {
        let hash = KeyIndex.hash(of: name)
        guard let entry = entries[Int(hash & UInt64(Self.places - 1))], entry.hash == hash,
            entry.name.count == name.count
        else { return nil }
        let isSame = entry.name.withUnsafeBytes { known in
            guard let a = known.baseAddress, let b = name.baseAddress else { return true }
            return sluice_equal(a, b, known.count) != 0
        }
        return isSame ? entry.writer : nil
    }

    mutating func note(_ name: UnsafeRawBufferPointer, _ writer: TableWriter) {
        guard name.count <= Self.nameBytesMax else { return }
        if entries.isEmpty { entries = Array(repeating: nil, count: Self.places) }
        let hash = KeyIndex.hash(of: name)
        entries[Int(hash & UInt64(Self.places - 1))] = Entry(hash: hash, name: Array(name), writer: writer)
    }

    mutating func forget() { entries = [] }
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
