// Unsafe by design. The invariant: `slots` has `slotCount` (a power of two) initialized slots, half of which are free at least; the bytes of
// each long value lie inside the child's run, which only grows between `removeAll()`s. Freed by the owning block.

import CSluice

/// Finds the place of a value among a low-cardinality column's distinct values: open addressing over their bytes.
@frozen
public struct DictionaryIndex {
    /// Short values lie in their slots, so that finding one looks at nothing else.
    @frozen
    @usableFromInline
    struct Slot {
        /// Of values of up to 15 bytes, what `sluice_short_text` makes of them. Of others, where the bytes begin in the child's run (behind
        /// the length, for strings), and the length below `longMark`.
        @usableFromInline var low: UInt64
        @usableFromInline var high: UInt64
        /// The value's place plus one; 0 is free.
        @usableFromInline var place: UInt32
        /// The upper half of the value's hash.
        @usableFromInline var hash: UInt32
    }

    @usableFromInline var slots: UnsafeMutablePointer<Slot>
    /// By how far a hash is moved down to be the number of a slot.
    @usableFromInline var slotShift: UInt64
    private var slotCount: Int
    /// Distinct values, the default at place 0 included.
    public private(set) var count = 0

    /// The node of the distinct values, and whether they are strings.
    let child: Int
    private let isString: Bool

    /// Longest value that is compared by words alone.
    private static let shortBytesMax = 15
    /// In the upper word of no short value: its highest byte is a quote or zero.
    private static let longMark: UInt64 = 0xFF << 56
    private static let slotCountMin = 64
    /// As far as so many slots three quarters of them stay free, so that mostly the first one looked at is the right one.
    private static let sparseSlotsMax = 1024
    /// A table with more slots than this for a value is made smaller once it is emptied.
    private static let slotsPerValueMax = 16

    init(child: Int, isString: Bool) {
        self.child = child
        self.isString = isString
        slotCount = Self.slotCountMin
        slotShift = Self.shift(of: slotCount)
        slots = Self.freeSlots(slotCount)
    }

    private static func shift(of slotCount: Int) -> UInt64 { 64 - UInt64(slotCount.trailingZeroBitCount) }

    private static func freeSlots(_ count: Int) -> UnsafeMutablePointer<Slot> {
        let slots = UnsafeMutablePointer<Slot>.allocate(capacity: count)
        slots.initialize(repeating: Slot(low: 0, high: 0, place: 0, hash: 0), count: count)
        return slots
    }

    var byteCapacity: Int { slotCount * MemoryLayout<Slot>.stride }

    mutating func removeAll() {
        if slotCount > Self.slotCountMin, slotCount > count * Self.slotsPerValueMax {
            resize(to: slotCount / 2)
        } else {
            slots.update(repeating: Slot(low: 0, high: 0, place: 0, hash: 0), count: slotCount)
        }
        count = 0
    }

    /// Place 0 stands for NULL and is never found by its bytes.
    mutating func reserveFirst() {
        precondition(count == 0)
        count = 1
    }

    /// Place 0 is the default value that already lies in the child, and is found by its bytes.
    mutating func adoptFirst(of run: ByteRun, _ node: BlockLayout.Node) {
        precondition(count == 0)
        let header = node.kind == .string ? 1 : 0
        let bytes = UnsafeRawPointer(run.base.unsafelyUnwrapped + header)
        add(Self.slot(bytes, run.count - header), start: header)
    }

    /// Of the words of a short value. The upper bits are the better ones.
    @inlinable @inline(__always)
    static func hash(_ low: UInt64, _ high: UInt64) -> UInt64 {
        low &* 0x9E37_79B9_7F4A_7C15 &+ high &* 0xC2B2_AE3D_27D4_EB4F
    }

    /// The place of a value of up to 15 bytes, by its words; nil: the dictionary does not have it.
    @inlinable @inline(__always)
    func place(ofShort low: UInt64, _ high: UInt64) -> UInt32? {
        var number = Int(truncatingIfNeeded: Self.hash(low, high) &>> slotShift)
        while true {
            let slot = slots + number
            if slot.pointee.low == low, slot.pointee.high == high { return slot.pointee.place &- 1 }
            guard slot.pointee.place != 0 else { return nil }
            number = next(number)
        }
    }

    @inlinable @inline(__always)
    func next(_ number: Int) -> Int { (number &+ 1) & Int(truncatingIfNeeded: UInt64.max &>> slotShift) }

    /// The place of the value with these bytes; it is added to `child` if it is new.
    mutating func place(of bytes: UnsafeRawPointer, count length: Int, in child: inout ColumnNode) -> UInt32 {
        let wanted = Self.slot(bytes, length)
        let isShort = length <= Self.shortBytesMax
        var number = first(wanted.hash)
        while slots[number].place != 0 {
            let slot = slots[number]
            if slot.hash == wanted.hash, slot.high == wanted.high {
                let isSame =
                    isShort
                    ? slot.low == wanted.low
                    : sluice_equal(child.data.base.unsafelyUnwrapped + Int(slot.low), bytes, length) != 0
                if isSame { return slot.place &- 1 }
            }
            number = next(number)
        }
        if isString {
            child.data.appendString(bytes, count: length)
        } else {
            child.data.append(bytes, count: length)
        }
        child.rows += 1
        let share = slotCount < Self.sparseSlotsMax ? 4 : 2
        if (count + 1) * share > slotCount { grow() }
        add(wanted, start: child.data.count - length)
        return UInt32(count - 1)
    }

    /// A value's slot, but for its place and, of long values, their start.
    private static func slot(_ bytes: UnsafeRawPointer, _ length: Int) -> Slot {
        guard length <= shortBytesMax else {
            let hash = UInt32(truncatingIfNeeded: hash(bytes, length) &>> 32)
            return Slot(low: 0, high: longMark | UInt64(truncatingIfNeeded: length), place: 0, hash: hash)
        }
        let words = sluice_make_short_text(bytes, length)
        let hash = UInt32(truncatingIfNeeded: hash(words.low, words.high) &>> 32)
        return Slot(low: words.low, high: words.high, place: 0, hash: hash)
    }

    private func first(_ hash: UInt32) -> Int { Int(truncatingIfNeeded: (UInt64(hash) &<< 32) &>> slotShift) }

    private mutating func add(_ value: Slot, start: Int) {
        var slot = value
        if slot.high >= Self.longMark { slot.low = UInt64(start) }
        count += 1
        slot.place = UInt32(count)
        fill(slot)
    }

    private func fill(_ slot: Slot) {
        var number = first(slot.hash)
        while slots[number].place != 0 { number = next(number) }
        slots[number] = slot
    }

    /// Twice the room.
    private mutating func grow() {
        let (old, oldCount) = (slots, slotCount)
        slotCount *= 2
        slotShift = Self.shift(of: slotCount)
        slots = Self.freeSlots(slotCount)
        for number in 0..<oldCount where old[number].place != 0 { fill(old[number]) }
        old.deallocate()
    }

    /// So many slots, all of them free.
    private mutating func resize(to count: Int) {
        slots.deallocate()
        slotCount = count
        slotShift = Self.shift(of: count)
        slots = Self.freeSlots(count)
    }

    /// A multiplicative hash over 8-byte words. Not for adversaries: the table compares bytes, and a block's rows bound the longest
    /// probe.
    @inline(__always)
    private static func hash(_ bytes: UnsafeRawPointer, _ length: Int) -> UInt64 {
        var h = UInt64(truncatingIfNeeded: length) &* 0x9E37_79B9_7F4A_7C15
        var offset = 0
        while offset &+ 8 <= length {
            h = (h ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) &* 0xFF51_AFD7_ED55_8CCD
            h ^= h &>> 32
            offset &+= 8
        }
        let tail = sluice_short_word(bytes + offset, length &- offset)
        h = (h ^ tail) &* 0xC4CE_B9FE_1A85_EC53
        return (h ^ (h &>> 29)) &* 0x9E37_79B9_7F4A_7C15
    }

    mutating func deallocate() {
        slots.deallocate()
        count = 0
    }
}
