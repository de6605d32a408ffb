// Unsafe by design. The invariant: `text` holds all names one after the other; `slots` has a power of two of initialized words, three
// quarters of which are free, and `table.slots` another one, half of which are free at least; `entries` has one for each name. All of
// it is written in init and only read afterwards, until `deallocate()`.

import CSluice

/// Finds the number of a name: the columns of a table by key, the members of an enumeration by name.
struct KeyIndex {
    struct Entry {
        let start: Int32
        let length: Int32
        /// JSON writes the name without escapes. What has some no quick look finds.
        let isPlain: Bool
    }

    /// Bytes from a key's first one on that a quick look reads.
    static let quickBytes = 16

    let entries: UnsafeMutablePointer<Entry>
    let text: UnsafeMutablePointer<UInt8>
    /// All plain names.
    let table: sluice_key_table
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
            let bytes = Array(name.utf8)
            (text + start).initialize(from: bytes, count: length)
            let isPlain = bytes.allSatisfy { $0 >= 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
            (entries + number).initialize(to: Entry(start: Int32(start), length: Int32(length), isPlain: isPlain))
            start += length
        }
        var builder = KeyTableBuilder()
        for number in 0..<count {
            let (name, length) = (text + Int(entries[number].start), Int(entries[number].length))
            var slot = Self.hash(name, length) & slotMask
            var isNew = true
            while slots[slot] >= 0 {
                let other = entries[Int(slots[slot])]
                if other.length == length, sluice_equal(text + Int(other.start), name, length) != 0 { isNew = false }
                slot = (slot + 1) & slotMask
            }
            guard isNew else { continue }
            slots[slot] = Int32(number)
            if entries[number].isPlain { builder.add(name, length, number: number) }
        }
        table = builder.table()
    }

    /// For telling names apart that are no keys: eight bytes at a time.
    static func hash(of name: UnsafeRawBufferPointer) -> UInt64 {
        var hash = UInt64(truncatingIfNeeded: name.count) &* 0x9E37_79B9_7F4A_7C15
        func take(_ word: UInt64) {
            hash = (hash ^ word) &* 0xFF51_AFD7_ED55_8CCD
            hash ^= hash &>> 32
        }
        var place = 0
        while place &+ 8 <= name.count {
            take(name.loadUnaligned(fromByteOffset: place, as: UInt64.self))
            place &+= 8
        }
        var rest: UInt64 = 0
        for byte in place..<name.count { rest = rest &<< 8 | UInt64(name[byte]) }
        take(rest)
        return hash
    }

    func deallocate() {
        text.deallocate()
        entries.deallocate()
        slots.deallocate()
        table.slots.deallocate()
    }

    /// Slots of `table`.
    var slotCount: Int { 1 << (64 - Int(table.shift)) }

    /// -1 when there is no such name.
    func find(_ name: UnsafePointer<UInt8>, _ length: Int) -> Int32 {
        // The keys of a row are compared with one name each to see where it goes.
        if count == 1 {
            return entries.pointee.length == length && sluice_equal(text, name, length) != 0 ? 0 : -1
        }
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

    /// The number of a plain name of up to 15 bytes; -1 when there is none.
    @inline(__always)
    func find(_ name: sluice_short_text) -> Int {
        Int(sluice_find_name(table, name.low, name.high).pointee.number)
    }

    /// The number of the plain name whose opening quote is before `p`, and its length; -1: a closer look may find one. 16 bytes may be
    /// read, and those up to `end` are.
    @inline(__always)
    func quickFind(_ p: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> (number: Int, length: Int) {
        let slot = sluice_find_key(table, p).unsafelyUnwrapped
        let (number, length) = (Int(slot.pointee.number), Int(slot.pointee.length))
        guard length >= Self.quickBytes else { return (number, length) }
        return matches(number, p, left: end - p) == length ? (number, length) : (-1, 0)
    }

    /// A name that JSON writes without escapes; nil: this is none.
    func plainName(_ number: Int) -> UnsafeBufferPointer<UInt8>? {
        let entry = entries[number]
        return entry.isPlain ? UnsafeBufferPointer(start: text + Int(entry.start), count: Int(entry.length)) : nil
    }

    /// Whether the bytes at `p` are this name with a quote behind it; `left` bytes may be read. Returns the name's length, or -1.
    @inline(never)
    func matches(_ number: Int, _ p: UnsafePointer<UInt8>, left: Int) -> Int {
        let (start, length) = (Int(entries[number].start), Int(entries[number].length))
        guard entries[number].isPlain, left > length, p[length] == UInt8(ascii: "\""),
            sluice_equal(text + start, p, length) != 0
        else { return -1 }
        return length
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

/// Makes the table that quick looks go by: with factors under which the names get in each other's way as little as can be, so that mostly
/// the first slot looked at is the right one.
private struct KeyTableBuilder {
    private var names: [sluice_key_slot] = []

    /// Factors tried for a size; a size that has none is doubled, up to so many slots a name.
    private static let factorsTried = 32
    private static let slotsPerNameMax = 16
    /// Beyond it the first factors are taken, so that a table is made in no time.
    private static let namesTriedMax = 1024

    mutating func add(_ name: UnsafePointer<UInt8>, _ length: Int, number: Int) {
        var slot = sluice_key_slot(low: 0, high: 0, number: Int32(number), length: UInt32(length))
        if length < KeyIndex.quickBytes {
            let words = sluice_make_short_text(name, length)
            (slot.low, slot.high) = (words.low, words.high)
        } else {
            (slot.low, slot.high) = (sluice_word(name), sluice_word(name + 8))
        }
        names.append(slot)
    }

    func table() -> sluice_key_table {
        var bits: UInt32 = 4
        while 1 << bits < names.count * 4 { bits += 1 }
        var best = sluice_key_table(
            slots: nil, low_factor: 0x9E37_79B9_7F4A_7C15, high_factor: 0xC2B2_AE3D_27D4_EB4F, shift: 64 - bits)
        if names.count <= Self.namesTriedMax { best = spread(from: best) }
        let size = 1 << (64 - Int(best.shift))
        best.slots = .allocate(capacity: size)
        best.slots.initialize(repeating: sluice_key_slot(low: 0, high: 0, number: -1, length: 0), count: size)
        for name in names {
            var place = sluice_key_place(best, name.low, name.high)
            while best.slots[place].number >= 0 { place = (place + 1) & (size - 1) }
            best.slots[place] = name
        }
        return best
    }

    private func spread(from first: sluice_key_table) -> sluice_key_table {
        var (best, fewest) = (first, Int.max)
        var candidate = first
        while true {
            for _ in 0..<Self.factorsTried {
                let found = clashes(candidate)
                if found < fewest { (best, fewest) = (candidate, found) }
                if found == 0 { return best }
                candidate.low_factor = candidate.low_factor &* 0x5851_F42D_4C95_7F2D | 1
                candidate.high_factor = candidate.high_factor &* 0x1405_7B7E_F767_814F | 1
            }
            guard 1 << (64 - Int(candidate.shift)) < names.count * Self.slotsPerNameMax else { return best }
            candidate.shift -= 1
        }
    }

    /// Names whose slot is another one's, too.
    private func clashes(_ table: sluice_key_table) -> Int {
        var taken = [Bool](repeating: false, count: 1 << (64 - Int(table.shift)))
        var count = 0
        for name in names {
            let place = sluice_key_place(table, name.low, name.high)
            if taken[place] { count += 1 }
            taken[place] = true
        }
        return count
    }
}
