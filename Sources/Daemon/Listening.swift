import NIOConcurrencyHelpers

/// An event that happens once: the socket listens.
public final class Listening: Sendable {
    private struct State {
        var happened = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = NIOLockedValueBox(State())

    init() {}

    func begin() {
        let waiting = state.withLockedValue { state in
            state.happened = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Returns when the socket listens.
    public func wait() async {
        await withCheckedContinuation { continuation in
            let happened = state.withLockedValue { state in
                if !state.happened { state.waiting.append(continuation) }
                return state.happened
            }
            if happened { continuation.resume() }
        }
    }
}
