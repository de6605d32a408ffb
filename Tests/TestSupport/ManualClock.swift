import Synchronization

/// Time that stands still until a test moves it. `now` and `sleep(until:)` have the shape that the stages take.
public final class ManualClock: Sendable {
    public typealias Instant = ContinuousClock.Instant

    private struct Sleeper {
        let id: UInt64
        let deadline: Instant
        let continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        var now: Instant
        var sleepers: [Sleeper] = []
        var watchers: [(deadline: Instant?, continuation: CheckedContinuation<Void, Never>)] = []
        var lastID: UInt64 = 0
    }

    private let state: Mutex<State>

    /// The first moment.
    public let start: Instant

    public init() {
        start = .now
        state = Mutex(State(now: start))
    }

    public var now: Instant { state.withLock { $0.now } }

    /// Moves time and wakes those whose moment has come, the earliest first.
    public func advance(by duration: Duration) {
        let due = state.withLock { state in
            state.now += duration
            let now = state.now
            let due = state.sleepers.filter { $0.deadline <= now }.sorted { $0.deadline < $1.deadline }
            state.sleepers.removeAll { $0.deadline <= now }
            return due
        }
        for sleeper in due { sleeper.continuation.resume() }
    }

    /// - Throws: `CancellationError` when the task is cancelled.
    public func sleep(until deadline: Instant) async throws {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                let (goOn, watchers) = state.withLock { state in
                    if state.now >= deadline || Task.isCancelled {
                        return (true, [CheckedContinuation<Void, Never>]())
                    }
                    state.sleepers.append(Sleeper(id: id, deadline: deadline, continuation: continuation))
                    let watchers = state.watchers.filter { $0.deadline == nil || $0.deadline == deadline }
                    state.watchers.removeAll { $0.deadline == nil || $0.deadline == deadline }
                    return (false, watchers.map(\.continuation))
                }
                for watcher in watchers { watcher.resume() }
                if goOn { continuation.resume() }
            }
        } onCancel: {
            let sleeper = state.withLock { state in
                state.sleepers.firstIndex { $0.id == id }.map { state.sleepers.remove(at: $0) }
            }
            sleeper?.continuation.resume()
        }
        try Task.checkCancellation()
    }

    /// Waits until somebody sleeps, until just this moment if one is given.
    public func waitForSleeper(until deadline: Instant? = nil) async {
        await withCheckedContinuation { continuation in
            let sleeps = state.withLock { state in
                if state.sleepers.contains(where: { deadline == nil || $0.deadline == deadline }) { return true }
                state.watchers.append((deadline, continuation))
                return false
            }
            if sleeps { continuation.resume() }
        }
    }

    public var sleepers: Int { state.withLock { $0.sleepers.count } }
}
