import ClickHouseNative
import Foundation
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Pipeline
import Synchronization

/// The servers that the configuration names: lends connections to them, and knows how each of them is.
public final class ClickHouseServers: Sendable {
    typealias Pool = ConnectionPool<PooledConnection>

    /// What one configuration comes to. A reload replaces it as a whole; connections of an earlier one finish what they do.
    struct Generation: Sendable {
        var number: UInt64 = 0
        let settings: ClickHouseSettings
        let hosts: [HostTelemetry]
        let configuration: ConnectionConfiguration
        let insert: InsertStatement
    }

    /// Another configuration, looked at and not yet in force.
    public struct Change: Sendable {
        fileprivate let settings: ClickHouseSettings
        fileprivate let security: TransportSecurity?
        /// Certificates or keys are not those that are in use.
        public let hasNewFiles: Bool
    }

    let health: SinkHealth
    private let telemetry: Telemetry
    private let security: NIOLockedValueBox<TransportSecurity?>
    private let group: any EventLoopGroup
    private let logger: Logger
    private let clock: StageClock
    private let random: @Sendable () -> Double
    private let lastRevision = NIOLockedValueBox<Revision?>(nil)

    private struct State {
        var current: Generation
        var pool: Pool
        /// Nothing is kept any more.
        var isClosing = false
        /// Grows with each change that may make room.
        var change: UInt64 = 0
        var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var lastWaiter: UInt64 = 0
    }

    private let state: NIOLockedValueBox<State>

    /// - Parameter random: 0 up to 1, for the choice of hosts.
    /// - Throws: When certificates or keys cannot be read, or the key is open to others.
    public init(
        settings: ClickHouseSettings, telemetry: Telemetry, logger: Logger, clock: StageClock = .continuous,
        random: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) },
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) throws {
        self.telemetry = telemetry
        self.group = group
        self.logger = logger
        self.clock = clock
        self.random = random
        health = SinkHealth(telemetry: telemetry, logger: logger)
        security = NIOLockedValueBox(try TransportSecurity(settings))
        let generation = Self.generation(of: settings, hosts: [])
        telemetry.observe(hosts: generation.hosts)
        state = NIOLockedValueBox(State(current: generation, pool: Self.pool(settings)))
    }

    private static func generation(of settings: ClickHouseSettings, hosts known: [HostTelemetry]) -> Generation {
        let hosts = settings.hosts.map { host in
            known.first { $0.host == host.description } ?? HostTelemetry(host: host.description)
        }
        return Generation(
            settings: settings, hosts: hosts,
            configuration: ConnectionConfiguration(
                credentials: Credentials(
                    user: settings.username, password: settings.password.revealed, database: settings.database),
                identity: ClientIdentity(hostName: hostName)),
            insert: InsertStatement(settings: settings.settings))
    }

    private static func pool(_ settings: ClickHouseSettings) -> Pool {
        Pool(
            hosts: settings.hosts.count, policy: settings.loadBalancing,
            limits: .init(
                openMax: settings.connectionsMax, idleMax: settings.idleConnectionsMax,
                lifetime: settings.connectionLifetime, breakerFailuresMax: settings.breakerFailuresMax,
                breakerOpenTime: settings.breakerOpenTime))
    }

    var current: Generation { state.withLockedValue { $0.current } }
    public var settings: ClickHouseSettings { current.settings }

    // MARK: Another configuration

    /// Looks at another configuration: certificates and keys are read.
    ///
    /// - Throws: What is wrong with the files.
    public func prepare(_ settings: ClickHouseSettings) throws -> Change {
        let fresh = try TransportSecurity(settings)
        return Change(
            settings: settings, security: fresh, hasNewFiles: security.withLockedValue { $0?.files != fresh?.files })
    }

    /// Takes it over. What is in flight goes on where it is; connections of before are not used again, where hosts, credentials,
    /// certificates or bounds changed. Hosts that were left alone are tried again then.
    public func apply(_ change: Change) async {
        security.withLockedValue { $0 = change.security }
        let (doomed, hosts) = changed { state in
            var next = Self.generation(of: change.settings, hosts: state.current.hosts)
            let keepsPool = !change.hasNewFiles && state.current.settings.hasSameConnections(as: change.settings)
            next.number = keepsPool ? state.current.number : state.current.number + 1
            state.current = next
            guard !keepsPool else { return ([PooledConnection](), next.hosts) }
            state.pool.dropAllIdle()
            let doomed = state.pool.takeDoomed()
            state.pool = Self.pool(change.settings)
            return (doomed, next.hosts)
        }
        telemetry.observe(hosts: hosts)
        for connection in doomed { await connection.close() }
    }

    /// The machine's own name, as the kernel has it: no question to a name server.
    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "" }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// What the server spoke that was connected to last; the newest while there was none.
    public var revision: Revision { lastRevision.withLockedValue { $0 } ?? .newest }

    // MARK: Certificates

    /// Reads the certificates and the key again; connections that are made from now on use them. When they cannot be read,
    /// those that were read before stay in use.
    ///
    /// - Throws: What is wrong with the files.
    public func reloadCertificates() throws {
        guard let fresh = try TransportSecurity(settings) else { return }
        security.withLockedValue { $0 = fresh }
        logger.notice("certificates read again")
    }

    /// Reads certificates again if one of the files is another one than it was.
    func reloadChangedCertificates() {
        guard let current = security.withLockedValue({ $0 }), current.files != TransportSecurity.Files(settings) else {
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
        var number = current.number
        while true {
            let (decision, generation, change, doomed) = state.withLockedValue { state in
                // Numbers of hosts are of their generation.
                if state.current.number != number {
                    number = state.current.number
                    tried = []
                }
                let decision = state.pool.next(avoiding: avoided, tried: tried, now: clock.now, random: random)
                return (decision, state.current, state.change, state.pool.takeDoomed())
            }
            for connection in doomed { await connection.close() }
            switch decision {
            case .use(let ticket, let connection):
                noteState(of: ticket.host, generation)
                let lease = Lease(connection: connection, ticket: ticket, generation: generation)
                if connection.native.isOpen { return lease }
                // It ended a moment ago: that says nothing of the host as it is now.
                await giveBack(lease, .abandoned)
            case .open(let ticket):
                noteState(of: ticket.host, generation)
                do {
                    return try await open(ticket, generation)
                } catch let error as ConnectionError {
                    if error.code == .cancelled { throw CancellationError() }
                    tried.insert(ticket.host)
                    last = error
                }
            case .wait: try await room(after: change)
            case .allOpen(let until):
                throw HostsUnavailable(until: until, generation: generation.number, change: change)
            case .exhausted:
                health.connectingFailed()
                throw last ?? ConnectionError(.connectionClosed)
            }
        }
    }

    private func open(_ ticket: Pool.Ticket, _ generation: Generation) async throws -> Lease {
        let host = generation.settings.hosts[ticket.host]
        do {
            let native = try await NativeConnection.connect(
                to: host, generation.configuration, security: security.withLockedValue { $0 },
                timeout: generation.settings.connectTimeout, on: group)
            return lease(native, ticket, generation)
        } catch {
            let outcome: Pool.Outcome = error.code == .cancelled ? .abandoned : .failed
            changed { state in
                guard state.current.number == generation.number else { return }
                state.pool.openingFailed(ticket, outcome, now: clock.now)
            }
            if outcome == .failed {
                generation.hosts[ticket.host].failures.add()
                generation.hosts[ticket.host].erred(Telemetry.InsertErrorType(error))
                logger.warning(
                    "cannot connect to ClickHouse", metadata: ["host": "\(host)", "error": "\(error.forLog)"])
            }
            noteState(of: ticket.host, generation)
            throw error
        }
    }

    private func lease(_ native: NativeConnection, _ ticket: Pool.Ticket, _ generation: Generation) -> Lease {
        lastRevision.withLockedValue { $0 = native.revision }
        let hello = native.hello
        logger.info(
            "connected to ClickHouse",
            metadata: [
                "host": "\(native.host)", "server": "\(hello.major).\(hello.minor).\(hello.patch)",
                "revision": "\(hello.revision)",
            ])
        let connection = PooledConnection(native)
        health.connected()
        let host = generation.hosts[ticket.host]
        host.connections.add()
        native.whenClosed { [self] in
            host.connections.subtract()
            changed { state in
                if state.current.number == generation.number { state.pool.ended(ticket) }
            }
            health.connectionEnded(wasIntended: connection.isDone)
        }
        return Lease(connection: connection, ticket: ticket, generation: generation)
    }

    /// Ends a loan.
    ///
    /// - Parameter error: what failed, for the host's figures.
    func giveBack(_ lease: Lease, _ outcome: Pool.Outcome, error: (any Error)? = nil) async {
        let connection = lease.connection
        let isKept = changed { state in
            guard state.current.number == lease.generation.number else { return false }
            return state.pool.returned(
                lease.ticket, connection, isUsable: connection.native.isOpen && !state.isClosing, outcome,
                now: clock.now)
        }
        if outcome == .failed { lease.host.failures.add() }
        if let error, outcome != .abandoned { lease.host.erred(Telemetry.InsertErrorType(error)) }
        noteState(of: lease.hostNumber, lease.generation)
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

    private func noteState(of host: Int, _ generation: Generation) {
        let telemetry = generation.hosts[host]
        let change = state.withLockedValue { state -> (HostTelemetry.BreakerState, HostTelemetry.BreakerState)? in
            guard state.current.number == generation.number else { return nil }
            let (before, now) = (telemetry.snapshot().breaker, state.pool.breakerState(of: host))
            telemetry.set(breaker: now)
            return (before, now)
        }
        guard let (before, now) = change, before != now else { return }
        switch now {
        case .open:
            logger.warning(
                "host is left alone for a while",
                metadata: [
                    "host": "\(telemetry.host)",
                    "wait_ms": "\(Int(generation.settings.breakerOpenTime.milliseconds))",
                ])
        case .halfOpen: break
        case .closed: logger.notice("host is used again", metadata: ["host": "\(telemetry.host)"])
        }
    }

    /// Waits until the first breaker lets one through, or until a reload has brought other hosts: those need not wait for
    /// what the ones before did.
    func wait(after refusal: HostsUnavailable) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { [clock] in try await clock.sleep(until: refusal.until) }
            group.addTask { [self] in
                var change = refusal.change
                while true {
                    try await room(after: change)
                    let (number, now) = state.withLockedValue { ($0.current.number, $0.change) }
                    if number != refusal.generation { return }
                    change = now
                }
            }
            try await group.next()
            group.cancelAll()
        }
    }

    // MARK: Waiting for room

    @discardableResult
    private func changed<R: Sendable>(_ body: (inout State) -> R) -> R {
        let (result, waiting) = state.withLockedValue { state in
            let result = body(&state)
            state.change += 1
            defer { state.waiting = [:] }
            return (result, Array(state.waiting.values))
        }
        for continuation in waiting { continuation.resume() }
        return result
    }

    private func room(after change: UInt64) async throws {
        let id = state.withLockedValue { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let goOn = state.withLockedValue { state in
                    if state.change != change || Task.isCancelled { return true }
                    state.waiting[id] = continuation
                    return false
                }
                if goOn { continuation.resume() }
            }
        } onCancel: {
            state.withLockedValue { $0.waiting.removeValue(forKey: id) }?.resume()
        }
        try Task.checkCancellation()
    }
}

/// All hosts failed so often that none is tried for now.
struct HostsUnavailable: Error, CustomStringConvertible {
    let until: StageClock.Instant
    /// Of the hosts that this is said of, and how many changes there were until then.
    fileprivate let generation: UInt64
    fileprivate let change: UInt64

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
    fileprivate let generation: ClickHouseServers.Generation

    var native: NativeConnection { connection.native }
    /// Among the hosts that were configured when it began.
    var hostNumber: Int { ticket.host }
    var host: HostTelemetry { generation.hosts[ticket.host] }
    /// The INSERT as it was configured then.
    var insert: InsertStatement { generation.insert }
}

extension ClickHouseSettings {
    /// Whether connections that were made for these settings do for others: hosts, who we are, and bounds are the same.
    fileprivate func hasSameConnections(as other: ClickHouseSettings) -> Bool {
        hosts == other.hosts && loadBalancing == other.loadBalancing && database == other.database
            && username == other.username && password == other.password && secure == other.secure
            && caCert == other.caCert && clientCert == other.clientCert && clientKey == other.clientKey
            && connections == other.connections && connectionLifetime == other.connectionLifetime
            && breakerFailuresMax == other.breakerFailuresMax && breakerOpenTime == other.breakerOpenTime
    }
}
