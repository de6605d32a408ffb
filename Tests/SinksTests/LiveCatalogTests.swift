import ClickHouseNative
import Pipeline
import Sinks
import TestSupport
import Testing

/// Against real servers: what tables look like, and what happens when that changes.
@Suite(
    .enabled { await ClickHouseServer.isAvailable(.modern) }, .enabled { await ClickHouseServer.isAvailable(.legacy) },
    .endsEvenIfItHangs)
struct LiveCatalogTests {
    @Test(arguments: ClickHouseServer.Kind.allCases)
    func aTableIsDescribedAsTheServerHasIt(kind: ClickHouseServer.Kind) async throws {
        let server = try await ClickHouseServer.of(kind)
        try await server.withDatabase { database in
            let ephemeral = kind == .modern ? ", e String EPHEMERAL 'x'" : ""
            try await server.query(
                """
                CREATE TABLE t (a UInt8, b DateTime DEFAULT now(), `it's \\`c\\`` Nullable(String), m UInt8 MATERIALIZED 1,
                    l UInt8 ALIAS a + 1\(ephemeral)) ENGINE = MergeTree ORDER BY a
                """, database: database)
            let fixture = try SinkFixture(SinkFixture.settings(port: server.nativePort, database: database))
            let structure = try await fixture.catalog.structure(of: TableName(table: "t"))
            let hasEphemeral = kind == .modern
            #expect(
                structure.columns == [
                    .init(ColumnDefinition(name: "a", type: .uint8)),
                    .init(
                        ColumnDefinition(name: "b", type: .dateTime(timeZone: nil)), defaultValue: .expression("now()")),
                    .init(ColumnDefinition(name: "it's `c`", type: .nullable(.string))),
                ]
                    + (hasEphemeral
                        ? [.init(ColumnDefinition(name: "e", type: .string), defaultValue: .expression("'x'"))] : []))
            #expect(Set(structure.computedColumns) == ["m", "l"])
            let zone = try await server.query("SELECT timezone() FORMAT TSVRaw")
            #expect(structure.timeZone + "\n" == zone)
            let qualified = try await fixture.catalog.structure(of: TableName(database: database, table: "t"))
            #expect(qualified == structure)
            #expect(fixture.servers.revision == (kind == .legacy ? .oldest : .newest))
        }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func whatCannotBeWrittenToIsSaidAtOnce(kind: ClickHouseServer.Kind) async throws {
        let server = try await ClickHouseServer.of(kind)
        try await server.withDatabase { database in
            try await server.query(
                "CREATE TABLE t (p AggregateFunction(sum, UInt64)) ENGINE = Memory", database: database)
            let fixture = try SinkFixture(SinkFixture.settings(port: server.nativePort, database: database))
            let unsupported = try await #require(throws: CatalogError.self) {
                try await fixture.catalog.structure(of: TableName(table: "t"))
            }
            #expect(unsupported.code == .unsupportedType)
            #expect(unsupported.message.contains("column p"))
            #expect(unsupported.message.contains("AggregateFunction"))
            for table in [TableName(table: "none"), TableName(database: "none", table: "t")] {
                let unknown = try await #require(throws: CatalogError.self) {
                    try await fixture.catalog.structure(of: table)
                }
                #expect(unknown.code == .unknownTable)
            }
        }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func aColumnThatIsGoneOrOtherwiseRefusesTheBlockAndIsRememberedNew(kind: ClickHouseServer.Kind) async throws {
        let server = try await ClickHouseServer.of(kind)
        try await server.withDatabase { database in
            for change in ["DROP COLUMN n", "MODIFY COLUMN n UInt32"] {
                try await server.query(
                    "CREATE TABLE t (k UInt8 DEFAULT 7, n UInt64) ENGINE = MergeTree ORDER BY k", database: database)
                let fixture = try SinkFixture(SinkFixture.settings(port: server.nativePort, database: database))
                let table = TableName(table: "t")
                _ = try await fixture.catalog.structure(of: table)
                try await server.query("ALTER TABLE t \(change)", database: database)
                try await fixture.ship([SealedBlock(table, [.numbers(0..<5)])])

                #expect(fixture.refused.values.map(\.refusal.reason) == [.structureChanged])
                #expect(fixture.refused.values.first?.refusal.message.contains("column n") == true)
                let now = try await fixture.catalog.structure(of: table)
                #expect(now.columns.first { $0.definition.name == "n" }?.definition.type != .uint64)
                try await server.query("DROP TABLE t", database: database)
            }
        }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func aColumnThatWasAddedDoesNotHurtBlocksWithoutIt(kind: ClickHouseServer.Kind) async throws {
        let server = try await ClickHouseServer.of(kind)
        try await server.withDatabase { database in
            try await server.query("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n", database: database)
            let fixture = try SinkFixture(SinkFixture.settings(port: server.nativePort, database: database))
            try await server.query("ALTER TABLE t ADD COLUMN later String DEFAULT 'new'", database: database)
            try await fixture.ship([SealedBlock(TableName(table: "t"), [.numbers(0..<5)])])
            #expect(
                try await server.query("SELECT sum(n), any(later) FROM t FORMAT TSV", database: database) == "10\tnew\n"
            )
        }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func aBlockThatWasEncodedForAnotherServerIsConverted(kind: ClickHouseServer.Kind) async throws {
        let server = try await ClickHouseServer.of(kind)
        try await server.withDatabase { database in
            try await server.query("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n", database: database)
            let fixture = try SinkFixture(SinkFixture.settings(port: server.nativePort, database: database))
            let other: Revision = kind == .legacy ? .newest : .oldest
            let block = SealedBlock(TableName(table: "t"), [.numbers(0..<5)])
            try await fixture.input.send(
                EncodedBlock(block, BlockEncoding(revision: other, compression: .zstd(level: 3))))
            fixture.input.finish()
            try await fixture.sink.run()
            #expect(try await server.query("SELECT sum(n) FROM t FORMAT TSV", database: database) == "10\n")
        }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func settingsThatAServerDoesNotKnowAreNoReasonToFail(kind: ClickHouseServer.Kind) async throws {
        let server = try await ClickHouseServer.of(kind)
        try await server.withDatabase { database in
            try await server.query("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n", database: database)
            var settings = SinkFixture.settings(port: server.nativePort, database: database)
            settings.settings = ClickHouseSettings.Profile.tracker.settings.merging(
                ["insert_distributed_sync": "1", "no_such_setting": "1"]) { $1 }
            settings.settings["async_insert"] = "0"
            let fixture = try SinkFixture(settings)
            try await fixture.ship([SealedBlock(TableName(table: "t"), [.numbers(0..<5)])])
            #expect(fixture.committed.values == [1])
        }
    }
}
