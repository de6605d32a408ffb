import ClickHouseNative
import Pipeline
import TestSupport
import Testing

@testable import Sinks

/// Several hosts, of which some are away: nothing is lost, and the same block goes to the next one.
@Suite(.endsEvenIfItHangs) struct FailoverTests {
    private let table = TableName(table: "numbers")

    private func settings(_ servers: [FakeServer]) -> ClickHouseSettings {
        var settings = SinkFixture.settings(port: servers[0].port)
        settings.hosts = servers.map { .init(name: "127.0.0.1", port: $0.port) }
        return settings
    }

    private func blocks(_ count: UInt64) -> [SealedBlock] {
        (0..<count).map { SealedBlock(id: $0, token: "spool-\($0)", table, [.numbers($0 * 10..<$0 * 10 + 10)]) }
    }

    private func stageClock(_ clock: ManualClock) -> StageClock {
        StageClock(now: { clock.now }, sleep: { try await clock.sleep(until: $0) })
    }

    @Test func theNextHostGetsTheSameRowsAndTheSameToken() async throws {
        let first = try await FakeServer.start([.cutBeforeAnswer], isModern: true)
        // Of another age: the bytes are written anew, rows and order are not.
        let second = try await FakeServer.start(isModern: true)
        let fixture = try SinkFixture(settings([first, second]))
        try await fixture.ship(blocks(1))

        #expect(second.landed.values == [Array(0..<10)])
        #expect(fixture.committed.values == [0])
        for server in [first, second] {
            let packet = try #require(server.packets.values.last)
            #expect(packet.contains("insert_deduplication_token") && packet.contains("spool-0"))
        }
        let hosts = fixture.telemetry.snapshot().hosts
        #expect(hosts.map(\.failures) == [1, 0])
        #expect(hosts.map(\.committedBlocks) == [0, 1])
        #expect(hosts.map(\.connections) == [0, 0])
        await first.stop()
        await second.stop()
    }

    @Test(arguments: ClickHouseSettings.LoadBalancing.allCases)
    func allBlocksLandWhateverThePolicy(policy: ClickHouseSettings.LoadBalancing) async throws {
        let servers = [
            try await FakeServer.start([.cutInData, .refuseInsert(242)]),
            try await FakeServer.start([.refuseLogin(202)]), try await FakeServer.start(),
        ]
        let gone = try await FakeServer.start()
        await gone.stop()
        var settings = settings(servers + [gone])
        settings.connections = 3
        settings.loadBalancing = policy
        let fixture = try SinkFixture(settings)
        try await fixture.ship(blocks(40))
        #expect(fixture.committed.values.sorted() == Array(0..<40))
        let landed = servers.map { $0.landed.values.count }
        #expect(landed.reduce(0, +) == 40)
        switch policy {
        case .inOrder: #expect(landed[0] > 30)
        case .roundRobin: #expect(landed.allSatisfy { $0 > 5 })
        case .random, .leastInFlight: break
        }
        for server in servers { await server.stop() }
    }

    /// An hour would have to pass, and does not.
    @Test func whoWaitsForHostsThatAreGoneGoesToThoseOfAReload() async throws {
        let (gone, fresh) = (try await FakeServer.start(), try await FakeServer.start())
        await gone.stop()
        var before = settings([gone])
        before.breakerFailuresMax = 1
        before.breakerOpenTime = .seconds(3600)
        let clock = ManualClock()
        let fixture = try SinkFixture(before, clock: stageClock(clock))
        let blocks = blocks(1)
        async let shipped: Void = fixture.ship(blocks)
        // The waits between attempts pass; what is left is that of the breaker.
        for _ in 0..<200 {
            clock.advance(by: .milliseconds(50))
            await Task.yield()
        }
        await eventually { fixture.telemetry.snapshot().hosts.first?.breaker == .open }
        await fixture.servers.apply(try fixture.servers.prepare(settings([fresh])))
        await eventually {
            clock.advance(by: .milliseconds(5))
            return fixture.committed.values == [0]
        }
        try await shipped
        #expect(fresh.landed.values == [Array(0..<10)])
        #expect(clock.now - clock.start < .seconds(3600))
        await fresh.stop()
    }

    @Test func aHostThatFailsFiveTimesIsLeftAloneFor30Seconds() async throws {
        let server = try await FakeServer.start(Array(repeating: .cutBeforeAnswer, count: 5))
        var settings = settings([server])
        settings.breakerOpenTime = .seconds(30)
        settings.retryDelayMin = .milliseconds(100)
        settings.retryDelayMax = .milliseconds(100)
        let clock = ManualClock()
        let fixture = try SinkFixture(settings, clock: stageClock(clock))
        let blocks = blocks(3)
        async let shipped: Void = fixture.ship(blocks)
        for attempt in 1...4 {
            await server.statements.wait(count: attempt)
            await clock.waitForSleeper(until: clock.now + .milliseconds(100))
            clock.advance(by: .milliseconds(100))
        }
        await server.statements.wait(count: 5)
        await clock.waitForSleeper(until: clock.now + .milliseconds(100))
        #expect(fixture.telemetry.snapshot().hosts.map(\.breaker) == [.open])
        #expect(fixture.telemetry.snapshot().hosts.map(\.breakerOpened) == [1])
        #expect(fixture.telemetry.health.status == .unhealthy || fixture.telemetry.health.status == .disconnected)
        let opened = clock.now
        clock.advance(by: .milliseconds(100))
        await clock.waitForSleeper(until: opened + .seconds(30))
        // All of it is held, nothing is sent.
        clock.advance(by: .seconds(29))
        #expect(server.statements.values.count == 5)
        #expect(fixture.committed.values.isEmpty)
        clock.advance(by: .milliseconds(900))
        // The probe succeeds, and all go on.
        let ticking = Task {
            while !Task.isCancelled {
                await clock.waitForSleeper()
                clock.advance(by: .milliseconds(100))
                await Task.yield()
            }
        }
        try await shipped
        ticking.cancel()
        clock.advance(by: .seconds(100))
        #expect(fixture.committed.values == [0, 1, 2])
        #expect(fixture.telemetry.snapshot().hosts.map(\.breaker) == [.closed])
        await server.stop()
    }

    @Test func whatIsTheTablesFaultDoesNotCountAgainstTheHost() async throws {
        let server = try await FakeServer.start(Array(repeating: .refuseInsert(242), count: 9))
        let fixture = try SinkFixture(settings([server]))
        try await fixture.ship(blocks(2))
        #expect(fixture.telemetry.snapshot().hosts.map(\.breakerOpened) == [0])
        #expect(fixture.committed.values == [0, 1])
        await server.stop()
    }

    @Test func blocksBorrowConnectionsAndShareThem() async throws {
        let server = try await FakeServer.start()
        var settings = settings([server])
        settings.connections = 4
        let fixture = try SinkFixture(settings)
        try await fixture.ship(blocks(60))
        #expect(fixture.committed.values.count == 60)
        // Four in flight and one that asks how the server is.
        #expect(server.connections.values.count <= 5)
        #expect(fixture.telemetry.snapshot().sinkConnections == 0)
        await server.stop()
    }

    @Test func aServerWithTooManyPartsMakesBlocksGrow() async throws {
        let server = try await FakeServer.start([.refuseInsert(252)])
        var settings = settings([server])
        settings.retryDelayMax = .seconds(10)
        let clock = ManualClock()
        let fixture = try SinkFixture(settings, clock: stageClock(clock))
        let blocks = blocks(1)
        async let shipped: Void = fixture.ship(blocks)
        await clock.waitForSleeper(until: clock.start + .seconds(1))
        #expect(fixture.pressure.factor(of: table, now: clock.now) == 2)
        #expect(fixture.pressure.factor(of: TableName(table: "other"), now: clock.now) == 1)
        clock.advance(by: .seconds(1))
        try await shipped
        await server.stop()
    }

    @Test(arguments: [
        (60 as Int32, ClickHouseSettings.ErrorTreatment.retry, nil as BlockRefusal.Reason?), (60, .backOff, nil),
        (242, .refuse, .table), (469, .refuse, .rows), (12_345, .refuse, .table), (12_345, .retry, nil),
    ])
    func theOperatorSaysWhatAnErrorMeans(
        code: Int32, treatment: ClickHouseSettings.ErrorTreatment, reason: BlockRefusal.Reason?
    ) async throws {
        let server = try await FakeServer.start(Array(repeating: .refuseInsert(code), count: reason == nil ? 7 : 1))
        var settings = settings([server])
        settings.errors = [code: treatment]
        let fixture = try SinkFixture(settings)
        try await fixture.ship(blocks(1))
        #expect(fixture.refused.values.map(\.refusal.reason) == (reason.map { [$0] } ?? []))
        #expect(fixture.committed.values == (reason == nil ? [0] : []))
        await server.stop()
    }
}

@Suite struct InsertStatementTests {
    private func settings(
        _ own: [String: String] = [:], token: String? = "t-1", version: (UInt64, UInt64) = (24, 8)
    ) throws -> [String: String] {
        let sealed = SealedBlock(token: token, TableName(table: "t"), [.numbers(0..<1)])
        let block = try EncodedBlock(sealed, BlockEncoding(revision: .newest, compression: .lz4))
        var hello = ServerHello()
        (hello.major, hello.minor) = version
        let query = InsertStatement(settings: own).query(for: block, to: hello, compression: .lz4, isInDoubt: false)
        return Dictionary(uniqueKeysWithValues: query.settings.map { ($0.name, $0.value) })
    }

    @Test func aBlockWithATokenCarriesItWhereTheServerKnowsIt() throws {
        #expect(
            try settings() == ["async_insert": "0", "insert_deduplicate": "1", "insert_deduplication_token": "t-1"])
        #expect(try settings(version: (22, 2))["insert_deduplication_token"] == "t-1")
        #expect(try settings(version: (22, 1)) == ["async_insert": "0", "insert_deduplicate": "1"])
        #expect(try settings(version: (18, 16))["insert_deduplication_token"] == nil)
        #expect(try settings(token: nil) == ["async_insert": "0"])
    }

    @Test func batchingByTheServerDeduplicatesToo() throws {
        let on = try settings(["async_insert": "1"])
        #expect(on["async_insert_deduplicate"] == "1" && on["insert_deduplication_token"] == "t-1")
        #expect(
            try settings(["async_insert": "1", "async_insert_deduplicate": "0"])["async_insert_deduplicate"] == "0")
    }

    @Test(arguments: [["insert_deduplicate": "0"], ["deduplicate_insert": "disable"]])
    func whoeverWantsNoDeduplicationGetsNone(own: [String: String]) throws {
        #expect(try settings(own)["insert_deduplication_token"] == nil)
    }
}
