import Pipeline

/// Which connections there are, who has them, and which host comes next: a value that decides and touches no network.
///
/// - At most `openMax` connections are open or being opened, at most `idleMax` are kept while nobody uses them.
/// - A connection that is older than `lifetime` is not handed out again.
/// - A host whose breaker is open is not tried.
struct ConnectionPool<Connection: Sendable>: Sendable {
    struct Limits: Sendable {
        var openMax: Int
        var idleMax: Int
        var lifetime: Duration
        var breakerFailuresMax: Int
        var breakerOpenTime: Duration
    }

    /// A connection of the pool, or the place of one that is being opened.
    struct Ticket: Hashable, Sendable {
        fileprivate let id: UInt64
        let host: Int
        /// It decides whether the host's breaker closes.
        let isProbe: Bool
    }

    enum Decision {
        case use(Ticket, Connection)
        case open(Ticket)
        /// All that may be open are in use.
        case wait
        /// Nobody is to be tried before then.
        case allOpen(until: StageClock.Instant)
        /// Every host that may be tried was tried.
        case exhausted
    }

    /// How the use of a connection went, for the host's breaker.
    enum Outcome: Sendable {
        case succeeded
        /// It answered, to something that is no INSERT.
        case answered
        case failed
        /// Nothing is known, or nothing was tried.
        case abandoned
    }

    /// While another attempt decides about a half-open host, this is how soon one looks again.
    static var probeInterval: Duration { .milliseconds(100) }

    private struct Idle {
        let id: UInt64
        let connection: Connection
    }

    private struct Host {
        var breaker: CircuitBreaker
        var idle: [Idle] = []
        var inUse = 0
    }

    private let limits: Limits
    private let policy: ClickHouseSettings.LoadBalancing
    private var hosts: [Host]
    /// All that are open or being opened: when, and at which host.
    private var members: [UInt64: (host: Int, since: StageClock.Instant)] = [:]
    private var lastID: UInt64 = 0
    private var turn = 0
    /// Connections that should be closed by whoever looks.
    private var doomed: [Connection] = []

    init(hosts: Int, policy: ClickHouseSettings.LoadBalancing, limits: Limits) {
        self.limits = limits
        self.policy = policy
        let breaker = CircuitBreaker(failuresMax: limits.breakerFailuresMax, openTime: limits.breakerOpenTime)
        self.hosts = (0..<hosts).map { _ in Host(breaker: breaker) }
    }

    var openCount: Int { members.count }
    var idleCount: Int { hosts.reduce(0) { $0 + $1.idle.count } }
    func inUse(at host: Int) -> Int { hosts[host].inUse }
    func breakerState(of host: Int) -> HostTelemetry.BreakerState { hosts[host].breaker.telemetryState }

    // MARK: Borrowing

    /// - Parameters:
    ///   - avoided: a host that just failed: comes last.
    ///   - tried: hosts that were tried already, and are not again.
    ///   - random: 0 up to 1.
    mutating func next(
        avoiding avoided: Int?, tried: Set<Int>, now: StageClock.Instant, random: () -> Double
    ) -> Decision {
        expire(now: now)
        var earliest: StageClock.Instant?
        var hasRefused = false
        for host in order(avoiding: avoided, random: random) where !tried.contains(host) {
            switch hosts[host].breaker.admission(now: now) {
            case .no(let until):
                let until = until ?? now + Self.probeInterval
                earliest = min(earliest ?? until, until)
                hasRefused = true
            case .yes, .probe:
                guard let decision = take(host, now: now) else { return .wait }
                return decision
            }
        }
        if hasRefused, tried.isEmpty, let earliest { return .allOpen(until: earliest) }
        return .exhausted
    }

    /// A connection of this host; nil: there is no room for another one.
    private mutating func take(_ host: Int, now: StageClock.Instant) -> Decision? {
        if hosts[host].idle.isEmpty, members.count >= limits.openMax, !dropIdle() { return nil }
        let isProbe = hosts[host].breaker.begin(now: now) == .probe
        turn = (host + 1) % hosts.count
        hosts[host].inUse += 1
        if let idle = hosts[host].idle.popLast() {
            return .use(Ticket(id: idle.id, host: host, isProbe: isProbe), idle.connection)
        }
        lastID += 1
        members[lastID] = (host, now)
        return .open(Ticket(id: lastID, host: host, isProbe: isProbe))
    }

    private func order(avoiding avoided: Int?, random: () -> Double) -> [Int] {
        var order = Array(hosts.indices)
        switch policy {
        case .inOrder: break
        case .roundRobin: order = order.map { ($0 + turn) % hosts.count }
        case .random:
            for last in order.indices.dropFirst().reversed() {
                order.swapAt(last, min(last, Int(random() * Double(last + 1))))
            }
        case .leastInFlight: order.sort { (hosts[$0].inUse, $0) < (hosts[$1].inUse, $1) }
        }
        if let avoided, let place = order.firstIndex(of: avoided) { order.append(order.remove(at: place)) }
        return order
    }

    // MARK: What became of it

    /// A host did not let us in.
    mutating func openingFailed(_ ticket: Ticket, _ outcome: Outcome, now: StageClock.Instant) {
        members[ticket.id] = nil
        hosts[ticket.host].inUse -= 1
        note(outcome, ticket, now: now)
    }

    /// A connection comes back.
    ///
    /// - Returns: Whether the pool keeps it; otherwise it is to be closed.
    mutating func returned(
        _ ticket: Ticket, _ connection: Connection, isUsable: Bool, _ outcome: Outcome, now: StageClock.Instant
    ) -> Bool {
        hosts[ticket.host].inUse -= 1
        note(outcome, ticket, now: now)
        guard isUsable, let member = members[ticket.id], now - member.since < limits.lifetime,
            idleCount < limits.idleMax
        else {
            members[ticket.id] = nil
            return false
        }
        hosts[ticket.host].idle.append(Idle(id: ticket.id, connection: connection))
        return true
    }

    /// A connection ended, whoever ended it.
    mutating func ended(_ ticket: Ticket) {
        members[ticket.id] = nil
        hosts[ticket.host].idle.removeAll { $0.id == ticket.id }
    }

    private mutating func note(_ outcome: Outcome, _ ticket: Ticket, now: StageClock.Instant) {
        switch outcome {
        case .succeeded: hosts[ticket.host].breaker.succeeded()
        case .answered: hosts[ticket.host].breaker.answered()
        case .failed: hosts[ticket.host].breaker.failed(now: now)
        case .abandoned: if ticket.isProbe { hosts[ticket.host].breaker.abandoned(now: now) }
        }
    }

    // MARK: Idle ones

    /// Gives up connections that are too old.
    mutating func expire(now: StageClock.Instant) {
        for host in hosts.indices {
            let old = hosts[host].idle.filter { idle in
                members[idle.id].map { now - $0.since >= limits.lifetime } ?? true
            }
            guard !old.isEmpty else { continue }
            for idle in old { members[idle.id] = nil }
            hosts[host].idle.removeAll { idle in old.contains { $0.id == idle.id } }
            doomed += old.map(\.connection)
        }
    }

    /// Makes room: of any host, the one that was used longest ago.
    private mutating func dropIdle() -> Bool {
        guard
            let host = hosts.indices.filter({ !hosts[$0].idle.isEmpty }).max(by: {
                hosts[$0].idle.count < hosts[$1].idle.count
            })
        else { return false }
        let idle = hosts[host].idle.removeFirst()
        members[idle.id] = nil
        doomed.append(idle.connection)
        return true
    }

    /// Gives up all that nobody uses.
    mutating func dropAllIdle() {
        while dropIdle() {}
    }

    /// What is to be closed now; the pool has forgotten it.
    mutating func takeDoomed() -> [Connection] {
        defer { doomed = [] }
        return doomed
    }
}
