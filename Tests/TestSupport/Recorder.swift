import Synchronization

/// Notes what happened, in order, from any thread; and waits for it to happen.
public final class Recorder<Value: Sendable>: Sendable {
    private struct Waiter {
        let isSatisfied: @Sendable ([Value]) -> Bool
        let continuation: CheckedContinuation<[Value], Never>
    }

    private struct State {
        var values: [Value] = []
        var waiters: [Waiter] = []
    }

    private let state = Mutex(State())

    public init() {}

    public var values: [Value] { state.withLock { $0.values } }

    public func record(_ value: Value) {
        let (values, satisfied) = state.withLock { state in
            state.values.append(value)
            let values = state.values
            let satisfied = state.waiters.filter { $0.isSatisfied(values) }
            state.waiters.removeAll { $0.isSatisfied(values) }
            return (values, satisfied)
        }
        for waiter in satisfied { waiter.continuation.resume(returning: values) }
    }

    /// Waits until so many values were noted.
    @discardableResult
    public func wait(count: Int) async -> [Value] { await wait { $0.count >= count } }

    /// Waits until the values are as they should be.
    @discardableResult
    public func wait(until isSatisfied: @escaping @Sendable ([Value]) -> Bool) async -> [Value] {
        await withCheckedContinuation { continuation in
            let values: [Value]? = state.withLock { state in
                if isSatisfied(state.values) { return state.values }
                state.waiters.append(Waiter(isSatisfied: isSatisfied, continuation: continuation))
                return nil
            }
            if let values { continuation.resume(returning: values) }
        }
    }
}

/// Waits until a condition that has no event of its own becomes true, and lets other tasks run meanwhile. For states
/// such as "the sender is suspended"; a test's time limit ends it if that never comes.
public func eventually(_ condition: @Sendable () async -> Bool) async {
    var tries = 0
    while !(await condition()) {
        tries += 1
        // Long waits leave the processor to what they wait for.
        if tries < 1000 { await Task.yield() } else { try? await Task.sleep(for: .milliseconds(1)) }
    }
}
