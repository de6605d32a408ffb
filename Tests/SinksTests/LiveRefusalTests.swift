import ClickHouseNative
import Pipeline
import Sinks
import TestSupport
import Testing

/// Against real servers: blocks that they refuse, and what comes behind those.
@Suite(
    .enabled { await ClickHouseServer.isAvailable(.modern) }, .enabled { await ClickHouseServer.isAvailable(.legacy) },
    .endsEvenIfItHangs)
struct LiveRefusalTests {
    private let table = TableName(table: "t")

    /// 16 MB in frames that do not get smaller, so that the server speaks up while it is still being written to.
    private func large(_ from: UInt64) -> SealedBlock {
        SealedBlock(id: from, table, [.numbers(from..<from + 2_000_000)])
    }

    @Test func rowsThatViolateAConstraintAreHandedOverAndAllOthersLand() async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.query(
                "CREATE TABLE t (n UInt64, CONSTRAINT odd CHECK n NOT IN (2000123, 3999999)) ENGINE = MergeTree ORDER BY n",
                database: database)
            let fixture = try SinkFixture(SinkFixture.settings(port: server.nativePort, database: database))
            var compress = CompressSettings()
            compress.method = .none
            try await fixture.ship(
                [large(0), large(2_000_000), SealedBlock(id: 7, table, [.numbers(0..<10)])], compress: compress)

            #expect(fixture.refusedRows.values == [1, 1])
            #expect(fixture.refused.values.allSatisfy { $0.refusal.code?.rawValue == 469 })
            #expect(fixture.telemetry.health.status == .disconnected)
            #expect(try await server.query("SELECT count() FROM t FORMAT TSV", database: database) == "4000008\n")
        }
    }

    /// Rows of 150 partitions: more than the 100 that a server takes in one INSERT since 2019.
    @Test(arguments: ClickHouseServer.Kind.allCases)
    func rowsOfTooManyPartitionsLandInPieces(kind: ClickHouseServer.Kind) async throws {
        let server = try await ClickHouseServer.of(kind)
        let keys = ["n", "(n, toYYYYMM(d))", "toYYYYMMDD(d)", "toStartOfHour(ts)", "ts", "d"]
        try await server.withDatabase { database in
            for key in keys {
                try await server.query(
                    "CREATE TABLE t (n UInt64, d Date, ts DateTime) ENGINE = MergeTree PARTITION BY \(key) ORDER BY n",
                    database: database)
                let fixture = try SinkFixture(SinkFixture.settings(port: server.nativePort, database: database))
                try await fixture.ship([
                    SealedBlock(id: 1, table, [.days(150, each: 20)]), SealedBlock(id: 2, table, [.days(5, each: 1)]),
                ])
                let stored = try await server.query("SELECT count(), sum(n) FROM t FORMAT TSV", database: database)
                #expect(stored == "3005\t\(20 * 149 * 75 + 10)\n", "\(key)")
                #expect(fixture.refused.values.isEmpty, "\(key)")
                // 18.16 has no such limit yet.
                #expect(fixture.splits.values.map(\.pieces.count) == (kind == .legacy ? [] : [2]), "\(key)")
                try await server.query("DROP TABLE t", database: database)
            }
        }
    }

    @Test func partitionsOfAKeyThatIsNotUnderstoodAreHalved() async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.query(
                "CREATE TABLE t (n UInt64) ENGINE = MergeTree PARTITION BY intDiv(n, 10) ORDER BY n", database: database
            )
            let fixture = try SinkFixture(SinkFixture.settings(port: server.nativePort, database: database))
            try await fixture.ship([SealedBlock(id: 1, table, [.numbers(0..<1500)])])
            #expect(try await server.query("SELECT count() FROM t FORMAT TSV", database: database) == "1500\n")
            #expect(fixture.splits.values.map(\.pieces.count) == [2])
        }
    }

    @Test func aServerThatTakesFewerPartitionsThanWeThinkGetsThem() async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.query(
                "CREATE TABLE t (n UInt64) ENGINE = MergeTree PARTITION BY n ORDER BY n", database: database)
            var settings = SinkFixture.settings(port: server.nativePort, database: database)
            settings.settings = ["max_partitions_per_insert_block": "7"]
            let fixture = try SinkFixture(settings)
            try await fixture.ship([SealedBlock(id: 1, table, [.numbers(0..<60)])])
            #expect(try await server.query("SELECT count() FROM t FORMAT TSV", database: database) == "60\n")
            #expect(fixture.refused.values.isEmpty)
        }
    }

    @Test func tooManyPartsAreWaitedFor() async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.query(
                """
                CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n
                SETTINGS parts_to_throw_insert = 2, parts_to_delay_insert = 1, max_delay_to_insert = 0
                """, database: database)
            try await server.query("SYSTEM STOP MERGES t", database: database)
            var settings = SinkFixture.settings(port: server.nativePort, database: database)
            settings.settings = ["insert_deduplicate": "0"]
            let fixture = try SinkFixture(settings)
            let blocks = (UInt64(0)..<5).map { SealedBlock(id: $0, table, [.numbers($0..<$0 + 1)]) }
            async let shipped: Void = fixture.ship(blocks)
            await eventually { fixture.telemetry.snapshot().insertErrors[.rateLimit, default: 0] > 2 }
            try await server.query("SYSTEM START MERGES t", database: database)
            let merging = Task {
                while !Task.isCancelled { try await server.query("OPTIMIZE TABLE t FINAL", database: database) }
            }
            try await shipped
            merging.cancel()
            _ = await merging.result
            #expect(fixture.refused.values.isEmpty)
            #expect(try await server.query("SELECT sum(n) FROM t FORMAT TSV", database: database) == "10\n")
        }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func severalBlocksAreInFlightAtOnce(kind: ClickHouseServer.Kind) async throws {
        let server = try await ClickHouseServer.of(kind)
        try await server.withDatabase { database in
            try await server.query("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n", database: database)
            var settings = SinkFixture.settings(port: server.nativePort, database: database)
            settings.connections = 4
            let fixture = try SinkFixture(settings)
            let blocks = (UInt64(0)..<40).map { id in
                SealedBlock(id: id, table, [.numbers(id * 10_000..<(id + 1) * 10_000)])
            }
            try await fixture.ship(blocks)
            let stored = try await server.query("SELECT count(), sum(n) FROM t FORMAT TSV", database: database)
            #expect(stored == "400000\t79999800000\n")
            #expect(fixture.committed.values.sorted() == Array(0..<40))
        }
    }
}
