import NIOConcurrencyHelpers
import Pipeline

/// The sessions that are open, across event loops: admits them up to the limit, stops them, and knows when the last one
/// has handed over all it had.
final class SessionRegistry: Sendable {
    enum Order: Sendable {
        /// Read no more, hand over what is there.
        case stop
        /// Give up what is there.
        case abandon
        /// Who may connect, and how fast, has changed: see what that means for you.
        case lookAgain
    }

    private struct State {
        var connectionsMax: Int
        var perUserMax: Int?
        /// Of each session, whose it is.
        var users: [UInt64: UInt32] = [:]
        var ofUser: [UInt32: Int] = [:]
        /// How to tell a session; from any thread.
        var sessions: [UInt64: @Sendable (Order) -> Void] = [:]
        /// Those that have handed over all, and wait for acks.
        var settling: [UInt64: @Sendable (Order) -> Void] = [:]
        var lastID: UInt64 = 0
        var isStopping = false
        var waiting: CheckedContinuation<Void, Never>?
        var waitsForAll = false

        var isReached: Bool { sessions.isEmpty && (settling.isEmpty || !waitsForAll) }
    }

    private let state: NIOLockedValueBox<State>

    /// - Parameters:
    ///   - connectionsMax: sessions at once.
    ///   - perUserMax: of one user; nil: no bound.
    init(connectionsMax: Int, perUserMax: Int? = nil) {
        state = NIOLockedValueBox(State(connectionsMax: connectionsMax, perUserMax: perUserMax))
    }

    /// Other bounds, for sessions that come.
    func reconfigure(connectionsMax: Int, perUserMax: Int?) {
        state.withLockedValue { state in
            state.connectionsMax = connectionsMax
            state.perUserMax = perUserMax
        }
    }

    enum Admission: Sendable {
        case admitted(UInt64)
        case full(limit: Int)
        case fullOfUser(limit: Int)
        case stopping
    }

    /// A place for a new session, to be given back with `ended`.
    func admit(user: UInt32? = nil) -> Admission {
        state.withLockedValue { state in
            if state.isStopping { return .stopping }
            guard state.sessions.count + state.settling.count < state.connectionsMax else {
                return .full(limit: state.connectionsMax)
            }
            if let user {
                if let limit = state.perUserMax, state.ofUser[user, default: 0] >= limit {
                    return .fullOfUser(limit: limit)
                }
                state.ofUser[user, default: 0] += 1
            }
            state.lastID += 1
            state.users[state.lastID] = user
            state.sessions[state.lastID] = { _ in }
            return .admitted(state.lastID)
        }
    }

    /// - Parameter order: Called when the daemon stops; at once if it does already.
    func began(_ id: UInt64, order: @escaping @Sendable (Order) -> Void) {
        let isStopping = state.withLockedValue { state in
            if state.sessions[id] != nil { state.sessions[id] = order }
            return state.isStopping
        }
        if isStopping { order(.stop) }
    }

    /// All that the session took in is handed over; it goes on waiting for acks.
    func handedOver(_ id: UInt64) {
        resume {
            guard let order = $0.sessions.removeValue(forKey: id) else { return }
            $0.settling[id] = order
        }
    }

    func ended(_ id: UInt64) {
        resume {
            $0.sessions[id] = nil
            $0.settling[id] = nil
            if let user = $0.users.removeValue(forKey: id), let count = $0.ofUser[user] {
                $0.ofUser[user] = count > 1 ? count - 1 : nil
            }
        }
    }

    private func resume(after change: (inout State) -> Void) {
        let waiting = state.withLockedValue { state -> CheckedContinuation<Void, Never>? in
            change(&state)
            return state.isReached ? state.waiting.take() : nil
        }
        waiting?.resume()
    }

    /// Stops all sessions and waits until each has handed over what it had, or the task is cancelled.
    func stop() async {
        let sessions = state.withLockedValue { state in
            state.isStopping = true
            return Array(state.sessions.values) + Array(state.settling.values)
        }
        for order in sessions { order(.stop) }
        await wait(forAll: false)
    }

    /// Waits until the last session has ended: until those that wait for acks have them; or the task is cancelled.
    func settle() async { await wait(forAll: true) }

    private func wait(forAll: Bool) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let goOn = state.withLockedValue { state in
                    state.waitsForAll = forAll
                    if state.isReached || Task.isCancelled { return true }
                    state.waiting = continuation
                    return false
                }
                if goOn { continuation.resume() }
            }
        } onCancel: {
            state.withLockedValue { $0.waiting.take() }?.resume()
        }
    }

    /// Tells those that are left to give up.
    func abandon() { tellAll(.abandon) }

    func lookAgain() { tellAll(.lookAgain) }

    private func tellAll(_ order: Order) {
        let sessions = state.withLockedValue { Array($0.sessions.values) + Array($0.settling.values) }
        for tell in sessions { tell(order) }
    }

    var count: Int { state.withLockedValue { $0.sessions.count + $0.settling.count } }
}
