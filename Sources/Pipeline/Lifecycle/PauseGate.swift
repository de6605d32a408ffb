import NIOConcurrencyHelpers

/// Lets tasks pass, or holds them while it is closed.
public final class PauseGate: Sendable {
    private struct State: Sendable {
        var isClosed = false
        var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var lastWaiting: UInt64 = 0
    }

    private let state = NIOLockedValueBox(State())

    public init() {}

    public var isClosed: Bool { state.withLockedValue { $0.isClosed } }

    /// - Returns: Whether that changed anything.
    @discardableResult
    public func close() -> Bool {
        state.withLockedValue { state in
            defer { state.isClosed = true }
            return !state.isClosed
        }
    }

    /// - Returns: Whether that changed anything.
    @discardableResult
    public func open() -> Bool {
        let (changed, waiting) = state.withLockedValue { state in
            defer {
                state.isClosed = false
                state.waiting = [:]
            }
            return (state.isClosed, Array(state.waiting.values))
        }
        for continuation in waiting { continuation.resume() }
        return changed
    }

    /// Returns when the gate is open, or the task is cancelled.
    public func pass() async {
        guard isClosed else { return }
        let id = state.withLockedValue { state in
            state.lastWaiting += 1
            return state.lastWaiting
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let goesOn = state.withLockedValue { state in
                    if !state.isClosed || Task.isCancelled { return true }
                    state.waiting[id] = continuation
                    return false
                }
                if goesOn { continuation.resume() }
            }
        } onCancel: {
            state.withLockedValue { $0.waiting.removeValue(forKey: id) }?.resume()
        }
    }
}
