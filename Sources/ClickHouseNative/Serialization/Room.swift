// Unsafe by design: writes to the memory that it was made of, in order; each write is checked against what is left of it.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Memory that is filled from its first byte on.
struct Room {
    private var place: UnsafeMutableRawPointer
    private(set) var left: Int

    init(_ bytes: UnsafeMutableRawBufferPointer) {
        place = bytes.baseAddress!
        left = bytes.count
    }

    @inline(__always)
    mutating func put(_ bytes: UnsafeRawPointer?, _ count: Int) {
        guard let bytes, count > 0 else { return }
        precondition(count <= left, "more bytes than there is room for")
        memcpy(place, bytes, count)
        place += count
        left -= count
    }

    @inline(__always)
    mutating func put<T: BitwiseCopyable>(_ value: T) {
        withUnsafeBytes(of: value) { put($0.baseAddress, $0.count) }
    }

    /// LEB128, as the native protocol writes lengths (ClickHouse's IO/VarInt.h).
    @inline(__always)
    mutating func put(varint value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            put(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest &>>= 7
        }
        put(UInt8(truncatingIfNeeded: rest))
    }
}
