import NIOCore
import Synchronization

/// How large a read may be: a session keeps the buffer of its last read, and of idle sessions there may be thousands. Each gets an
/// equal share of a bound. What those read that were few then is not taken back when they become many, so together they may hold
/// some times the bound: with 4,096 sessions that came one after the other, four times 64 MiB.
final class ReadShare: Sendable {
    /// No session's share is smaller, however many there are: shorter reads would cost more than their memory is worth.
    static let bytesMin = 16 << 10

    private let totalBytesMax: Int
    private let sessions = Atomic(0)

    init(totalBytesMax: Int) { self.totalBytesMax = totalBytesMax }

    func sessionBegan() { sessions.wrappingAdd(1, ordering: .relaxed) }
    func sessionEnded() { sessions.wrappingSubtract(1, ordering: .relaxed) }

    /// The largest read of a session now; a power of two, as buffers are.
    var bytes: Int {
        let share = totalBytesMax / max(1, sessions.load(ordering: .relaxed))
        return max(Self.bytesMin, share < 1 ? 1 : 1 << (Int.bitWidth - 1 - share.leadingZeroBitCount))
    }
}

/// Grows while reads fill it, as NIO's own does, up to the session's share.
struct SharedReadAllocator: RecvByteBufferAllocator {
    /// A first read: what it leaves of its buffer costs no memory, as nobody writes to it.
    private static let initialBytes = 64 << 10

    private var adaptive: AdaptiveRecvByteBufferAllocator
    private let share: ReadShare

    init(minimum: Int, maximum: Int, share: ReadShare) {
        adaptive = AdaptiveRecvByteBufferAllocator(
            minimum: minimum, initial: min(max(minimum, min(Self.initialBytes, share.bytes)), maximum),
            maximum: maximum)
        self.share = share
    }

    mutating func record(actualReadBytes: Int) -> Bool { adaptive.record(actualReadBytes: actualReadBytes) }

    func nextBufferSize() -> Int? { adaptive.nextBufferSize().map { min($0, share.bytes) } }

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer {
        allocator.buffer(capacity: nextBufferSize() ?? ReadShare.bytesMin)
    }
}
