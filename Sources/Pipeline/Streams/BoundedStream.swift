/// What joins two stages: an `AsyncSequence` in `AsyncStream`'s manner with a bound on elements *and* on bytes.
///
/// - It never drops. A send waits for room, first come first served, or hands back what it did not take.
/// - Many senders and several consumers may use it at once; each element goes to exactly one consumer, in the order in
///   which elements were let in.
/// - An element heavier than the byte bound is let in when the stream is empty, so that it cannot stop the pipeline.
/// - A cancelled consumer loses nothing: an element was returned to it, or it stays for another.
/// - Memory: `bytesMax` plus at most one such heavy element, plus one element for each sender that waits.
///
/// Isolation is the caller's: a send or a take that need not wait costs a lock and no hop.
public struct BoundedStream<Element: Sendable>: Sendable {
    @usableFromInline let storage: BoundedStreamStorage<Element>

    /// - Parameters:
    ///   - elementsMax: Elements that may wait; at least 1.
    ///   - bytesMax: Sum of the weights that may wait; at least 1.
    ///   - weight: Bytes that an element stands for; asked once or twice for each element, so it should be cheap.
    @inlinable
    public init(elementsMax: Int, bytesMax: Int, weight: @escaping @Sendable (Element) -> Int) {
        storage = BoundedStreamStorage(elementsMax: elementsMax, bytesMax: bytesMax, weight: weight)
    }

    @inlinable
    public init(_ settings: QueueSettings, weight: @escaping @Sendable (Element) -> Int) {
        self.init(elementsMax: settings.elementsMax, bytesMax: settings.bytesMax, weight: weight)
    }

    // MARK: Senders

    /// Puts an element in, and waits for room if there is none.
    ///
    /// - Throws: `SendError` with the element, which the caller owns again. A task that is cancelled before or while it
    ///   waits always gets its element back.
    @inlinable
    nonisolated(nonsending) public func send(_ element: Element) async throws(SendError<Element>) {
        try await storage.send(element)
    }

    /// For event loops, which must not wait: puts the element in if there is room now and nobody waits for it already.
    @inlinable
    public func trySend(_ element: Element) -> TrySendResult<Element> { storage.trySend(element) }

    /// Calls back once: when the stream has fallen to half of both bounds and has room for `weight`, or is finished. If
    /// that is so already, at once, on the caller's thread; otherwise on the thread of a consumer, so it should only
    /// pass the word on. To be used after `trySend` answered `.full`; what is then sent may find the room taken again.
    ///
    /// - Returns: What `cancelWritable(_:)` takes when the caller goes away before it was called; nil: it was called.
    @discardableResult
    @inlinable
    public func onWritable(for weight: Int = 0, _ callback: @escaping @Sendable () -> Void) -> WritableRegistration? {
        storage.onWritable(weight: weight, callback).map { WritableRegistration(id: $0) }
    }

    /// Forgets a callback. Without this, registrations of callers that are gone would pile up while nothing moves.
    @inlinable
    public func cancelWritable(_ registration: WritableRegistration) { storage.removeWatcher(id: registration.id) }

    /// Returns when the stream has fallen to half of both bounds, is finished, or the task is cancelled: what is made only then does not wait
    /// in its maker's hand, where no bound counts it.
    public func waitUntilWritable() async {
        guard !isEmpty else { return }
        let gate = PauseGate()
        gate.close()
        guard let registration = onWritable({ gate.open() }) else { return }
        await gate.pass()
        cancelWritable(registration)
    }

    /// No more sends: those that wait get their elements back, consumers get the rest and then the end. May be repeated.
    @inlinable
    public func finish() { storage.finish() }

    // MARK: Consumers

    /// The next element; nil at the end, and in a cancelled task, which takes nothing.
    @inlinable
    nonisolated(nonsending) public func next() async -> Element? { await storage.next() }

    /// What is there, up to the maxima but at least one element; waits only while there is nothing.
    ///
    /// - Returns: Never an empty batch; nil at the end, and in a cancelled task, which takes nothing.
    @inlinable
    nonisolated(nonsending) public func nextBatch(maxElements: Int, maxBytes: Int = .max) async -> [Element]? {
        await storage.nextBatch(elementsMax: maxElements, bytesMax: maxBytes)
    }

    /// What is there, without waiting; empty when there is nothing.
    @inlinable
    public func takeAvailable(maxElements: Int, maxBytes: Int = .max) -> [Element] {
        storage.takeAvailable(elementsMax: maxElements, bytesMax: maxBytes)
    }

    // MARK: Figures

    /// Whether nothing waits to be taken. Cheap, however many wait for room.
    public var isEmpty: Bool { storage.isEmpty }

    public func snapshot() -> BoundedStreamSnapshot { storage.snapshot() }

    /// The sum of a measure (rows) over the elements that wait. It is asked for each of them with the lock held, so it
    /// has to be cheap and the elements few: this is for streams of batches.
    public func total(of measure: (Element) -> Int) -> Int { storage.total(of: measure) }
}

extension BoundedStream: AsyncSequence {
    public struct AsyncIterator: AsyncIteratorProtocol {
        @usableFromInline let stream: BoundedStream

        @inlinable
        init(stream: BoundedStream) { self.stream = stream }

        @inlinable
        nonisolated(nonsending) public mutating func next() async -> Element? { await stream.next() }

        @inlinable
        public mutating func next(isolation actor: isolated (any Actor)?) async -> Element? { await stream.next() }
    }

    @inlinable
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(stream: self) }
}

/// Why a stream did not take an element, and the element.
public enum SendError<Element: Sendable>: Error {
    /// The stream takes no more.
    case finished(returning: Element)
    /// The sending task was cancelled.
    case cancelled(returning: Element)

    /// What was not taken; the sender owns it again.
    public var element: Element {
        switch self {
        case .finished(let element), .cancelled(let element): element
        }
    }
}

extension SendError: CustomStringConvertible {
    /// Without the element: it may hold a producer's data.
    public var description: String {
        switch self {
        case .finished: "the stream is finished"
        case .cancelled: "the send was cancelled"
        }
    }
}

/// How `trySend` ended. What was not taken is handed back.
public enum TrySendResult<Element: Sendable>: Sendable {
    case accepted
    case full(Element)
    case finished(Element)
}

/// Names a callback that waits for room.
public struct WritableRegistration: Hashable, Sendable {
    @usableFromInline let id: UInt64

    @usableFromInline
    init(id: UInt64) { self.id = id }
}

/// The state of a stream at one moment, for metrics and for the log of a shutdown that took too long.
public struct BoundedStreamSnapshot: Hashable, Sendable {
    public var elements: Int
    public var elementsMax: Int
    public var bytes: Int
    public var bytesMax: Int
    /// Elements that were ever taken in.
    public var accepted: UInt64
    /// Senders that wait for room, those with a callback included.
    public var sendersWaiting: Int
    public var consumersWaiting: Int
    /// Time that senders have waited, summed over them: grows by 2 s in a second when two of them wait.
    public var sendersSuspended: Duration
    public var isFinished: Bool
}
