import ClickHouseNative
import Pipeline
import Sinks
import TestSupport
import Testing

/// Against real servers: blocks with a column of every type, shipped and compared with what they were made of.
@Suite struct LiveInsertTests {
    static let methods: [CompressSettings.Method] = [.lz4, .lz4hc, .zstd, .none]

    @Test(
        .enabled { await ClickHouseServer.isAvailable(.modern) }, .endsEvenIfItHangs, arguments: methods)
    func everyTypeArrivesAsItWas(method: CompressSettings.Method) async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.createTables(in: database)
            let columns = try await server.insertableColumns(of: "types_all", database: database)
            try await server.createSource(database: database)
            try await server.fillWithRandomRows("source", columns, database: database)

            let parts = try await server.blocks("SELECT \(columns.names) FROM source", database: database)
            try await ship(parts, to: server, database: database, method: method)

            let expected = try await server.fingerprint(of: "source", columns, database: database)
            let stored = try await server.fingerprint(of: "types_all", columns, database: database)
            #expect(stored.symmetricDifference(expected).sorted() == [])
        }
    }

    @Test(
        .enabled {
            let modern = await ClickHouseServer.isAvailable(.modern)
            let legacy = await ClickHouseServer.isAvailable(.legacy)
            return modern && legacy
        }, .endsEvenIfItHangs, arguments: methods)
    func everyTypeOf2018ArrivesAsItWas(method: CompressSettings.Method) async throws {
        let legacy = try await ClickHouseServer.legacy()
        let modern = try await ClickHouseServer.modern()
        try await legacy.withDatabase { database in
            try await legacy.createTables(in: database)
            let columns = try await legacy.insertableColumns(of: "types_all", database: database)
            try await legacy.createSource(database: database)
            // A server of 2018 has no random rows of every type: they come from today's, as text.
            let (rows, parts) = try await modern.withDatabase { other in
                try await modern.createTables(in: other)
                try await modern.fillWithRandomRows("types_all", columns, isText: true, database: other)
                let select = "SELECT \(columns.names) FROM types_all ORDER BY id"
                let rows = try await modern.query(select + " FORMAT TSV", database: other)
                return (rows, try await modern.blocks(select, database: other))
            }
            try await legacy.query(
                "INSERT INTO source (\(columns.names)) FORMAT TSV", input: Array(rows.utf8), database: database)

            try await ship(parts, to: legacy, database: database, method: method)

            let expected = try await legacy.fingerprint(of: "source", columns, database: database)
            let stored = try await legacy.fingerprint(of: "types_all", columns, database: database)
            #expect(stored.symmetricDifference(expected).sorted() == [])
        }
    }

    private func ship(
        _ parts: [Block], to server: ClickHouseServer, database: String, method: CompressSettings.Method
    ) async throws {
        let fixture = try SinkFixture(SinkFixture.settings(port: server.nativePort, database: database))
        // The catalog comes first, as in the daemon: from then on the revision is known.
        let structure = try await fixture.catalog.structure(of: TableName(table: "types_all"))
        #expect(structure.computedColumns == ["m_hash", "al_text"])
        #expect(structure.columns.contains { $0.definition.name == "d_len" && $0.defaultValue != .type })
        var compress = CompressSettings()
        compress.method = method
        try await fixture.ship([SealedBlock(TableName(table: "types_all"), parts)], compress: compress)

        #expect(fixture.refused.values.isEmpty)
        #expect(fixture.committed.values == [1])
        let snapshot = fixture.telemetry.snapshot()
        #expect(snapshot.committedRows == UInt64(parts.reduce(0) { $0 + $1.rows }))
        #expect(snapshot.sinkConnections == 0)
        #expect(snapshot.rowsInFlight == 0)
        #expect(snapshot.health == .disconnected)
        #expect(fixture.sink.rowsHeld == 0)
    }
}
