import NIOCore
import TestSupport
import Testing

@testable import ClickHouseNative

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

    /// Copies share memory, and stay what they were, whoever makes others meanwhile and in whatever order they go.
    @Test func copiesShareMemoryAndStayAsTheyWere() async {
        let pool = BufferPool(bytesMax: 1 << 22)
        let spoiled = await withTaskGroup(of: Int.self) { group in
            for number in 0..<8 {
                group.addTask {
                    var random = SeededRandom(seed: UInt64(number))
                    var held: [(copy: ByteBuffer, was: ByteBuffer)] = []
                    var spoiled = 0
                    for turn in 0..<200 {
                        let length = random.int(0...BufferPool.sharedBytesMax + 10)
                        let was = ByteBuffer(repeating: UInt8(truncatingIfNeeded: number * 31 + turn), count: length)
                        held.append((was.withUnsafeReadableBytes { pool.copy($0) }, was))
                        guard held.count > 20 else { continue }
                        let old = held.remove(at: random.int(0...20))
                        if old.copy != old.was { spoiled += 1 }
                    }
                    return spoiled + held.count { $0.copy != $0.was }
                }
            }
            return await group.reduce(0, +)
        }
        #expect(spoiled == 0)
        let small = [UInt8](repeating: 1, count: 1_000)
        let copies = (0..<100).map { _ in small.withUnsafeBytes { pool.copy($0) } }
        #expect(Set(copies.map { address($0) }).count == 100)
        // A page may have ended among them.
        let neighbours = zip(copies, copies.dropFirst()).count { address($0) + 1_000 == address($1) }
        #expect(neighbours >= 98)
    }

    @Test func aCopyMayBeChangedByItsOwner() {
        let pool = BufferPool(bytesMax: 1 << 22)
        var first = [UInt8](repeating: 1, count: 100).withUnsafeBytes { pool.copy($0) }
        let second = [UInt8](repeating: 2, count: 100).withUnsafeBytes { pool.copy($0) }
        first.writeRepeatingByte(3, count: 200)
        #expect(first == ByteBuffer(bytes: [UInt8](repeating: 1, count: 100) + [UInt8](repeating: 3, count: 200)))
        #expect(second == ByteBuffer(repeating: 2, count: 100))
    }
}
