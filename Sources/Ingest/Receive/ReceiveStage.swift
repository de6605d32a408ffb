import Foundation
import Logging
import NIOCore
import NIOPosix
import Pipeline
import ServiceLifecycle

/// Listens on the Unix socket, serves producers, and hands their lines on in chunks. On a graceful shutdown it stops
/// accepting, reads no more, hands over the whole lines that are there, finishes its stream, and tells producers that want
/// acks what became of their rows.
public actor ReceiveStage: Stage {
    public nonisolated let name = "receive"

    /// Smallest buffer that a read gets, in bytes; it grows up to `read_bytes_max` while reads fill it.
    static let readBytesMin = 2 << 10

    /// As it began; see `reconfigure(_:)`.
    private let settings: ReceiveSettings
    private let rowBytesMax: Int
    private let shared: SessionContext
    private let output: BoundedStream<Chunk>
    private let environment: [String: String]
    private let logger: Logger
    private let onListening: @Sendable () -> Void

    /// - Parameters:
    ///   - rowBytesMax: What is kept of a line that is too long (`dead_letter.row_bytes_max`).
    ///   - output: Weighed by `Chunk.memory`. Finished when the stage ends, however it ends.
    ///   - producers: Who numbers rows; nil: this daemon gives no acks.
    ///   - hasSpool: Whether rows become durable before they are settled, so that `durable` acks can be granted.
    ///   - environment: Where systemd says which sockets it passed.
    ///   - rates: how fast rows may come; validate has the same one.
    ///   - onRefusal: called on an event loop for each peer that may not connect; must not block.
    ///   - onListening: Called once, when producers can connect.
    /// - Throws: `ReceiveError` when a user or group that may connect is not known.
    public init(
        settings: ReceiveSettings, rowBytesMax: Int, output: BoundedStream<Chunk>, deadLetter: DeadLetter,
        producers: ProducerRegistry? = nil, hasSpool: Bool = false, telemetry: Telemetry, logger: Logger,
        clock: StageClock = .continuous, rates: RateLimits? = nil,
        environment: [String: String] = ProcessInfo.processInfo.environment,
        onRefusal: @escaping @Sendable (PeerRefusal) -> Void = { _ in },
        onListening: @escaping @Sendable () -> Void = {}
    ) throws {
        self.settings = settings
        self.rowBytesMax = rowBytesMax
        self.output = output
        self.environment = environment
        self.logger = logger
        self.onListening = onListening
        let limits = ReceiveLimits(
            ReceiveLimits.Values(
                session: SessionState.Limits(
                    settings, rowBytesMax: rowBytesMax, hasProducers: producers != nil, hasSpool: hasSpool),
                rules: try PeerRules(settings)))
        shared = SessionContext(
            limits: limits, output: output, deadLetter: deadLetter,
            registry: SessionRegistry(
                connectionsMax: settings.connectionsMax, perUserMax: settings.connectionsPerUserMax),
            producers: producers, rates: rates ?? RateLimits(settings.rateLimit, telemetry: telemetry, clock: clock),
            telemetry: telemetry, clock: clock, logger: logger, onRefusal: onRefusal)
    }

    /// Other settings, looked at and not yet in force.
    public struct Change: Sendable {
        fileprivate let settings: ReceiveSettings
        fileprivate let rules: PeerRules
    }

    /// Looks at other settings.
    ///
    /// - Throws: `ReceiveError` for users and groups that the system does not know.
    public nonisolated func prepare(_ settings: ReceiveSettings) throws -> Change {
        Change(settings: settings, rules: try PeerRules(settings))
    }

    /// Takes over limits, who may connect, and how fast. Limits of lines, frames and answers count for sessions that begin from
    /// now on; those of users who may not connect any more are ended.
    public nonisolated func apply(_ change: Change) {
        let (settings, rules) = (change.settings, change.rules)
        let before = shared.limits.current
        shared.limits.current = ReceiveLimits.Values(
            session: SessionState.Limits(
                settings, rowBytesMax: rowBytesMax, hasProducers: before.session.hasProducers,
                hasSpool: before.session.hasSpool),
            rules: rules)
        shared.registry.reconfigure(
            connectionsMax: settings.connectionsMax, perUserMax: settings.connectionsPerUserMax)
        shared.rates.reconfigure(settings.rateLimit)
        shared.registry.lookAgain()
    }

    /// - Throws: `ReceiveError` when it cannot listen.
    public func run() async throws {
        // However this ends: who waits for chunks learns that no more come, and sessions that wait for room give up.
        defer { output.finish() }
        let socket = try ListeningSocket.open(settings, environment: environment)
        defer { socket.removeFile() }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: settings.threadsOrDefault)
        do {
            let listener = try await listen(on: socket, group)
            onListening()
            // Also ends when the task is cancelled; then nothing is waited for.
            try? await gracefulShutdown()
            try? await listener.close()
            socket.removeFile()
            await shared.registry.stop()
            // Those that wait for acks need what comes after to go on to its end.
            output.finish()
            await shared.registry.settle()
            if Task.isCancelled {
                logger.error("receive cancelled", metadata: ["sessions": "\(shared.registry.count)"])
                shared.registry.abandon()
            }
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        output.finish()
        try await group.shutdownGracefully()
    }

    private func listen(on socket: ListeningSocket, _ group: MultiThreadedEventLoopGroup) async throws -> any Channel {
        let shared = self.shared
        let readBytesMax = max(Self.readBytesMin, settings.readBytesMax)
        let share = ReadShare(totalBytesMax: settings.readMemoryMax)
        let listener = try await ServerBootstrap(group: group)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptBackoffHandler())
                }
            }
            .childChannelOption(.autoRead, value: false)
            // A producer that is done writing may wait for the end: it still gets its lines accepted.
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            // One read for each that the session asks for, and every other session has its turn.
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(
                .recvAllocator,
                value: SharedReadAllocator(minimum: Self.readBytesMin, maximum: readBytesMax, share: share)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try Self.begin(channel, shared, share) }
            }
            .withBoundSocket(socket.descriptor)
            .get()
        // The channel listens with a backlog of its own; Linux lets it be changed.
        guard Foundation.listen(socket.descriptor, Int32(clamping: settings.backlog)) == 0 else {
            let error = ListeningSocket.failure("cannot listen on \(settings.socketPath)")
            try? await listener.close()
            throw error
        }
        logger.info(
            "listening",
            metadata: [
                "path": "\(socket.file?.path ?? "inherited")", "mode": "\(String(settings.socketMode, radix: 8))",
            ])
        return listener
    }

    private static func begin(_ channel: any Channel, _ shared: SessionContext, _ share: ReadShare) throws {
        share.sessionBegan()
        channel.closeFuture.whenComplete { _ in share.sessionEnded() }
        try channel.pipeline.syncOperations.addHandler(shared.handler(for: channel))
    }
}
