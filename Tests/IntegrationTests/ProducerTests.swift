import EventGenerator
import Foundation
import Pipeline
import TestSupport
import Testing

/// Many producers at once, and producers that misbehave: nobody else notices.
@Suite(.serialized) struct ProducerTests {
    @Test(.timeLimit(.minutes(30)), .enabled { await ClickHouseServer.isAvailable(.modern) })
    func theRowsOfAThousandProducersAllLand() async throws {
        let each = max(20, Volume.rows / 1000)
        try await withServer { server, database, settings, folder in
            try await DaemonFixture.run(settings, in: folder) { fixture in
                let path = fixture.socketPath
                try await blocking {
                    let producers = try (0..<1000).map { _ in try Producer(path) }
                    let generator = EventGenerator(table: .mstore, seed: 6)
                    // In turns, so that all are under way at the same time.
                    for start in stride(from: 0, to: each, by: 10) {
                        for (number, producer) in producers.enumerated() {
                            var bytes: [UInt8] = []
                            let first = number * each
                            generator.append(rows: first + start..<first + min(start + 10, each), to: &bytes)
                            try producer.send(bytes)
                        }
                    }
                    for producer in producers { try producer.finish() }
                }
            }
            let stored = try await server.query(
                "SELECT count(), uniqExact(seq), max(seq) FROM mstore", database: database)
            #expect(stored == "\(1000 * each)\t\(1000 * each)\t\(1000 * each - 1)\n")
            #expect(try DaemonFixture.deadLetters(in: folder).isEmpty)
        }
    }

    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) })
    func producersThatMisbehaveHurtNobodyElse() async throws {
        let hugeBytes = Volume.isFull ? 100 << 20 : 10 << 20
        let rows = 2000
        let half = #"{"seq":9000001,"mid":"00000"#
        let garbage = [
            #"{"seq":"abc"}"#, "not json", #"{"seq":1"#, #"{"kind":"no_such_kind"}"#, #"{"seq":18446744073709551616}"#,
            #"{"mtypes":{"a":1}}"#, #"{"seq":1,"seq":2}"#,
        ]
        // Bytes that are no UTF-8: in a string ClickHouse stores them as they are; elsewhere they are no JSON.
        let stray: [UInt8] = [0xFF, 0xFE] + Array(#"{"seq":9000002}"#.utf8)
        let latin: [UInt8] =
            Array(#"{"seq":9000003,"created_at":"2026-01-01 00:00:00","msg":"caf"#.utf8) + [0xE9, 0x22, 0x7D]
        try await withServer { server, database, settings, folder in
            let counted = try await DaemonFixture.run(settings, in: folder) { fixture in
                let path = fixture.socketPath
                try await blocking {
                    let stuck = try Producer(path)
                    try stuck.send(half)
                    var gone: Producer? = try Producer(path)
                    try gone?.send(#"{"seq":9000004,"#)
                    gone = nil
                    let huge = try Producer(path)
                    let piece = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20)
                    for _ in 0..<hugeBytes >> 20 { try huge.send(piece) }
                    let dirty = try Producer(path)
                    try dirty.send(stray + [10] + latin + [10])
                    try dirty.send(garbage.joined(separator: "\n") + "\n")

                    let good = try Producer(path)
                    try forEachPiece(of: EventGenerator(table: .mstore, seed: 8), rows: 0..<rows, pieceRows: 100) {
                        try good.send($0)
                        try dirty.send(garbage[0] + "\n")
                    }
                    try good.finish()
                    try huge.send("\n")
                    try huge.finish()
                    try dirty.finish()
                    // `stuck` holds its half line until the daemon stops.
                    withExtendedLifetime(stuck) {}
                }
                return fixture.daemon.telemetry
            }
            let stored = try await server.query(
                "SELECT count(), uniqExact(seq) FROM mstore WHERE seq < 9000000", database: database)
            #expect(stored == "\(rows)\t\(rows)\n")
            let latinStored = try await server.query(
                "SELECT hex(msg) FROM mstore WHERE seq = 9000003", database: database)
            #expect(latinStored == "636166E9\n")

            let letters = try DaemonFixture.deadLetters(in: folder)
            #expect(letters.count == 20 + garbage.count + 1 + 3)
            for line in garbage.dropFirst() { #expect(letters.contains { $0.row == line && !$0.reason.isEmpty }) }
            #expect(
                letters.filter { $0.row == garbage[0] && $0.reason == "type_mismatch" && $0.column == "seq" }.count
                    == 21)
            #expect(letters.contains { $0.bytes == stray && $0.row == nil && $0.reason == "malformed_json" })
            let long = letters.first { $0.reason == "line_too_long" }
            #expect(long?.truncated == hugeBytes)
            #expect(
                long?.bytes == [UInt8](repeating: UInt8(ascii: "x"), count: settings.validate.deadLetter.rowBytesMax))
            #expect(letters.contains { $0.row == #"{"seq":9000004,"# })
            #expect(letters.contains { $0.row == half })
            #expect(counted.snapshot().rejectedRows >= UInt64(20 + garbage.count + 1 + 2))
        }
    }

    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) })
    func aStopKeepsAllThatWasAcceptedBefore() async throws {
        try await withServer { server, database, settings, folder in
            let accepted = try await DaemonFixture.run(settings, in: folder) { fixture in
                let path = fixture.socketPath
                let pushing = Task {
                    try await blocking {
                        let producer = try Producer(path)
                        // Until the daemon hangs up.
                        var sent = 0
                        while sent < 100_000_000 {
                            var bytes: [UInt8] = []
                            EventGenerator(table: .mstore, seed: 3).append(rows: sent..<sent + 500, to: &bytes)
                            do { try producer.send(bytes) } catch { return sent }
                            sent += 500
                        }
                        return sent
                    }
                }
                await eventually { fixture.telemetry.committedRows > 1000 }
                fixture.stop()
                _ = try await pushing.value
                return fixture.daemon.telemetry
            }
            // Counted when all has ended: while sessions hand over what they have, more is accepted.
            #expect(accepted.snapshot().acceptedRows > 1000)
            let stored = try await server.query(
                "SELECT count(), uniqExact(seq), max(seq) + 1 FROM mstore", database: database)
            // A producer's rows are taken in order: what landed is the beginning of what it sent, without a gap.
            let count = accepted.snapshot().acceptedRows
            #expect(stored == "\(count)\t\(count)\t\(count)\n")
        }
    }

    private func withServer(
        _ body: (ClickHouseServer, _ database: String, Settings, URL) async throws -> Void
    ) async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.createTables(in: database)
            try await withFolder { folder in
                var settings = DaemonFixture.settings(in: folder, server: server, database: database)
                settings.validate.defaultTable = "mstore"
                try await body(server, database, settings, folder)
            }
        }
    }
}
