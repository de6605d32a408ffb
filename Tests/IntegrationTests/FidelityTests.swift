import EventGenerator
import Foundation
import Pipeline
import TestSupport
import Testing

/// What lands is what ClickHouse's own JSONEachRow would have stored, through the socket and into real servers.
@Suite(.serialized) struct FidelityTests {
    static let cases: [(ClickHouseServer.Kind, EventGenerator.Table)] = [
        (.modern, .mstore), (.modern, .typesAll), (.legacy, .mstore), (.legacy, .typesAllLegacy),
    ]
    static let methods: [CompressSettings.Method] = [.lz4, .zstd, .none]

    @Test(
        .timeLimit(.minutes(30)),
        .enabled {
            let modern = await ClickHouseServer.isAvailable(.modern)
            let legacy = await ClickHouseServer.isAvailable(.legacy)
            return modern && legacy
        }, arguments: cases)
    func theServerStoresWhatItWouldHaveReadItself(
        kind: ClickHouseServer.Kind, table: EventGenerator.Table
    ) async throws {
        let server = try await ClickHouseServer.of(kind)
        let rows = table == .mstore || Volume.isFull ? Volume.rows : max(1, Volume.rows / 5)
        try await withFolder { folder in
            let ndjson = folder.appendingPathComponent("rows.ndjson")
            try write(rows, of: table, to: ndjson)
            var expected: [String] = []
            for method in Self.methods {
                try await server.withDatabase { database in
                    try await server.createTables(in: database)
                    let columns = try await CarriedColumns(of: table.name, in: database, server)
                    if expected.isEmpty { expected = try await columns.oracle(ndjson: ndjson) }
                    var settings = DaemonFixture.settings(in: folder, server: server, database: database)
                    settings.compress.method = method
                    settings.validate.defaultTable = table.name
                    try await DaemonFixture.run(settings, in: folder) { try await push(ndjson, to: $0) }
                    #expect(try DaemonFixture.deadLetters(in: folder).map(\.reason) == [])
                    let stored = try await columns.stored(in: table.name, of: database, server)
                    #expect(stored == expected, "\(method)")
                }
            }
        }
    }

    @Test(
        .timeLimit(.minutes(20)), .enabled { await ClickHouseServer.isAvailable(.modern) },
        arguments: [FileSinkSettings.Compression.none, .lz4, .zstd])
    func filesAreReadByClickHouseAsTheyAre(compression: FileSinkSettings.Compression) async throws {
        let server = try await ClickHouseServer.modern()
        let rows = Volume.rows
        try await withFolder { folder in
            let ndjson = folder.appendingPathComponent("rows.ndjson")
            try write(rows, of: .mstore, to: ndjson)
            let columns = try await server.withDatabase { database in
                try await server.createTables(in: database)
                return try await CarriedColumns(of: "mstore", in: database, server)
            }
            var issues: [ConfigurationIssue] = []
            let file = ScriptRunner.root.appendingPathComponent("schema/modern/03_mstore.sql").path
            let schema = SchemaCatalog(files: [file], errors: &issues)
            #expect(issues.isEmpty)
            var settings = DaemonFixture.settings(in: folder)
            settings.validate.defaultTable = "mstore"
            settings.ship.file.compression = compression
            settings.ship.file.rollBytes = 4 << 20
            try await DaemonFixture.run(settings, in: folder, schema: schema) { try await push(ndjson, to: $0) }
            let expected = try await columns.oracle(ndjson: ndjson)
            let stored = try await columns.oracle(files: "\(settings.ship.file.directory)/**/*.native*")
            #expect(stored == expected)
        }
    }

    private func write(_ rows: Int, of table: EventGenerator.Table, to file: URL) throws {
        try Data().write(to: file)
        let handle = try FileHandle(forWritingTo: file)
        try forEachPiece(of: EventGenerator(table: table, seed: 4), rows: 0..<rows) {
            try handle.write(contentsOf: Data($0))
        }
        try handle.close()
    }

    private func push(_ file: URL, to fixture: DaemonFixture) async throws {
        let path = fixture.socketPath
        try await blocking {
            let producer = try Producer(path)
            let handle = try FileHandle(forReadingFrom: file)
            // Not by lines: what a read brings is cut anywhere.
            while let piece = try handle.read(upToCount: 1 << 18), !piece.isEmpty { try producer.send(Array(piece)) }
            try producer.finish()
        }
    }
}
