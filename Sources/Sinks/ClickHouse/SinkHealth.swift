import Logging
import NIOConcurrencyHelpers
import Pipeline

/// What happens to connections and inserts, as far as the health hangs on it.
enum HealthEvent: Hashable, Sendable {
    /// A host let us in.
    case connected
    /// A connection ended that was not meant to.
    case connectionLost(connectionsLeft: Int)
    /// No host let us in that may be tried.
    case connectingFailed(connections: Int)
    /// A block was confirmed.
    case committed
    /// An attempt failed that is not the rows' fault; so many in a row.
    case failed(inARow: Int, connections: Int)
    /// Nothing more is shipped.
    case stopped
}

extension HealthStatus {
    /// So many failed attempts one after the other make it unhealthy.
    static let failuresMax = 5

    /// The table of transitions in docs/specs/sinks.md.
    func after(_ event: HealthEvent) -> HealthStatus {
        switch event {
        case .connected:
            switch self {
            case .initializing, .connectionFailed, .disconnected: .connected
            case .connected, .healthy, .degraded, .unhealthy: self
            }
        // Servers end idle connections; that is no trouble as long as there are others.
        case .connectionLost(let left): left == 0 ? .disconnected : self
        case .connectingFailed(let connections):
            connections == 0 ? .connectionFailed : self == .unhealthy ? .unhealthy : .degraded
        case .committed: .healthy
        // That no connection is left says more than that attempts fail.
        case .failed(_, connections: 0): self
        case .failed(let inARow, _): inARow >= Self.failuresMax ? .unhealthy : .degraded
        case .stopped: .disconnected
        }
    }
}

/// Counts what a `HealthEvent` needs to know, and keeps `Telemetry.health` up to date.
final class SinkHealth: Sendable {
    private struct State {
        var connections = 0
        var failures = 0
    }

    private let state = NIOLockedValueBox(State())
    private let telemetry: Telemetry
    private let logger: Logger

    init(telemetry: Telemetry, logger: Logger) {
        self.telemetry = telemetry
        self.logger = logger
    }

    func connected() {
        telemetry.sinkConnections.add()
        happened { state in
            state.connections += 1
            return .connected
        }
    }

    /// One of the connections is gone, whoever ended it.
    ///
    /// - Parameter wasIntended: it had done its work.
    func connectionEnded(wasIntended: Bool) {
        telemetry.sinkConnections.subtract()
        happened { state in
            state.connections -= 1
            return wasIntended ? nil : .connectionLost(connectionsLeft: state.connections)
        }
    }

    func connectingFailed() {
        telemetry.insertFailed(.connection)
        happened { .connectingFailed(connections: $0.connections) }
    }

    func insertSucceeded() {
        happened { state in
            state.failures = 0
            return .committed
        }
    }

    /// - Parameter isOfRows: the server works, it is the rows that it does not want.
    func insertFailed(_ type: Telemetry.InsertErrorType, isOfRows: Bool = false) {
        telemetry.insertFailed(type)
        guard !isOfRows else { return }
        happened { state in
            state.failures += 1
            return .failed(inARow: state.failures, connections: state.connections)
        }
    }

    func stopped() { happened { _ in .stopped } }

    /// The lock is held until the status is set: two events that happen at once must not overtake one another.
    private func happened(_ event: (inout State) -> HealthEvent?) {
        let change = state.withLockedValue { state -> (HealthStatus, HealthStatus)? in
            guard let event = event(&state) else { return nil }
            let status = telemetry.health.status.after(event)
            return telemetry.health.set(status).map { ($0, status) }
        }
        guard let (before, now) = change else { return }
        logger.notice("health changed", metadata: ["from": "\(before.rawValue)", "to": "\(now.rawValue)"])
    }
}
