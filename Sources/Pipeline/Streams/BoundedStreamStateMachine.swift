import NIOCore

/// What a bounded stream decides, as a value: no locks, no clocks, and nothing is resumed or called in here. The tokens
/// stand for whatever waits; the storage uses continuations, the tests use numbers.
///
/// Invariants, which the model test checks after every step:
/// - a consumer waits only while the buffer is empty and the stream is not finished;
/// - a sender waits only while the buffer is not empty, so that somebody will take and let it in;
/// - a watcher waits only while the buffer is not empty, for the same reason.
struct BoundedStreamStateMachine<
    Element: Sendable, SenderToken: Sendable, ConsumerToken: Sendable, WatcherToken: Sendable
>: Sendable {
    struct Entry: Sendable {
        let element: Element
        let weight: Int
    }

    struct Sender: Sendable {
        let id: UInt64
        let entry: Entry
        let token: SenderToken
    }

    struct Consumer: Sendable {
        let id: UInt64
        let token: ConsumerToken
    }

    struct Watcher: Sendable {
        let id: UInt64
        /// Weight of what it wants to send.
        let weight: Int
        let token: WatcherToken
    }

    enum SendAction: Sendable {
        case accept
        /// Hand the element to this consumer, past the buffer.
        case resume(Consumer)
        case rejectFull
        case rejectFinished
    }

    enum SuspendAction: Sendable {
        case accept
        case resume(Consumer)
        case rejectFinished
        case suspend
    }

    enum ConsumeAction: Sendable {
        case take(Element, Released)
        case end
        case suspend
    }

    /// Who may go on because elements were taken.
    struct Released: Sendable {
        var senders: [Sender] = []
        var watchers: [Watcher] = []
    }

    /// Who learns that the stream is finished.
    struct Finished: Sendable {
        var senders: [Sender] = []
        var consumers: [Consumer] = []
        var watchers: [Watcher] = []
    }

    let elementsMax: Int
    let bytesMax: Int
    private(set) var bytes = 0
    private(set) var isFinished = false
    /// Elements that were ever let in.
    private(set) var accepted: UInt64 = 0
    private(set) var senders = CircularBuffer<Sender>()
    private(set) var consumers = CircularBuffer<Consumer>()
    private(set) var watchers = CircularBuffer<Watcher>()
    private var buffer = CircularBuffer<Entry>()
    private var lastID: UInt64 = 0

    init(elementsMax: Int, bytesMax: Int) {
        precondition(elementsMax > 0 && bytesMax > 0, "a stream without room would never deliver")
        self.elementsMax = elementsMax
        self.bytesMax = bytesMax
    }

    var count: Int { buffer.count }

    /// A name for somebody who is about to wait, so that a cancellation can find it.
    mutating func nextID() -> UInt64 {
        lastID += 1
        return lastID
    }

    // MARK: Senders

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
    mutating func senderCancelled(id: UInt64) -> (Sender, Released)? {
        guard let place = senders.firstIndex(where: { $0.id == id }) else { return nil }
        let sender = senders.remove(at: place)
        // It may have been the heavy one that held up the rest.
        return (sender, release())
    }

    // MARK: Consumers

    mutating func elementWanted() -> (Element, Released)? {
        guard let entry = buffer.popFirst() else { return nil }
        bytes -= entry.weight
        return (entry.element, release())
    }

    /// Appends what is there, at most `elementsMax` and `bytesMax`; the first may exceed the bytes if `mayExceed`.
    mutating func elementsWanted(
        elementsMax: Int, bytesMax: Int, mayExceed: Bool, into taken: inout [Element]
    ) -> Released {
        var count = 0
        var sum = 0
        while count < elementsMax, let first = buffer.first {
            guard (mayExceed && count == 0) || first.weight <= bytesMax - sum else { break }
            buffer.removeFirst()
            taken.append(first.element)
            count += 1
            sum += first.weight
        }
        guard count > 0 else { return Released() }
        bytes -= sum
        return release()
    }

    /// The consumer is ready to wait; by now it may not have to.
    mutating func consumerSuspended(id: UInt64, token: ConsumerToken) -> ConsumeAction {
        if let (element, released) = elementWanted() { return .take(element, released) }
        guard !isFinished else { return .end }
        consumers.append(Consumer(id: id, token: token))
        return .suspend
    }

    /// The consumer to resume with nothing; nil: it does not wait (any more).
    mutating func consumerCancelled(id: UInt64) -> Consumer? {
        guard let place = consumers.firstIndex(where: { $0.id == id }) else { return nil }
        return consumers.remove(at: place)
    }

    // MARK: Watchers

    /// - Returns: Whether to call it at once.
    mutating func watcherAdded(id: UInt64, weight: Int, token: WatcherToken) -> Bool {
        if isFinished || buffer.isEmpty || (isLow && watchers.isEmpty && admits(weight)) { return true }
        watchers.append(Watcher(id: id, weight: weight, token: token))
        return false
    }

    mutating func watcherRemoved(id: UInt64) -> Watcher? {
        guard let place = watchers.firstIndex(where: { $0.id == id }) else { return nil }
        return watchers.remove(at: place)
    }

    // MARK: The end

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
    private func admits(_ weight: Int) -> Bool {
        buffer.isEmpty || (buffer.count < elementsMax && weight <= bytesMax - bytes)
    }

    private var isLow: Bool { buffer.count <= elementsMax / 2 && bytes <= bytesMax / 2 }

    private mutating func admit(_ entry: Entry) {
        accepted += 1
        bytes += entry.weight
        buffer.append(entry)
    }

    private mutating func release() -> Released {
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
