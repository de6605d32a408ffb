import ClickHouseNative
import Logging
import Synchronization
import TestSupport
import Testing

@testable import Pipeline

/// The stage around the spool, on a disk in memory.
@Suite struct SpoolStageTests {
    private static let table = TableName(table: "t")
    private static let layout = BlockLayout([ColumnDefinition(name: "id", type: .uint64)])

    private static func batch(_ ids: ClosedRange<UInt64>) -> RowBatch {
        let block = Block(layout: layout)
        for id in ids {
            block.nodes[0].appendFixed(id)
            block.commitRow()
        }
        return RowBatch(table: table, block: block, firstReceived: .now)
    }

    private static func ids(_ batch: RowBatch) -> [UInt64] {
        (0..<batch.rows).map { batch.block.nodes[0].data.load(UInt64.self, at: $0 * 8) }
    }

    private struct Fixture: Sendable {
        let disk = SimulatedDisk(seed: 1)
        let telemetry = Telemetry()
        let registry = ProducerRegistry(wallClock: { 0 })
        let input = BoundedStream<Intake>(elementsMax: 1000, bytesMax: 1 << 30, weight: { $0.memory })
        let batches: BoundedStream<RowBatch>
        let blocks = BoundedStream<SealedBlock>(elementsMax: 100, bytesMax: 1 << 30, weight: { $0.memory })
        let stage: SpoolStage
        let settings: SpoolSettings

        init(
            outputMax: Int = 1000, clock: StageClock = .continuous, now: @escaping @Sendable () -> Int64 = { 0 },
            compressesOnce: Bool = false, change: (inout SpoolSettings) -> Void = { _ in }
        ) throws {
            var settings = SpoolSettings()
            settings.compression = .none
            settings.segmentBytes = 4096
            change(&settings)
            self.settings = settings
            batches = BoundedStream<RowBatch>(elementsMax: outputMax, bytesMax: 1 << 30, weight: { $0.memory })
            let core = try SpoolCore(disk: disk, settings: settings, registry: registry, wallClock: now, random: { 7 })
            stage = SpoolStage(
                core: core, input: input, batches: batches, blocks: blocks, registry: registry, telemetry: telemetry,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, clock: clock, wallClock: now,
                compressesOnce: compressesOnce)
        }

        /// Takes batches, and settles them, until there were so many rows.
        func settle(rows: Int) async {
            var got = 0
            while got < rows, let batch = await batches.next() {
                got += batch.rows
                await settle(batch)
            }
        }

        func send(_ ids: ClosedRange<UInt64>, received: Int64 = 0, from producer: Producer? = nil) async throws {
            var numbered: [Intake.Numbered] = []
            if let producer {
                let range = RowRange(first: ids.lowerBound, last: ids.upperBound)
                _ = producer.take(range, session: 1)
                numbered = [Intake.Numbered(producer: producer, range: range)]
            }
            try await input.send(
                Intake(
                    batches: [SpoolStageTests.batch(ids)], numbered: numbered, received: received,
                    spool: settings.compression, isFinal: settings.compression == .lz4))
        }

        /// Freezes a row batch as a block of its own, and settles it.
        func settle(_ batch: RowBatch) async {
            let sealed = await stage.seal([
                SealedBlock(identity: BlockIdentity(id: 0), table: SpoolStageTests.table, parts: [batch], reason: .rows)
            ])
            #expect(sealed[0].identity.token?.hasSuffix("-\(sealed[0].id)") == true)
            await stage.settled(sealed[0].id, as: .committed)
        }
    }

    @Test(.endsEvenIfItHangs) func whatTheMemoryHasNoRoomForComesBackFromDiskInOrder() async throws {
        // Room for one row batch behind the stage, and for hardly one in it.
        let fixture = try Fixture(outputMax: 1, change: { $0.memoryMax = 1 })
        let running = Task { try await fixture.stage.run() }
        for first in stride(from: UInt64(1), through: 200, by: 10) { try await fixture.send(first...first + 9) }
        var got: [UInt64] = []
        while got.count < 200, let batch = await fixture.batches.next() { got += Self.ids(batch) }
        #expect(got == Array(1...200))
        fixture.input.finish()
        try await running.value
    }

    /// Blocks for the server take frames over, wherever they come from. But a piece of a row batch has to be read.
    @Test(.endsEvenIfItHangs) func framesComeBackFromDiskAsTheyWere() async throws {
        let fixture = try Fixture(
            outputMax: 1, compressesOnce: true,
            change: {
                $0.memoryMax = 1
                $0.compression = .lz4
                $0.segmentBytes = 1 << 20
            })
        let running = Task { try await fixture.stage.run() }
        for first in stride(from: UInt64(1), through: 10_000, by: 1000) { try await fixture.send(first...first + 999) }
        var got: [RowBatch] = []
        while got.count < 10, let batch = await fixture.batches.next() { got.append(batch) }
        #expect(got.filter { $0.part.whole == nil }.count >= 5)
        let sealed = await fixture.stage.seal([
            SealedBlock(identity: BlockIdentity(id: 0), table: Self.table, parts: got, reason: .rows)
        ])[0]
        #expect(try Self.encodedIDs(sealed) == Array(1...10_000))

        let pieces = try await fixture.stage.split(sealed.id, into: [[0..<2500], [2500..<10_000]])
        for (piece, ids) in zip(pieces, [1...2500, 2501...10_000] as [ClosedRange<UInt64>]) {
            #expect(
                fixture.stage.setAside.put(
                    piece.id, rows: ids.count, of: Self.table, wasTried: true, mayHaveBeenSent: false))
            let again = try #require(await fixture.blocks.next())
            #expect(try Self.encodedIDs(again) == Array(ids))
            #expect(again.parts.contains { $0.part.whole == nil })
            await fixture.stage.settled(again.id, as: .committed)
        }
        #expect(fixture.telemetry.snapshot().spool.unsettledRows == 0)
        fixture.input.finish()
        try await running.value
    }

    /// What a server would read.
    private static func encodedIDs(_ block: SealedBlock) throws -> [UInt64] {
        var body = try BlockEncoder.encode(
            block.parts.map(\.part), as: BlockEncoding(revision: Revision(54454), compression: .lz4)
        ).body
        var raw = try FrameReader.readAll(&body)
        let read = try #require(try BlockReader.read(&raw, revision: Revision(54454)))
        return (0..<read.rows).map { read.nodes[0].data.load(UInt64.self, at: $0 * 8) }
    }

    /// Whoever takes rows does so while the disk is busy with the next record: what feeds the next stage then runs first
    /// once that is written. It must not find it on the disk as well, or it goes on twice, or is never settled.
    @Test(.endsEvenIfItHangs) func everyRowIsHandedOnOnceWhileMemoryAndDiskTakeTurns() async throws {
        let fixture = try Fixture(outputMax: 1, change: { $0.memoryMax = 1 })
        let running = Task { try await fixture.stage.run() }
        let taken = Recorder<RowBatch>()
        var sent: UInt64 = 0
        for _ in 0..<20 {
            for _ in 0..<6 {
                sent += 1
                try await fixture.send(sent...sent)
                await eventually { [sent] in fixture.telemetry.snapshot().spool.unsettledRows == sent }
            }
            // One is in the stream then, and the last one waits to get in.
            while UInt64(taken.values.count) < sent - 2, let batch = await fixture.batches.next() {
                taken.record(batch)
            }
            try await Task.sleep(for: .milliseconds(2))
            fixture.disk.whileSyncing { fixture.batches.takeAvailable(maxElements: 1).forEach { taken.record($0) } }
            sent += 1
            try await fixture.send(sent...sent)
            await eventually { [sent] in fixture.telemetry.snapshot().spool.unsettledRows == sent }
            fixture.disk.whileSyncing {}
        }
        while UInt64(taken.values.count) < sent, let batch = await fixture.batches.next() { taken.record(batch) }
        #expect(taken.values.flatMap(Self.ids) == Array(1...sent))
        for batch in taken.values { await fixture.settle(batch) }
        #expect(fixture.telemetry.snapshot().spool.unsettledRows == 0)
        fixture.input.finish()
        try await running.value
        #expect(fixture.batches.takeAvailable(maxElements: 10).isEmpty)
    }

    @Test(.endsEvenIfItHangs) func rowsAreAckedAsDurableAndThenAsCommitted() async throws {
        let fixture = try Fixture()
        let producer = try fixture.registry.attach(name: "p", epoch: 1, session: 1, wake: {}).get()
        let running = Task { try await fixture.stage.run() }
        try await fixture.send(1...5, from: producer)
        let batch = try #require(await fixture.batches.next())
        await eventually { producer.durable.contiguous == 5 }
        #expect(producer.committed.contiguous == 0)
        await fixture.settle(batch)
        #expect(producer.committed.contiguous == 5)
        fixture.input.finish()
        try await running.value
        #expect(fixture.telemetry.snapshot().spool.unsettledRows == 0)
    }

    @Test(.endsEvenIfItHangs) func aBlockThatWasSetAsideComesBackAsItWasFrozen() async throws {
        let clock = ManualClock()
        let fixture = try Fixture(clock: StageClock(now: { clock.now }, sleep: { try await clock.sleep(until: $0) }))
        let running = Task { try await fixture.stage.run() }
        try await fixture.send(1...5)
        try await fixture.send(6...9)
        var parts: [RowBatch] = []
        while parts.count < 2, let batch = await fixture.batches.next() { parts.append(batch) }
        let block = await fixture.stage.seal([
            SealedBlock(identity: BlockIdentity(id: 0), table: Self.table, parts: parts, reason: .rows)
        ])[0]
        #expect(
            fixture.stage.setAside.put(block.id, rows: 9, of: Self.table, wasTried: true, mayHaveBeenSent: false))
        #expect(fixture.telemetry.snapshot().spool.setAsideRows == 9)

        for wait in [Duration.seconds(1), .seconds(2)] {
            await clock.waitForSleeper(until: clock.now + wait)
            #expect(fixture.blocks.takeAvailable(maxElements: 1).isEmpty)
            clock.advance(by: wait)
            let again = try #require(await fixture.blocks.next())
            #expect(again.identity == block.identity)
            #expect(again.parts.flatMap(Self.ids) == Array(1...9))
            #expect(again.reason == .setAside && !again.mayHaveBeenSent)
            // Refused once more: it waits twice as long.
            #expect(
                fixture.stage.setAside.put(
                    block.id, rows: 9, of: Self.table, wasTried: true, mayHaveBeenSent: false))
        }
        await clock.waitForSleeper(until: clock.now + .seconds(4))
        clock.advance(by: .seconds(4))
        _ = try #require(await fixture.blocks.next())
        await fixture.stage.settled(block.id, as: .committed)
        let spool = fixture.telemetry.snapshot().spool
        #expect(spool.setAsideBlocks == 0 && spool.refusingTables == 0 && spool.unsettledRows == 0)
        #expect(spool.setAsides == 3)
        fixture.input.finish()
        try await running.value
    }

    @Test(.endsEvenIfItHangs) func aFullSpoolMakesProducersWaitUntilThereIsRoom() async throws {
        let fixture = try Fixture(change: { $0.bytesMax = 16 << 10 })
        let producer = try fixture.registry.attach(name: "p", epoch: 1, session: 1, wake: {}).get()
        let running = Task { try await fixture.stage.run() }
        for first in stride(from: UInt64(1), through: 4000, by: 100) {
            try await fixture.send(first...first + 99, from: producer)
        }
        await eventually { fixture.telemetry.snapshot().spool.isFull }
        #expect(producer.durable.contiguous < 4000)
        #expect(fixture.telemetry.snapshot().spool.bytes <= 16 << 10 + 4096)
        await fixture.settle(rows: 4000)
        await eventually { producer.committed.contiguous == 4000 }
        fixture.input.finish()
        try await running.value
    }

    @Test(.endsEvenIfItHangs) func anOperatorGivesAFullSpoolMoreRoomWhileItRuns() async throws {
        let fixture = try Fixture(change: { $0.bytesMax = 16 << 10 })
        let producer = try fixture.registry.attach(name: "p", epoch: 1, session: 1, wake: {}).get()
        let running = Task { try await fixture.stage.run() }
        for first in stride(from: UInt64(1), through: 4000, by: 100) {
            try await fixture.send(first...first + 99, from: producer)
        }
        await eventually { fixture.telemetry.snapshot().spool.isFull }
        var larger = fixture.settings
        larger.bytesMax = 1 << 20
        await fixture.stage.reconfigure(larger, compressesOnce: false)
        // Nothing was settled.
        await eventually { producer.durable.contiguous == 4000 }
        #expect(fixture.telemetry.snapshot().spool.bytesMax == 1 << 20)
        await fixture.settle(rows: 4000)
        fixture.input.finish()
        try await running.value
    }

    @Test(.endsEvenIfItHangs) func aFullSpoolMayTurnProducersAway() async throws {
        let fixture = try Fixture(change: {
            $0.bytesMax = 16 << 10
            $0.fullPolicy = .reject
        })
        let producer = try fixture.registry.attach(name: "p", epoch: 1, session: 1, wake: {}).get()
        let running = Task { try await fixture.stage.run() }
        for first in stride(from: UInt64(1), through: 4000, by: 100) {
            try await fixture.send(first...first + 99, from: producer)
        }
        await eventually { producer.takeNews(session: 1)?.turnedAway == "spool_full" }
        #expect(throws: ProducerRefusal.spoolFull) {
            try fixture.registry.attach(name: "q", epoch: 1, session: 2, wake: {}).get()
        }
        // What was taken waits, and goes on when there is room.
        await fixture.settle(rows: 4000)
        await eventually { producer.committed.contiguous == 4000 }
        await eventually { (try? fixture.registry.attach(name: "q", epoch: 1, session: 3, wake: {}).get()) != nil }
        fixture.input.finish()
        try await running.value
    }

    @Test(.endsEvenIfItHangs) func aFullSpoolMayDiscardWhatIsNewAndCountsIt() async throws {
        let fixture = try Fixture(change: {
            $0.bytesMax = 16 << 10
            $0.fullPolicy = .discardNewest
        })
        let producer = try fixture.registry.attach(name: "p", epoch: 1, session: 1, wake: {}).get()
        let running = Task { try await fixture.stage.run() }
        for first in stride(from: UInt64(1), through: 4000, by: 100) {
            try await fixture.send(first...first + 99, from: producer)
        }
        await eventually { producer.durable.contiguous == 4000 }
        let discarded = Int(fixture.telemetry.snapshot().discardedRows["spool_full"] ?? 0)
        #expect(discarded > 0 && discarded < 4000)
        var got = 0
        while got < 4000 - discarded, let batch = await fixture.batches.next() { got += batch.rows }
        #expect(got == 4000 - discarded)
        fixture.input.finish()
        try await running.value
    }

    @Test(.endsEvenIfItHangs) func rowsThatAreTooOldAreGivenUpAndCounted() async throws {
        let now = Gauge()
        let fixture = try Fixture(
            outputMax: 1, now: { Int64(now.current) },
            change: {
                $0.memoryMax = 1
                $0.ageMax = .seconds(10)
            })
        let running = Task { try await fixture.stage.run() }
        for first in stride(from: UInt64(1), through: 200, by: 10) { try await fixture.send(first...first + 9) }
        await eventually { fixture.telemetry.snapshot().spool.unsettledRows == 200 }
        now.set(11_000)
        let got = Mutex(0)
        await eventually {
            let rows = fixture.batches.takeAvailable(maxElements: 10).reduce(0) { $0 + $1.rows }
            let sum = got.withLock { got in
                got += rows
                return got
            }
            return sum + Int(fixture.telemetry.snapshot().discardedRows["too_old"] ?? 0) == 200
        }
        #expect(got.withLock { $0 } < 200)
        fixture.input.finish()
        try await running.value
    }

    @Test(.endsEvenIfItHangs) func aDiskThatFailsForAWhileCostsNothing() async throws {
        let fixture = try Fixture()
        let producer = try fixture.registry.attach(name: "p", epoch: 1, session: 1, wake: {}).get()
        fixture.disk.set(.init(write: 1000))
        let running = Task { try await fixture.stage.run() }
        try await fixture.send(1...5, from: producer)
        await eventually { !fixture.telemetry.snapshot().spool.errors.isEmpty }
        #expect(producer.durable.contiguous == 0)
        fixture.disk.set(.init())
        await eventually { producer.durable.contiguous == 5 }
        fixture.input.finish()
        try await running.value
    }
}
