import Foundation
import Pipeline
import TestSupport
import Testing

/// A table that takes nothing for a while holds up no other one, and loses nothing.
@Suite(.serialized, .timeLimit(.minutes(10))) struct SetAsideTests {
    @Test(.enabled { await ClickHouseServer.isAvailable(.modern) })
    func tablesGoOnBesideOneWithTooManyParts() async throws {
        let rows = 4000
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            for (table, more) in [("sick", ", parts_to_delay_insert = 1, parts_to_throw_insert = 1"), ("well", "")] {
                try await server.query(
                    """
                    CREATE TABLE \(table) (id UInt64) ENGINE = MergeTree ORDER BY id
                    SETTINGS non_replicated_deduplication_window = 1000\(more)
                    """, database: database)
            }
            try await server.query("SYSTEM STOP MERGES sick", database: database)
            // One part is there, and one is too many from now on.
            try await server.query("INSERT INTO sick VALUES (0)", database: database)
            try await withFolder { folder in
                var settings = DaemonFixture.settings(in: folder, server: server, database: database)
                settings.batch.defaults.rowsMax = 100
                settings.ship.clickhouse.connections = 2
                settings.ship.clickhouse.retryDelayMax = .milliseconds(100)
                try await DaemonFixture.run(settings, in: folder) { fixture in
                    let producer = try Producer(fixture.socketPath)
                    for id in 1...rows {
                        try producer.send(#"{"table":"\#(id % 2 == 0 ? "well" : "sick")","id":\#(id)}"# + "\n")
                    }
                    _ = try await blocking { try producer.finish() }
                    await eventually { fixture.telemetry.spool.setAsideRows == rows / 2 }
                    #expect(fixture.telemetry.committedRows == UInt64(rows / 2))
                    #expect(fixture.telemetry.conservation.inFlight == Int64(rows / 2))
                    let count = "SELECT count(), uniqExact(id) FROM "
                    #expect(try await server.query(count + "well", database: database) == "\(rows / 2)\t\(rows / 2)\n")
                    #expect(try await server.query(count + "sick", database: database) == "1\t1\n")

                    try await server.query(
                        "ALTER TABLE sick MODIFY SETTING parts_to_throw_insert = 3000, parts_to_delay_insert = 3000",
                        database: database)
                    await eventually { fixture.telemetry.conservation.inFlight == 0 }
                    #expect(
                        try await server.query(count + "sick", database: database)
                            == "\(rows / 2 + 1)\t\(rows / 2 + 1)\n")
                }
                #expect(try DaemonFixture.deadLetters(in: folder).isEmpty)
            }
        }
    }
}
