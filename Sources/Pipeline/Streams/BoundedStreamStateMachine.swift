import NIOCore

/// What a bounded stream decides, as a value: no locks, no clocks, and nothing is resumed or called in here. The tokens
/// stand for whatever waits; the storage uses continuations, the tests use numbers.
///
/// Invariants, which the model test checks after every step:
/// - a consumer waits only while the buffer is empty and the stream is not finished;
/// - a sender waits only while the buffer is not empty, so that somebody will take and let it in;
/// - a watcher waits only while the buffer is not empty, for the same reason.
@usableFromInline
struct BoundedStreamStateMachine<
    Element: Sendable, SenderToken: Sendable, ConsumerToken: Sendable, WatcherToken: Sendable
>: Sendable {
    @usableFromInline
    struct Entry: Sendable {
        @usableFromInline let element: Element
        @usableFromInline let weight: Int

        @inlinable
        init(element: Element, weight: Int) {
            self.element = element
            self.weight = weight
        }
    }

    @usableFromInline
    struct Sender: Sendable {
        @usableFromInline let id: UInt64
        @usableFromInline let entry: Entry
        @usableFromInline let token: SenderToken

        @inlinable
        init(id: UInt64, entry: Entry, token: SenderToken) {
            self.id = id
            self.entry = entry
            self.token = token
        }
    }

    @usableFromInline
    struct Consumer: Sendable {
        @usableFromInline let id: UInt64
        @usableFromInline let token: ConsumerToken

        @inlinable
        init(id: UInt64, token: ConsumerToken) {
            self.id = id
            self.token = token
        }
    }

    @usableFromInline
    struct Watcher: Sendable {
        @usableFromInline let id: UInt64
        /// Weight of what it wants to send.
        @usableFromInline let weight: Int
        @usableFromInline let token: WatcherToken

        @inlinable
        init(id: UInt64, weight: Int, token: WatcherToken) {
            self.id = id
            self.weight = weight
            self.token = token
        }
    }

    @usableFromInline
    enum SendAction: Sendable {
        case accept
        /// Hand the element to this consumer, past the buffer.
        case resume(Consumer)
        case rejectFull
        case rejectFinished
    }

    @usableFromInline
    enum SuspendAction: Sendable {
        case accept
        case resume(Consumer)
        case rejectFinished
        case suspend
    }

    @usableFromInline
    enum ConsumeAction: Sendable {
        case take(Element, Released)
        case end
        case suspend
    }

    /// Who may go on because elements were taken.
    @usableFromInline
    struct Released: Sendable {
        @usableFromInline var senders: [Sender] = []
        @usableFromInline var watchers: [Watcher] = []

        @inlinable
        init(senders: [Sender] = [], watchers: [Watcher] = []) {
            self.senders = senders
            self.watchers = watchers
        }
    }

    /// Who learns that the stream is finished.
    @usableFromInline
    struct Finished: Sendable {
        @usableFromInline var senders: [Sender] = []
        @usableFromInline var consumers: [Consumer] = []
        @usableFromInline var watchers: [Watcher] = []

        @inlinable
        init(senders: [Sender] = [], consumers: [Consumer] = [], watchers: [Watcher] = []) {
            self.senders = senders
            self.consumers = consumers
            self.watchers = watchers
        }
    }

    @usableFromInline let elementsMax: Int
    @usableFromInline let bytesMax: Int
    @usableFromInline var bytes = 0
    @usableFromInline var isFinished = false
    /// Elements that were ever let in.
    @usableFromInline var accepted: UInt64 = 0
    @usableFromInline var senders = CircularBuffer<Sender>()
    @usableFromInline var consumers = CircularBuffer<Consumer>()
    @usableFromInline var watchers = CircularBuffer<Watcher>()
    @usableFromInline var buffer = CircularBuffer<Element>()
    /// Of each element in `buffer`; by itself, so that a look at the next one's weight copies no element.
    @usableFromInline var weights = CircularBuffer<Int>()
    @usableFromInline var lastID: UInt64 = 0

    @inlinable
    init(elementsMax: Int, bytesMax: Int) {
        precondition(elementsMax > 0 && bytesMax > 0, "a stream without room would never deliver")
        self.elementsMax = elementsMax
        self.bytesMax = bytesMax
    }

    @inlinable var count: Int { buffer.count }

    /// A name for somebody who is about to wait, so that a cancellation can find it.
    @inlinable
    mutating func nextID() -> UInt64 {
        lastID += 1
        return lastID
    }

    // MARK: Senders

    @inlinable
    mutating func sendAttempted(_ entry: Entry) -> SendAction {
        guard !isFinished else { return .rejectFinished }
        if let consumer = consumers.popFirst() {
            accepted += 1
            return .resume(consumer)
        }
        // Those who wait go first.
        guard senders.isEmpty, admits(entry.weight) else { return .rejectFull }
        admit(entry)
        return .accept
    }

    /// The sender is ready to wait; by now it may not have to.
    @inlinable
    mutating func senderSuspended(id: UInt64, entry: Entry, token: SenderToken) -> SuspendAction {
        switch sendAttempted(entry) {
        case .accept: return .accept
        case .resume(let consumer): return .resume(consumer)
        case .rejectFinished: return .rejectFinished
        case .rejectFull:
            senders.append(Sender(id: id, entry: entry, token: token))
            return .suspend
        }
    }

    /// The sender to resume with its element; nil: it does not wait (any more).
    @inlinable
    mutating func senderCancelled(id: UInt64) -> (Sender, Released)? {
        guard let place = senders.firstIndex(where: { $0.id == id }) else { return nil }
        let sender = senders.remove(at: place)
        // It may have been the heavy one that held up the rest.
        return (sender, release())
    }

    // MARK: Consumers

    @inlinable
    mutating func elementWanted() -> (Element, Released)? {
        guard let element = buffer.popFirst() else { return nil }
        bytes -= weights.removeFirst()
        return (element, release())
    }

    /// Appends what is there, at most `elementsMax` and `bytesMax`; the first may exceed the bytes if `mayExceed`.
    @inlinable
    mutating func elementsWanted(
        elementsMax: Int, bytesMax: Int, mayExceed: Bool, into taken: inout [Element]
    ) -> Released {
        var count = 0
        var sum = 0
        while count < elementsMax, let weight = weights.first {
            guard (mayExceed && count == 0) || weight <= bytesMax - sum else { break }
            weights.removeFirst()
            taken.append(buffer.removeFirst())
            count += 1
            sum += weight
        }
        guard count > 0 else { return Released() }
        bytes -= sum
        return release()
    }

    /// The consumer is ready to wait; by now it may not have to.
    @inlinable
    mutating func consumerSuspended(id: UInt64, token: ConsumerToken) -> ConsumeAction {
        if let (element, released) = elementWanted() { return .take(element, released) }
        guard !isFinished else { return .end }
        consumers.append(Consumer(id: id, token: token))
        return .suspend
    }

    /// The consumer to resume with nothing; nil: it does not wait (any more).
    @inlinable
    mutating func consumerCancelled(id: UInt64) -> Consumer? {
        guard let place = consumers.firstIndex(where: { $0.id == id }) else { return nil }
        return consumers.remove(at: place)
    }

    // MARK: Watchers

    /// - Returns: Whether to call it at once.
    @inlinable
    mutating func watcherAdded(id: UInt64, weight: Int, token: WatcherToken) -> Bool {
        if isFinished || buffer.isEmpty || (isLow && watchers.isEmpty && admits(weight)) { return true }
        watchers.append(Watcher(id: id, weight: weight, token: token))
        return false
    }

    @inlinable
    mutating func watcherRemoved(id: UInt64) -> Watcher? {
        guard let place = watchers.firstIndex(where: { $0.id == id }) else { return nil }
        return watchers.remove(at: place)
    }

    // MARK: The end

    @inlinable
    mutating func finish() -> Finished {
        guard !isFinished else { return Finished() }
        isFinished = true
        defer {
            senders.removeAll()
            consumers.removeAll()
            watchers.removeAll()
        }
        return Finished(senders: Array(senders), consumers: Array(consumers), watchers: Array(watchers))
    }

    // MARK: Helpers

    /// An element heavier than the bound still passes: alone.
    @inlinable
    func admits(_ weight: Int) -> Bool {
        buffer.isEmpty || (buffer.count < elementsMax && weight <= bytesMax - bytes)
    }

    @inlinable var isLow: Bool { buffer.count <= elementsMax / 2 && bytes <= bytesMax / 2 }

    @inlinable
    mutating func admit(_ entry: Entry) {
        accepted += 1
        bytes += entry.weight
        buffer.append(entry.element)
        weights.append(entry.weight)
    }

    @inlinable
    mutating func release() -> Released {
        var released = Released()
        while let first = senders.first, admits(first.entry.weight) {
            senders.removeFirst()
            admit(first.entry)
            released.senders.append(first)
        }
        guard !watchers.isEmpty, isLow else { return released }
        // Only as many as there is room for, the longest waiting first: not a thousand sessions for thirty places. The
        // others have their turn at a later take, and all of them when nothing is left that could be taken.
        let all = buffer.isEmpty
        var places = elementsMax - buffer.count
        var room = bytesMax - bytes
        while let first = watchers.first, all || (places > 0 && first.weight <= room) {
            watchers.removeFirst()
            released.watchers.append(first)
            places -= 1
            room -= first.weight
        }
        return released
    }
}
