import Testing

@testable import Pipeline

/// Which blocks wait, and for how long, when their table takes none.
@Suite struct SetAsideBlocksTests {
    private static let sick = TableName(table: "sick")
    private static let other = TableName(table: "other")

    /// The value under test, with a time in seconds.
    private final class Shelf {
        var blocks = SetAsideBlocks()
        let start = StageClock.Instant.now

        func put(_ id: UInt64, of table: TableName, wasTried: Bool = true, at seconds: Int = 0) -> Bool {
            blocks.put(
                .init(id: id, rows: 10, mayHaveBeenSent: false), of: table, wasTried: wasTried,
                now: start + .seconds(seconds))
        }

        /// All that may be tried by then.
        func ids(at seconds: Int) -> [UInt64] {
            var ids: [UInt64] = []
            while let next = blocks.next(now: start + .seconds(seconds)).block { ids.append(next.block.id) }
            return ids
        }

        func deadline(at seconds: Int) -> Int? {
            blocks.next(now: start + .seconds(seconds)).deadline.map { Int(($0 - start).seconds) }
        }
    }

    /// Blocks 1 to `count` of a table, the first of them refused, the others without an attempt.
    private func shelf(_ count: UInt64) -> Shelf {
        let shelf = Shelf()
        for id in 1...count { #expect(shelf.put(id, of: Self.sick, wasTried: id == 1)) }
        return shelf
    }

    @Test func oneBlockAtATimeFindsOutWhetherTheTableIsWell() {
        let shelf = shelf(10)
        #expect(shelf.deadline(at: 0) == 1)
        #expect(shelf.ids(at: 1) == [1])
        #expect(shelf.blocks.isRefusing(Self.sick, 99))
        #expect(!shelf.blocks.isRefusing(Self.sick, 1), "the one that finds out is sent")
        #expect(!shelf.blocks.isRefusing(Self.other, 99))
    }

    @Test func aTableThatGoesOnRefusingIsAskedLessAndLessOften() {
        let shelf = shelf(3)
        var now = 1
        for wait in [2, 4, 8, 16, 30, 30] {
            #expect(shelf.ids(at: now) == [1])
            #expect(shelf.put(1, of: Self.sick, at: now))
            #expect(shelf.deadline(at: now) == now + wait)
            now += wait
        }
        #expect(shelf.blocks.count == 3 && shelf.blocks.rows == 30)
    }

    @Test func aTableThatIsWellGetsWhatWaitedMoreAtATimeAndNewBlocksGoStraight() {
        let shelf = shelf(12)
        #expect(shelf.ids(at: 1) == [1])
        shelf.blocks.ended(1)
        #expect(!shelf.blocks.isRefusing(Self.sick, 99))
        #expect(shelf.ids(at: 1) == [2, 3])
        shelf.blocks.ended(2)
        shelf.blocks.ended(3)
        #expect(shelf.ids(at: 1) == [4, 5, 6, 7])
        for id in 4...12 as ClosedRange<UInt64> {
            _ = shelf.ids(at: 1)
            shelf.blocks.ended(id)
        }
        #expect(shelf.blocks.count == 0 && shelf.blocks.rows == 0 && shelf.blocks.refusingTables == 0)
    }

    @Test func aRelapseStartsOver() {
        let shelf = shelf(6)
        #expect(shelf.ids(at: 1) == [1])
        shelf.blocks.ended(1)
        #expect(shelf.ids(at: 1) == [2, 3])
        #expect(shelf.put(2, of: Self.sick, at: 1))
        #expect(shelf.blocks.isRefusing(Self.sick, 99))
        #expect(shelf.ids(at: 2).isEmpty, "one is on its way still")
        shelf.blocks.ended(3)
        #expect(shelf.ids(at: 3) == [2, 4])
    }

    @Test func tablesDoNotWaitForEachOther() {
        let shelf = shelf(2)
        #expect(shelf.put(50, of: Self.other))
        #expect(Set(shelf.ids(at: 1)) == [1, 50])
    }

    @Test func thereAreNeverMoreThanTheLimit() {
        let shelf = shelf(UInt64(SetAsideBlocks.blocksMax))
        #expect(!shelf.put(99_999, of: Self.other))
        #expect(shelf.ids(at: 1) == [1])
        #expect(shelf.put(1, of: Self.sick), "it has its place")
        #expect(shelf.blocks.count == SetAsideBlocks.blocksMax)
    }
}
