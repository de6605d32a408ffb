// Unsafe by design. The invariant: `slots` has `slotCount` (a power of two, or 0) initialized words, `entries` room for
// `entryCapacity` entries of which the first `count` are initialized; each entry's bytes lie inside the child's run,
// which only grows between `removeAll()`s. Freed by the owning block.

import CSluice

/// Finds the place of a value among a low-cardinality column's distinct values: open addressing over their bytes.
@frozen
public struct DictionaryIndex {
    @usableFromInline
    struct Entry {
        @usableFromInline var hash: UInt32
        @usableFromInline var length: UInt32
        /// Where the value's bytes begin in the child's run (behind the length, for strings).
        @usableFromInline var start: Int
    }

    /// Entry numbers plus one; 0 is free.
    private var slots: UnsafeMutablePointer<UInt32>?
    private var slotCount = 0
    private var entries: UnsafeMutablePointer<Entry>?
    private var entryCapacity = 0
    /// Distinct values, the default at place 0 included.
    public private(set) var count = 0
    /// The place found last; values repeat in runs.
    private var last: UInt32 = 0

    /// The node of the distinct values, and whether they are strings.
    let child: Int
    private let isString: Bool

    init(child: Int, isString: Bool) {
        self.child = child
        self.isString = isString
    }

    var byteCapacity: Int { slotCount * 4 + entryCapacity * MemoryLayout<Entry>.stride }

    mutating func removeAll() {
        count = 0
        last = 0
        if let slots { slots.update(repeating: 0, count: slotCount) }
    }

    /// Place 0 stands for NULL and is never found by its bytes.
    mutating func reserveFirst() {
        precondition(count == 0)
        appendEntry(Entry(hash: 0, length: .max, start: 0))
    }

    /// Place 0 is the default value that already lies in the child, and is found by its bytes.
    mutating func adoptFirst(of run: ByteRun, _ node: BlockLayout.Node) {
        precondition(count == 0)
        let header = node.kind == .string ? 1 : 0
        let length = run.count - header
        let hash = Self.hash(run.base.unsafelyUnwrapped + header, length)
        appendEntry(Entry(hash: hash, length: UInt32(length), start: header))
        insertSlot(hash, 0)
    }

    /// The place of the value with these bytes; it is added to `child` if it is new.
    mutating func place(of bytes: UnsafeRawPointer, count length: Int, in child: inout ColumnNode) -> UInt32 {
        let hash = Self.hash(bytes, length)
        if let entries, Int(last) < count, matches(entries[Int(last)], hash, bytes, length, child.data) { return last }
        if (count + 1) * 2 > slotCount { rehash() }
        let slots = slots.unsafelyUnwrapped
        let entries = entries.unsafelyUnwrapped
        var slot = Int(truncatingIfNeeded: hash) & (slotCount - 1)
        while slots[slot] != 0 {
            let found = slots[slot] - 1
            if matches(entries[Int(found)], hash, bytes, length, child.data) {
                last = found
                return found
            }
            slot = (slot + 1) & (slotCount - 1)
        }
        if isString {
            child.data.appendString(bytes, count: length)
        } else {
            child.data.append(bytes, count: length)
        }
        child.rows += 1
        let place = UInt32(count)
        appendEntry(Entry(hash: hash, length: UInt32(length), start: child.data.count - length))
        slots[slot] = place + 1
        last = place
        return place
    }

    @inline(__always)
    private func matches(
        _ entry: Entry, _ hash: UInt32, _ bytes: UnsafeRawPointer, _ length: Int, _ run: ByteRun
    ) -> Bool {
        entry.hash == hash && Int(entry.length) == length
            && sluice_equal(run.base.unsafelyUnwrapped + entry.start, bytes, length) != 0
    }

    private mutating func appendEntry(_ entry: Entry) {
        if count == entryCapacity {
            let wanted = max(64, entryCapacity * 2)
            let moved = UnsafeMutablePointer<Entry>.allocate(capacity: wanted)
            if let entries {
                moved.moveInitialize(from: entries, count: count)
                entries.deallocate()
            }
            entries = moved
            entryCapacity = wanted
        }
        (entries.unsafelyUnwrapped + count).initialize(to: entry)
        count += 1
    }

    private mutating func rehash() {
        let wanted = max(128, slotCount * 2)
        slots?.deallocate()
        slots = .allocate(capacity: wanted)
        slots.unsafelyUnwrapped.initialize(repeating: 0, count: wanted)
        slotCount = wanted
        for place in 0..<count where entries![place].length != .max { insertSlot(entries![place].hash, UInt32(place)) }
    }

    private mutating func insertSlot(_ hash: UInt32, _ place: UInt32) {
        if slotCount == 0 {
            rehash()
            return  // `rehash` inserted every entry, this one too.
        }
        var slot = Int(truncatingIfNeeded: hash) & (slotCount - 1)
        while slots![slot] != 0 { slot = (slot + 1) & (slotCount - 1) }
        slots![slot] = place + 1
    }

    /// A multiplicative hash over 8-byte words, folded to 32 bits. Not for adversaries: the table compares bytes, and a
    /// block's rows bound the longest probe.
    @inline(__always)
    static func hash(_ bytes: UnsafeRawPointer, _ length: Int) -> UInt32 {
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
        slots?.deallocate()
        entries?.deallocate()
        slots = nil
        entries = nil
        slotCount = 0
        entryCapacity = 0
        count = 0
    }
}
