import ClickHouseNative
import Synchronization
import TestSupport
import Testing

@testable import Pipeline
@testable import Sinks

/// A table that takes nothing for a while, and the others beside it.
@Suite(.endsEvenIfItHangs) struct SetAsideTests {
    private let sick = TableName(table: "sick")
    private let well = TableName(table: "well")

    /// A server whose sick table has too many parts: it is known by its numbers, from 1,000 on.
    private func server(_ isSick: Gauge) async throws -> FakeServer {
        isSick.set(1)
        return try await FakeServer.start(judge: { numbers in
            isSick.current == 1 && numbers.contains { $0 >= 1000 } ? (252, "too many parts") : nil
        })
    }

    private func settings(_ server: FakeServer) -> ClickHouseSettings {
        var settings = SinkFixture.settings(port: server.port)
        settings.connections = 2
        return settings
    }

    private func blocks(_ table: TableName, _ ids: Range<UInt64>) -> [SealedBlock] {
        let base: UInt64 = table == sick ? 1000 : 0
        return ids.map {
            SealedBlock(id: $0, token: "t-\($0)", table, [.numbers(base + $0 * 10..<base + $0 * 10 + 10)])
        }
    }

    @Test func aTableThatTakesNothingDoesNotHoldUpTheOthers() async throws {
        let isSick = Gauge()
        let server = try await server(isSick)
        let fixture = try SinkFixture(settings(server), setsAside: true)
        // More sick blocks than connections: without setting them aside nothing else would ever be sent.
        try await fixture.ship(
            blocks(well, 1..<2) + blocks(sick, 10..<15) + blocks(well, 2..<6) + blocks(sick, 15..<17))

        #expect(Set(fixture.committed.values) == Set(1..<6))
        #expect(fixture.refused.values.isEmpty)
        let snapshot = fixture.telemetry.snapshot()
        #expect(snapshot.spool.setAsideBlocks == 7 && snapshot.spool.setAsideRows == 70)
        #expect(snapshot.spool.refusingTables == 1)
        #expect(fixture.sink.rowsHeld == 0)
        #expect(snapshot.committedRows == 50)
        await server.stop()
    }

    @Test func aBlockThatCameBackIsTriedThoughItsTableRefuses() async throws {
        let isSick = Gauge()
        let server = try await server(isSick)
        let fixture = try SinkFixture(settings(server), setsAside: true)
        let setAside = try #require(fixture.setAside)
        #expect(setAside.put(20, rows: 10, of: sick, wasTried: true, mayHaveBeenSent: false))
        let first = try await setAside.next()
        #expect(first.block.id == 20)
        isSick.set(0)
        try await fixture.ship(blocks(well, 1..<2) + blocks(sick, 20..<22))

        // Nobody said yet that its table is well again, so the other one was not even tried.
        #expect(Set(fixture.committed.values) == [1, 20])
        setAside.ended(20)
        #expect(try await setAside.next().block.id == 21)
        await server.stop()
    }

    @Test func oneTableAloneIsWaitedForAsEver() async throws {
        let isSick = Gauge()
        let server = try await server(isSick)
        let fixture = try SinkFixture(settings(server), setsAside: true)
        let blocks = blocks(sick, 10..<13)
        async let shipped: Void = fixture.ship(blocks)
        await eventually { fixture.telemetry.snapshot().insertErrors[.rateLimit, default: 0] > 8 }
        #expect(fixture.telemetry.snapshot().spool.setAsides == 0)
        isSick.set(0)
        try await shipped
        #expect(Set(fixture.committed.values) == [10, 11, 12])
        await server.stop()
    }

    @Test func anErrorThatNobodyKnowsStillEndsInTheDeadLetter() async throws {
        let server = try await FakeServer.start(judge: { numbers in
            numbers.contains { $0 >= 1000 } ? (12_345, "whatever") : nil
        })
        let fixture = try SinkFixture(settings(server), setsAside: true)
        try await fixture.ship(blocks(well, 1..<2) + blocks(sick, 10..<11))
        #expect(fixture.refused.values.map(\.refusal.reason) == [.unknownError])
        #expect(fixture.telemetry.snapshot().spool.setAsides == 0)
        await server.stop()
    }
}
