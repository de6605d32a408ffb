import Daemon
import EventGenerator
import Foundation
import Logging
import Pipeline
import SluiceClient
import TestSupport
import Testing

@testable import sluice

/// `sluice send` with acks against the whole daemon, with a spool and without.
@Suite(.endsEvenIfItHangs) struct AckedSendingTests {
    private func withDaemon<Value: Sendable>(
        hasSpool: Bool = true, _ change: (inout Settings) -> Void = { _ in },
        _ body: @escaping @Sendable (String, TelemetrySource) throws -> Value
    ) async throws -> Value {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "sluice-" + String(UInt32.random(in: .min ... .max), radix: 36))
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let schemaFile = folder.appendingPathComponent("schema.sql").path
        try "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id;".write(
            toFile: schemaFile, atomically: true, encoding: .utf8)
        var issues: [ConfigurationIssue] = []
        let schema = SchemaCatalog(files: [schemaFile], errors: &issues)
        #expect(issues.isEmpty)
        var settings = Settings()
        settings.receive.socketPath = folder.appendingPathComponent("s.sock").path
        settings.validate.deadLetter.directory = folder.appendingPathComponent("dead-letter").path
        settings.validate.defaultTable = "t"
        settings.spool.enabled = hasSpool
        settings.spool.directory = folder.appendingPathComponent("spool").path
        settings.batch.defaults.ageMax = .milliseconds(50)
        settings.ship.sink = .null
        change(&settings)
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let daemon = try Daemon(settings: settings, schema: schema, logger: quiet, exitNow: { _ in })
        let running = Task { try await daemon.runtime.run(signals: false) }
        await daemon.listening.wait()
        let path = settings.receive.socketPath
        let result: Result<Value, any Error> = await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(returning: Result { try body(path, TelemetrySource(telemetry: daemon.telemetry)) })
            }
        }
        daemon.runtime.stop()
        _ = try await running.value
        return try result.get()
    }

    private struct TelemetrySource: Sendable {
        let telemetry: Telemetry
        var accepted: UInt64 { telemetry.snapshot().tables.reduce(0) { $0 + $1.acceptedRows } }
        var duplicates: UInt64 { telemetry.snapshot().duplicateRows }
    }

    private static func send(
        _ text: String, to path: String, acks: Sending.Acks, identity: (String, UInt64)? = nil, producers: Int = 1
    ) throws -> (Sending.Report, Sending.Progress) {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-\(UUID()).ndjson").path
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: file) }
        var plan = Sending.Plan(socketPath: path, producers: producers)
        plan.acks = acks
        plan.identity = identity
        let sending = Sending(plan, source: RowSource(.files([file])))
        let report = sending.run { _ in }
        return (report, sending.progress)
    }

    private static func rows(_ range: Range<Int>) -> String { range.map { "{\"id\":\($0)}\n" }.joined() }

    @Test(arguments: [Sending.Acks.durableIfGranted, .at(.received), .at(.committed), .none], [1, 3])
    func allRowsAreAccountedFor(acks: Sending.Acks, producers: Int) async throws {
        try await withDaemon { path, daemon in
            let text = Self.rows(0..<5_000)
            let (report, progress) = try Self.send(text, to: path, acks: acks, producers: producers)
            #expect(report.problems.isEmpty && report.notes.isEmpty && report.rejectedRows == 0)
            #expect(progress.rows == 5_000 && progress.bytes == text.utf8.count)
            if acks == .durableIfGranted { #expect(report.ack == .durable && daemon.accepted == 5_000) }
        }
    }

    @Test func rejectedRowsAreNamedAndCounted() async throws {
        try await withDaemon { path, _ in
            let text = Self.rows(0..<10) + "{\"id\":\"no number\"}\n" + Self.rows(11..<20)
            let (report, progress) = try Self.send(text, to: path, acks: .at(.durable))
            #expect(report.problems.isEmpty && report.rejectedRows == 1 && progress.rows == 20)
            #expect(report.notes.first?.hasPrefix("row 11 rejected: type_mismatch, column id: ") == true)
        }
    }

    @Test func aRunThatIsRepeatedGoesOnWhereItWas() async throws {
        try await withDaemon { path, daemon in
            for (count, resumed) in [(300, 0), (300, 300), (1_000, 300)] {
                let (report, progress) = try Self.send(
                    Self.rows(0..<count), to: path, acks: .at(.durable), identity: ("import", 1))
                #expect(report.problems.isEmpty)
                #expect(report.resumedRows == resumed && progress.rows == count - resumed)
            }
            #expect(daemon.accepted == 1_000 && daemon.duplicates == 0)
        }
    }

    @Test func withoutASpoolDurableIsRefusedOnlyToThoseWhoAskedForIt() async throws {
        try await withDaemon(hasSpool: false) { path, _ in
            let (asked, sent) = try Self.send(Self.rows(0..<10), to: path, acks: .at(.durable))
            #expect(asked.problems.first?.hasPrefix("the daemon refuses (no_spool): ") == true && sent.rows == 0)
            let (fallback, progress) = try Self.send(Self.rows(0..<10), to: path, acks: .durableIfGranted)
            #expect(fallback.problems.isEmpty && fallback.ack == nil && progress.rows == 10)
            #expect(
                fallback.notes == [
                    "the daemon has no spool: rows are not acked, and a crash of the daemon may lose some"
                ])
            let (committed, _) = try Self.send(Self.rows(0..<10), to: path, acks: .at(.committed))
            #expect(committed.problems.isEmpty && committed.ack == .committed)
        }
    }

    /// Whoever is too fast waits. Nothing is sent twice, and nobody is told to fear that.
    @Test func aProducerThatIsTooFastIsHeldAndNothingElse() async throws {
        try await withDaemon {
            $0.receive.rateLimit.producerRows = ["*": 2_000]
            $0.receive.rateLimit.burst = .milliseconds(100)
        } _: { path, daemon in
            let (report, progress) = try Self.send(Self.rows(0..<3_000), to: path, acks: .at(.durable))
            #expect(report.problems.isEmpty && report.notes.isEmpty && progress.rows == 3_000)
            #expect(daemon.accepted == 3_000)
            #expect((daemon.telemetry.snapshot().rateLimited["producer_rows"] ?? 0) > 0)
        }
    }

    /// It has sent something when the daemon hangs up: what was said must not be lost over that.
    @Test func whoMayNotConnectIsToldSo() async throws {
        let other = getuid() == 1 ? "root" : "daemon"
        try await withDaemon {
            $0.receive.allowedUsers = [other]
        } _: { path, daemon in
            for acks in [Sending.Acks](repeating: .at(.durable), count: 10)
                + [Sending.Acks](repeating: .durableIfGranted, count: 10)
            {
                let (report, progress) = try Self.send(Self.rows(0..<10), to: path, acks: acks)
                #expect(progress.rows == 0 && report.notes.isEmpty)
                #expect(report.problems.count == 1)
                #expect(report.problems.first?.contains("not_allowed") == true, "\(report.problems)")
                #expect(report.problems.first?.contains("may not send rows here") == true)
            }
            #expect(daemon.telemetry.snapshot().sessionsRefused["not_allowed"] == 20)
        }
    }

    @Test(arguments: [(0, 5, 0), (2, 3, 2), (4, 1, 4), (5, 0, 5), (9, 0, 5)])
    func rowsThatAreThereAreLeftOut(skip: Int, left: Int, dropped: Int) {
        let (lines, fromLines) = Piece.bytes(Array("a\n\nc\nd\ne\n".utf8), rows: 5).dropping(rows: skip)
        let (numbers, fromNumbers) = Piece.numbers(10..<15).dropping(rows: skip)
        #expect((lines?.rows ?? 0) == left && fromLines == dropped)
        #expect((numbers?.rows ?? 0) == left && fromNumbers == dropped)
        if case .bytes(let bytes, _) = lines {
            #expect("a\n\nc\nd\ne\n".hasSuffix(String(decoding: bytes, as: UTF8.self)))
            #expect(bytes.count { $0 == 10 } == left)
        }
    }
}
