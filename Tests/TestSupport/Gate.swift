import Synchronization

/// Holds tasks until it is opened, and stays open. Also what a task does to say "I am here": tests wait for that, they
/// never sleep.
public final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var lastID: UInt64 = 0
    }

    private let state = Mutex(State())

    public init() {}

    public var isOpen: Bool { state.withLock { $0.isOpen } }

    public func open() {
        let waiting = state.withLock { state in
            state.isOpen = true
            defer { state.waiting.removeAll() }
            return Array(state.waiting.values)
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Waits until the gate is open, whether or not the task is cancelled.
    public func wait() async {
        await withCheckedContinuation { continuation in
            let open = state.withLock { state in
                if state.isOpen { return true }
                state.lastID += 1
                state.waiting[state.lastID] = continuation
                return false
            }
            if open { continuation.resume() }
        }
    }

    /// Waits until the gate is open.
    ///
    /// - Throws: `CancellationError` when the task is cancelled first.
    public func waitUnlessCancelled() async throws {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let goOn = state.withLock { state in
                    if state.isOpen || Task.isCancelled { return true }
                    state.waiting[id] = continuation
                    return false
                }
                if goOn { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: id) }?.resume()
        }
        if !isOpen { throw CancellationError() }
    }
}
