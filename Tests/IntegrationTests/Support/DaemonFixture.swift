import ClickHouseNative
import Daemon
import EventGenerator
import Foundation
import Logging
import Pipeline
import TestSupport

/// How much the tests push: `SLUICE_TEST_ROWS`; a million is the acceptance in full.
enum Volume {
    static let rows = ProcessInfo.processInfo.environment["SLUICE_TEST_ROWS"].flatMap { Int($0) } ?? 20_000
    static let isFull = rows >= 1_000_000
}

/// A folder of a test's own, gone at its end.
func withFolder<R>(_ body: (_ folder: URL) async throws -> R) async throws -> R {
    // Short: the path of a Unix socket has some 100 bytes at most.
    let name = "sluice-" + String(UInt32.random(in: .min ... .max), radix: 36)
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(name)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try await body(folder)
}

/// The whole daemon in this process, and what it left behind.
struct DaemonFixture: Sendable {
    let daemon: Daemon
    let folder: URL

    /// Asked twice, the daemon would end the process.
    private let stopping = Gate()

    var socketPath: String { daemon.settings.receive.socketPath }
    var telemetry: TelemetrySnapshot { daemon.telemetry.snapshot() }

    /// What every test wants: everything in the folder, room to drain.
    static func settings(in folder: URL) -> Settings {
        var settings = Settings()
        settings.receive.socketPath = folder.appendingPathComponent("s.sock").path
        settings.validate.deadLetter.directory = folder.appendingPathComponent("dead-letter").path
        settings.spool.directory = folder.appendingPathComponent("spool").path
        settings.ship.file.directory = folder.appendingPathComponent("data").path
        settings.shutdownTimeout = .seconds(Volume.isFull ? 600 : 120)
        settings.batch.defaults.ageMax = .milliseconds(200)
        return settings
    }

    static func settings(in folder: URL, server: ClickHouseServer, database: String) -> Settings {
        var settings = settings(in: folder)
        settings.ship.sink = .clickhouse
        settings.ship.clickhouse.hosts = [.init(name: server.host, port: server.nativePort)]
        settings.ship.clickhouse.database = database
        settings.ship.clickhouse.queryTimeout = .seconds(60)
        settings.ship.clickhouse.insertTimeout = .seconds(120)
        return settings
    }

    /// Starts the daemon, runs the body once it listens, stops it and waits until everything has drained.
    ///
    /// - Throws: `NotDrained` unless every accepted row reached the sink.
    static func run<R: Sendable>(
        _ settings: Settings, in folder: URL, schema: SchemaCatalog = SchemaCatalog(),
        _ body: @Sendable (DaemonFixture) async throws -> R
    ) async throws -> R {
        var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        let fixture = DaemonFixture(
            daemon: try Daemon(settings: settings, schema: schema, logger: logger, exitNow: { _ in }), folder: folder)
        let running = Task { try await fixture.daemon.runtime.run(signals: false) }
        let result: Result<R, any Error>
        await fixture.daemon.listening.wait()
        do { result = .success(try await body(fixture)) } catch { result = .failure(error) }
        fixture.stop()
        let reason = try await running.value
        let value = try result.get()
        guard reason == .drained else { throw NotDrained(reason: reason) }
        return value
    }

    func stop() {
        guard !stopping.isOpen else { return }
        stopping.open()
        daemon.runtime.stop()
    }

    private init(daemon: Daemon, folder: URL) {
        self.daemon = daemon
        self.folder = folder
    }

    struct NotDrained: Error {
        let reason: ExitReason
    }

    /// The dead letter's lines; complete once the daemon has stopped.
    static func deadLetters(in folder: URL) throws -> [DeadLetterLine] {
        let directory = folder.appendingPathComponent("dead-letter")
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "ndjson" }.sorted { $0.path < $1.path }
            .flatMap { try Data(contentsOf: $0).split(separator: 10) }
            .map { try decoder.decode(DeadLetterLine.self, from: $0) }
    }
}

struct DeadLetterLine: Decodable {
    let table: String?
    let column: String?
    let reason: String
    let row: String?
    let rowBase64: Data?
    let truncated: Int?

    var bytes: [UInt8] { row.map { Array($0.utf8) } ?? rowBase64.map { Array($0) } ?? [] }
}

/// Blocking calls, away from the tasks' threads.
func blocking<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue.global().async { continuation.resume(with: Result { try body() }) }
    }
}

/// Generated rows in pieces.
func forEachPiece(
    of generator: EventGenerator, rows: Range<Int>, pieceRows: Int = 1000, _ body: ([UInt8]) throws -> Void
) rethrows {
    var start = rows.lowerBound
    while start < rows.upperBound {
        let end = min(start + pieceRows, rows.upperBound)
        var bytes: [UInt8] = []
        generator.append(rows: start..<end, to: &bytes)
        try body(bytes)
        start = end
    }
}
