import ClickHouseNative
import Foundation
import Logging
import NIOCore
import NIOPosix
import Pipeline
import Synchronization

/// The servers that the configuration names: lends connections to them, and knows how each of them is.
public final class ClickHouseServers: Sendable {
    typealias Pool = ConnectionPool<PooledConnection>

    public let settings: ClickHouseSettings
    let health: SinkHealth
    private let hosts: [HostTelemetry]
    private let security: Mutex<TransportSecurity?>
    private let configuration: ConnectionConfiguration
    private let group: any EventLoopGroup
    private let logger: Logger
    private let clock: StageClock
    private let random: @Sendable () -> Double
    private let lastRevision = Mutex<Revision?>(nil)

    private struct State {
        var pool: Pool
        /// Nothing is kept any more.
        var isClosing = false
        /// Grows with each change that may make room.
        var change: UInt64 = 0
        var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var lastWaiter: UInt64 = 0
    }

    private let state: Mutex<State>

    /// - Parameter random: 0 up to 1, for the choice of hosts.
    /// - Throws: When certificates or keys cannot be read, or the key is open to others.
    public init(
        settings: ClickHouseSettings, telemetry: Telemetry, logger: Logger, clock: StageClock = .continuous,
        random: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) },
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) throws {
        self.settings = settings
        self.group = group
        self.logger = logger
        self.clock = clock
        self.random = random
        health = SinkHealth(telemetry: telemetry, logger: logger)
        hosts = settings.hosts.map { HostTelemetry(host: $0.description) }
        for host in hosts { telemetry.observe(host) }
        security = Mutex(try TransportSecurity(settings))
        configuration = ConnectionConfiguration(
            credentials: Credentials(
                user: settings.username, password: settings.password.revealed, database: settings.database),
            identity: ClientIdentity(hostName: Self.hostName))
        state = Mutex(
            State(
                pool: Pool(
                    hosts: settings.hosts.count, policy: settings.loadBalancing,
                    limits: .init(
                        openMax: settings.connectionsMax, idleMax: settings.idleConnectionsMax,
                        lifetime: settings.connectionLifetime, breakerFailuresMax: settings.breakerFailuresMax,
                        breakerOpenTime: settings.breakerOpenTime))))
    }

    /// The machine's own name, as the kernel has it: no question to a name server.
    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "" }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// What the server spoke that was connected to last; the newest while there was none.
    public var revision: Revision { lastRevision.withLock { $0 } ?? .newest }

    // MARK: Certificates

    /// Reads the certificates and the key again; connections that are made from now on use them. When they cannot be read,
    /// those that were read before stay in use.
    ///
    /// - Throws: What is wrong with the files.
    public func reloadCertificates() throws {
        guard let fresh = try TransportSecurity(settings) else { return }
        security.withLock { $0 = fresh }
        logger.notice("certificates read again")
    }

    /// Reads certificates again if one of the files is another one than it was.
    func reloadChangedCertificates() {
        guard let current = security.withLock({ $0 }), current.files != TransportSecurity.Files(settings) else {
            return
        }
        do { try reloadCertificates() } catch {
            logger.error("certificates cannot be read, the old ones stay in use", metadata: ["error": "\(error)"])
        }
    }

    // MARK: Connections

    /// A connection to a host that is well, by the policy; hosts that do not let us in are passed over.
    ///
    /// - Parameter avoided: number of a host that just failed: tried last.
    /// - Throws: `ConnectionError` of the last host, or `HostsUnavailable` when none is to be tried for now.
    func borrow(avoiding avoided: Int? = nil) async throws -> Lease {
        var tried: Set<Int> = []
        var last: ConnectionError?
        while true {
            let (decision, change, doomed) = state.withLock { state in
                let decision = state.pool.next(avoiding: avoided, tried: tried, now: clock.now, random: random)
                return (decision, state.change, state.pool.takeDoomed())
            }
            for connection in doomed { await connection.close() }
            switch decision {
            case .use(let ticket, let connection):
                noteState(of: ticket.host)
                if connection.native.isOpen { return Lease(connection: connection, ticket: ticket) }
                // It ended a moment ago: that says nothing of the host as it is now.
                await giveBack(Lease(connection: connection, ticket: ticket), .abandoned)
            case .open(let ticket):
                noteState(of: ticket.host)
                do {
                    return try await open(ticket)
                } catch let error as ConnectionError {
                    if error.code == .cancelled { throw CancellationError() }
                    tried.insert(ticket.host)
                    last = error
                }
            case .wait: try await room(after: change)
            case .allOpen(let until): throw HostsUnavailable(until: until)
            case .exhausted:
                health.connectingFailed()
                throw last ?? ConnectionError(.connectionClosed)
            }
        }
    }

    private func open(_ ticket: Pool.Ticket) async throws -> Lease {
        let host = settings.hosts[ticket.host]
        do {
            let native = try await NativeConnection.connect(
                to: host, configuration, security: security.withLock { $0 }, timeout: settings.connectTimeout, on: group
            )
            return lease(native, ticket)
        } catch {
            let outcome: Pool.Outcome = error.code == .cancelled ? .abandoned : .failed
            changed { $0.pool.openingFailed(ticket, outcome, now: clock.now) }
            if outcome == .failed {
                hosts[ticket.host].failures.add()
                logger.warning(
                    "cannot connect to ClickHouse", metadata: ["host": "\(host)", "error": "\(error.forLog)"])
            }
            noteState(of: ticket.host)
            throw error
        }
    }

    private func lease(_ native: NativeConnection, _ ticket: Pool.Ticket) -> Lease {
        lastRevision.withLock { $0 = native.revision }
        let hello = native.hello
        logger.info(
            "connected to ClickHouse",
            metadata: [
                "host": "\(native.host)", "server": "\(hello.major).\(hello.minor).\(hello.patch)",
                "revision": "\(hello.revision)",
            ])
        let connection = PooledConnection(native)
        health.connected()
        hosts[ticket.host].connections.add()
        native.whenClosed { [self] in
            hosts[ticket.host].connections.subtract()
            changed { $0.pool.ended(ticket) }
            health.connectionEnded(wasIntended: connection.isDone)
        }
        return Lease(connection: connection, ticket: ticket)
    }

    /// Ends a loan.
    func giveBack(_ lease: Lease, _ outcome: Pool.Outcome) async {
        let connection = lease.connection
        let isKept = changed { state in
            state.pool.returned(
                lease.ticket, connection, isUsable: connection.native.isOpen && !state.isClosing, outcome,
                now: clock.now)
        }
        if outcome == .failed { hosts[lease.hostNumber].failures.add() }
        noteState(of: lease.hostNumber)
        if !isKept { await connection.close() }
    }

    /// Closes connections that are too old and that nobody uses.
    func closeExpired() async {
        let doomed = changed { state in
            state.pool.expire(now: clock.now)
            return state.pool.takeDoomed()
        }
        for connection in doomed { await connection.close() }
    }

    /// Closes all that nobody uses, and from now on what comes back.
    func close() async {
        let doomed = changed { state in
            state.isClosing = true
            state.pool.dropAllIdle()
            return state.pool.takeDoomed()
        }
        for connection in doomed { await connection.close() }
        health.stopped()
    }

    func telemetry(of lease: Lease) -> HostTelemetry { hosts[lease.hostNumber] }

    private func noteState(of host: Int) {
        let (before, now) = state.withLock { state in
            let (before, now) = (hosts[host].snapshot().breaker, state.pool.breakerState(of: host))
            hosts[host].set(breaker: now)
            return (before, now)
        }
        guard before != now else { return }
        switch now {
        case .open:
            logger.warning(
                "host is left alone for a while",
                metadata: [
                    "host": "\(settings.hosts[host])", "wait_ms": "\(Int(settings.breakerOpenTime.milliseconds))",
                ])
        case .halfOpen: break
        case .closed: logger.notice("host is used again", metadata: ["host": "\(settings.hosts[host])"])
        }
    }

    // MARK: Waiting for room

    @discardableResult
    private func changed<R: Sendable>(_ body: (inout State) -> R) -> R {
        let (result, waiting) = state.withLock { state in
            let result = body(&state)
            state.change += 1
            defer { state.waiting = [:] }
            return (result, Array(state.waiting.values))
        }
        for continuation in waiting { continuation.resume() }
        return result
    }

    private func room(after change: UInt64) async throws {
        let id = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let goOn = state.withLock { state in
                    if state.change != change || Task.isCancelled { return true }
                    state.waiting[id] = continuation
                    return false
                }
                if goOn { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: id) }?.resume()
        }
        try Task.checkCancellation()
    }
}

/// All hosts failed so often that none is tried for now.
struct HostsUnavailable: Error, CustomStringConvertible {
    let until: StageClock.Instant

    var description: String { "every host failed several times in a row and is left alone for a while" }
}

/// A connection that is counted, and of which is known whether its end was meant.
final class PooledConnection: Sendable {
    let native: NativeConnection
    private let done = Atomic(false)

    var isDone: Bool { done.load(ordering: .acquiring) }

    init(_ native: NativeConnection) { self.native = native }

    func close() async {
        done.store(true, ordering: .releasing)
        await native.close()
    }
}

/// A connection on loan; ends with `giveBack`.
struct Lease: Sendable {
    let connection: PooledConnection
    fileprivate let ticket: ClickHouseServers.Pool.Ticket

    var native: NativeConnection { connection.native }
    /// Among the configured hosts.
    var hostNumber: Int { ticket.host }
}

extension ConnectionError {
    /// With the cause that the network gives, which a description leaves out; without any text of the server's.
    var forLog: String {
        guard code != .refusedByServer, let cause else { return description }
        return "\(description): \(cause)"
    }
}
