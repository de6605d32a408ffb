import Foundation
import Logging
import NIOCore
import Pipeline
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@testable import Ingest

let quietLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Notes what is logged, at every level, as `message [key=value …]`.
struct RecordingLogHandler: LogHandler {
    let lines: Recorder<String>
    var logLevel = Logger.Level.trace
    var metadata = Logger.Metadata()

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let metadata = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        lines.record("\(event.message) [\(metadata.joined(separator: " "))]")
    }
}

/// A receive stage on a socket of its own, and what it handed on.
final class Receiver: Sendable {
    let directory: TemporaryDirectory
    let settings: ReceiveSettings
    let telemetry = Telemetry()
    let stream: BoundedStream<Chunk>
    let deadLetter: DeadLetter
    let chunks = Recorder<Chunk>()
    /// Taking begins when it is open.
    let taking = Gate()
    let listening = Gate()
    let refusals = Recorder<PeerRefusal>()
    private let group: ServiceGroup
    private let stage: ReceiveStage

    init(
        logger: Logger = quietLogger, _ configure: (inout ReceiveSettings) -> Void = { _ in }
    ) throws {
        directory = try TemporaryDirectory()
        var settings = ReceiveSettings()
        settings.socketPath = directory.file("s.sock")
        configure(&settings)
        self.settings = settings
        stream = BoundedStream(settings.queue, weight: \.memory)
        var deadLetterSettings = DeadLetterSettings()
        deadLetterSettings.directory = directory.file("dead-letter")
        deadLetter = try DeadLetter(settings: deadLetterSettings, logger: logger)
        stage = try ReceiveStage(
            settings: settings, rowBytesMax: deadLetterSettings.rowBytesMax, output: stream, deadLetter: deadLetter,
            telemetry: telemetry, logger: logger, environment: [:],
            onRefusal: { [refusals] in refusals.record($0) }, onListening: { [listening] in listening.open() })
        group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [
                    ServiceGroupConfiguration.ServiceConfiguration(
                        service: Body(run: { [deadLetter] in try await deadLetter.run() })),
                    ServiceGroupConfiguration.ServiceConfiguration(
                        service: Body(run: { [stage] in try await stage.run() }),
                        successTerminationBehavior: .gracefullyShutdownGroup),
                ],
                logger: quietLogger))
    }

    /// Runs the stage around a test; ends it gracefully, and returns when everything was handed over.
    static func run(
        logger: Logger = quietLogger, taking: Bool = true,
        _ configure: (inout ReceiveSettings) -> Void = { _ in },
        _ body: @escaping @Sendable (Receiver) async throws -> Void
    ) async throws -> Receiver {
        let receiver = try Receiver(logger: logger, configure)
        if taking { receiver.taking.open() }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                await receiver.taking.wait()
                for await chunk in receiver.stream { receiver.chunks.record(chunk) }
            }
            tasks.addTask { try await receiver.group.run() }
            await receiver.listening.wait()
            let result: Result<Void, any Error>
            do {
                result = .success(try await body(receiver))
            } catch {
                result = .failure(error)
            }
            receiver.taking.open()
            await receiver.stop()
            try await tasks.waitForAll()
            try result.get()
        }
        return receiver
    }

    func run() async throws { try await stage.run() }

    func reconfigure(_ change: (inout ReceiveSettings) -> Void) throws {
        var settings = settings
        change(&settings)
        stage.apply(try stage.prepare(settings))
    }

    func stop() async { await group.triggerGracefulShutdown() }

    var path: String { settings.socketPath }

    func client(nonBlocking: Bool = false) throws -> UnixClient {
        try UnixClient(path: path, nonBlocking: nonBlocking)
    }

    /// One producer from its first byte to its last; returns what it was told.
    func send(_ text: String) async throws -> String {
        try await offThePool {
            let client = try self.client()
            try client.write(text)
            client.closeWriting()
            return try client.readToEnd()
        }
    }

    /// The same for a producer that is told nothing, since all is well.
    func deliver(_ text: String) async throws {
        let answer = try await send(text)
        #expect(answer == "")
    }

    /// The lines of all sessions, each session's in its order.
    var lines: [UInt64: [String]] {
        var bytes: [UInt64: [UInt8]] = [:]
        for chunk in chunks.values { bytes[chunk.session, default: []] += chunk.lines.readableBytesView }
        return bytes.mapValues { $0.split(separator: 0x0A).map { String(decoding: $0, as: UTF8.self) } }
    }

    var allLines: [String] { lines.sorted { $0.key < $1.key }.flatMap(\.value) }

    /// The lines of the dead letter, after the run.
    func rejections() throws -> [RejectedLine] { try RejectedLine.read(directory.file("dead-letter")) }

    private struct Body: Service {
        let run: @Sendable () async throws -> Void
        func run() async throws { try await self.run() }
    }
}

/// A line of a dead letter, as a reader of the files sees it.
struct RejectedLine: Decodable, Equatable {
    var time: String
    var table: String?
    var column: String?
    var reason: String
    var message: String
    var session: UInt64
    var row: String?
    var rowBase64: String?
    var truncated: Int?
    var producer: String?
    var epoch: UInt64?
    var number: UInt64?

    enum CodingKeys: String, CodingKey {
        case time, table, column, reason, message, session, row, truncated, producer, epoch, number
        case rowBase64 = "row_base64"
    }

    static func read(_ directory: String) throws -> [RejectedLine] {
        try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".ndjson") }.sorted()
            .flatMap { name in
                let data = try Data(contentsOf: URL(fileURLWithPath: "\(directory)/\(name)"))
                return try data.split(separator: 0x0A).map { try JSONDecoder().decode(RejectedLine.self, from: $0) }
            }
    }
}

extension Chunk {
    /// All of them, wherever they lie.
    var lines: ByteBuffer {
        guard var lines = head else { return bytes }
        lines.writeImmutableBuffer(bytes)
        return lines
    }
}
