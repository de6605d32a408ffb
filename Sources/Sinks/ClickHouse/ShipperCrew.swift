import NIOConcurrencyHelpers

/// How many shippers there are, and how many there should be: an operator may change that while they work.
final class ShipperCrew: Sendable {
    /// Why a task of the crew ended.
    enum Reason: Sendable {
        case inputEnded
        /// There were more than wanted.
        case surplus
        /// So many more should begin; they are counted already.
        case ordered(more: Int)
        /// Nobody will be ordered any more.
        case dismissed
    }

    private struct State {
        var wanted: Int
        var working = 0
        var isDismissed = false
        var waiting: CheckedContinuation<Reason, Never>?

        mutating func answer() -> Reason? {
            if isDismissed { return .dismissed }
            guard working < wanted else { return nil }
            defer { working = wanted }
            return .ordered(more: wanted - working)
        }
    }

    private let state: NIOLockedValueBox<State>

    init(_ wanted: Int) { state = NIOLockedValueBox(State(wanted: max(1, wanted))) }

    func order(_ wanted: Int) { change { $0.wanted = max(1, wanted) } }

    /// No more orders are waited for.
    func dismiss() { change { $0.isDismissed = true } }

    /// Between two blocks: whether this shipper is one too many. It then counts no more.
    func mayLeave() -> Bool {
        state.withLockedValue { state in
            guard state.working > state.wanted else { return false }
            state.working -= 1
            return true
        }
    }

    /// Returns when more shippers should begin, when there will be no more, or when the task is cancelled. One task at a time.
    func waitForOrders() async -> Reason {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let reason = state.withLockedValue { state -> Reason? in
                    if Task.isCancelled { return .dismissed }
                    if let reason = state.answer() { return reason }
                    state.waiting = continuation
                    return nil
                }
                if let reason { continuation.resume(returning: reason) }
            }
        } onCancel: {
            dismiss()
        }
    }

    private func change(_ body: (inout State) -> Void) {
        let (waiting, reason) = state.withLockedValue { state -> (CheckedContinuation<Reason, Never>?, Reason) in
            body(&state)
            guard state.waiting != nil, let reason = state.answer() else { return (nil, .dismissed) }
            return (state.waiting.take(), reason)
        }
        waiting?.resume(returning: reason)
    }
}
