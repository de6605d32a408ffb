import ClickHouseNative
import Pipeline
import Sinks
import TestSupport
import Testing

/// What becomes of blocks when servers fail, refuse and come back.
@Suite(.endsEvenIfItHangs) struct ShippingFailureTests {
    private let table = TableName(table: "numbers")

    private func blocks(_ count: UInt64) -> [SealedBlock] {
        (0..<count).map { SealedBlock(id: $0, table, [.numbers($0 * 10..<$0 * 10 + 10)]) }
    }

    @Test func blocksWaitForAServerThatIsNotThereYet() async throws {
        // A port that was just free: nobody listens on it until the server comes up.
        let earlier = try await FakeServer.start()
        let port = earlier.port
        await earlier.stop()
        let fixture = try SinkFixture(SinkFixture.settings(port: port))
        let blocks = blocks(3)
        async let shipped: Void = fixture.ship(blocks)

        await eventually { fixture.telemetry.snapshot().insertErrors[.connection, default: 0] > 2 }
        #expect(fixture.telemetry.health.status == .connectionFailed)
        let server = try await FakeServer.start(port: port)
        try await shipped

        #expect(fixture.committed.values == [0, 1, 2])
        #expect(fixture.telemetry.snapshot().committedRows == 30)
        await server.stop()
    }

    @Test(arguments: [
        FakeServer.Behaviour.cutInData, .cutBeforeAnswer, .refuseInsert(242), .refuseData(242), .refuseData(210),
        .refuseLogin(202), .refuseLogin(516),
    ])
    func aPassingFailureCostsNoBlock(failure: FakeServer.Behaviour) async throws {
        let server = try await FakeServer.start([failure, failure, failure])
        let fixture = try SinkFixture(SinkFixture.settings(port: server.port))
        try await fixture.ship(blocks(2))

        #expect(fixture.committed.values == [0, 1])
        #expect(fixture.refused.values.isEmpty)
        let snapshot = fixture.telemetry.snapshot()
        #expect(snapshot.insertErrors.values.reduce(0, +) == 3)
        #expect(snapshot.committedRows == 20)
        #expect(snapshot.sinkConnections == 0)
        await server.stop()
    }

    @Test func aServerThatSaysNothingIsGivenUp() async throws {
        let server = try await FakeServer.start([.silent])
        var settings = SinkFixture.settings(port: server.port)
        settings.insertTimeout = .milliseconds(50)
        let fixture = try SinkFixture(settings)
        try await fixture.ship(blocks(1))

        #expect(fixture.committed.values == [0])
        #expect(fixture.telemetry.snapshot().insertErrors[.timeout, default: 0] >= 1)
        await server.stop()
    }

    @Test(arguments: [
        (FakeServer.Behaviour.refuseInsert(48), BlockRefusal.Reason.table), (.refuseInsert(60), .table),
        (.refuseInsert(497), .table),
    ])
    func whatTheServerRefusesForGoodIsHandedOver(
        failure: FakeServer.Behaviour, reason: BlockRefusal.Reason
    ) async throws {
        let server = try await FakeServer.start([failure])
        let fixture = try SinkFixture(SinkFixture.settings(port: server.port))
        try await fixture.ship(blocks(2))

        #expect(fixture.refused.values.map(\.id) == [0])
        #expect(fixture.refused.values.map(\.refusal.reason) == [reason])
        #expect(fixture.committed.values == [1])
        let snapshot = fixture.telemetry.snapshot()
        #expect(snapshot.deadLetteredRows == 10)
        #expect(snapshot.committedRows == 10)
        #expect(fixture.sink.rowsHeld == 0)
        await server.stop()
    }

    @Test func anErrorThatNobodyKnowsIsNotRetriedForEver() async throws {
        let server = try await FakeServer.start(Array(repeating: .refuseInsert(12_345), count: 5))
        let fixture = try SinkFixture(SinkFixture.settings(port: server.port))
        try await fixture.ship(blocks(2))

        #expect(fixture.refused.values.map(\.refusal.reason) == [.unknownError])
        #expect(fixture.committed.values == [1])
        #expect(server.statements.values.count == 6)
        await server.stop()
    }

    @Test func aServerWithTooManyPartsIsLeftAloneForAWhile() async throws {
        let server = try await FakeServer.start([.refuseInsert(252)])
        var settings = SinkFixture.settings(port: server.port)
        settings.retryDelayMax = .seconds(10)
        let clock = ManualClock()
        let fixture = try SinkFixture(
            settings, clock: StageClock(now: { clock.now }, sleep: { try await clock.sleep(until: $0) }))
        let blocks = blocks(1)
        async let shipped: Void = fixture.ship(blocks)

        await clock.waitForSleeper(until: clock.start + .seconds(1))
        #expect(server.statements.values.count == 1)
        #expect(fixture.telemetry.health.status == .degraded)
        #expect(fixture.telemetry.snapshot().insertErrors[.rateLimit] == 1)
        clock.advance(by: .seconds(1))
        try await shipped
        #expect(fixture.committed.values == [0])
        await server.stop()
    }

    @Test func theNextHostTakesOverWhenOneIsAway() async throws {
        let gone = try await FakeServer.start()
        await gone.stop()
        let server = try await FakeServer.start()
        var settings = SinkFixture.settings(port: gone.port)
        settings.hosts.append(.init(name: "127.0.0.1", port: server.port))
        let fixture = try SinkFixture(settings)
        try await fixture.ship(blocks(2))
        #expect(fixture.committed.values == [0, 1])
        await server.stop()
    }

    @Test func stoppingAtTheLimitEndsAtOnceAndTellsWhatIsLeft() async throws {
        let server = try await FakeServer.start([.silent])
        let fixture = try SinkFixture(SinkFixture.settings(port: server.port))
        let blocks = blocks(1)
        let shipping = Task { try await fixture.ship(blocks) }
        await server.statements.wait(count: 1)
        await eventually { fixture.telemetry.snapshot().rowsInFlight == 10 }

        shipping.cancel()
        await #expect(throws: CancellationError.self) { try await shipping.value }
        #expect(fixture.sink.rowsHeld == 10)
        #expect(fixture.committed.values.isEmpty)
        #expect(fixture.telemetry.health.status == .disconnected)
        await server.stop()
    }

    @Test func theHealthFollowsTheServerThoughNothingIsShipped() async throws {
        let server = try await FakeServer.start()
        let clock = ManualClock()
        let fixture = try SinkFixture(
            SinkFixture.settings(port: server.port),
            clock: StageClock(now: { clock.now }, sleep: { try await clock.sleep(until: $0) }))
        let running = Task { try await fixture.sink.run() }
        await eventually { fixture.telemetry.health.status == .connected }
        await clock.waitForSleeper()
        await server.crash()
        await eventually { fixture.telemetry.health.status == .disconnected }

        clock.advance(by: .seconds(5))
        await eventually { fixture.telemetry.health.status == .connectionFailed }
        let again = try await FakeServer.start(port: server.port)
        await clock.waitForSleeper()
        clock.advance(by: .seconds(5))
        await eventually { fixture.telemetry.health.status == .connected }
        fixture.input.finish()
        try await running.value
        #expect(fixture.telemetry.health.status == .disconnected)
        await again.stop()
    }

    @Test func aRefusedBlockThatNobodyCanKeepIsTriedAgain() async throws {
        let server = try await FakeServer.start([.refuseInsert(60)])
        let settings = SinkFixture.settings(port: server.port)
        let telemetry = Telemetry()
        let servers = try ClickHouseServers(settings: settings, telemetry: telemetry, logger: SinkFixture.quiet)
        let input = BoundedStream<EncodedBlock>(elementsMax: 8, bytesMax: 1 << 20) { $0.body.readableBytes }
        let sink = ClickHouseSink(
            input: input, servers: servers, catalog: ClickHouseCatalog(servers: servers, logger: SinkFixture.quiet),
            telemetry: telemetry, logger: SinkFixture.quiet,
            handlers: BlockHandlers(refused: { _, refusal in throw refusal }))
        let encoding = await sink.encoding(with: .lz4)
        try await input.send(try EncodedBlock(blocks(1)[0], encoding))
        input.finish()
        try await sink.run()

        #expect(telemetry.snapshot().committedRows == 10)
        #expect(telemetry.snapshot().deadLetteredRows == 0)
        await server.stop()
    }
}
