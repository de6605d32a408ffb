// Unsafe by design. The invariant: a slab is `room` bytes from the C library, and either somebody's or idle in the pool, never both:
// `take` removes it under the lock, and whoever took it gives it back once, when nobody reads it any more.

import NIOConcurrencyHelpers

/// Memory of copies of few rows, kept for the next ones.
///
/// Rows of a thousand tables are copied some thirty at a time, into 4 to 32 KiB of which thousands wait at once. The C library looks for such a
/// piece among all that are free, and joins and cuts them: that took 3 µs, and half as long to give it back, and was 5 % of all (docs/performance.md).
final class SlabPool: Sendable {
    struct Slab: @unchecked Sendable {
        let start: UnsafeMutableRawPointer
        let room: Int
    }

    private struct State: @unchecked Sendable {
        /// By size.
        var idle: [[UnsafeMutableRawPointer]] = Array(repeating: [], count: SlabPool.sizes)
        var bytes = 0
    }

    /// Smaller ones are the C library's business, which keeps such memory for each thread.
    static let slabBytesMin = 1 << 10
    /// Larger ones are rare.
    static let slabBytesMax = 128 << 10
    private static let sizes = place(of: slabBytesMax) + 1
    /// Where none of a size is idle, larger ones are looked for: what comes back is not what is asked for next.
    private static let sizesTried = 4

    /// Bytes that idle slabs may have together; what is over it is freed.
    let bytesMax: Int
    private let state = NIOLockedValueBox(State())

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    deinit { trim() }

    /// Memory for so many bytes, aligned for any type.
    func take(_ bytes: Int) -> Slab {
        guard bytesMax > 0, bytes <= Self.slabBytesMax else { return Self.fresh(bytes) }
        let room = Self.room(for: bytes)
        let least = Self.place(of: room)
        let known = state.withLockedValue { state -> Slab? in
            for place in least..<min(least + Self.sizesTried, Self.sizes) {
                guard let start = state.idle[place].popLast() else { continue }
                let slab = Slab(start: start, room: Self.room(at: place))
                state.bytes -= slab.room
                return slab
            }
            return nil
        }
        return known ?? Self.fresh(room)
    }

    /// Takes back what `take` gave.
    func give(_ slab: Slab) {
        let room = slab.room
        guard bytesMax > 0, room <= Self.slabBytesMax else { return slab.start.deallocate() }
        let place = Self.place(of: room)
        let isKept = state.withLockedValue { state in
            guard state.bytes + room <= bytesMax else { return false }
            state.idle[place].append(slab.start)
            state.bytes += room
            return true
        }
        if !isKept { slab.start.deallocate() }
    }

    /// Frees what is idle.
    func trim() {
        let idle = state.withLockedValue { state in
            defer { state = State() }
            return state.idle
        }
        for slabs in idle { for slab in slabs { slab.deallocate() } }
    }

    /// Bytes that are idle now.
    var idleBytes: Int { state.withLockedValue { $0.bytes } }

    private static func fresh(_ bytes: Int) -> Slab {
        Slab(start: .allocate(byteCount: bytes, alignment: MemoryLayout<Int>.alignment), room: bytes)
    }

    // Eight sizes from one power of two to the next: a fresh slab is at most an eighth larger than what was asked for.

    private static let powerMin = power(of: slabBytesMin)

    /// The smallest size that has room for so many bytes.
    static func room(for bytes: Int) -> Int {
        let bytes = max(bytes, slabBytesMin)
        let step = 1 << (power(of: bytes) - 3)
        return (bytes + step - 1) & ~(step - 1)
    }

    /// The number of a size, counted from 0.
    static func place(of room: Int) -> Int {
        let power = power(of: room)
        return (power - powerMin) * 8 + (room >> (power - 3)) & 7
    }

    /// The size of a number.
    static func room(at place: Int) -> Int { (8 + place & 7) << (place / 8 + powerMin - 3) }

    /// Of two, not above.
    private static func power(of bytes: Int) -> Int { Int.bitWidth - 1 - bytes.leadingZeroBitCount }
}
