import NIOConcurrencyHelpers
import NIOCore

/// Large buffers that are written once and read by several, and are written again when nobody holds them any more.
///
/// Fresh memory of their size comes from the system, page by page, and goes back to it: that cost 6 to 9 % of all (docs/performance.md).
public final class BufferPool: Sendable {
    /// Smaller ones are the C library's business, which keeps such memory.
    public static let bufferBytesMin = 256 << 10
    /// Buffers that are looked after at most; others are freed by whoever holds them last.
    static let buffersMax = 256
    /// A buffer may have so many times the room that is asked for, as a fresh one may.
    private static let roomMax = 2

    /// Bytes of memory that buffers which nobody holds may have together; what is over it is freed.
    public let bytesMax: Int
    /// Those that were taken, most of which somebody holds.
    private let lent = NIOLockedValueBox<[ByteBuffer]>([])

    public init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// An empty buffer with room for so many bytes.
    public func take(_ bytes: Int) -> ByteBuffer {
        if bytes >= Self.bufferBytesMin, let known = findIdle(bytes) { return known }
        var buffer = ByteBuffer()
        buffer.reserveCapacity(bytes)
        return buffer
    }

    /// A buffer is written and goes its way: nobody writes to it any more. It comes back by itself.
    public func lend(_ buffer: ByteBuffer) {
        guard buffer.storageCapacity >= Self.bufferBytesMin, bytesMax > 0 else { return }
        // What is over the bound is freed outside of the lock.
        let freed = lent.withLockedValue { lent in
            var idle = Self.takeIdle(of: &lent)
            let freed = cut(&idle)
            lent += idle
            if lent.count < Self.buffersMax { lent.append(buffer) }
            return freed
        }
        _ = freed
    }

    /// Frees what nobody holds.
    public func trim() { _ = lent.withLockedValue { Self.takeIdle(of: &$0) } }

    /// Bytes that nobody holds now.
    public var idleBytes: Int {
        lent.withLockedValue { lent in
            lent.indices.reduce(0) { $0 + Self.idleBytes(&lent[$1]) }
        }
    }

    private func findIdle(_ bytes: Int) -> ByteBuffer? {
        let (found, freed) = lent.withLockedValue { lent -> (ByteBuffer?, [ByteBuffer]) in
            var idle = Self.takeIdle(of: &lent)
            idle.sort { $0.storageCapacity < $1.storageCapacity }
            let place = idle.firstIndex { $0.storageCapacity >= bytes && $0.storageCapacity <= bytes * Self.roomMax }
            // In place: emptied while somebody else holds it, a buffer gets other memory.
            place.map { idle[$0].clear() }
            let found = place.map { idle.remove(at: $0) }
            let freed = cut(&idle)
            lent += idle
            return (found, freed)
        }
        _ = freed
        return found
    }

    /// Takes out of those that nobody holds what is over the bound.
    private func cut(_ idle: inout [ByteBuffer]) -> [ByteBuffer] {
        var left = bytesMax
        let end = idle.firstIndex {
            left -= $0.storageCapacity
            return left < 0
        }
        guard let end else { return [] }
        defer { idle.removeSubrange(end...) }
        return Array(idle[end...])
    }

    /// Takes those out that nobody else holds.
    private static func takeIdle(of lent: inout [ByteBuffer]) -> [ByteBuffer] {
        var idle: [ByteBuffer] = []
        for place in lent.indices.reversed() where idleBytes(&lent[place]) > 0 {
            idle.append(lent.remove(at: place))
        }
        return idle
    }

    /// The buffer's room if nobody else holds it, otherwise 0.
    private static func idleBytes(_ buffer: inout ByteBuffer) -> Int {
        buffer.modifyIfUniquelyOwned { $0.storageCapacity } ?? 0
    }
}
