// Unsafe by design. The invariant: `slots` has `slotCount` (a power of two) initialized words, half of which are free at least;
// `entries` has room for `entryCapacity` entries of which the first `count` are initialized; each entry's bytes lie inside the
// child's run, which only grows between `removeAll()`s. Freed by the owning block.

import CSluice

/// Finds the place of a value among a low-cardinality column's distinct values: open addressing over their bytes.
@frozen
public struct DictionaryIndex {
    @frozen
    @usableFromInline
    struct Entry {
        /// Of values of up to 15 bytes, what `sluice_short_text` makes of them; of others, zeros.
        @usableFromInline var low: UInt64
        @usableFromInline var high: UInt64
        /// Where the value's bytes begin in the child's run (behind the length, for strings).
        @usableFromInline var start: Int
        @usableFromInline var hash: UInt32
        @usableFromInline var length: UInt32
    }

    /// Entry numbers plus one; 0 is free.
    @usableFromInline var slots: UnsafeMutablePointer<UInt32>
    /// By how far a hash is moved down to be the number of a slot.
    @usableFromInline var slotShift: UInt32
    @usableFromInline var entries: UnsafeMutablePointer<Entry>
    private var slotCount: Int
    private var entryCapacity: Int
    /// Distinct values, the default at place 0 included.
    public private(set) var count = 0

    /// The node of the distinct values, and whether they are strings.
    let child: Int
    private let isString: Bool

    /// Longest value that is compared by words alone.
    private static let shortBytesMax = 15
    private static let slotCountMin = 128

    init(child: Int, isString: Bool) {
        self.child = child
        self.isString = isString
        slotCount = Self.slotCountMin
        slotShift = Self.shift(of: slotCount)
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: 0, count: slotCount)
        entryCapacity = slotCount / 2
        entries = .allocate(capacity: entryCapacity)
    }

    private static func shift(of slotCount: Int) -> UInt32 { 32 - UInt32(slotCount.trailingZeroBitCount) }

    var byteCapacity: Int { slotCount * 4 + entryCapacity * MemoryLayout<Entry>.stride }

    mutating func removeAll() {
        count = 0
        slots.update(repeating: 0, count: slotCount)
    }

    /// Place 0 stands for NULL and is never found by its bytes.
    mutating func reserveFirst() {
        precondition(count == 0)
        append(Entry(low: 0, high: 0, start: 0, hash: 0, length: .max))
    }

    /// Place 0 is the default value that already lies in the child, and is found by its bytes.
    mutating func adoptFirst(of run: ByteRun, _ node: BlockLayout.Node) {
        precondition(count == 0)
        let header = node.kind == .string ? 1 : 0
        let bytes = UnsafeRawPointer(run.base.unsafelyUnwrapped + header)
        append(Self.entry(bytes, run.count - header, start: header))
        fillSlot(0)
    }

    /// The place of a value of up to 15 bytes, by its words; nil: the dictionary does not have it.
    @inlinable @inline(__always)
    func place(ofShort low: UInt64, _ high: UInt64) -> UInt32? {
        var slot = Int(sluice_short_hash(low, high) &>> slotShift)
        while true {
            let found = slots[slot]
            guard found != 0 else { return nil }
            let entry = entries + Int(found &- 1)
            if entry.pointee.low == low, entry.pointee.high == high { return found &- 1 }
            slot = next(slot)
        }
    }

    @inlinable @inline(__always)
    func next(_ slot: Int) -> Int { (slot &+ 1) & (Int(UInt32.max &>> slotShift)) }

    /// The place of the value with these bytes; it is added to `child` if it is new.
    mutating func place(of bytes: UnsafeRawPointer, count length: Int, in child: inout ColumnNode) -> UInt32 {
        let wanted = Self.entry(bytes, length, start: 0)
        var slot = Int(wanted.hash &>> slotShift)
        while slots[slot] != 0 {
            let found = slots[slot] - 1
            if matches(entries[Int(found)], wanted, bytes, child.data) { return found }
            slot = next(slot)
        }
        if isString {
            child.data.appendString(bytes, count: length)
        } else {
            child.data.append(bytes, count: length)
        }
        child.rows += 1
        let place = count
        if (place + 1) * 2 > slotCount { grow() }
        var entry = wanted
        entry.start = child.data.count - length
        append(entry)
        fillSlot(place)
        return UInt32(place)
    }

    @inline(__always)
    private func matches(_ entry: Entry, _ wanted: Entry, _ bytes: UnsafeRawPointer, _ run: ByteRun) -> Bool {
        guard entry.hash == wanted.hash, entry.length == wanted.length else { return false }
        if Int(wanted.length) <= Self.shortBytesMax { return entry.low == wanted.low && entry.high == wanted.high }
        return sluice_equal(run.base.unsafelyUnwrapped + entry.start, bytes, Int(wanted.length)) != 0
    }

    private static func entry(_ bytes: UnsafeRawPointer, _ length: Int, start: Int) -> Entry {
        guard length <= shortBytesMax else {
            return Entry(low: 0, high: 0, start: start, hash: hash(bytes, length), length: UInt32(length))
        }
        let words = sluice_make_short_text(bytes, length)
        return Entry(
            low: words.low, high: words.high, start: start, hash: sluice_short_hash(words.low, words.high),
            length: UInt32(length))
    }

    private mutating func append(_ entry: Entry) {
        precondition(count < entryCapacity)
        (entries + count).initialize(to: entry)
        count += 1
    }

    /// Twice the room.
    private mutating func grow() {
        slots.deallocate()
        slotCount *= 2
        slotShift = Self.shift(of: slotCount)
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: 0, count: slotCount)
        entryCapacity = slotCount / 2
        let moved = UnsafeMutablePointer<Entry>.allocate(capacity: entryCapacity)
        moved.moveInitialize(from: entries, count: count)
        entries.deallocate()
        entries = moved
        for place in 0..<count where entries[place].length != .max { fillSlot(place) }
    }

    private mutating func fillSlot(_ place: Int) {
        var slot = Int(entries[place].hash &>> slotShift)
        while slots[slot] != 0 { slot = next(slot) }
        slots[slot] = UInt32(place) + 1
    }

    /// A multiplicative hash over 8-byte words, folded to 32 bits. Not for adversaries: the table compares bytes, and a
    /// block's rows bound the longest probe.
    @inline(__always)
    private static func hash(_ bytes: UnsafeRawPointer, _ length: Int) -> UInt32 {
        var h = UInt64(truncatingIfNeeded: length) &* 0x9E37_79B9_7F4A_7C15
        var offset = 0
        while offset &+ 8 <= length {
            h = (h ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) &* 0xFF51_AFD7_ED55_8CCD
            h ^= h &>> 32
            offset &+= 8
        }
        let tail = sluice_short_word(bytes + offset, length &- offset)
        h = (h ^ tail) &* 0xC4CE_B9FE_1A85_EC53
        return UInt32(truncatingIfNeeded: h ^ (h &>> 29) ^ (h &>> 47))
    }

    mutating func deallocate() {
        slots.deallocate()
        entries.deallocate()
        count = 0
    }
}
