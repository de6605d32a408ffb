import ClickHouseNative
import Foundation
import Pipeline
import Sinks
import Synchronization
import TestSupport
import Testing

/// Against real servers: what is sent again lands once, and what one server does not take another one does.
@Suite(
    .enabled { await ClickHouseServer.isAvailable(.modern) }, .enabled { await ClickHouseServer.isAvailable(.legacy) },
    .endsEvenIfItHangs)
struct LiveDeliveryTests {
    private let table = TableName(table: "t")

    private func ship(
        _ blocks: [SealedBlock], to server: ClickHouseServer, database: String,
        settings own: [String: String] = [:]
    ) async throws -> SinkFixture {
        var settings = SinkFixture.settings(port: server.nativePort, database: database)
        settings.settings = own
        let fixture = try SinkFixture(settings)
        try await fixture.ship(blocks)
        return fixture
    }

    @Test(arguments: [[:], ["async_insert": "1", "wait_for_async_insert": "1"]])
    func aBlockThatIsSentTwiceLandsOnce(settings: [String: String]) async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.query(
                """
                CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n
                SETTINGS non_replicated_deduplication_window = 1000
                """, database: database)
            func count() async throws -> String {
                try await server.query("SELECT count(), uniqExact(n) FROM t FORMAT TSV", database: database)
            }
            let block = SealedBlock(token: "spool-1", table, [.numbers(0..<1000)])
            for _ in 0..<3 {
                let fixture = try await ship([block], to: server, database: database, settings: settings)
                #expect(fixture.committed.values == [1])
            }
            #expect(try await count() == "1000\t1000\n")
            // The token counts, not the rows.
            _ = try await ship(
                [SealedBlock(token: "spool-2", table, [.numbers(0..<1000)])], to: server, database: database,
                settings: settings)
            #expect(try await count() == "2000\t1000\n")
        }
    }

    @Test func piecesThatAreSentAgainLandOnce() async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.query(
                """
                CREATE TABLE t (n UInt64, CONSTRAINT c CHECK n != 777) ENGINE = MergeTree ORDER BY n
                SETTINGS non_replicated_deduplication_window = 1000
                """, database: database)
            let whole = Block.numbers(0..<1000)
            let fixture = try await ship(
                [SealedBlock(token: "spool-1", table, [whole])], to: server, database: database)
            #expect(fixture.refusedRows.values == [1])
            #expect(try await server.query("SELECT count() FROM t FORMAT TSV", database: database) == "999\n")

            // As after a crash: each piece that was settled comes again, under the identity that it had.
            var rows: [UInt64: [Range<Int>]] = [1: [0..<1000]]
            for split in fixture.splits.values {
                let parent = try #require(rows[split.id]?.first?.lowerBound)
                for (piece, identity) in zip(split.pieces, split.identities) {
                    rows[identity.id] = piece.map { $0.lowerBound + parent..<$0.upperBound + parent }
                }
            }
            let again = try zip(fixture.committed.values, fixture.tokens.values).map { id, token in
                SealedBlock(id: id, token: token, table, [whole.gathering(try #require(rows[id]))])
            }
            #expect(again.count > 5)
            let second = try await ship(again, to: server, database: database)
            #expect(second.committed.values == fixture.committed.values)
            #expect(
                try await server.query("SELECT count(), uniqExact(n) FROM t FORMAT TSV", database: database)
                    == "999\t999\n")
        }
    }

    @Test func aTokenIsNoTroubleToAServerThatKnowsNone() async throws {
        let server = try await ClickHouseServer.legacy()
        try await server.withDatabase { database in
            try await server.query("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n", database: database)
            let fixture = try await ship(
                [SealedBlock(token: "spool-1", table, [.numbers(0..<10)])], to: server, database: database)
            #expect(fixture.committed.values == [1])
            #expect(try await server.query("SELECT sum(n) FROM t FORMAT TSV", database: database) == "45\n")
        }
    }

    /// One of two servers is killed while blocks go to both: of 18.16 and of 26.9, so that blocks also change their revision.
    @Test(arguments: [ClickHouseSettings.LoadBalancing.inOrder, .roundRobin])
    func whatAKilledServerDoesNotConfirmTheOtherOneTakes(policy: ClickHouseSettings.LoadBalancing) async throws {
        let modern = try await ClickHouseServer.modern()
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-doomed-\(UUID().uuidString)")
        let doomed = try await OwnServer.start(.legacy, in: folder)
        defer { try? FileManager.default.removeItem(at: folder) }
        try await modern.withDatabase { database in
            // Both have a table of the name.
            try await doomed.server.query("CREATE DATABASE \(database)")
            for server in [doomed.server, modern] {
                try await server.query("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n", database: database)
            }
            var settings = SinkFixture.settings(port: doomed.server.nativePort, database: database)
            settings.hosts.append(.init(name: modern.host, port: modern.nativePort))
            settings.connections = 2
            settings.loadBalancing = policy
            settings.breakerOpenTime = .seconds(600)
            let fixture = try SinkFixture(settings)
            let blocks = (UInt64(0)..<60).map { id in
                SealedBlock(id: id, token: "spool-\(id)", table, [.numbers(id * 1000..<(id + 1) * 1000)])
            }
            let sink = fixture.sink
            let running = Task { try await sink.run() }
            for block in blocks.prefix(20) {
                try await fixture.input.send(EncodedBlock(block, await sink.encoding(with: .lz4)))
            }
            await fixture.committed.wait(count: 5)
            doomed.kill()
            for block in blocks.dropFirst(20) {
                try await fixture.input.send(EncodedBlock(block, await sink.encoding(with: .lz4)))
            }
            fixture.input.finish()
            try await running.value

            #expect(fixture.committed.values.sorted() == Array(0..<60))
            #expect(fixture.refused.values.isEmpty)
            let hosts = fixture.telemetry.snapshot().hosts
            #expect(hosts[0].breakerOpened == 1 && hosts[0].breaker == .open)
            #expect(hosts[0].committedBlocks + hosts[1].committedBlocks == 60)
            let landed = try await modern.query(
                "SELECT uniqExact(n), count() FROM t FORMAT TSV", database: database)
            let rows = landed.split(whereSeparator: { $0 == "\t" || $0 == "\n" }).compactMap { UInt64($0) }
            // All that the other one did not confirm; nothing twice.
            #expect(rows.first == rows.last)
            #expect(rows.first.map { $0 == hosts[1].committedBlocks * 1000 } == true)
        }
    }
}
