// Unsafe by design. The invariant: `text` holds all names one after the other; `slots` has a power of two of initialized words, three
// quarters of which are free; `entries` has one for each name. All of it is written in init and only read afterwards, until
// `deallocate()`.

import CSluice

/// Finds the number of a name: the columns of a table by key, the members of an enumeration by name.
struct KeyIndex {
    struct Entry {
        /// The first 16 bytes of the name and of the quote behind it, and which of them there are.
        let low: UInt64
        let high: UInt64
        let lowMask: UInt64
        let highMask: UInt64
        /// The name's length; longer than all input where JSON writes the name with escapes, which no quick look finds.
        let span: Int
        let start: Int32
        let length: Int32
    }

    /// Bytes from a key's first one on that a quick look reads.
    static let quickBytes = 16

    let entries: UnsafeMutablePointer<Entry>
    let text: UnsafeMutablePointer<UInt8>
    private let slots: UnsafeMutablePointer<Int32>
    private let slotMask: Int
    let count: Int

    /// The number of a name is its place in `names`; of equal names the first counts.
    init(_ names: [String]) {
        count = names.count
        let bytes = names.reduce(0) { $0 + $1.utf8.count }
        text = .allocate(capacity: max(1, bytes))
        entries = .allocate(capacity: max(1, names.count))
        var size = 16
        while size < names.count * 4 { size *= 2 }
        slots = .allocate(capacity: size)
        slots.initialize(repeating: -1, count: size)
        slotMask = size - 1

        var start = 0
        for (number, name) in names.enumerated() {
            let length = name.utf8.count
            (text + start).initialize(from: Array(name.utf8), count: length)
            (entries + number).initialize(to: Self.entry(text + start, length, start: start))
            if find(text + start, length) < 0 {
                var slot = Self.hash(text + start, length) & slotMask
                while slots[slot] >= 0 { slot = (slot + 1) & slotMask }
                slots[slot] = Int32(number)
            }
            start += length
        }
    }

    private static func entry(_ name: UnsafePointer<UInt8>, _ length: Int, start: Int) -> Entry {
        let isPlain = UnsafeBufferPointer(start: name, count: length).allSatisfy {
            $0 >= 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
        }
        let span = isPlain ? length : Int.max / 2
        guard length < quickBytes else {
            return Entry(
                low: sluice_word(name), high: sluice_word(name + 8), lowMask: .max, highMask: .max, span: span,
                start: Int32(start), length: Int32(length))
        }
        let words = sluice_make_short_text(name, length)
        let (low, high) = length < 8 ? (length + 1, 0) : (8, length - 7)
        return Entry(
            low: words.low, high: words.high, lowMask: mask(low), highMask: mask(high), span: span,
            start: Int32(start), length: Int32(length))
    }

    /// Of the lowest bytes of a word.
    private static func mask(_ bytes: Int) -> UInt64 { bytes == 8 ? .max : (1 << UInt64(bytes * 8)) - 1 }

    /// For telling names apart that are no keys (FNV-1a).
    static func hash(of name: UnsafeRawBufferPointer) -> UInt64 {
        name.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    func deallocate() {
        text.deallocate()
        entries.deallocate()
        slots.deallocate()
    }

    /// -1 when there is no such name.
    func find(_ name: UnsafePointer<UInt8>, _ length: Int) -> Int32 {
        var slot = Self.hash(name, length) & slotMask
        while slots[slot] >= 0 {
            let entry = entries + Int(slots[slot])
            if entry.pointee.length == length, sluice_equal(text + Int(entry.pointee.start), name, length) != 0 {
                return slots[slot]
            }
            slot = (slot + 1) & slotMask
        }
        return -1
    }

    /// The number of a name of up to 15 bytes; -1 when there is none.
    @inline(__always)
    func find(_ name: sluice_short_text) -> Int {
        var slot = Int(truncatingIfNeeded: sluice_short_hash(name.low, name.high)) & slotMask
        while true {
            let number = Int(slots[slot])
            guard number >= 0 else { return -1 }
            let entry = entries + number
            if entry.pointee.low == name.low, entry.pointee.high == name.high, entry.pointee.length < Self.quickBytes {
                return number
            }
            slot = (slot &+ 1) & slotMask
        }
    }

    /// Whether the bytes at `p` are this name with a quote behind it; `left` bytes may be read. Returns the name's length, or -1,
    /// which it may be short of `quickBytes` before the input's end as well.
    @inline(__always)
    func matches(_ number: Int, _ p: UnsafePointer<UInt8>, left: Int) -> Int {
        guard left >= Self.quickBytes else { return -1 }
        return isThere(entries + number, sluice_word(p), sluice_word(p + 8), p, left: left)
            ? entries[number].span : -1
    }

    /// The same of an entry, with the first 16 bytes as words.
    @inline(__always)
    func isThere(
        _ entry: UnsafePointer<Entry>, _ low: UInt64, _ high: UInt64, _ p: UnsafePointer<UInt8>, left: Int
    ) -> Bool {
        let differs =
            (low ^ entry.pointee.low) & entry.pointee.lowMask | (high ^ entry.pointee.high) & entry.pointee.highMask
        return differs == 0 && (entry.pointee.span < Self.quickBytes || Self.isLongThere(entry, text, p, left: left))
    }

    /// Whether the key at `p`, behind its opening quote, whose first 16 bytes are those of a name, is that name and has a colon
    /// behind it.
    @inline(never)
    static func isLongKey(
        _ entry: UnsafePointer<Entry>, _ text: UnsafePointer<UInt8>, _ p: UnsafePointer<UInt8>, left: Int
    ) -> Bool {
        left > entry.pointee.span &+ 1 && isLongThere(entry, text, p, left: left)
            && p[entry.pointee.span + 1] == UInt8(ascii: ":")
    }

    /// What lies behind the first 16 bytes of a long name.
    @inline(never)
    private static func isLongThere(
        _ entry: UnsafePointer<Entry>, _ text: UnsafePointer<UInt8>, _ p: UnsafePointer<UInt8>, left: Int
    ) -> Bool {
        let (span, first) = (entry.pointee.span, min(quickBytes, entry.pointee.span))
        return left > span && p[span] == UInt8(ascii: "\"")
            && sluice_equal(text + Int(entry.pointee.start) + first, p + first, span - first) != 0
    }

    /// Of short names, their words; of others, the first and the last eight bytes and the length: names that differ in the middle only
    /// share a slot's neighbourhood.
    private static func hash(_ bytes: UnsafePointer<UInt8>, _ length: Int) -> Int {
        if length < quickBytes {
            let words = sluice_make_short_text(bytes, length)
            return Int(sluice_short_hash(words.low, words.high))
        }
        var h = UInt64(truncatingIfNeeded: length) &* 0x9E37_79B9_7F4A_7C15
        h ^= sluice_word(bytes)
        h = (h ^ (h &>> 32)) &* 0xFF51_AFD7_ED55_8CCD
        h ^= sluice_word(bytes + length - 8)
        h = (h ^ (h &>> 29)) &* 0xC4CE_B9FE_1A85_EC53
        return Int(truncatingIfNeeded: h &>> 33)
    }
}

/// A key as rows mostly have it: its name, its quote and its colon, without blank space.
struct KeyPattern {
    /// The first 16 bytes of all that, and which of them there are.
    private var low: UInt64 = 0
    private var high: UInt64 = 0
    private var lowMask: UInt64 = 0
    private var highMask: UInt64 = 0
    /// From the opening quote to behind the colon.
    private(set) var span = Int.max / 2

    /// Bytes behind the opening quote that are compared as words.
    private static let wordBytes = 16

    /// What is there nowhere.
    init() {}

    init(_ entry: KeyIndex.Entry, _ name: String) {
        // A name that JSON writes with escapes is there nowhere, either.
        guard entry.span == Int(entry.length) else { return }
        let bytes = Array((name + "\":").utf8)
        span = bytes.count + 1
        for (place, byte) in bytes.prefix(Self.wordBytes).enumerated() {
            let shift = UInt64(place % 8 * 8)
            if place < 8 {
                low |= UInt64(byte) << shift
                lowMask |= 0xFF << shift
            } else {
                high |= UInt64(byte) << shift
                highMask |= 0xFF << shift
            }
        }
    }

    /// Whether 16 bytes behind an opening quote, as words, may be this key: all of it where it is short.
    @inline(__always)
    func mayBe(_ low: UInt64, _ high: UInt64) -> Bool {
        (low ^ self.low) & lowMask | (high ^ self.high) & highMask == 0
    }

    @inline(__always)
    var isLong: Bool { span > Self.wordBytes + 1 }
}
