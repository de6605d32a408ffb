import ClickHouseNative
import NIOCore
import TestSupport
import Testing

@Suite struct BufferPoolTests {
    private static let room = BufferPool.bufferBytesMin

    private func address(_ buffer: ByteBuffer) -> UInt {
        buffer.withVeryUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
    }

    @Test func aBufferComesBackWhenNobodyHoldsItAnyMore() {
        let pool = BufferPool(bytesMax: 1 << 24)
        var places: Set<UInt> = []
        for number in 0..<10 {
            var buffer = pool.take(Self.room)
            #expect(buffer.readableBytes == 0 && buffer.storageCapacity >= Self.room)
            buffer.writeRepeatingByte(UInt8(number), count: Self.room - number)
            places.insert(address(buffer))
            pool.lend(buffer)
        }
        #expect(places.count == 1, "one memory for all of them, that was not copied when it was written")
    }

    @Test func whatSomebodyHoldsStaysAsItIs() {
        let pool = BufferPool(bytesMax: 1 << 24)
        var first = pool.take(Self.room)
        first.writeRepeatingByte(1, count: Self.room)
        pool.lend(first)
        var slice = first.getSlice(at: 100, length: 10)
        first = ByteBuffer()
        var second = pool.take(Self.room)
        second.writeRepeatingByte(2, count: Self.room)
        pool.lend(second)
        #expect(slice == ByteBuffer(repeating: 1, count: 10))
        #expect(pool.idleBytes == 0)
        slice = nil
        #expect(pool.idleBytes >= Self.room)
        pool.trim()
        #expect(pool.idleBytes == 0)
    }

    @Test func idleMemoryHasABound() {
        let pool = BufferPool(bytesMax: 3 * Self.room)
        var held = (0..<8).map { _ in
            var buffer = pool.take(Self.room)
            buffer.writeRepeatingByte(7, count: Self.room)
            pool.lend(buffer)
            return buffer
        }
        #expect(pool.idleBytes == 0)
        held.removeAll()
        // Seen when one is asked for, or lent.
        _ = pool.take(Self.room)
        #expect(pool.idleBytes <= 3 * Self.room)
        #expect(pool.idleBytes > 0)
        for _ in 0..<10 {
            // Asked for little, and grown.
            var buffer = pool.take(100)
            buffer.writeRepeatingByte(7, count: Self.room)
            pool.lend(buffer)
        }
        #expect(pool.idleBytes <= 4 * Self.room, "and the one that was lent last")
    }

    @Test func noneIsFarLargerThanAskedForAndSmallOnesAreNotKept() {
        let pool = BufferPool(bytesMax: 1 << 26)
        pool.lend(pool.take(8 * Self.room))
        let idle = pool.idleBytes
        #expect(pool.take(Self.room).storageCapacity < 8 * Self.room)
        #expect(pool.idleBytes == idle)
        pool.lend(pool.take(1000))
        #expect(pool.idleBytes == idle)
        let off = BufferPool(bytesMax: 0)
        off.lend(off.take(Self.room))
        #expect(off.idleBytes == 0)
    }

    @Test(arguments: Seeds.some(2)) func manyAtOnceNeverWriteOverEachOther(_ seed: UInt64) async {
        let pool = BufferPool(bytesMax: 4 * Self.room)
        await withTaskGroup(of: Bool.self) { group in
            for worker in 0..<4 {
                group.addTask {
                    var random = SeededRandom(seed: seed &+ UInt64(worker))
                    var held: [(slice: ByteBuffer, byte: UInt8)] = []
                    for _ in 0..<200 {
                        let byte = UInt8.random(in: 0...255, using: &random)
                        var buffer = pool.take(Self.room)
                        buffer.writeRepeatingByte(byte, count: 1000)
                        pool.lend(buffer)
                        held.append((buffer.getSlice(at: 500, length: 500) ?? ByteBuffer(), byte))
                        buffer = ByteBuffer()
                        if held.count > 4 {
                            let (slice, byte) = held.remove(at: .random(in: 0..<held.count, using: &random))
                            guard slice == ByteBuffer(repeating: byte, count: 500) else { return false }
                        }
                    }
                    return true
                }
            }
            for await isRight in group { #expect(isRight) }
        }
    }
}
