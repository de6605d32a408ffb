import Foundation
import Pipeline
import TestSupport
import Testing

/// Columns are added, dropped and changed while rows flow: no restart, all rows land, none is stored wrongly.
@Suite(.serialized, .timeLimit(.minutes(10))) struct StructureChangeTests {
    /// Rows that are sent between two changes, in pieces of so many.
    private static let rowsOfAPhase = 400
    private static let rowsOfAPiece = 20

    private static let changes = [
        "ADD COLUMN added UInt32", "DROP COLUMN dropped", "MODIFY COLUMN number Int64", "MODIFY COLUMN added String",
        "ADD COLUMN computed UInt64 DEFAULT id * 2", "MODIFY COLUMN computed DEFAULT id * 3",
        "ADD COLUMN dropped Float64",
    ]

    /// A field that the table never has is in all of them; `added` is in those that are sent once it is there.
    private static func row(_ id: Int, hasAdded: Bool) -> String {
        let added = hasAdded ? #","added":\#(id)"# : ""
        return #"{"id":\#(id),"dropped":\#(id),"number":\#(id % 1000),"never":[\#(id)]\#(added)}"# + "\n"
    }

    /// Rows that were read and spooled while no server was there; the table changes before the next run.
    @Test(.enabled { await ClickHouseServer.isAvailable(.modern) })
    func rowsOfAnEarlierRunLandAsTheTableIsByThen() async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.query(
                """
                CREATE TABLE t (id UInt64, gone String, number UInt16) ENGINE = MergeTree ORDER BY id
                SETTINGS non_replicated_deduplication_window = 1000
                """, database: database)
            try await withFolder { folder in
                var settings = DaemonFixture.settings(in: folder, server: server, database: database)
                settings.validate.defaultTable = "t"
                settings.batch.defaults.rowsMax = 100
                func send(_ rows: Range<Int>, _ settings: Settings, drains: Bool) async throws {
                    try await DaemonFixture.run(settings, in: folder) { fixture in
                        let producer = try Producer(fixture.socketPath)
                        try producer.send(rows.map { #"{"id":\#($0),"gone":"x","number":\#($0)}"# + "\n" }.joined())
                        _ = try await blocking { try producer.finish() }
                        await eventually {
                            drains
                                ? fixture.telemetry.conservation.inFlight == 0
                                : fixture.telemetry.acceptedRows == UInt64(rows.count)
                        }
                    }
                }
                // The table is learned and remembered.
                try await send(0..<10, settings, drains: true)
                var away = settings
                away.ship.clickhouse.hosts = [.init(name: "127.0.0.1", port: 1)]
                away.shutdownTimeout = .seconds(1)
                await #expect(throws: DaemonFixture.NotDrained.self) { try await send(10..<560, away, drains: false) }
                for change in ["DROP COLUMN gone", "MODIFY COLUMN number String", "ADD COLUMN later UInt8 DEFAULT 7"] {
                    try await server.query("ALTER TABLE t \(change)", database: database)
                }
                try await send(560..<570, settings, drains: true)
                #expect(try DaemonFixture.deadLetters(in: folder).isEmpty)
                let stored = try await server.query(
                    "SELECT count(), uniqExact(id), sum(number = toString(id)), sum(later = 7) FROM t FORMAT TSV",
                    database: database)
                #expect(stored == "570\t570\t570\t570\n")
            }
        }
    }

    /// JSON goes to the server as text, and is read there by the settings that the table has here.
    @Test(.enabled { await ClickHouseServer.isAvailable(.modern) })
    func jsonIsReadByTheTablesOwnSettings() async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            for table in ["us", "plain"] {
                try await server.query(
                    "CREATE TABLE \(table) (t DateTime('UTC'), j JSON) ENGINE = MergeTree ORDER BY t",
                    database: database)
            }
            try await withFolder { folder in
                var settings = DaemonFixture.settings(in: folder, server: server, database: database)
                settings.validate.tables["us"] = ValidateSettings.Input()
                settings.validate.tables["us"]?.dateTimeInputFormat = .bestEffortUS
                settings.validate.tables["plain"] = ValidateSettings.Input()
                settings.validate.tables["plain"]?.tryInferDatetimes = false
                try await DaemonFixture.run(settings, in: folder) { fixture in
                    let producer = try Producer(fixture.socketPath)
                    for table in ["us", "plain"] {
                        try producer.send(
                            #"{"table":"\#(table)","t":"02/03/2024 01:02:03","j":{"a":"02/03/2024 01:02:03"}}"# + "\n")
                    }
                    _ = try await blocking { try producer.finish() }
                    await eventually { fixture.telemetry.conservation.inFlight == 0 }
                }
                let us = try await server.query(
                    "SELECT t, dynamicType(j.a), j.a::String FROM us FORMAT TSV", database: database)
                #expect(us == "2024-02-03 01:02:03\tDateTime\t2024-02-03 01:02:03\n")
                let plain = try await server.query(
                    "SELECT t, dynamicType(j.a) FROM plain FORMAT TSV", database: database)
                #expect(plain == "2024-03-02 01:02:03\tString\n")
            }
        }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func rowsFlowWhileTheTableChanges(kind: ClickHouseServer.Kind) async throws {
        guard await ClickHouseServer.isAvailable(kind) else { return }
        let server = try await ClickHouseServer.of(kind)
        try await server.withDatabase { database in
            try await server.query(
                """
                CREATE TABLE t (day Date DEFAULT '2024-01-01', id UInt64, dropped String, number UInt16)
                ENGINE = MergeTree PARTITION BY day ORDER BY id
                """, database: database)
            try await withFolder { folder in
                var settings = DaemonFixture.settings(in: folder, server: server, database: database)
                settings.validate.defaultTable = "t"
                settings.validate.structureRefresh = .seconds(1)
                settings.validate.structureRefreshMin = .milliseconds(10)
                settings.batch.defaults.ageMax = .milliseconds(100)
                // The first row that has `added`.
                let firstAdded = try await DaemonFixture.run(settings, in: folder) { fixture in
                    let hasAdded = Gate()
                    let path = fixture.socketPath
                    let phases = Self.changes.count + 1
                    let gates = (0..<phases).map { _ in Gate() }
                    let pushing = Task {
                        let producer = try Producer(path)
                        var firstAdded: Int?
                        for phase in 0..<phases {
                            // The first change may take longer than all rows.
                            if phase == phases - 1 { await hasAdded.wait() }
                            for piece in 0..<Self.rowsOfAPhase / Self.rowsOfAPiece {
                                let first = phase * Self.rowsOfAPhase + piece * Self.rowsOfAPiece
                                let isThere = hasAdded.isOpen
                                if isThere, firstAdded == nil { firstAdded = first }
                                let rows = (first..<first + Self.rowsOfAPiece).map { Self.row($0, hasAdded: isThere) }
                                try producer.send(rows.joined())
                                try await Task.sleep(for: .milliseconds(5))
                            }
                            gates[phase].open()
                        }
                        _ = try await blocking { try producer.finish() }
                        return firstAdded ?? 0
                    }
                    for (phase, change) in Self.changes.enumerated() {
                        await gates[phase].wait()
                        // Rows of the next phase are under way meanwhile.
                        try await server.query("ALTER TABLE t \(change)", database: database)
                        hasAdded.open()
                    }
                    let firstAdded = try await pushing.value
                    await eventually { fixture.telemetry.conservation.inFlight == 0 }
                    return firstAdded
                }
                let rows = (Self.changes.count + 1) * Self.rowsOfAPhase
                #expect(try DaemonFixture.deadLetters(in: folder).isEmpty)
                let stored = try await server.query(
                    """
                    SELECT count(), uniqExact(id), sum(number = id % 1000),
                        sum(if(id >= \(firstAdded), added = toString(id), added IN ('', '0'))),
                        sum(dropped = 0 OR dropped = id)
                    FROM t FORMAT TSV
                    """, database: database)
                #expect(firstAdded > 0)
                #expect(stored == "\(rows)\t\(rows)\t\(rows)\t\(rows)\t\(rows)\n", "added from row \(firstAdded) on")
            }
        }
    }
}
