import Hummingbird
import HummingbirdCore
import HummingbirdTLS
import Logging
import NIOConcurrencyHelpers
import NIOCore
import Pipeline
import ServiceLifecycle

/// Serves the endpoints on TCP, on a Unix socket, or on both, beside the pipeline: it only looks on, and passes on what an
/// operator asks for. The first to end on a graceful shutdown, and never the one that others wait for.
public struct AdminStage: Stage {
    public var name: String { "admin" }

    /// A connection on which nothing happens is closed.
    static let idleTimeMax: TimeAmount = .seconds(60)
    /// On a graceful shutdown, requests that run have so long to end.
    static let stopTimeMax: Duration = .seconds(2)

    private let settings: AdminSettings
    private let site: AdminSite
    private let live: LiveAccess
    private let logger: Logger
    private let clock: StageClock
    private let onListening: @Sendable (Int) -> Void

    /// - Parameters:
    ///   - actions: What can be asked of the daemon.
    ///   - audit: Where it is written down; nil: nowhere.
    ///   - onListening: Called once for each listener, when clients can connect: with the port, or 0 for a Unix socket.
    /// - Throws: `AdminError` for a certificate or key that cannot be used.
    public init(
        settings: AdminSettings, telemetry: Telemetry, logger: Logger, actions: any AdminActions = NoAdminActions(),
        audit: AuditLog? = nil, clock: StageClock = .continuous,
        onListening: @escaping @Sendable (Int) -> Void = { _ in }
    ) throws {
        self.settings = settings
        live = try LiveAccess(settings)
        self.logger = logger
        self.clock = clock
        self.onListening = onListening
        site = AdminSite(
            telemetry: telemetry, logger: logger, actions: actions, audit: audit, streamsMax: settings.streamsMax,
            requestsPerSecond: settings.requestsPerSecond, clock: clock)
    }

    /// Where the endpoints are, for the log: `https://0.0.0.0:8090, unix:/run/sluice/admin.sock`.
    public static func addresses(_ settings: AdminSettings) -> String {
        guard settings.enabled else { return "off" }
        let network = settings.host.map { host in
            let scheme = settings.tlsCertificate == nil ? "http" : "https"
            return "\(scheme)://\(host.contains(":") ? "[\(host)]" : host):\(settings.port)"
        }
        return [network, settings.socketPath.map { "unix:\($0)" }].compactMap(\.self).joined(separator: ", ")
    }

    /// Another token and certificate, looked at and not yet in force.
    public struct Change: Sendable {
        fileprivate let values: LiveAccess.Values
        /// The certificate or its key are not those that are in use.
        public let hasNewFiles: Bool
    }

    /// - Throws: `AdminError` for a certificate or key that cannot be used, or where TLS would have to begin or end.
    public func prepare(_ settings: AdminSettings) throws -> Change {
        let (fresh, now) = (try LiveAccess.Values(settings), live.current)
        guard (fresh.certificate == nil) == (now.certificate == nil) else {
            throw AdminError("admin.tls: whether the endpoints speak TLS needs a restart to change")
        }
        return Change(values: fresh, hasNewFiles: fresh.files != now.files)
    }

    /// From the next request and the next connection on.
    public func apply(_ change: Change) { live.current = change.values }

    /// - Throws: `AdminError` when it cannot listen.
    public func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await serve() }
            group.addTask {
                try await gracefulShutdown()
                try await clock.sleep(for: Self.stopTimeMax)
            }
            try await group.next()
            group.cancelAll()
        }
    }

    private func serve() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            if let host = settings.host { group.addTask { try await serve(host: host) } }
            if let path = settings.socketPath { group.addTask { try await serve(socket: AdminSocket(path: path)) } }
            // They end together on a shutdown; one that fails ends the other.
            while try await group.next() != nil {}
        }
    }

    private func serve(host: String) async throws {
        let place = "\(host):\(settings.port) (admin.host, admin.port)"
        do {
            let server = try builder(secured: true)
            let application = application(
                .hostname(host, port: settings.port), server, access: { [live] in live.current.network }
            ) { [settings, logger, onListening] channel in
                let port = channel.localAddress?.port ?? settings.port
                logger.info("listening", metadata: ["host": "\(host)", "port": "\(port)"])
                onListening(port)
            }
            try await application.run()
        } catch let error as IOError {
            throw AdminError("cannot listen on \(place) for the admin endpoints: \(error)")
        }
    }

    private func serve(socket: AdminSocket) async throws {
        let place = try socket.prepare()
        defer { socket.remove() }
        let mode = settings.socketMode
        let failure = Failure()
        let application = application(
            .unixDomainSocket(path: place), try builder(secured: false), access: { .socket }
        ) { [logger, onListening] channel in
            do {
                try socket.publish(mode: mode)
                logger.info(
                    "listening", metadata: ["path": "\(socket.path)", "mode": "\(String(mode, radix: 8))"])
                onListening(0)
            } catch {
                failure.set(error)
                channel.close(promise: nil)
            }
        }
        do {
            try await application.run()
        } catch let error as IOError {
            throw AdminError("cannot listen on \(socket.path) (admin.socket.path) for the admin endpoints: \(error)")
        }
        try failure.rethrow()
    }

    private func builder(secured: Bool) throws -> HTTPServerBuilder {
        let plain = HTTPServerBuilder.http1(configuration: .init(idleTimeout: Self.idleTimeMax))
        let configuration = try AdminCertificate.configuration { [live] in live.current.certificate }
        guard secured, let configuration else { return plain }
        return try .tls(plain, tlsConfiguration: configuration)
    }

    private func application(
        _ address: BindAddress, _ server: HTTPServerBuilder, access: @escaping @Sendable () -> AdminAccess,
        whenRunning: @escaping @Sendable (any Channel) async -> Void
    ) -> some ApplicationProtocol {
        // Of the server's own messages only what is wrong is of interest here.
        var serverLogger = logger
        serverLogger.logLevel = max(logger.logLevel, .warning)
        return Application(
            router: AdminRouter.make(site, access: access()), server: server,
            configuration: ApplicationConfiguration(
                address: address,
                availableConnectionsDelegate: MaximumAvailableConnections(settings.connectionsMax)),
            onServerRunning: whenRunning, logger: serverLogger)
    }
}

/// The endpoints cannot be served.
public struct AdminError: Error, Sendable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}

/// What went wrong where nothing could be thrown.
private final class Failure: Sendable {
    private let error = NIOLockedValueBox<(any Error)?>(nil)

    func set(_ failure: any Error) { error.withLockedValue { $0 = failure } }
    func rethrow() throws { if let failure = error.withLockedValue({ $0 }) { throw failure } }
}
