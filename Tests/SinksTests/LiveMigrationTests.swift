import ClickHouseNative
import Foundation
import Pipeline
import TestSupport
import Testing

@testable import Sinks

/// `sluice schema` against real servers.
@Suite(
    .enabled { await ClickHouseServer.isAvailable(.modern) }, .enabled { await ClickHouseServer.isAvailable(.legacy) },
    .endsEvenIfItHangs)
struct LiveMigrationTests {
    private struct Place {
        let server: ClickHouseServer
        let database: String

        var settings: ClickHouseSettings { SinkFixture.settings(port: server.nativePort, database: database) }

        func migrator(
            _ files: [String: String], _ change: (inout Migrator.Options) -> Void = { _ in }
        ) throws -> Migrator {
            var options = Migrator.Options()
            options.by = "a test"
            change(&options)
            let files = try files.sorted { $0.key < $1.key }.map {
                try MigrationFile(name: $0.key, bytes: Array($0.value.utf8))
            }
            return Migrator(settings: settings, host: settings.hosts[0], files: files, options: options)
        }

        @discardableResult
        func apply(
            _ files: [String: String], _ change: (inout Migrator.Options) -> Void = { _ in }
        ) async throws -> Int {
            try await migrator(files, change).apply { _ in }
        }

        func ask(_ sql: String) async throws -> String { try await server.query(sql, database: database) }

        func write(_ event: MigrationEvent) async throws {
            let session = try await ServerSession.open(settings.hosts[0], settings)
            let ledger = MigrationLedger(database: database, cluster: nil, timeout: .seconds(20))
            try await ledger.prepare(session)
            try await ledger.write(event, number: UInt64(event.statement), session)
            await session.close()
        }
    }

    private func withPlace(_ kind: ClickHouseServer.Kind, _ body: (Place) async throws -> Void) async throws {
        let server = try await ClickHouseServer.of(kind)
        try await server.withDatabase { try await body(Place(server: server, database: $0)) }
    }

    private static let table = "CREATE TABLE a (n UInt64) ENGINE = MergeTree() ORDER BY n;\n"
    private static let first = ["0001_a.sql": table + "INSERT INTO a SELECT 1;"]

    private func refusal(_ body: () async throws -> Int) async -> String {
        do {
            _ = try await body()
            return "none"
        } catch { return "\(error)" }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func aSecondApplyDoesNothing(kind: ClickHouseServer.Kind) async throws {
        try await withPlace(kind) { (place) async throws in
            let plan = try await place.migrator(Self.first).plan()
            #expect(plan.steps.map(\.state) == [.pending])
            #expect(plan.steps[0].statements.count == 2)
            #expect(try await place.ask("EXISTS TABLE sluice_migrations") == "0\n")

            #expect(try await place.apply(Self.first) == 1)
            #expect(try await place.apply(Self.first) == 0)

            #expect(try await place.ask("SELECT count() FROM a") == "1\n")
            var more = Self.first
            more["0002_b.sql"] = "ALTER TABLE a ADD COLUMN s String"
            #expect(try await place.apply(more) == 1)
            let after = try await place.migrator(more).plan()
            #expect(after.steps.allSatisfy { $0.statements.isEmpty })
            guard case .applied(_, "a test", 2) = after.steps[0].state else {
                Issue.record("\(after.steps[0].state)")
                return
            }
        }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func sluicesOwnSchemaIsAppliedAsItLies(kind: ClickHouseServer.Kind) async throws {
        try await withPlace(kind) { (place) async throws in
            let directory = ScriptRunner.root.appendingPathComponent("schema/\(kind.rawValue)").path
            let files = try MigrationFile.read(directory: directory)
            let migrator = Migrator(settings: place.settings, host: place.settings.hosts[0], files: files)
            #expect(try await migrator.apply { _ in } == 5)
            #expect(try await migrator.apply { _ in } == 0)
            #expect(try await place.ask("SELECT count() FROM mstore") == "0\n")
        }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func aFileThatWasChangedAfterItWasAppliedIsRefused(kind: ClickHouseServer.Kind) async throws {
        try await withPlace(kind) { (place) async throws in
            try await place.apply(Self.first)
            let changed = ["0001_a.sql": Self.first["0001_a.sql"]! + "-- more", "0002_b.sql": "CREATE TABL x"]
            let plan = try await place.migrator(changed).plan()
            #expect(plan.refusals.count == 1)
            let words = await refusal { try await place.apply(changed) }
            #expect(words.hasPrefix("0001_a.sql was changed after it was applied"))
            // Nothing behind it was tried, and the lock is free.
            #expect(try await place.apply(Self.first) == 0)
        }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func afterARefusedStatementItGoesOnThere(kind: ClickHouseServer.Kind) async throws {
        try await withPlace(kind) { (place) async throws in
            let broken = ["0001_a.sql": Self.table + "INSERT INTO a SELECT 1;\nCREATE TABL b;\nINSERT INTO a SELECT 2"]
            let words = await refusal { try await place.apply(broken) }
            #expect(words.hasPrefix("0001_a.sql:3: stopped at statement 3 of 4, 2 are done: the server says (code 62)"))
            #expect(words.hasSuffix("apply again: it goes on at statement 3"))
            let other = broken.mapValues { $0.replacing("SELECT 1", with: "SELECT 7") }
            let inPart = await refusal { try await place.apply(other) }
            #expect(inPart.hasPrefix("0001_a.sql: statement 2 was run already"))

            let mended = broken.mapValues { $0.replacing("CREATE TABL b", with: "INSERT INTO a SELECT 3") }
            #expect(try await place.apply(mended) == 1)
            #expect(try await place.ask("SELECT sum(n), count() FROM a") == "6\t3\n")
        }
    }

    /// As a run leaves it that is killed after it sent a statement.
    @Test(arguments: ClickHouseServer.Kind.allCases, [Migrator.Outcome.done, .again])
    func aStatementOfUnknownOutcomeIsTheOperatorsToJudge(kind: ClickHouseServer.Kind, outcome: Migrator.Outcome)
        async throws
    {
        try await withPlace(kind) { (place) async throws in
            _ = try await place.ask(Self.table.replacing(";", with: ""))
            let file = try MigrationFile(name: "0001_a.sql", bytes: Array(Self.first["0001_a.sql"]!.utf8))
            let sums = file.statements.map { MigrationFile.checksum(Array($0.text.utf8)) }
            for (kind, number) in [(MigrationEvent.Kind.begun, 1), (.done, 1), (.begun, 2)] {
                try await place.write(
                    MigrationEvent(
                        kind: kind, name: file.name, statement: number, statements: 2, checksum: sums[number - 1],
                        run: "dead", by: "x"))
            }
            let words = await refusal { try await place.apply(Self.first) }
            #expect(words.hasPrefix("0001_a.sql:2: statement 2 of 2 was begun"))
            #expect(words.contains("--outcome"))

            #expect(try await place.apply(Self.first) { $0.outcome = outcome } == 1)
            #expect(try await place.ask("SELECT count() FROM a") == (outcome == .done ? "0\n" : "1\n"))
            #expect(try await place.apply(Self.first) == 0)
        }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func aStatementThatMayBeRepeatedIs(kind: ClickHouseServer.Kind) async throws {
        try await withPlace(kind) { (place) async throws in
            let files = [
                "0001_a.sql": "SET max_threads = 1; " + Self.table.replacing("TABLE a", with: "TABLE IF NOT EXISTS a")
            ]
            let file = try MigrationFile(name: "0001_a.sql", bytes: Array(files["0001_a.sql"]!.utf8))
            let sums = file.statements.map { MigrationFile.checksum(Array($0.text.utf8)) }
            for (kind, number) in [(MigrationEvent.Kind.done, 1), (.begun, 2)] {
                try await place.write(
                    MigrationEvent(
                        kind: kind, name: file.name, statement: number, statements: 2, checksum: sums[number - 1],
                        run: "dead", by: "x"))
            }
            #expect(try await place.migrator(files).plan().steps[0].statements.map(\.number) == [1, 2])
            #expect(try await place.apply(files) == 1)
        }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func aLockHoldsUntilItsLeaseEndsOrItIsBroken(kind: ClickHouseServer.Kind) async throws {
        try await withPlace(kind) { (place) async throws in
            try await place.write(MigrationEvent(kind: .locked, run: "r1", by: "somebody", lease: 3600))
            let locked = await refusal { try await place.apply(Self.first) }
            #expect(locked.hasPrefix("run r1 of somebody is under way"))
            let noLock = await refusal { try await place.apply(Self.first) { $0.brokenLock = "r2" } }
            #expect(noLock.contains("no lock"))
            #expect(try await place.apply(Self.first) { $0.brokenLock = "r1" } == 1)

            _ = try await place.ask(
                """
                INSERT INTO sluice_migrations (event, run, by, lease, applied_at)
                SELECT 'locked', 'r3', 'x', toUInt32(60), now() - 100
                """)
            #expect(try await place.apply(Self.first) == 0)
        }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func appliesAtTheSameTimeRunEachStatementOnce(kind: ClickHouseServer.Kind) async throws {
        try await withPlace(kind) { (place) async throws in
            let migrators = try (0..<6).map { _ in try place.migrator(Self.first) }
            await withTaskGroup(of: Void.self) { group in
                for migrator in migrators {
                    // Those that come too late, or at the very same time, are refused.
                    group.addTask { _ = try? await migrator.apply { _ in } }
                }
            }
            try await place.apply(Self.first)
            #expect(try await place.ask("SELECT count() FROM a") == "1\n")
        }
    }

    @Test(arguments: [
        ("a.sql", "SELECT 1", "expected a name such as"), ("1_a.sql", "-- nothing", "has no statement"),
        ("1_a.sql", "SELECT 1;\nUSE x", "1_a.sql:2: USE"),
        ("1_a.sql", "INSERT INTO a VALUES (1)", "INSERT INTO … SELECT"),
        ("1_a.sql", "SELECT 'a", "1_a.sql:1: the string has no end"),
    ])
    func filesThatCannotBeMigrationsAreRefused(name: String, text: String, words: String) {
        let error = #expect(throws: MigrationError.self) { try MigrationFile(name: name, bytes: Array(text.utf8)) }
        #expect(error?.description.contains(words) == true)
    }
}
