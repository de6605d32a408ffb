// Unsafe by design: `copy` writes into memory that several buffers share. The invariant: `page` was nobody else's when it was taken, its bytes
// from the writer's index on are in no slice of it yet, and each of them is given to one copy, under the lock.

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
    /// Memory of copies of few rows; of those that are idle as many bytes again are kept.
    let slabs: SlabPool
    /// What `copy` fills.
    private let page = NIOLockedValueBox(ByteBuffer())
    /// Bytes of a copy that shares its memory.
    static let sharedBytesMax = 32 << 10
    /// Those that were taken, most of which somebody holds.
    private let lent = NIOLockedValueBox<[ByteBuffer]>([])

    public init(bytesMax: Int) {
        self.bytesMax = bytesMax
        slabs = SlabPool(bytesMax: bytesMax)
    }

    /// Keeps nothing: each buffer is a fresh one.
    public static let none = BufferPool(bytesMax: 0)

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
        withIdle { idle, lent in
            if lent.count + idle.count < Self.buffersMax { lent.append(buffer) }
        }
    }

    /// A copy of few bytes, in one memory with others that are made at about the same time and let go of together: asked for by itself, each
    /// would be memory that no cache has.
    func copy(_ bytes: UnsafeRawBufferPointer) -> ByteBuffer {
        guard bytesMax > 0, bytes.count > 0, bytes.count <= Self.sharedBytesMax else { return ByteBuffer(bytes: bytes) }
        let room = page.withLockedValue { page in
            if page.writableBytes < bytes.count {
                lend(page)
                page = take(Self.bufferBytesMin)
            }
            let place = page.writerIndex
            page.moveWriterIndex(forwardBy: bytes.count)
            return page.getSlice(at: place, length: bytes.count)
        }
        guard let room else { return ByteBuffer(bytes: bytes) }
        room.withVeryUnsafeBytes { room in
            UnsafeMutableRawBufferPointer(mutating: room).copyMemory(from: bytes)
        }
        return room
    }

    /// Frees what nobody holds.
    public func trim() {
        _ = lent.withLockedValue { Self.takeIdle(of: &$0) }
        slabs.trim()
    }

    /// Bytes that nobody holds now.
    public var idleBytes: Int {
        lent.withLockedValue { lent in
            lent.indices.reduce(0) { $0 + Self.idleBytes(&lent[$1]) }
        } + slabs.idleBytes
    }

    private func findIdle(_ bytes: Int) -> ByteBuffer? {
        withIdle { idle, _ in
            idle.sort { $0.storageCapacity < $1.storageCapacity }
            let place = idle.firstIndex { $0.storageCapacity >= bytes && $0.storageCapacity <= bytes * Self.roomMax }
            guard let place else { return nil }
            // In place: emptied while somebody else holds it, a buffer gets other memory.
            idle[place].clear()
            return idle.remove(at: place)
        }
    }

    /// Shows those that nobody holds apart from the others. What is over the bound then is freed, outside of the lock.
    private func withIdle<T>(_ body: (_ idle: inout [ByteBuffer], _ lent: inout [ByteBuffer]) -> T) -> T {
        let (result, freed) = lent.withLockedValue { lent in
            var idle = Self.takeIdle(of: &lent)
            let result = body(&idle, &lent)
            var left = bytesMax
            let end = idle.firstIndex {
                left -= $0.storageCapacity
                return left < 0
            }
            let kept = end ?? idle.count
            lent += idle[..<kept]
            return (result, Array(idle[kept...]))
        }
        _ = freed
        return result
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
