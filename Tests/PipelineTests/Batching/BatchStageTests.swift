import Testing
import TestSupport

@testable import Pipeline

@Suite(.endsEvenIfItHangs) struct BatchStageTests {
    let clock = ManualClock()
    let input = BoundedStream<RowBatch>(elementsMax: 4, bytesMax: 1 << 20) { $0.bytes }
    let output = BoundedStream<SealedBlock>(elementsMax: 1, bytesMax: 1 << 20) { $0.bytes }
    let telemetry = Telemetry()

    private func stage(_ strategy: BatchStrategy) -> BatchStage {
        BatchStage(
            settings: BatchFixtures.settings(strategy), input: input, output: output, telemetry: telemetry,
            clock: StageClock(clock))
    }

    @Test func aBlockGoesOutExactlyWhenItsFirstRowIsOldEnough() async throws {
        let stage = stage(BatchFixtures.strategy(.hybrid))
        let running = Task { try await stage.run() }
        try await input.send(BatchFixtures.batch("t", rows: 3, at: clock.start))
        await clock.waitForSleeper(until: clock.start + .seconds(1))
        clock.advance(by: .milliseconds(999))
        #expect(output.takeAvailable(maxElements: 1).isEmpty && clock.sleepers == 1)
        clock.advance(by: .milliseconds(1))
        let block = try #require(await output.next())
        #expect(block.rows == 3 && block.reason == .age)
        input.finish()
        try await running.value
        #expect(await output.next() == nil)
    }

    @Test func anEarlierDeadlineWakesTheStageInTime() async throws {
        var settings = BatchFixtures.settings(BatchFixtures.strategy(.hybrid) { $0.ageMax = .seconds(60) })
        settings.tables["quick"] = BatchFixtures.strategy(.hybrid) { $0.ageMax = .seconds(1) }
        let stage = BatchStage(
            settings: settings, input: input, output: output, telemetry: telemetry, clock: StageClock(clock))
        let running = Task { try await stage.run() }
        try await input.send(BatchFixtures.batch("slow", rows: 1, at: clock.start))
        await clock.waitForSleeper(until: clock.start + .seconds(60))
        try await input.send(BatchFixtures.batch("quick", rows: 2, at: clock.start))
        await clock.waitForSleeper(until: clock.start + .seconds(1))
        clock.advance(by: .seconds(1))
        #expect(await output.next()?.table.table == "quick")
        input.finish()
        #expect(await output.next()?.table.table == "slow")
        try await running.value
    }

    @Test func aFullOutputStopsTheStageSoThatItsInputFills() async throws {
        let stage = stage(BatchFixtures.strategy(.immediate))
        let running = Task { try await stage.run() }
        // More than may wait to be frozen.
        let blocks = 2 * BatchStage.blocksInHandMax
        let producing = Task { [input, clock] in
            for number in 0..<blocks {
                try await input.send(BatchFixtures.batch("t", rows: number % 40 + 1, at: clock.start))
            }
            input.finish()
        }
        await eventually { [input, output] in
            input.snapshot().sendersWaiting == 1 && output.snapshot().sendersWaiting == 1
        }
        #expect(stage.rowsHeld > 0)
        var rows: [Int] = []
        for await block in output { rows.append(block.rows) }
        #expect(rows == (0..<blocks).map { $0 % 40 + 1 }, "in order, and none is missing")
        try await running.value
        try await producing.value
        #expect(stage.rowsHeld == 0)
        #expect(telemetry.snapshot().sealedBlocks == ["immediate": UInt64(blocks)])
    }

    @Test func blocksThatAreSealedWhileOthersAreFrozenAreFrozenTogether() async throws {
        let gate = Gate()
        let calls = Recorder<Int>()
        let stage = BatchStage(
            settings: BatchFixtures.settings(BatchFixtures.strategy(.immediate)), input: input, output: output,
            telemetry: telemetry, clock: StageClock(clock)
        ) { blocks in
            calls.record(blocks.count)
            await gate.wait()
            return blocks
        }
        let running = Task { try await stage.run() }
        try await input.send(BatchFixtures.batch("t", rows: 1, at: clock.start))
        await eventually { calls.values == [1] }
        for rows in 2...10 { try await input.send(BatchFixtures.batch("t", rows: rows, at: clock.start)) }
        await eventually { [input] in input.snapshot().elements == 0 && stage.rowsHeld == 55 }
        gate.open()
        input.finish()
        var rows: [Int] = []
        for await block in output { rows.append(block.rows) }
        #expect(rows == Array(1...10))
        #expect(calls.values == [1, 9])
        try await running.value
    }

    @Test func theEndOfTheInputFlushesWhatIsOpen() async throws {
        let stage = stage(BatchFixtures.strategy(.size))
        try await input.send(BatchFixtures.batch("t", rows: 7, at: clock.start))
        input.finish()
        try await stage.run()
        let block = await output.next()
        #expect(block?.rows == 7 && block?.reason == .drain)
        #expect(await output.next() == nil)
    }

    @Test func aFlushGoesOutAtOnceAndIsNotLostWhenTheInputEnds() async throws {
        let stage = stage(BatchFixtures.strategy(.size))
        let running = Task { try await stage.run() }
        for rows in [1, 2] { try await input.send(BatchFixtures.batch("t\(rows)", rows: rows, at: clock.start)) }
        await eventually { [telemetry] in telemetry.openRows.current == 3 }
        let flushing = Task { try await stage.flush() }
        await eventually { [output] in output.snapshot().sendersWaiting == 1 }
        input.finish()
        // Time enough for a stage that did not wait for the flush to finish its output.
        await eventually { [input] in input.snapshot().consumersWaiting == 0 }
        for _ in 0..<2_000 { await Task.yield() }
        var rows: [Int] = []
        for await block in output { rows.append(block.rows) }
        #expect(rows.sorted() == [1, 2])
        #expect(try await flushing.value.sorted() == [1, 2])
        try await running.value
    }

    @Test func aCancelledStageTellsWhatItStillHeld() async throws {
        let stage = stage(BatchFixtures.strategy(.size))
        let running = Task { try await stage.run() }
        try await input.send(BatchFixtures.batch("t", rows: 5, at: clock.start))
        await eventually { [telemetry] in telemetry.openRows.current == 5 }
        running.cancel()
        await #expect(throws: CancellationError.self) { try await running.value }
        #expect(stage.rowsHeld == 5)
    }

    @Test func aNextStageThatIsGoneIsAnError() async throws {
        let stage = stage(BatchFixtures.strategy(.immediate))
        output.finish()
        try await input.send(BatchFixtures.batch("t", rows: 5, at: clock.start))
        let error = await #expect(throws: StageError.self) { try await stage.run() }
        #expect(error == StageError(.outputEnded, stage: "batch"))
    }
}
