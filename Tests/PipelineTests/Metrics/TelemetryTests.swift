import Testing
import TestSupport

@testable import Pipeline

@Suite struct TelemetryTests {
    let clock = ManualClock()

    private func telemetry() -> Telemetry { Telemetry(clock: StageClock(clock), startTimeUnix: 1_700_000_000) }

    @Test func theFiguresOfExistingDashboardsAreThere() {
        let telemetry = telemetry()
        let mstore = telemetry.table(TableName(table: "mstore"))
        telemetry.accepted(rows: 90, into: mstore)
        telemetry.accepted(rows: 6, into: telemetry.table(TableName(database: "lake", table: "mthreads")))
        telemetry.accepted(rows: 2, into: telemetry.table(TableName(table: "mtriage")))
        telemetry.accepted(rows: 1, into: telemetry.table(TableName(table: "events")))
        mstore.rejectedRows.add(1, reason: "type_mismatch")
        telemetry.insertFailed(.timeout)
        telemetry.acceptLatency.observe(.milliseconds(1))
        telemetry.acceptLatency.observe(.milliseconds(3))
        telemetry.sinkConnections.set(4)
        telemetry.health.set(.healthy)
        clock.advance(by: .seconds(9))

        let snapshot = telemetry.snapshot()
        #expect(snapshot.eventCount == 99 && snapshot.errorCount == 2 && snapshot.campaignEvents == 98)
        #expect(snapshot.operations(on: "mthreads") == 6 && snapshot.operations(on: "mstore") == 90)
        #expect(snapshot.operations(on: "mtriage") == 2)
        #expect(snapshot.sinkConnections == 4 && snapshot.health.rawValue == "healthy")
        #expect(snapshot.startTimeUnix == 1_700_000_000 && snapshot.uptimeSeconds == 9)
        #expect(snapshot.averageLatencyMs == 2)
        #expect(snapshot.errorRate == 2.0 / 101.0)
        #expect(snapshot.eventsPerSecond == 11)
    }

    @Test func theRateIsThatOfTheLastHalfMinute() {
        let telemetry = telemetry()
        let table = telemetry.table(TableName(table: "t"))
        telemetry.accepted(rows: 3_000, into: table)
        #expect(telemetry.snapshot().eventsPerSecond == 3_000, "in the first second that is all there is")
        clock.advance(by: .seconds(10))
        #expect(telemetry.snapshot().eventsPerSecond == 300)
        clock.advance(by: .seconds(20))
        telemetry.accepted(rows: 7, into: table)
        #expect(telemetry.snapshot().eventsPerSecond == 100, "the second that runs is not over")
        clock.advance(by: .seconds(1))
        #expect(telemetry.snapshot().eventsPerSecond == 7.0 / 30.0)
        clock.advance(by: .seconds(1_000))
        #expect(telemetry.snapshot().eventsPerSecond == 0)
    }

    @Test func acceptedRowsAreSettledOrInFlightAtEveryMoment() {
        let telemetry = telemetry()
        let table = telemetry.table(TableName(table: "t"))
        telemetry.accepted(rows: 100, into: table)
        #expect(telemetry.snapshot().conservation.inFlight == 100)
        telemetry.committed(rows: 60, bytes: 6_000, into: table)
        telemetry.deadLetteredRows.add(5)
        telemetry.discardedRows.add(3, reason: "policy")
        let conservation = telemetry.snapshot().conservation
        #expect(conservation.committed == 60 && conservation.deadLettered == 5 && conservation.discarded == 3)
        #expect(conservation.inFlight == 32)
        #expect(telemetry.snapshot().tables[0].committedBlocks == 1)
    }

    @Test func moreTablesAndReasonsThanTheLimitAreCountedTogether() {
        let telemetry = telemetry()
        for number in 0..<Telemetry.tablesMax + 10 {
            telemetry.accepted(rows: 1, into: telemetry.table(TableName(table: "t\(number)")))
        }
        let tables = telemetry.snapshot().tables
        #expect(tables.count == Telemetry.tablesMax + 1)
        #expect(tables.first { $0.table == "_other" }?.acceptedRows == 10)
        #expect(telemetry.snapshot().acceptedRows == UInt64(Telemetry.tablesMax + 10))

        for number in 0..<Telemetry.reasonsMax + 5 { telemetry.discardedRows.add(reason: "r\(number)") }
        #expect(telemetry.snapshot().discardedRows["_other"] == 5)
    }

    @Test func aTablesCountersAreTheSameForEveryStage() {
        let telemetry = telemetry()
        #expect(telemetry.table(TableName(table: "t")) === telemetry.table(TableName(table: "t")))
    }

    @Test func healthTellsWhatChangedAndSinceWhen() {
        let health = telemetry().health
        #expect(health.status == .initializing)
        clock.advance(by: .seconds(5))
        #expect(health.age == .seconds(5))
        #expect(health.set(.connected) == .initializing)
        #expect(health.set(.connected) == nil, "no change, no log line")
        #expect(health.age == .zero)
        #expect(Set(HealthStatus.allCases.map(\.rawValue)).count == 7)
    }

    @Test func aStreamsFillIsSeenByAScrape() throws {
        let telemetry = telemetry()
        let stream = BoundedStream<Int>(elementsMax: 4, bytesMax: 100) { $0 }
        telemetry.observe(stream, as: "validate")
        _ = stream.trySend(30)
        let seen = try #require(telemetry.snapshot().streams.first)
        #expect(seen.name == "validate" && seen.state.elements == 1 && seen.state.bytes == 30)
    }

    @Test func metricsHaveUniqueNamesThatFollowTheConvention() {
        let telemetry = telemetry()
        telemetry.accepted(rows: 1, into: telemetry.table(TableName(table: "t")))
        let families = telemetry.snapshot().families
        #expect(Set(families.map(\.name)).count == families.count)
        for family in families {
            #expect(family.name.hasPrefix("sluice_"))
            #expect(family.name.hasSuffix("_total") == (family.kind == .counter))
            #expect(!family.help.isEmpty)
        }
        let accepted = families.first { $0.name == "sluice_accepted_rows_total" }
        #expect(accepted?.samples == [.init(suffix: "", labels: [.init(name: "table", value: "t")], value: 1)])
        let health = families.first { $0.name == "sluice_health" }
        #expect(health?.samples.map(\.value).reduce(0, +) == 1)
    }
}
