import Foundation
import Ingest
import Logging
import NIOCore
import Pipeline
import ServiceLifecycle
import Synchronization
import TestSupport

/// The daemon's real front on a socket, and behind it something that makes rows durable as the spool would. What it
/// remembers outlives a restart.
final class FakeDaemon: Sendable {
    /// What was taken, of all runs.
    struct Ledger: Sendable {
        var rows: [String: [UInt64: String]] = [:]
        var taken = 0
        /// Row numbers that were taken twice.
        var duplicates: [String] = []

        mutating func add(_ chunk: Chunk) -> (RowRange, Producer, [RowRefusal])? {
            guard let numbering = chunk.numbering else { return nil }
            let identity = numbering.producer.identity
            let key = "\(identity.name)/\(identity.epoch)"
            var lines = String(buffer: chunk.bytes).split(separator: "\n", omittingEmptySubsequences: false)
            if chunk.rejection == nil { lines.removeLast() } else { lines = ["<rejected>"] }
            precondition(lines.count == Int(numbering.range.rows), "lines and numbers differ")
            var refusals: [RowRefusal] = []
            for (number, line) in zip(numbering.range.first...numbering.range.last, lines) {
                taken += 1
                if rows[key, default: [:]].updateValue(String(line), forKey: number) != nil {
                    duplicates.append("\(key) \(number)")
                }
                if line.contains("bad") || chunk.rejection != nil {
                    refusals.append(
                        RowRefusal(number: number, reason: "type_mismatch", column: "id", message: "not a number"))
                }
            }
            return (numbering.range, numbering.producer, refusals)
        }
    }

    let directory: Directory
    let registry: ProducerRegistry
    private let book = Mutex(Ledger())
    /// Rows become durable when it is open.
    let durability: Gate
    private let configure: @Sendable (inout ReceiveSettings) -> Void
    private let hasSpool: Bool

    init(
        hasSpool: Bool = true, isDurable: Bool = true,
        _ configure: @escaping @Sendable (inout ReceiveSettings) -> Void = { _ in }
    ) throws {
        directory = try Directory()
        registry = ProducerRegistry(wallClock: { 0 })
        durability = Gate()
        self.configure = configure
        self.hasSpool = hasSpool
        if isDurable { durability.open() }
    }

    var path: String { directory.file("s.sock") }
    var ledger: Ledger { book.withLock { $0 } }

    /// The rows of all epochs of a name, in the order of epoch and number.
    func rows(_ name: String) -> [String] {
        ledger.rows.filter { $0.key.hasPrefix("\(name)/") }
            .sorted {
                (UInt64($0.key.dropFirst(name.count + 1)) ?? 0) < (UInt64($1.key.dropFirst(name.count + 1)) ?? 0)
            }
            .flatMap { $0.value.sorted { $0.key < $1.key }.map(\.value) }
    }

    /// One life of the daemon, around what a test does meanwhile.
    func run<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        var settings = ReceiveSettings()
        settings.socketPath = path
        configure(&settings)
        var deadLetterSettings = DeadLetterSettings()
        deadLetterSettings.directory = directory.file("dead-letter")
        let deadLetter = try DeadLetter(settings: deadLetterSettings, logger: quiet)
        let stream = BoundedStream<Chunk>(settings.queue, weight: \.memory)
        let listening = Gate()
        let stage = try ReceiveStage(
            settings: settings, rowBytesMax: 100, output: stream, deadLetter: deadLetter, producers: registry,
            hasSpool: hasSpool, telemetry: Telemetry(), logger: quiet, environment: [:],
            onListening: { listening.open() })
        let group = ServiceGroup(
            configuration: .init(
                services: [
                    .init(service: Body { try await deadLetter.run() }),
                    .init(
                        service: Body { try await stage.run() }, successTerminationBehavior: .gracefullyShutdownGroup),
                ], logger: quiet))
        let (taken, takes) = AsyncStream.makeStream(of: (RowRange, Producer, [RowRefusal]).self)
        return try await withThrowingTaskGroup(of: Void.self) { tasks in
            // However rows were cut into chunks, all are taken before the first is durable.
            tasks.addTask {
                for await chunk in stream {
                    if let rows = self.book.withLock({ $0.add(chunk) }) { takes.yield(rows) }
                }
                takes.finish()
            }
            tasks.addTask {
                for await (range, producer, refusals) in taken {
                    await self.durability.wait()
                    producer.becameDurable(range, refusals: refusals)
                    producer.becameSettled(range)
                }
            }
            tasks.addTask { try await group.run() }
            await listening.wait()
            let result: Result<Value, any Error>
            do {
                result = .success(try await body())
            } catch {
                result = .failure(error)
            }
            durability.open()
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
            return try result.get()
        }
    }

    private struct Body: Service {
        let body: @Sendable () async throws -> Void
        init(_ body: @escaping @Sendable () async throws -> Void) { self.body = body }
        func run() async throws { try await body() }
    }
}

/// A directory for one test, with a path short enough for sockets.
final class Directory: Sendable {
    let path: String

    init() throws {
        path = "\(NSTemporaryDirectory())sluice-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }
}

/// Stands between a producer and the daemon, and breaks connections after some bytes, now of the one, now of the other.
final class BreakingProxy: Sendable {
    let path: String
    private let target: String
    private let listener: Int32
    private let state: Mutex<(random: SeededRandom, breaksLeft: Int)>

    /// - Parameter breaks: so many connections are broken; the rest are left alone.
    init(path: String, target: String, seed: UInt64, breaks: Int) throws {
        self.path = path
        self.target = target
        state = Mutex((SeededRandom(seed: seed), breaks))
        listener = try Self.socket()
        guard Self.withAddress(path, { bind(listener, $0, $1) }) == 0, listen(listener, 16) == 0 else {
            throw POSIXError(.init(rawValue: errno) ?? .EIO)
        }
        Thread.detachNewThread { [self] in
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0 else { return }
                serve(client)
            }
        }
    }

    func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

    private func serve(_ client: Int32) {
        guard let server = try? Self.socket(), Self.withAddress(target, { connect(server, $0, $1) }) == 0 else {
            close(client)
            return
        }
        let limits: (Int, Int)? = state.withLock { state in
            guard state.breaksLeft > 0 else { return nil }
            state.breaksLeft -= 1
            return (state.random.int(1...6_000), state.random.int(40...600))
        }
        let link = Link(client, server)
        Thread.detachNewThread { link.copy(from: client, to: server, bytesMax: limits?.0) }
        Thread.detachNewThread { link.copy(from: server, to: client, bytesMax: limits?.1) }
    }

    private final class Link: Sendable {
        private let descriptors: [Int32]
        private let directions = Mutex(2)

        init(_ client: Int32, _ server: Int32) { descriptors = [client, server] }

        func copy(from: Int32, to: Int32, bytesMax: Int?) {
            var left = bytesMax ?? .max
            var buffer = [UInt8](repeating: 0, count: 1_024)
            while left > 0 {
                let count = read(from, &buffer, min(left, buffer.count))
                guard count > 0 else { break }
                left -= count
                var sent = 0
                while sent < count {
                    let wrote = buffer[sent..<count].withUnsafeBytes {
                        send(to, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                    }
                    guard wrote > 0 else { break }
                    sent += wrote
                }
                if sent < count { break }
            }
            if left == 0 {
                for descriptor in descriptors { shutdown(descriptor, Int32(SHUT_RDWR)) }
            } else {
                shutdown(to, Int32(SHUT_WR))
            }
            let isLast = directions.withLock { directions in
                directions -= 1
                return directions == 0
            }
            if isLast { for descriptor in descriptors { close(descriptor) } }
        }
    }

    private static func socket() throws -> Int32 {
        let descriptor = Foundation.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw POSIXError(.EIO) }
        return descriptor
    }

    private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
