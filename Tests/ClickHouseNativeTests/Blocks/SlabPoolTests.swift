import NIOCore
import Testing

@testable import ClickHouseNative

@Suite struct SlabPoolTests {
    @Test func sizesHaveRoomAndWasteLittle() {
        var last = (room: 0, place: -1)
        for bytes in [
            Array(1...5_000), Array(stride(from: 5_001, through: SlabPool.slabBytesMax, by: 97)),
            [SlabPool.slabBytesMax],
        ].joined() {
            let room = SlabPool.room(for: bytes)
            let place = SlabPool.place(of: room)
            guard SlabPool.room(at: place) == room, room >= bytes,
                room <= max(SlabPool.slabBytesMin, bytes + bytes / 8 + 1),
                (room, place) == last || (room > last.room && place == last.place + 1)
            else {
                Issue.record("\(bytes) bytes: room for \(room), the size of number \(place) after \(last)")
                return
            }
            last = (room, place)
        }
        #expect(last.room == SlabPool.slabBytesMax, "the largest slab is a size of its own")
    }

    @Test func aSlabIsTakenAgain() {
        let pool = SlabPool(bytesMax: 1 << 20)
        let first = pool.take(5_000)
        let other = pool.take(5_000)
        #expect(first.start != other.start)
        pool.give(first)
        #expect(pool.idleBytes == first.room)
        let second = pool.take(4_900)
        #expect(second.start == first.start && second.room >= 4_900)
        #expect(pool.idleBytes == 0)
        // A larger one does as well, but not one that is much larger.
        pool.give(other)
        let third = pool.take(4_100)
        #expect(third.start == other.start && third.room == other.room)
        pool.give(third)
        let fourth = pool.take(2_000)
        #expect(fourth.start != other.start && fourth.room < 2_300)
        pool.give(fourth)
        pool.give(second)
        pool.trim()
        #expect(pool.idleBytes == 0)
    }

    @Test func idleMemoryHasABound() {
        let pool = SlabPool(bytesMax: 10_000)
        let slabs = (0..<8).map { _ in pool.take(4 << 10) }
        for slab in slabs { pool.give(slab) }
        #expect(pool.idleBytes == 8 << 10)
        for bytes in [1, SlabPool.slabBytesMax, SlabPool.slabBytesMax + 1, 1 << 20] {
            let none = SlabPool(bytesMax: 0)
            let slab = none.take(bytes)
            #expect(slab.room >= bytes)
            none.give(slab)
            #expect(none.idleBytes == 0)
        }
    }

    /// Whoever has a slab has it alone.
    @Test func nobodyWritesToASlabOfAnother() async {
        let pool = SlabPool(bytesMax: 256 << 10)
        let spoiled = await withTaskGroup(of: Int.self) { group in
            for number in 0..<8 {
                group.addTask {
                    var held: [SlabPool.Slab] = []
                    var spoiled = 0
                    for turn in 0..<200 {
                        let slab = pool.take(1 + (turn * 7_919 + number * 104_729) % 20_000)
                        slab.start.initializeMemory(as: UInt8.self, repeating: UInt8(number), count: slab.room)
                        held.append(slab)
                        guard held.count > 6 || turn % 3 == 0 else { continue }
                        let old = held.removeFirst()
                        let expected = ByteBuffer(repeating: UInt8(number), count: old.room)
                        let bytes = UnsafeRawBufferPointer(start: old.start, count: old.room)
                        if ByteBuffer(bytes: bytes) != expected { spoiled += 1 }
                        pool.give(old)
                    }
                    for slab in held { pool.give(slab) }
                    return spoiled
                }
            }
            return await group.reduce(0, +)
        }
        #expect(spoiled == 0)
        #expect(pool.idleBytes <= 256 << 10)
    }

    @Test func aCopyOfABlockGivesItsMemoryBack() {
        let buffers = BufferPool(bytesMax: 1 << 20)
        let block = Block(layout: BlockLayout([ColumnDefinition(name: "number", type: .uint64)]))
        for row in 0..<500 {
            block.nodes[0].data.append(UInt64(row))
            block.nodes[0].rows += 1
            block.commitRow()
        }
        var copy: Block? = block.compacted(buffers)
        #expect(copy?.nodes[0].data.bytes.elementsEqual(block.nodes[0].data.bytes) == true)
        #expect(buffers.idleBytes == 0)
        copy = nil
        #expect(buffers.idleBytes > 4_000)
        buffers.trim()
        #expect(buffers.idleBytes == 0)
    }
}
