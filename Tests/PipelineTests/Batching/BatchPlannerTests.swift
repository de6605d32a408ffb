import ClickHouseNative
import Testing
import TestSupport

@testable import Pipeline

@Suite struct BatchPlannerTests {
    let start = StageClock.Instant.now

    private func planner(_ strategy: BatchStrategy, memoryMax: Int = 1 << 30) -> BatchPlanner {
        BatchPlanner(settings: BatchFixtures.settings(strategy, memoryMax: memoryMax))
    }

    private func batch(
        _ table: String = "t", rows: Int, after: Duration = .zero, layout: BlockLayout = BatchFixtures.layout
    ) -> RowBatch {
        BatchFixtures.batch(table, rows: rows, at: start + after, layout: layout)
    }

    @Test func immediateSealsEachRowBatchAsItComes() {
        var planner = planner(BatchFixtures.strategy(.immediate))
        let sealed = planner.rowBatchReceived(batch(rows: 3), now: start)
        #expect(sealed.map(\.rows) == [3] && sealed[0].reason == .immediate)
        #expect(planner.openRows == 0 && planner.nextDeadline == nil)
    }

    @Test func whatIsOpenOfATableThatBecomesImmediateGoesOnFirst() {
        for kind in [BatchStrategy.Kind.size, .hybrid] {
            for waits in [false, true] {
                var planner = planner(BatchFixtures.strategy(kind))
                #expect(planner.rowBatchReceived(batch(rows: 2), now: start).isEmpty)
                planner.reconfigured(BatchFixtures.settings(BatchFixtures.strategy(.immediate)))
                // It is due, whether or not another row batch comes.
                #expect(planner.nextDeadline.map { $0 <= start } == true)
                var sealed = waits ? planner.deadlineReached(now: start) : []
                sealed += planner.rowBatchReceived(batch(rows: 3), now: start)
                #expect(sealed.map(\.rows) == [2, 3])
                #expect(planner.openRows == 0 && planner.openBytes == 0 && planner.drained().isEmpty)
            }
        }
    }

    @Test func timeSealsByAgeAloneCountedFromTheFirstRow() {
        var planner = planner(
            BatchFixtures.strategy(.time) {
                $0.ageMax = .seconds(2); $0.rowsMax = 1
            })
        #expect(planner.rowBatchReceived(batch(rows: 5), now: start + .seconds(1)).isEmpty)
        #expect(planner.rowBatchReceived(batch(rows: 5, after: .seconds(1)), now: start + .seconds(1)).isEmpty)
        #expect(planner.nextDeadline == start + .seconds(2))
        #expect(planner.deadlineReached(now: start + .milliseconds(1_999)).isEmpty)
        let sealed = planner.deadlineReached(now: start + .seconds(2))
        #expect(sealed.map(\.rows) == [10] && sealed[0].reason == .age)
        #expect(planner.nextDeadline == nil)
    }

    @Test func anOlderRowThatComesLateMovesTheDeadlineForward() {
        var planner = planner(BatchFixtures.strategy(.hybrid))
        _ = planner.rowBatchReceived(batch(rows: 1, after: .milliseconds(500)), now: start)
        _ = planner.rowBatchReceived(batch(rows: 1), now: start)
        #expect(planner.nextDeadline == start + .seconds(1))
    }

    @Test func sizeSealsByRowsOrBytesAndNeverByAge() {
        var byRows = planner(BatchFixtures.strategy(.size) { $0.rowsMax = 10 })
        #expect(byRows.rowBatchReceived(batch(rows: 9), now: start).isEmpty)
        #expect(byRows.nextDeadline == nil)
        let sealed = byRows.rowBatchReceived(batch(rows: 1), now: start)
        #expect(sealed.map(\.rows) == [10] && sealed[0].reason == .rows)

        var byBytes = planner(BatchFixtures.strategy(.size) { $0.bytesMax = 80 })
        let full = byBytes.rowBatchReceived(batch(rows: 10), now: start)
        #expect(full.map(\.bytes) == [80] && full[0].reason == .bytes)
    }

    @Test func aBlockIsSealedRatherThanMadeLargerThanItsBounds() {
        var planner = planner(BatchFixtures.strategy(.hybrid) { $0.rowsMax = 10 })
        _ = planner.rowBatchReceived(batch(rows: 7), now: start)
        let sealed = planner.rowBatchReceived(batch(rows: 6), now: start)
        #expect(sealed.map(\.rows) == [7])
        #expect(planner.openRows == 6)
    }

    @Test func aRowBatchLargerThanTheBoundsIsABlockOfItsOwn() {
        var planner = planner(BatchFixtures.strategy(.hybrid) { $0.rowsMax = 10 })
        _ = planner.rowBatchReceived(batch(rows: 2), now: start)
        #expect(planner.rowBatchReceived(batch(rows: 25), now: start).map(\.rows) == [2, 25])
        #expect(planner.openRows == 0 && planner.openBytes == 0)
    }

    @Test func memorySealsATableAtItsShare() {
        var planner = planner(BatchFixtures.strategy(.memory), memoryMax: 800)
        #expect(planner.rowBatchReceived(batch("a", rows: 40), now: start).isEmpty)
        #expect(planner.rowBatchReceived(batch("b", rows: 45), now: start).isEmpty)
        // Two tables: 400 bytes each.
        let sealed = planner.rowBatchReceived(batch("b", rows: 5), now: start)
        #expect(sealed.map(\.rows) == [50] && sealed[0].reason == .memory)
        #expect(planner.nextDeadline == nil)
    }

    @Test func theLargestBlockGoesFirstWhenMemoryIsShort() {
        var planner = planner(BatchFixtures.strategy(.time), memoryMax: 800)
        _ = planner.rowBatchReceived(batch("small", rows: 10), now: start)
        _ = planner.rowBatchReceived(batch("large", rows: 60), now: start)
        let sealed = planner.rowBatchReceived(batch("middle", rows: 40), now: start)
        #expect(sealed.map(\.table.table) == ["large"] && sealed[0].reason == .memory)
        #expect(planner.openBytes == 400)
    }

    @Test func alternatingLayoutsShareATableWithoutSealingEachOther() {
        var planner = planner(BatchFixtures.strategy(.hybrid))
        for round in 0..<3 {
            for number in 0..<BatchPlanner.layoutsMax {
                let sealed = planner.rowBatchReceived(
                    batch(rows: 1 + round, layout: BatchFixtures.layout(number)), now: start)
                #expect(sealed.isEmpty)
            }
        }
        // The first one was used longest ago.
        let sealed = planner.rowBatchReceived(batch(rows: 1, layout: BatchFixtures.layout(99)), now: start)
        #expect(sealed.count == 1 && sealed[0].reason == .layout && sealed[0].layout == BatchFixtures.layout(0))
        #expect(sealed[0].parts.map(\.rows) == [1, 2, 3], "in the order in which they came")
    }

    @Test func higherPrioritiesGoFirstThenTheOldest() {
        var settings = BatchFixtures.settings(BatchFixtures.strategy(.hybrid))
        settings.tables["urgent"] = BatchFixtures.strategy(.hybrid) { $0.priority = 5 }
        var planner = BatchPlanner(settings: settings)
        _ = planner.rowBatchReceived(batch("younger", rows: 1, after: .milliseconds(2)), now: start)
        _ = planner.rowBatchReceived(batch("older", rows: 1), now: start)
        _ = planner.rowBatchReceived(batch("urgent", rows: 1, after: .milliseconds(3)), now: start)
        let sealed = planner.deadlineReached(now: start + .seconds(2))
        #expect(sealed.map(\.table.table) == ["urgent", "older", "younger"])
    }

    @Test func aTablesStrategyIsFoundWithAndWithoutItsDatabase() {
        var settings = BatchFixtures.settings(BatchFixtures.strategy(.hybrid))
        settings.tables["t"] = BatchFixtures.strategy(.immediate)
        settings.tables["lake.t"] = BatchFixtures.strategy(.size) { $0.rowsMax = 2 }
        var planner = BatchPlanner(settings: settings)
        #expect(planner.rowBatchReceived(batch("t", rows: 1), now: start).first?.reason == .immediate)
        let qualified = { (database: String) in
            let plain = batch("t", rows: 2)
            return RowBatch(
                table: TableName(database: database, table: "t"), block: plain.block, firstReceived: start)
        }
        #expect(planner.rowBatchReceived(qualified("lake"), now: start).first?.reason == .rows)
        #expect(planner.rowBatchReceived(qualified("other"), now: start).first?.reason == .immediate)
    }

    @Test func adaptiveWaitsAsLongAsABlockTakesToFillWithinItsBounds() throws {
        let strategy = BatchFixtures.strategy(.adaptive) {
            $0.rowsMax = 1_000
            $0.ageMin = .milliseconds(50)
            $0.ageMax = .seconds(10)
        }
        // 100 rows in each 0.2 s: 500 rows/s, so 1,000 rows take 2 s.
        var steady = planner(strategy)
        for step in 0..<50 {
            let after = Duration.milliseconds(200 * step)
            _ = steady.rowBatchReceived(batch(rows: 100, after: after), now: start + after)
        }
        let now = start + .milliseconds(200 * 49)
        _ = steady.flushRequested(nil)
        _ = steady.rowBatchReceived(batch(rows: 1, after: .milliseconds(200 * 50)), now: now + .milliseconds(200))
        let age = (start + .milliseconds(200 * 50)).duration(to: try #require(steady.nextDeadline))
        #expect(age > .milliseconds(1_900) && age < .milliseconds(2_100))

        var unknown = planner(strategy)
        _ = unknown.rowBatchReceived(batch(rows: 1), now: start)
        #expect(unknown.nextDeadline == start + .seconds(10), "no rate is known at first")

        var fast = planner(strategy)
        for step in 0..<20 {
            let after = Duration.milliseconds(20 * step)
            _ = fast.rowBatchReceived(batch(rows: 999, after: after), now: start + after)
        }
        let last = start + .milliseconds(20 * 19)
        #expect(fast.nextDeadline == last + .milliseconds(50), "never below ageMin")
    }

    @Test func drainingAndFlushingSealEverythingThatIsOpen() {
        var planner = planner(BatchFixtures.strategy(.hybrid))
        _ = planner.rowBatchReceived(batch("a", rows: 1), now: start)
        _ = planner.rowBatchReceived(batch("b", rows: 2), now: start)
        let flushed = planner.flushRequested(TableName(table: "a"))
        #expect(flushed.map(\.rows) == [1] && flushed[0].reason == .flush)
        let drained = planner.drained()
        #expect(drained.map(\.rows) == [2] && drained[0].reason == .drain)
        #expect(planner.openRows == 0 && planner.openBytes == 0 && planner.nextDeadline == nil)
    }

    @Test(arguments: Seeds.some(60))
    func everyRowBatchComesOutOnceInOrderAndWithinTheBounds(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var settings = BatchFixtures.settings(
            BatchFixtures.strategy(.hybrid) { $0.rowsMax = 50 }, memoryMax: random.int(300...4_000))
        for (place, kind) in BatchStrategy.Kind.allCases.enumerated() {
            settings.tables["t\(place)"] = BatchFixtures.strategy(kind) { strategy in
                strategy.rowsMax = random.int(5...80)
                strategy.bytesMax = random.int(40...900)
                strategy.ageMax = .milliseconds(random.int(10...100))
                strategy.ageMin = .milliseconds(5)
                strategy.priority = random.int(0...3)
            }
        }
        var planner = BatchPlanner(settings: settings)
        var now = start
        var sent: [String: [UInt64]] = [:]
        var got: [String: [UInt64]] = [:]
        var ids: [UInt64] = []
        func take(_ blocks: [SealedBlock]) {
            for block in blocks {
                ids.append(block.id)
                let key = "\(block.table) \(block.layout.columns[0].name)"
                for part in block.parts {
                    #expect(part.table == block.table && part.block.layout == block.layout)
                    got[key, default: []] += [part.place?.lsn ?? 0]
                }
                let strategy = settings.tables[block.table.table] ?? settings.defaults
                if [.size, .hybrid, .adaptive].contains(strategy.kind), block.parts.count > 1 {
                    #expect(block.rows <= strategy.rowsMax && block.bytes <= strategy.bytesMax)
                }
            }
        }
        for number in UInt64(0)..<400 {
            now += .milliseconds(random.int(0...8))
            let table = "t\(random.int(0...6))"
            let layout = BatchFixtures.layout(random.int(0...5))
            let rows = random.int(0...30)
            let batch = BatchFixtures.batch(table, rows: rows, at: now, layout: layout, number: number)
            if rows > 0 { sent["\(table) \(layout.columns[0].name)", default: []].append(number) }
            take(planner.rowBatchReceived(batch, now: now))
            #expect(planner.openBytes <= settings.memoryMax)
            if let deadline = planner.nextDeadline, deadline <= now {
                take(planner.deadlineReached(now: now))
                #expect(planner.nextDeadline.map { $0 > now } ?? true)
            }
        }
        take(planner.drained())
        #expect(got == sent)
        #expect(Set(ids).count == ids.count)
        #expect(planner.openRows == 0 && planner.openBytes == 0)
    }
}

@Suite struct SinkPressureTests {
    private let start = StageClock.Instant.now
    private let table = TableName(table: "t")

    @Test func complaintsDoubleTheFactorAndCalmHalvesIt() {
        let pressure = SinkPressure()
        #expect(pressure.factor(of: table, now: start) == 1)
        pressure.complained(of: table, now: start)
        // Those in flight fail together.
        pressure.complained(of: table, now: start + .milliseconds(900))
        #expect(pressure.factor(of: table, now: start) == 2)
        #expect(pressure.factor(of: TableName(table: "other"), now: start) == 1)
        for second in 1...10 { pressure.complained(of: table, now: start + .seconds(second)) }
        let last = start + .seconds(10)
        #expect(pressure.factor(of: table, now: last) == SinkPressure.factorMax)
        #expect(pressure.factor(of: table, now: last + .seconds(59)) == 64)
        #expect(pressure.factor(of: table, now: last + .seconds(60)) == 32)
        #expect(pressure.factor(of: table, now: last + .seconds(359)) == 2)
        #expect(pressure.factor(of: table, now: last + .seconds(360)) == 1)
        pressure.complained(of: table, now: last + .seconds(361))
        #expect(pressure.factor(of: table, now: last + .seconds(361)) == 2)
    }

    @Test func complaintsOfTooManyTablesAreForgotten() {
        let pressure = SinkPressure()
        for number in 0...SinkPressure.tablesMax {
            pressure.complained(of: TableName(table: "t\(number)"), now: start)
        }
        #expect(pressure.factor(of: TableName(table: "t0"), now: start) == 2)
        #expect(pressure.factor(of: TableName(table: "t\(SinkPressure.tablesMax)"), now: start) == 1)
    }

    @Test func blocksGrowInRowsAndAgeUpToTheLimitAndNeverInBytes() {
        var settings = BatchFixtures.settings(
            BatchFixtures.strategy(.hybrid) {
                $0.rowsMax = 10; $0.ageMax = .seconds(1); $0.bytesMax = 1 << 20
            }, memoryMax: 1 << 30)
        settings.growthMax = 4
        var planner = BatchPlanner(settings: settings)
        func batch(_ rows: Int) -> RowBatch { BatchFixtures.batch("t", rows: rows, at: start) }
        #expect(planner.rowBatchReceived(batch(39), now: start, pressure: 64).isEmpty)
        #expect(planner.nextDeadline == start + .seconds(4))
        #expect(planner.rowBatchReceived(batch(1), now: start, pressure: 64).map(\.rows) == [40])
        #expect(planner.rowBatchReceived(batch(9), now: start, pressure: 1).isEmpty)
        #expect(planner.deadlineReached(now: start + .seconds(1)).map(\.rows) == [9])
        #expect(planner.rowBatchReceived(batch(10), now: start, pressure: 1).map(\.rows) == [10])

        settings.defaults.rowsMax = 1 << 20
        settings.defaults.bytesMax = 64
        planner = BatchPlanner(settings: settings)
        #expect(!planner.rowBatchReceived(batch(1000), now: start, pressure: 64).isEmpty)
    }
}
