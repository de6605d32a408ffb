import Daemon
import Foundation
import Pipeline
import TestSupport
import Testing

/// Other settings while rows flow: nothing is lost, nothing lands twice, and what is wrong changes nothing.
@Suite(.serialized) struct ReloadTests {
    private static let table = "CREATE TABLE t (seq UInt64) ENGINE = MergeTree ORDER BY seq"

    /// Sends numbers until the body is through; how many there were.
    private func underLoad(
        _ fixture: DaemonFixture, _ body: () async throws -> Void
    ) async throws -> Int {
        let done = Gate()
        let path = fixture.socketPath
        let pushing = Task {
            try await blocking {
                let producer = try Producer(path)
                var sent = 0
                while !done.isOpen {
                    let lines = (sent..<sent + 500).map { "{\"seq\":\($0)}" }.joined(separator: "\n")
                    try producer.send(lines + "\n")
                    sent += 500
                    usleep(500)
                }
                try producer.finish()
                return sent
            }
        }
        let result: Result<Void, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        done.open()
        let sent = try await pushing.value
        try result.get()
        await eventually {
            fixture.telemetry.conservation.inFlight == 0 && fixture.telemetry.acceptedRows == UInt64(sent)
        }
        return sent
    }

    private func settings(in folder: URL, _ server: ClickHouseServer, _ database: String) -> Settings {
        var settings = DaemonFixture.settings(in: folder, server: server, database: database)
        settings.validate.defaultTable = "t"
        settings.batch.defaults.ageMax = .milliseconds(20)
        settings.ship.clickhouse.retryDelayMin = .milliseconds(10)
        settings.ship.clickhouse.retryDelayMax = .milliseconds(200)
        return settings
    }

    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) })
    func reloadsUnderLoadLoseNothing() async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.query(Self.table, database: database)
            try await withFolder { folder in
                let before = settings(in: folder, server, database)
                let sent = try await DaemonFixture.run(before, in: folder) { fixture in
                    try await underLoad(fixture) {
                        for round in 1...30 {
                            var next = before
                            next.ship.clickhouse.connections = 1 + round % 6
                            next.ship.clickhouse.insertTimeout = .seconds(60 + round)
                            next.ship.clickhouse.loadBalancing = round % 2 == 0 ? .random : .inOrder
                            next.batch.defaults.rowsMax = 1_000 * (1 + round % 5)
                            next.compress.method = [.lz4, .zstd, .none][round % 3]
                            next.validate.rowBatchRowsMax = 500 + round
                            next.receive.lineBytesMax = 1_000 + round
                            next.receive.rateLimit.producerRows = round % 3 == 0 ? ["*": 1_000_000] : [:]
                            let committed = fixture.telemetry.committedRows
                            await fixture.daemon.apply(try fixture.daemon.prepare(next))
                            // Each of them is seen at work.
                            await eventually { fixture.telemetry.committedRows > committed }
                        }
                    }
                }
                let stored = try await server.query("SELECT count(), uniqExact(seq) FROM t", database: database)
                #expect(stored == "\(sent)\t\(sent)\n")
                #expect(try DaemonFixture.deadLetters(in: folder).isEmpty)
            }
        }
    }

    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) })
    func rowsGoToAnotherHostWithoutARestart() async throws {
        try await withFolder { folder in
            let first = try await OwnServer.start(.modern, in: folder.appendingPathComponent("a"))
            let second = try await OwnServer.start(.modern, in: folder.appendingPathComponent("b"))
            for own in [first, second] { try await own.server.query(Self.table) }
            let before = settings(in: folder, first.server, "default")
            var after = before
            after.ship.clickhouse.hosts = [.init(name: second.server.host, port: second.server.nativePort)]
            let (sent, hosts) = try await DaemonFixture.run(before, in: folder) { [after] fixture in
                let sent = try await underLoad(fixture) {
                    await eventually { fixture.telemetry.committedRows > 0 }
                    await fixture.daemon.apply(try fixture.daemon.prepare(after))
                    let committed = fixture.telemetry.committedRows
                    await eventually { fixture.telemetry.committedRows > committed + 5_000 }
                }
                return (sent, fixture.telemetry.hosts)
            }
            // The one that is left has no connections any more, and is not in the figures.
            #expect(hosts.map(\.host) == ["\(second.server.host):\(second.server.nativePort)"])
            #expect((hosts.first?.committedBlocks ?? 0) > 0)
            let counts = try await [first, second].asyncMap {
                Int(try await $0.server.query("SELECT count() FROM t").trimmingCharacters(in: .newlines)) ?? -1
            }
            #expect(counts[0] > 0 && counts[1] > 0)
            #expect(counts[0] + counts[1] == sent)
            try await first.stop()
            try await second.stop()
        }
    }

    /// The server takes `pw-secret`; the daemon begins with a password that was good once.
    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) })
    func aNewPasswordIsTakenWithoutARestart() async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.query(Self.table, database: database)
            try await withFolder { folder in
                var before = settings(in: folder, server, database)
                before.ship.clickhouse.username = "pw"
                before.ship.clickhouse.password = Secret("pw-secret")
                var stale = before
                stale.ship.clickhouse.password = Secret("pw-of-yesterday")
                let sent = try await DaemonFixture.run(before, in: folder) { [before, stale] fixture in
                    try await underLoad(fixture) {
                        await eventually { fixture.telemetry.committedRows > 0 }
                        // Somebody rotates it in the wrong order: rows wait.
                        await fixture.daemon.apply(try fixture.daemon.prepare(stale))
                        await eventually { (fixture.telemetry.hosts.first?.errors.values.reduce(0, +) ?? 0) > 0 }
                        let committed = fixture.telemetry.committedRows
                        await fixture.daemon.apply(try fixture.daemon.prepare(before))
                        await eventually { fixture.telemetry.committedRows > committed }
                    }
                }
                let stored = try await server.query("SELECT count(), uniqExact(seq) FROM t", database: database)
                #expect(stored == "\(sent)\t\(sent)\n")
                #expect(try DaemonFixture.deadLetters(in: folder).isEmpty)
            }
        }
    }

    /// Rows name their tables: only who feeds the limited one is slowed, and no row is lost.
    @Test(.endsEvenIfItHangs)
    func aTableThatGetsTooMuchSlowsThoseThatFeedIt() async throws {
        try await withFolder { folder in
            let file = folder.appendingPathComponent("schema.sql")
            try Data("\(Self.table);\nCREATE TABLE u (seq UInt64) ENGINE = MergeTree ORDER BY seq;".utf8).write(
                to: file)
            var issues: [ConfigurationIssue] = []
            let schema = SchemaCatalog(files: [file.path], errors: &issues)
            var settings = DaemonFixture.settings(in: folder)
            settings.ship.sink = .null
            settings.receive.rateLimit.tableRows = ["t": 2_000]
            settings.receive.rateLimit.burst = .milliseconds(20)
            let telemetry = try await DaemonFixture.run(settings, in: folder, schema: schema) { fixture in
                let path = fixture.socketPath
                try await blocking {
                    for table in ["u", "t"] {
                        let producer = try Producer(path)
                        for first in 0..<20 {
                            let lines = (0..<250).map { "{\"table\":\"\(table)\",\"seq\":\(first * 250 + $0)}\n" }
                            try producer.send(lines.joined())
                            usleep(1000)
                        }
                        try producer.finish()
                    }
                }
                await eventually { fixture.telemetry.committedRows == 10_000 }
                return fixture.telemetry
            }
            #expect(telemetry.rateLimited.keys.sorted() == ["table_rows"])
            #expect(telemetry.acceptedRows == 10_000 && telemetry.rejectedRows == 0)
        }
    }

    @Test(.endsEvenIfItHangs)
    func whatCannotBeUsedChangesNothing() async throws {
        try await withFolder { folder in
            var settings = DaemonFixture.settings(in: folder)
            settings.ship.sink = .clickhouse
            settings.ship.clickhouse.hosts = [.init(name: "127.0.0.1", port: 1)]
            try await DaemonFixture.run(settings, in: folder) { [settings] fixture in
                var secured = settings
                secured.receive.connectionsMax = 1
                secured.ship.clickhouse.secure = true
                secured.ship.clickhouse.caCert = folder.appendingPathComponent("missing.pem").path
                #expect(throws: (any Error).self) { try fixture.daemon.prepare(secured) }
                var unknown = settings
                unknown.receive.allowedUsers = ["nobody-of-this-name"]
                #expect(throws: (any Error).self) { try fixture.daemon.prepare(unknown) }
            }
        }
    }
}

extension Sequence where Self: Sendable {
    /// One after the other.
    fileprivate func asyncMap<T>(_ transform: (Element) async throws -> T) async rethrows -> [T] {
        var results: [T] = []
        for element in self { results.append(try await transform(element)) }
        return results
    }
}
