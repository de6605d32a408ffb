import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import Pipeline
import ServiceLifecycle

/// Serves the endpoints on a loopback address, beside the pipeline: it only looks on. The first to end on a graceful
/// shutdown, and never the one that others wait for.
public struct AdminStage: Stage {
    public var name: String { "admin" }

    /// Open connections; further ones wait until one is closed.
    static let connectionsMax = 64
    /// A connection on which nothing happens is closed.
    static let idleTimeMax: TimeAmount = .seconds(60)
    /// On a graceful shutdown, requests that run have so long to end.
    static let stopTimeMax: Duration = .seconds(2)

    private let settings: AdminSettings
    private let telemetry: Telemetry
    private let logger: Logger
    private let clock: StageClock
    private let onListening: @Sendable (Int) -> Void

    /// - Parameter onListening: Called once with the port, when clients can connect.
    public init(
        settings: AdminSettings, telemetry: Telemetry, logger: Logger, clock: StageClock = .continuous,
        onListening: @escaping @Sendable (Int) -> Void = { _ in }
    ) {
        self.settings = settings
        self.telemetry = telemetry
        self.logger = logger
        self.clock = clock
        self.onListening = onListening
    }

    /// - Throws: `AdminError` when it cannot listen.
    public func run() async throws {
        let application = application
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await application.run() }
                group.addTask {
                    try await gracefulShutdown()
                    try await clock.sleep(for: Self.stopTimeMax)
                }
                try await group.next()
                group.cancelAll()
            }
        } catch let error as IOError {
            throw AdminError(host: settings.host, port: settings.port, reason: "\(error)")
        }
    }

    private var application: some ApplicationProtocol {
        // Of the server's own messages only what is wrong is of interest here.
        var serverLogger = logger
        serverLogger.logLevel = max(logger.logLevel, .warning)
        let (logger, settings, onListening) = (logger, settings, onListening)
        return Application(
            router: AdminRouter.make(telemetry: telemetry),
            server: .http1(configuration: .init(idleTimeout: Self.idleTimeMax)),
            configuration: ApplicationConfiguration(
                address: .hostname(settings.host, port: settings.port),
                availableConnectionsDelegate: MaximumAvailableConnections(Self.connectionsMax)),
            onServerRunning: { channel in
                let port = channel.localAddress?.port ?? settings.port
                logger.info("listening", metadata: ["host": "\(settings.host)", "port": "\(port)"])
                onListening(port)
            },
            logger: serverLogger)
    }
}

/// The endpoints cannot be served.
public struct AdminError: Error, Sendable, CustomStringConvertible {
    public let host: String
    public let port: Int
    let reason: String

    public var description: String {
        "cannot listen on \(host):\(port) for the admin endpoints (admin.host, admin.port): \(reason)"
    }
}
