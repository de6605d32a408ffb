import EventGenerator
import Foundation
import Pipeline
import TestSupport
import Testing

/// A server that goes away, and one that does not answer.
@Suite(.serialized) struct OutageTests {
    /// So small that a few megabytes fill every queue.
    private func small(_ settings: inout Settings) {
        settings.receive.queue.bytesMax = 256 << 10
        settings.validate.queue.bytesMax = 1 << 20
        settings.validate.rowBatchBytesMax = 256 << 10
        settings.spool.bytesMax = 4 << 20
        settings.spool.segmentBytes = 512 << 10
        settings.spool.memoryMax = 1 << 20
        settings.spool.queue.bytesMax = 1 << 20
        settings.validate.recycledBytesMax = 1 << 20
        settings.batch.memoryMax = 1 << 20
        settings.batch.defaults.rowsMax = 1000
        settings.batch.queue.bytesMax = 1 << 20
        settings.compress.queue.bytesMax = 1 << 20
        settings.ship.clickhouse.connections = 2
        settings.ship.clickhouse.retryDelayMax = .milliseconds(500)
        settings.ship.clickhouse.breakerOpenTime = .seconds(1)
    }

    @Test(.timeLimit(.minutes(10)), .enabled { await ClickHouseServer.isAvailable(.modern) })
    func everythingLandsThoughTheServerStopsInMidStream() async throws {
        let rows = Volume.rows
        try await withFolder { folder in
            let own = try await OwnServer.start(.modern, in: folder.appendingPathComponent("server"))
            try await own.server.createTables(in: "default")
            var settings = DaemonFixture.settings(in: folder, server: own.server, database: "default")
            settings.validate.defaultTable = "mstore"
            small(&settings)
            let sent = try await DaemonFixture.run(settings, in: folder) { fixture in
                let path = fixture.socketPath
                let felt = Gate()
                let pushing = Task {
                    defer { felt.open() }
                    return try await blocking {
                        let producer = try Producer(path)
                        let generator = EventGenerator(table: .mstore, seed: 5)
                        var sent = 0
                        // A stopping server still takes rows for a while: on until the producer has felt that it is gone.
                        while sent < rows || !felt.isOpen {
                            var bytes: [UInt8] = []
                            generator.append(rows: sent..<sent + 200, to: &bytes)
                            let taken = try producer.send(bytes, waitMax: 2000)
                            if taken < bytes.count {
                                felt.open()
                                try producer.send(Array(bytes[taken...]))
                            }
                            sent += 200
                        }
                        try producer.finish()
                        return sent
                    }
                }
                await eventually { fixture.telemetry.committedRows > 0 }
                try await own.stop()
                await felt.wait()
                _ = try await own.startAgain()
                let sent = try await pushing.value
                // What is on disk only would wait for the next run.
                await eventually { fixture.telemetry.conservation.inFlight == 0 }
                return sent
            }
            // Blocks that were under way when the server stopped may be there twice.
            let stored = try await own.server.query("SELECT count() >= \(sent), uniqExact(seq) FROM mstore")
            #expect(stored == "1\t\(sent)\n")
            #expect(try DaemonFixture.deadLetters(in: folder).isEmpty)
            try await own.stop()
        }
    }

    /// Beside what the settings bound: the process's own, what parsers, compressors and connections have in hand, and
    /// what the allocator keeps.
    private static let allowance = 96 << 20

    @Test(.timeLimit(.minutes(20)), .enabled { await ClickHouseServer.isAvailable(.modern) })
    func memoryStaysUnderTheCeilingWhileTheServerDoesNotAnswer() async throws {
        let pushMax = Volume.isFull ? 2 << 30 : 200 << 20
        try await withFolder { folder in
            let own = try await OwnServer.start(.modern, in: folder.appendingPathComponent("server"))
            try await own.server.createTables(in: "default")
            var settings = DaemonFixture.settings(in: folder, server: own.server, database: "default")
            settings.validate.defaultTable = "mstore"
            settings.ship.clickhouse.insertTimeout = .seconds(3600)
            settings.spool.bytesMax = 256 << 20
            if !Volume.isFull { small(&settings) }
            let ceiling = settings.memoryCeilingEstimate + Self.allowance
            let before = try Self.residentBytes()
            try await DaemonFixture.run(settings, in: folder) { fixture in
                let path = fixture.socketPath
                let (pushed, rows, peak) = try await blocking {
                    let producer = try Producer(path)
                    // So that the table's structure is known before the server falls silent.
                    try producer.send(#"{"seq":0,"created_at":"2026-01-01 00:00:00"}"# + "\n")
                    while fixture.telemetry.committedRows < 1 { usleep(10_000) }
                    own.send(SIGSTOP)
                    var pushed = 0
                    var rows = 1
                    var peak = 0
                    let generator = EventGenerator(table: .mstore, seed: 2)
                    while pushed < pushMax {
                        var bytes: [UInt8] = []
                        generator.append(rows: rows..<rows + 500, to: &bytes)
                        let taken = try producer.send(bytes, waitMax: 5000)
                        pushed += taken
                        rows += 500
                        peak = max(peak, try Self.residentBytes())
                        if taken < bytes.count {
                            own.send(SIGCONT)
                            try producer.send(Array(bytes[taken...]))
                            break
                        }
                    }
                    own.send(SIGCONT)
                    try producer.finish()
                    return (pushed, rows, peak)
                }
                #expect(pushed < pushMax, "the producer never felt backpressure")
                #expect(
                    peak - before < ceiling, "\(peak - before) bytes more, of \(ceiling) allowed, at \(pushed) pushed")
                await eventually { fixture.telemetry.committedRows >= UInt64(rows) }
            }
            try await own.stop()
        }
    }

    /// VmRSS of this process.
    private static func residentBytes() throws -> Int {
        let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
        let pages = text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }
}
