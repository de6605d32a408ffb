// Unsafe by design. The invariant: `text` holds all names one after the other and `padding` zero bytes behind them, so
// that an eight-byte load at a name's start is in bounds; `slots` has a power of two of initialized words; `entries`
// has one for each name. All of it is written in init and only read afterwards, until `deallocate()`.

import CSluice

/// Finds the number of a name: the columns of a table by key, the members of an enumeration by name.
struct KeyIndex {
    struct Entry {
        let start: Int
        let length: Int
        /// The first eight bytes, and which of them belong to the name.
        let prefix: UInt64
        let mask: UInt64
    }

    private static let padding = 16

    private let text: UnsafeMutablePointer<UInt8>
    private let entries: UnsafeMutablePointer<Entry>
    private let slots: UnsafeMutablePointer<Int32>
    private let slotMask: Int
    let count: Int

    /// The number of a name is its place in `names`; of equal names the first counts.
    init(_ names: [String]) {
        count = names.count
        let bytes = names.reduce(0) { $0 + $1.utf8.count }
        text = .allocate(capacity: bytes + Self.padding)
        text.initialize(repeating: 0, count: bytes + Self.padding)
        entries = .allocate(capacity: max(1, names.count))
        var size = 16
        while size < names.count * 4 { size *= 2 }
        slots = .allocate(capacity: size)
        slots.initialize(repeating: -1, count: size)
        slotMask = size - 1

        var start = 0
        for (number, name) in names.enumerated() {
            var length = 0
            for byte in name.utf8 {
                text[start + length] = byte
                length += 1
            }
            let mask: UInt64 = length >= 8 ? .max : (1 << UInt64(length * 8)) - 1
            let word = UInt64(littleEndian: UnsafeRawPointer(text + start).loadUnaligned(as: UInt64.self))
            (entries + number).initialize(to: Entry(start: start, length: length, prefix: word & mask, mask: mask))
            if find(text + start, length) < 0 {
                var slot = Self.hash(text + start, length) & slotMask
                while slots[slot] >= 0 { slot = (slot + 1) & slotMask }
                slots[slot] = Int32(number)
            }
            start += length
        }
    }

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
            if entry.pointee.length == length, sluice_equal(text + entry.pointee.start, name, length) != 0 {
                return slots[slot]
            }
            slot = (slot + 1) & slotMask
        }
        return -1
    }

    /// Whether the bytes at `p` are this name with a quote behind it; `left` bytes may be read. Returns the name's
    /// length, or -1.
    @inline(__always)
    func matches(_ number: Int, _ p: UnsafePointer<UInt8>, left: Int) -> Int {
        let entry = (entries + number).pointee
        guard left > entry.length &+ 8 else { return -1 }
        let word = UInt64(littleEndian: UnsafeRawPointer(p).loadUnaligned(as: UInt64.self))
        guard word & entry.mask == entry.prefix, p[entry.length] == UInt8(ascii: "\"") else { return -1 }
        if entry.length > 8, sluice_equal(text + entry.start + 8, p + 8, entry.length &- 8) == 0 { return -1 }
        return entry.length
    }

    /// Of the first and the last eight bytes and the length. A name is found by comparing all of it; names that differ in the
    /// middle only share a slot's neighbourhood.
    @inline(__always)
    private static func hash(_ bytes: UnsafePointer<UInt8>, _ length: Int) -> Int {
        var h = UInt64(truncatingIfNeeded: length) &* 0x9E37_79B9_7F4A_7C15
        if length >= 8 {
            let raw = UnsafeRawPointer(bytes)
            h ^= raw.loadUnaligned(as: UInt64.self)
            h = (h ^ (h &>> 32)) &* 0xFF51_AFD7_ED55_8CCD
            h ^= raw.loadUnaligned(fromByteOffset: length &- 8, as: UInt64.self)
        } else {
            h ^= sluice_short_word(bytes, length)
        }
        h = (h ^ (h &>> 29)) &* 0xC4CE_B9FE_1A85_EC53
        return Int(truncatingIfNeeded: h &>> 33)
    }
}
