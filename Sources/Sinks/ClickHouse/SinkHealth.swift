import Logging
import Pipeline
import Synchronization

/// Turns what happens to connections and inserts into one of the seven words of `HealthStatus`.
///
///     initializing → connected → healthy ⇄ degraded → unhealthy
///     from each of them: connection_failed (no host answers), disconnected (the last connection is gone)
final class SinkHealth: Sendable {
    /// So many failed attempts one after the other make it unhealthy.
    static let failuresMax = 5

    private struct State {
        var connections = 0
        var failures = 0
    }

    private let state = Mutex(State())
    private let telemetry: Telemetry
    private let logger: Logger

    init(telemetry: Telemetry, logger: Logger) {
        self.telemetry = telemetry
        self.logger = logger
    }

    func connected() {
        telemetry.sinkConnections.add()
        state.withLock { $0.connections += 1 }
        switch telemetry.health.status {
        case .initializing, .connectionFailed, .disconnected: set(.connected)
        case .connected, .healthy, .degraded, .unhealthy: break
        }
    }

    /// One of the connections is gone, whoever ended it.
    ///
    /// - Parameter wasIntended: it had done its work.
    func connectionEnded(wasIntended: Bool) {
        telemetry.sinkConnections.subtract()
        let left = state.withLock { state in
            state.connections -= 1
            return state.connections
        }
        // Servers end idle connections; that is no trouble as long as there are others.
        if !wasIntended, left == 0 { set(.disconnected) }
    }

    func connectingFailed() {
        telemetry.insertFailed(.connection)
        set(state.withLock { $0.connections } > 0 ? .degraded : .connectionFailed)
    }

    func insertSucceeded() {
        state.withLock { $0.failures = 0 }
        set(.healthy)
    }

    func insertFailed(_ type: Telemetry.InsertErrorType) {
        telemetry.insertFailed(type)
        let (failures, connections) = state.withLock { state in
            state.failures += 1
            return (state.failures, state.connections)
        }
        // That no connection is left says more than that attempts fail.
        guard connections > 0 else { return }
        set(failures >= Self.failuresMax ? .unhealthy : .degraded)
    }

    func stopped() { set(.disconnected) }

    private func set(_ status: HealthStatus) {
        guard let before = telemetry.health.set(status) else { return }
        logger.notice("health changed", metadata: ["from": "\(before.rawValue)", "to": "\(status.rawValue)"])
    }
}
