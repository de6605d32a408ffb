import Pipeline
import Synchronization

/// The sessions that are open, across event loops: admits them up to the limit, stops them, and knows when the last one
/// has handed over all it had.
final class SessionRegistry: Sendable {
    enum Order: Sendable {
        /// Read no more, hand over what is there.
        case stop
        /// Give up what is there.
        case abandon
    }

    private struct State {
        /// How to tell a session; from any thread.
        var sessions: [UInt64: @Sendable (Order) -> Void] = [:]
        var lastID: UInt64 = 0
        var isStopping = false
        var waiting: CheckedContinuation<Void, Never>?
    }

    let connectionsMax: Int
    private let state = Mutex(State())

    init(connectionsMax: Int) { self.connectionsMax = connectionsMax }

    enum Admission: Sendable {
        case admitted(UInt64)
        case full
        case stopping
    }

    /// A place for a new session, to be given back with `ended`.
    func admit() -> Admission {
        state.withLock { state in
            if state.isStopping { return .stopping }
            guard state.sessions.count < connectionsMax else { return .full }
            state.lastID += 1
            state.sessions[state.lastID] = { _ in }
            return .admitted(state.lastID)
        }
    }

    /// - Parameter order: Called when the daemon stops; at once if it does already.
    func began(_ id: UInt64, order: @escaping @Sendable (Order) -> Void) {
        let isStopping = state.withLock { state in
            if state.sessions[id] != nil { state.sessions[id] = order }
            return state.isStopping
        }
        if isStopping { order(.stop) }
    }

    func ended(_ id: UInt64) {
        let waiting = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.sessions[id] = nil
            guard state.sessions.isEmpty else { return nil }
            return state.waiting.take()
        }
        waiting?.resume()
    }

    /// Stops all sessions and waits until each has handed over what it had, or the task is cancelled.
    func stop() async {
        let sessions = state.withLock { state in
            state.isStopping = true
            return Array(state.sessions.values)
        }
        for order in sessions { order(.stop) }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let goOn = state.withLock { state in
                    if state.sessions.isEmpty || Task.isCancelled { return true }
                    state.waiting = continuation
                    return false
                }
                if goOn { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiting.take() }?.resume()
        }
    }

    /// Tells those that are left to give up.
    func abandon() {
        let sessions = state.withLock { Array($0.sessions.values) }
        for order in sessions { order(.abandon) }
    }

    var count: Int { state.withLock { $0.sessions.count } }
}
