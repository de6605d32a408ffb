// Unsafe by design, and small for that reason. The invariant: `start` points to `room` bytes obtained from malloc
// (or is nil while room is 0), the first `used` of them are initialized, and 0 <= used <= room. Every method
// that writes reserves first; whoever uses the pointers directly stays below `used`. A run has one owner, which frees it.

import CSluice

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A growable run of bytes: the memory of a column. A plain struct without reference counting, freed by its owner.
@frozen
public struct ByteRun {
    @usableFromInline var start: UnsafeMutableRawPointer?
    @usableFromInline var used: Int
    @usableFromInline var room: Int

    /// The first byte; nil while nothing was ever written.
    @inlinable public var base: UnsafeMutableRawPointer? { start }
    /// Bytes written.
    @inlinable public var count: Int { used }
    /// Bytes allocated.
    @inlinable public var capacity: Int { room }

    @inlinable
    public init() {
        start = nil
        used = 0
        room = 0
    }

    /// A full run in memory of somebody else's, who frees it; nobody writes to it.
    init(borrowing start: UnsafeMutableRawPointer, count: Int) {
        self.start = start
        used = count
        room = count
    }

    @inlinable
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    /// Makes room for `extra` more bytes.
    @inlinable @inline(__always)
    public mutating func reserve(_ extra: Int) {
        if _slowPath(capacity &- count < extra) { grow(extra) }
    }

    @usableFromInline @inline(never)
    mutating func grow(_ extra: Int) {
        let needed = count + extra
        var wanted = max(256, capacity + capacity / 2)
        if wanted < needed { wanted = needed }
        guard let moved = realloc(base, wanted) else { fatalError("out of memory: \(wanted) bytes for a column") }
        start = moved
        room = wanted
    }

    /// Makes room for so many bytes and no more; for an empty run.
    mutating func reserveExactly(_ length: Int) {
        guard length > capacity else { return }
        guard let moved = realloc(base, length) else { fatalError("out of memory: \(length) bytes for a column") }
        start = moved
        room = length
    }

    @inlinable @inline(__always)
    public mutating func append<T: BitwiseCopyable>(_ value: T) {
        reserve(MemoryLayout<T>.size)
        base.unsafelyUnwrapped.storeBytes(of: value, toByteOffset: count, as: T.self)
        used &+= MemoryLayout<T>.size
    }

    @inlinable @inline(__always)
    public mutating func append(_ source: UnsafeRawPointer, count length: Int) {
        guard length > 0 else { return }
        reserve(length)
        sluice_copy(base.unsafelyUnwrapped + count, source, length)
        used &+= length
    }

    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        append(start, count: bytes.count)
    }

    @inlinable @inline(__always)
    public mutating func appendZeros(_ length: Int) {
        guard _fastPath(length <= 16) else { return append(repeating: 0, count: length) }
        // Two words, whatever the length: what they write too much is room that is written anew.
        reserve(16)
        base.unsafelyUnwrapped.storeBytes(of: 0, toByteOffset: count, as: UInt64.self)
        base.unsafelyUnwrapped.storeBytes(of: 0, toByteOffset: count &+ 8, as: UInt64.self)
        used &+= length
    }

    @inlinable
    public mutating func append(repeating byte: UInt8, count length: Int) {
        guard length > 0 else { return }
        reserve(length)
        memset(base.unsafelyUnwrapped + count, Int32(byte), length)
        used &+= length
    }

    /// Lets `body` write up to `room` bytes behind the others; it returns how many it wrote.
    @inlinable @inline(__always)
    public mutating func append(atMost room: Int, _ body: (UnsafeMutableRawPointer) -> Int) {
        reserve(room)
        let written = body(base.unsafelyUnwrapped + count)
        precondition(written >= 0 && written <= room)
        used &+= written
    }

    /// Whether so many bytes fit without more memory.
    @inlinable @inline(__always)
    public func hasRoom(_ extra: Int) -> Bool { capacity &- count >= extra }

    /// Where the next byte goes, with room for so many; they may be written in any order, and count once `commit` says so.
    @inlinable @inline(__always)
    public mutating func claim(_ room: Int) -> UnsafeMutableRawPointer {
        reserve(room)
        return base.unsafelyUnwrapped + count
    }

    /// The first `length` bytes of the room that was claimed are written.
    @inlinable @inline(__always)
    public mutating func commit(_ length: Int) {
        assert(length >= 0 && length <= capacity &- count)
        used &+= length
    }

    /// LEB128, as the native protocol writes lengths (ClickHouse's IO/VarInt.h).
    @inlinable @inline(__always)
    public mutating func appendVarUInt(_ value: UInt64) {
        reserve(10)
        var rest = value
        while rest >= 0x80 {
            base.unsafelyUnwrapped.storeBytes(
                of: UInt8(truncatingIfNeeded: rest) | 0x80, toByteOffset: count, as: UInt8.self)
            used &+= 1
            rest &>>= 7
        }
        base.unsafelyUnwrapped.storeBytes(of: UInt8(truncatingIfNeeded: rest), toByteOffset: count, as: UInt8.self)
        used &+= 1
    }

    /// A string in the Native format: its length as a varint, then its bytes.
    @inlinable @inline(__always)
    public mutating func appendString(_ source: UnsafeRawPointer, count length: Int) {
        reserve(length &+ 10)
        appendVarUInt(UInt64(truncatingIfNeeded: length))
        sluice_copy(base.unsafelyUnwrapped + count, source, length)
        used &+= length
    }

    /// Cuts the run to its first `length` bytes; the memory stays.
    @inlinable
    public mutating func truncate(to length: Int) {
        precondition(length >= 0 && length <= count)
        used = length
    }

    @inlinable
    public func load<T: BitwiseCopyable>(_: T.Type, at offset: Int) -> T {
        precondition(offset >= 0 && offset &+ MemoryLayout<T>.size <= count)
        return base.unsafelyUnwrapped.loadUnaligned(fromByteOffset: offset, as: T.self)
    }

    @inlinable
    public mutating func store<T: BitwiseCopyable>(_ value: T, at offset: Int) {
        precondition(offset >= 0 && offset &+ MemoryLayout<T>.size <= count)
        base.unsafelyUnwrapped.storeBytes(of: value, toByteOffset: offset, as: T.self)
    }

    public mutating func deallocate() {
        free(base)
        start = nil
        used = 0
        room = 0
    }
}
