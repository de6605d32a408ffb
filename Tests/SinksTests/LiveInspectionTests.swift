import ClickHouseNative
import Foundation
import Pipeline
import Sinks
import TestSupport
import Testing

/// `sluice check --online` against real servers.
@Suite(
    .enabled { await ClickHouseServer.isAvailable(.modern) }, .enabled { await ClickHouseServer.isAvailable(.legacy) },
    .endsEvenIfItHangs)
struct LiveInspectionTests {
    private func settings(_ server: ClickHouseServer, _ database: String) -> ClickHouseSettings {
        SinkFixture.settings(port: server.nativePort, database: database)
    }

    private func inspect(
        _ settings: ClickHouseSettings, _ tables: [String], schema: String = ""
    ) async throws -> InspectionReport {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-\(UUID()).sql").path
        try Data(schema.utf8).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        var errors: [ConfigurationIssue] = []
        let catalog = SchemaCatalog(files: [path], errors: &errors)
        #expect(errors.isEmpty)
        return await Inspector(
            settings: settings, tables: tables.map { TableName(table: $0) }, schema: catalog
        ).run()
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func aTableIsComparedWithTheSchemaFiles(kind: ClickHouseServer.Kind) async throws {
        let server = try await ClickHouseServer.of(kind)
        try await server.withDatabase { database in
            try await server.query(
                """
                CREATE TABLE t (a UInt8, b String, m UInt8 MATERIALIZED a, f AggregateFunction(sum, UInt64))
                ENGINE = MergeTree() ORDER BY a
                """, database: database)
            let report = try await inspect(
                settings(server, database), ["t", "no such"],
                schema: "CREATE TABLE t (a UInt8, b UInt64, m UInt8, `new one` DateTime('UTC')) ENGINE = Log")

            let failures = report.findings.filter { $0.level == .fail }
            #expect(failures.map(\.check) == [.columns, .columns, .columns, .types, .exists])
            #expect(failures[0].message.contains("column b has type String, the schema files say UInt64"))
            #expect(failures[1].message.contains("column m is MATERIALIZED"))
            #expect(failures[2].advice == "ALTER TABLE `\(database)`.`t` ADD COLUMN `new one` DateTime('UTC');")
            #expect(failures[3].message.contains("column f has type AggregateFunction(sum, UInt64)"))
            #expect(failures[4].table == "\(database).no such")
            #expect(report.worst == .fail)
            // What it says to type is understood.
            try await server.query(String(try #require(failures[2].advice).dropLast()), database: database)
        }
    }

    @Test func whatItSaysToTypeMakesATableExactlyOnce() async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.query("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n", database: database)
            let before = try await inspect(settings(server, database), ["t"])
            let finding = try #require(before.findings.first { $0.check == .deduplication })
            #expect(finding.level == .warn)
            try await server.query(String(try #require(finding.advice).dropLast()), database: database)

            let after = try await inspect(settings(server, database), ["t"])

            #expect(after.worst == .ok)
            #expect(after.findings.first { $0.check == .deduplication }?.message.hasPrefix("exactly once") == true)
            #expect(after.findings.contains { $0.check == .permissions && $0.level == .ok })
        }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func sluicesOwnTablesHaveWhatTheyShould(kind: ClickHouseServer.Kind) async throws {
        let server = try await ClickHouseServer.of(kind)
        try await server.withDatabase { database in
            try await server.createTables(in: database)
            let report = try await inspect(
                settings(server, database), ["events", "mstore", "mtriage", "impression_daily"])
            #expect(report.count(.fail) == 0)
            #expect(report.worst == (kind == .modern ? .ok : .warn))
        }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func aUserWhoMayOnlyReadIsFoundAndNoPasswordIsTold(kind: ClickHouseServer.Kind) async throws {
        let server = try await ClickHouseServer.of(kind)
        var settings = settings(server, "default")
        (settings.username, settings.password) = ("ro", Secret("ro-secret"))
        let readOnly = try await inspect(settings, [])
        #expect(readOnly.findings.contains { $0.check == .permissions && $0.message.contains("readonly = 1") })

        settings.password = Secret("wrong-secret")
        let stranger = try await inspect(settings, [])
        #expect(stranger.findings.map(\.check) == [.reachable])
        #expect(stranger.worst == .fail)
        #expect(!readOnly.text().contains("secret") && !stranger.text().contains("secret"))
    }

    /// What a killed server lost is found by reading the table.
    @Test func aUserWhoMayNotReadIsWarnedOf() async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.createTables(in: database)
            for (user, level) in [("writer", Finding.Level.warn), ("pw", .ok)] {
                var settings = settings(server, database)
                (settings.username, settings.password) = (user, Secret("\(user)-secret"))
                let permissions = try await inspect(settings, ["events"]).findings.filter { $0.check == .permissions }
                #expect(permissions.map(\.level).max() == level)
                #expect(permissions.contains { $0.message.contains("may not read") } == (level == .warn))
            }
        }
    }

    @Test func aHostThatIsAwayIsReportedByItself() async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            var settings = settings(server, database)
            settings.hosts.insert(.init(name: "127.0.0.1", port: 1), at: 0)
            let report = try await inspect(settings, [])
            #expect(report.findings.first?.level == .fail)
            #expect(report.findings.first?.host == "127.0.0.1:1")
            #expect(report.findings.contains { $0.check == .reachable && $0.level == .ok })
        }
    }
}
