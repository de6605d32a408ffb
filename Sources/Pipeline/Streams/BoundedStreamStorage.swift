import NIOConcurrencyHelpers

/// The shared part of a bounded stream: the lock around the state machine, and the continuations that wait in it.
/// Everything that runs code of others (resuming, calling back) happens after the lock is released.
@usableFromInline
final class BoundedStreamStorage<Element: Sendable>: Sendable {
    @usableFromInline
    enum SendOutcome: Sendable {
        case accepted
        case finished
        case cancelled
    }

    /// One that waits, and since when.
    @usableFromInline
    struct Waiter<Resumption: Sendable>: Sendable {
        @usableFromInline let since: ContinuousClock.Instant
        @usableFromInline let resumption: Resumption

        @inlinable
        init(since: ContinuousClock.Instant, resumption: Resumption) {
            self.since = since
            self.resumption = resumption
        }
    }

    @usableFromInline
    typealias SenderToken = Waiter<UnsafeContinuation<SendOutcome, Never>>
    @usableFromInline
    typealias ConsumerToken = UnsafeContinuation<Element?, Never>
    @usableFromInline
    typealias WatcherToken = Waiter<@Sendable () -> Void>
    @usableFromInline
    typealias Machine = BoundedStreamStateMachine<Element, SenderToken, ConsumerToken, WatcherToken>

    @usableFromInline
    struct State: Sendable {
        @usableFromInline var machine: Machine
        /// Of senders and watchers that do not wait any more.
        @usableFromInline var waited: Duration = .zero

        @inlinable
        init(machine: Machine) { self.machine = machine }

        @inlinable
        mutating func count(_ released: Machine.Released) {
            guard !released.senders.isEmpty || !released.watchers.isEmpty else { return }
            let now = ContinuousClock.now
            for sender in released.senders { waited += now - sender.token.since }
            for watcher in released.watchers { waited += now - watcher.token.since }
        }
    }

    @usableFromInline let weight: @Sendable (Element) -> Int
    @usableFromInline let state: NIOLockedValueBox<State>

    @inlinable
    init(elementsMax: Int, bytesMax: Int, weight: @escaping @Sendable (Element) -> Int) {
        self.weight = weight
        state = NIOLockedValueBox(State(machine: Machine(elementsMax: elementsMax, bytesMax: bytesMax)))
    }

    // MARK: Senders

    @inlinable
    func trySend(_ element: Element) -> TrySendResult<Element> {
        let entry = Machine.Entry(element: element, weight: max(0, weight(element)))
        switch state.withLockedValue({ $0.machine.sendAttempted(entry) }) {
        case .accept: return .accepted
        case .resume(let consumer):
            consumer.token.resume(returning: element)
            return .accepted
        case .rejectFull: return .full(element)
        case .rejectFinished: return .finished(element)
        }
    }

    @inlinable
    nonisolated(nonsending) func send(_ element: Element) async throws(SendError<Element>) {
        guard !Task.isCancelled else { throw .cancelled(returning: element) }
        switch trySend(element) {
        case .accepted: return
        case .finished: throw .finished(returning: element)
        case .full: break
        }
        switch await suspendSender(element) {
        case .accepted: return
        case .finished: throw .finished(returning: element)
        case .cancelled: throw .cancelled(returning: element)
        }
    }

    @inlinable
    nonisolated(nonsending) func suspendSender(_ element: Element) async -> SendOutcome {
        let id = state.withLockedValue { $0.machine.nextID() }
        let entry = Machine.Entry(element: element, weight: max(0, weight(element)))
        return await withTaskCancellationHandler {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<SendOutcome, Never>) in
                let token = SenderToken(since: .now, resumption: continuation)
                let action: Machine.SuspendAction? = state.withLockedValue { state in
                    // A cancellation is visible here, or its handler comes after us and finds the sender waiting.
                    guard !Task.isCancelled else { return nil }
                    return state.machine.senderSuspended(id: id, entry: entry, token: token)
                }
                switch action {
                case .suspend: break
                case .accept: continuation.resume(returning: .accepted)
                case .resume(let consumer):
                    consumer.token.resume(returning: element)
                    continuation.resume(returning: .accepted)
                case .rejectFinished: continuation.resume(returning: .finished)
                case nil: continuation.resume(returning: .cancelled)
                }
            }
        } onCancel: {
            let cancelled = state.withLockedValue { state in
                let cancelled = state.machine.senderCancelled(id: id)
                if let (sender, released) = cancelled {
                    state.waited += ContinuousClock.now - sender.token.since
                    state.count(released)
                }
                return cancelled
            }
            guard let (sender, released) = cancelled else { return }
            sender.token.resumption.resume(returning: .cancelled)
            resume(released)
        }
    }

    // MARK: Consumers

    @inlinable
    nonisolated(nonsending) func next() async -> Element? {
        guard !Task.isCancelled else { return nil }
        if let element = takeOne() { return element }
        let id = state.withLockedValue { $0.machine.nextID() }
        return await withTaskCancellationHandler {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Element?, Never>) in
                let action: Machine.ConsumeAction = state.withLockedValue { state in
                    guard !Task.isCancelled else { return .end }
                    let action = state.machine.consumerSuspended(id: id, token: continuation)
                    if case .take(_, let released) = action { state.count(released) }
                    return action
                }
                switch action {
                case .suspend: break
                case .end: continuation.resume(returning: nil)
                case .take(let element, let released):
                    continuation.resume(returning: element)
                    resume(released)
                }
            }
        } onCancel: {
            let consumer = state.withLockedValue { $0.machine.consumerCancelled(id: id) }
            consumer?.token.resume(returning: nil)
        }
    }

    @inlinable
    nonisolated(nonsending) func nextBatch(elementsMax: Int, bytesMax: Int) async -> [Element]? {
        guard !Task.isCancelled else { return nil }
        var batch = takeAvailable(elementsMax: elementsMax, bytesMax: bytesMax)
        guard batch.isEmpty else { return batch }
        guard let first = await next() else { return nil }
        batch.append(first)
        // Between the hand-over and now more may have come.
        let rest = bytesMax - max(0, weight(first))
        if elementsMax > 1, rest > 0 {
            take(elementsMax: elementsMax - 1, bytesMax: rest, mayExceed: false, into: &batch)
        }
        return batch
    }

    @inlinable
    func takeAvailable(elementsMax: Int, bytesMax: Int) -> [Element] {
        var batch: [Element] = []
        take(elementsMax: elementsMax, bytesMax: bytesMax, mayExceed: true, into: &batch)
        return batch
    }

    @inlinable
    func take(elementsMax: Int, bytesMax: Int, mayExceed: Bool, into batch: inout [Element]) {
        precondition(elementsMax > 0, "a batch has room for an element")
        let (taken, released) = state.withLockedValue { state in
            var taken: [Element] = []
            taken.reserveCapacity(min(elementsMax, state.machine.count))
            let released = state.machine.elementsWanted(
                elementsMax: elementsMax, bytesMax: bytesMax, mayExceed: mayExceed, into: &taken)
            state.count(released)
            return (taken, released)
        }
        if batch.isEmpty { batch = taken } else { batch.append(contentsOf: taken) }
        resume(released)
    }

    @inlinable
    func takeOne() -> Element? {
        let taken = state.withLockedValue { state in
            let taken = state.machine.elementWanted()
            if let taken { state.count(taken.1) }
            return taken
        }
        guard let (element, released) = taken else { return nil }
        resume(released)
        return element
    }

    // MARK: Watchers, the end, figures

    @inlinable
    func onWritable(weight: Int, _ callback: @escaping @Sendable () -> Void) -> UInt64? {
        let token = WatcherToken(since: .now, resumption: callback)
        let waiting: UInt64? = state.withLockedValue { state in
            let id = state.machine.nextID()
            return state.machine.watcherAdded(id: id, weight: max(0, weight), token: token) ? nil : id
        }
        if waiting == nil { callback() }
        return waiting
    }

    @inlinable
    func removeWatcher(id: UInt64) {
        // What is removed is released outside of the lock: the closure may own anything.
        let removed = state.withLockedValue { state in
            let removed = state.machine.watcherRemoved(id: id)
            if let removed { state.waited += ContinuousClock.now - removed.token.since }
            return removed
        }
        _ = removed
    }

    @inlinable
    func finish() {
        let finished = state.withLockedValue { state in
            let finished = state.machine.finish()
            state.count(Machine.Released(senders: finished.senders, watchers: finished.watchers))
            return finished
        }
        for sender in finished.senders { sender.token.resumption.resume(returning: .finished) }
        for consumer in finished.consumers { consumer.token.resume(returning: nil) }
        for watcher in finished.watchers { watcher.token.resumption() }
    }

    var isEmpty: Bool { state.withLockedValue { $0.machine.buffer.isEmpty } }

    func total(of measure: (Element) -> Int) -> Int {
        state.withLockedValue { $0.machine.buffer.reduce(0) { $0 + measure($1) } }
    }

    func snapshot() -> BoundedStreamSnapshot {
        state.withLockedValue { state in
            let machine = state.machine
            let waiting = machine.senders.count + machine.watchers.count
            var suspended = state.waited
            if waiting > 0 {
                let now = ContinuousClock.now
                for sender in machine.senders { suspended += now - sender.token.since }
                for watcher in machine.watchers { suspended += now - watcher.token.since }
            }
            return BoundedStreamSnapshot(
                elements: machine.count, elementsMax: machine.elementsMax, bytes: machine.bytes,
                bytesMax: machine.bytesMax, accepted: machine.accepted, sendersWaiting: waiting,
                consumersWaiting: machine.consumers.count, sendersSuspended: suspended, isFinished: machine.isFinished)
        }
    }

    @inlinable
    func resume(_ released: Machine.Released) {
        for sender in released.senders { sender.token.resumption.resume(returning: .accepted) }
        for watcher in released.watchers { watcher.token.resumption() }
    }
}
