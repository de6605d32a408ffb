import NIOConcurrencyHelpers

/// How the daemon is; the seven words that dashboards and alerts already know.
public enum HealthStatus: String, Sendable, CaseIterable {
    /// Started, and nothing was tried yet.
    case initializing
    /// The sink answered; no block was confirmed yet.
    case connected
    /// Blocks are confirmed.
    case healthy
    /// Some attempts fail, others succeed.
    case degraded
    /// Attempts fail one after the other, though the sink answers.
    case unhealthy
    /// The sink could not be reached.
    case connectionFailed = "connection_failed"
    /// The connection was there and is lost, or the daemon is stopping.
    case disconnected

    /// Whether an orchestrator should think well of the daemon.
    public var isWell: Bool {
        switch self {
        case .connected, .healthy, .degraded: true
        case .initializing, .unhealthy, .connectionFailed, .disconnected: false
        }
    }
}

/// Holds the status and since when; who ships decides it.
public final class Health: Sendable {
    private let state: NIOLockedValueBox<(status: HealthStatus, since: StageClock.Instant)>
    private let clock: StageClock

    public init(clock: StageClock = .continuous) {
        self.clock = clock
        state = NIOLockedValueBox((.initializing, clock.now))
    }

    public var status: HealthStatus { state.withLockedValue { $0.status } }

    /// How long the status has been what it is.
    public var age: Duration {
        let now = clock.now
        return state.withLockedValue { now - $0.since }
    }

    /// - Returns: What it was before, if this is a change: worth a log line.
    @discardableResult
    public func set(_ status: HealthStatus) -> HealthStatus? {
        let now = clock.now
        return state.withLockedValue { state in
            guard state.status != status else { return nil }
            defer { state = (status, now) }
            return state.status
        }
    }
}
