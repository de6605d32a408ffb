// Unsafe by design: compares names within their counts, and counts newlines between two places of a chunk, the later of which was
// reached by reading.

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
    private static let steps = 8
    private static let nameBytesMax = 512

    /// Empty until something was noted.
    private var entries: [Entry] = []
    /// Of all names that were noted, one after the other.
    private var text: [UInt8] = []
    /// Beyond it all are forgotten: names that take turns are noted again and again.
    private static let textBytesMax = 1 << 20

    var isEmpty: Bool { entries.isEmpty }

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
