import NIOConcurrencyHelpers

/// When a producer wants to hear that its rows are taken care of (docs/specs/delivery.md).
public enum AckLevel: String, Sendable, CaseIterable {
    case none, received, durable, committed
}

/// A row that was not taken, as its producer is told. The dead letter has the row itself.
public struct RowRefusal: Hashable, Sendable {
    /// The row's number.
    public let number: UInt64
    /// One of the words of the dead letter.
    public let reason: String
    public let column: String?
    public let message: String

    public init(number: UInt64, reason: String, column: String?, message: String) {
        self.number = number
        self.reason = reason
        self.column = column
        self.message = message
    }
}

/// What a session learns about the rows that its producer sent, since it asked last.
public struct ProducerNews: Hashable, Sendable {
    /// Rows may be sent, from this number + 1 on. Once, before anything else.
    public var ready: UInt64?
    /// All rows up to here are durable.
    public var durable: UInt64 = 0
    /// All rows up to here are settled.
    public var committed: UInt64 = 0
    /// Rows that were not taken, as they became durable; each comes once, and never after the number that covers it.
    public var refusals: [RowRefusal] = []
    /// Refusals that there was no room for.
    public var refusalsLeftOut = 0
    /// Another session has the numbering now; nothing more is taken from this one, and it hears nothing more.
    public var isTakenOver = false
    /// Nothing more is taken for now: the session ends with this reason, an error code of the protocol's.
    public var turnedAway: String?

    public init() {}
}

/// Why a producer is not let in.
public enum ProducerRefusal: String, Error, Sendable, CaseIterable {
    /// A higher epoch is known.
    case staleEpoch = "stale_epoch"
    /// The spool is full, and its policy is to say so.
    case spoolFull = "spool_full"
    /// More names than `spool.producers_max`, all of them in use.
    case tooManyProducers = "too_many_producers"
}

/// One numbering of rows, and what became of them: a producer's name and epoch, or a session without a name.
///
/// Sessions take row numbers, the spool says which are durable and which settled, and the session that has the name hears of it.
public final class Producer: Sendable, Hashable {
    /// As records name it.
    public struct Identity: Hashable, Sendable {
        /// Empty: a session without a name; the epoch then is a random number, good for one session.
        public let name: String
        public let epoch: UInt64

        public init(name: String, epoch: UInt64) {
            self.name = name
            self.epoch = epoch
        }

        public var isNamed: Bool { !name.isEmpty }
    }

    private struct State: Sendable {
        var taken: UInt64 = 0
        /// Since the daemon began.
        var rows: UInt64 = 0
        /// The daemon knew nothing of this producer when it began behind this number.
        var base: UInt64 = 0
        var durable = RowIntervals()
        var committed = RowIntervals()
        var session: UInt64?
        /// The session's; called when there are news and it was not called since they were asked for last.
        var wake: (@Sendable () -> Void)?
        var isAwake = false
        /// The session waits until what an earlier one handed over is durable.
        var isWaiting = false
        var ready: UInt64?
        var refusals: [RowRefusal] = []
        var refusalsLeftOut = 0
        /// The session that was sent away last, and why.
        var turnedAway: (session: UInt64, reason: String)?
        /// The name has a higher epoch; nobody gets this numbering any more.
        var isReplaced = false

        /// Whom to wake, after the lock.
        mutating func news() -> (@Sendable () -> Void)? {
            guard !isAwake else { return nil }
            isAwake = true
            return wake
        }

        mutating func release() {
            session = nil
            wake = nil
            isAwake = false
            isWaiting = false
            ready = nil
            refusals = []
            refusalsLeftOut = 0
        }
    }

    /// Refusals that wait for their session; it asks as soon as its thread has time for it.
    public static let refusalsMax = 1024

    public let identity: Identity
    private let state: NIOLockedValueBox<State>

    /// - Parameters:
    ///   - durable: what is known of earlier runs.
    ///   - unsettled: of these, those that are not settled yet.
    init(_ identity: Identity, durable: RowIntervals = RowIntervals(), unsettled: RowIntervals = RowIntervals()) {
        self.identity = identity
        var state = State()
        state.durable = durable
        // What an earlier run left beyond a gap is there, too; see `take`.
        state.taken = durable.contiguous
        state.committed = durable.subtracting(unsettled)
        self.state = NIOLockedValueBox(state)
    }

    public static func == (a: Producer, b: Producer) -> Bool { a === b }
    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }

    // MARK: The session's side

    /// Gives the numbering to a session; the one that had it learns that it was taken over. The session is ready when all
    /// that was handed over before is durable.
    ///
    /// - Parameter wake: Called from any thread, under no lock, perhaps before this returns: there are news, to be had
    ///   from `takeNews(session:)`. Not called again until they were asked for.
    func attach(session: UInt64, wake: @escaping @Sendable () -> Void) {
        let wakes = state.withLockedValue { state -> [(@Sendable () -> Void)?] in
            // It does not have the numbering, and learns that when it asks.
            guard !state.isReplaced else { return [wake] }
            let previous = state.wake
            state.release()
            state.session = session
            state.wake = wake
            state.isWaiting = state.durable.contiguous < state.taken
            guard !state.isWaiting else { return [previous] }
            state.ready = state.durable.contiguous
            return [previous, state.news()]
        }
        for wake in wakes { wake?() }
    }

    /// What happened since the session, which was attached and not detached, asked last; nil: nothing.
    public func takeNews(session: UInt64) -> ProducerNews? {
        state.withLockedValue { state in
            var news = ProducerNews()
            guard state.session == session else {
                if let (turned, reason) = state.turnedAway, turned == session {
                    news.turnedAway = reason
                } else {
                    news.isTakenOver = true
                }
                return news
            }
            state.isAwake = false
            guard !state.isWaiting else { return nil }
            news.ready = state.ready.take()
            news.durable = state.durable.contiguous
            // Who settles rows may be faster than who says that they are durable, and which were refused.
            news.committed = min(state.committed.contiguous, state.durable.contiguous)
            swap(&news.refusals, &state.refusals)
            swap(&news.refusalsLeftOut, &state.refusalsLeftOut)
            return news
        }
    }

    /// The session ends. What it took stays under way.
    ///
    /// - Returns: Whether nobody has the numbering now.
    public func detach(session: UInt64) -> Bool {
        state.withLockedValue { state in
            guard state.session == session else { return state.session == nil }
            state.release()
            return true
        }
    }

    /// What of a run of rows is to be taken.
    public enum Taking: Hashable, Sendable {
        /// The rows from this number on; those before it are there already.
        case from(UInt64)
        /// All of them are there already.
        case nothing
        /// Rows before `first` are missing.
        case gap(expected: UInt64)
        /// The session does not have the numbering any more.
        case notOwner
    }

    /// A session hands rows over, in the order of their numbers: claims those that are new. After this they must reach the
    /// spool, or the process must die.
    ///
    /// A run that an earlier life of the daemon made durable beyond a gap is not claimed again: a caller is given rows only up to the
    /// next such run (`upTo`), and asks again for the rest.
    public func take(_ range: RowRange, session: UInt64) -> (taking: Taking, upTo: UInt64) {
        state.withLockedValue { state in
            guard state.session == session else { return (.notOwner, 0) }
            if state.taken == 0, state.durable.runs.isEmpty, range.first > 1, identity.isNamed {
                // What came before was acked by a daemon whose memory is gone: there is nobody left to ask for it.
                state.base = range.first - 1
                state.taken = state.base
                state.durable.insert(RowRange(first: 1, last: state.base))
                state.committed.insert(RowRange(first: 1, last: state.base))
            }
            guard range.first <= state.taken + 1 else { return (.gap(expected: state.taken + 1), 0) }
            // Numbers that are durable beyond a gap count as taken as soon as the gap before them is filled.
            func skipDurable() {
                for run in state.durable.runs where run.first <= state.taken + 1 && run.last > state.taken {
                    state.taken = run.last
                }
            }
            skipDurable()
            guard range.last > state.taken else { return (.nothing, range.last) }
            let from = max(range.first, state.taken + 1)
            let nextDurable = state.durable.runs.first { $0.first > from }
            let upTo = min(range.last, nextDurable.map { $0.first - 1 } ?? .max)
            state.taken = upTo
            state.rows += upTo - from + 1
            skipDurable()
            return (.from(from), upTo)
        }
    }

    /// The name has a new epoch: the session that had the old one learns it, and so does one that comes too late.
    func takeOver() {
        let previous = state.withLockedValue { state in
            defer { state.release() }
            state.isReplaced = true
            // Whether or not it was woken already: it asks, and learns this.
            return state.wake
        }
        previous?()
    }

    /// The numbers that become durable with rows of these: those before them as well, if the producer began with these.
    public func covered(by range: RowRange) -> RowRange {
        let base = state.withLockedValue { $0.base }
        return base > 0 && range.first == base + 1 ? RowRange(first: 1, last: range.last) : range
    }

    // MARK: The spool's side

    /// Before any session: an earlier run left these.
    func restore(_ durable: RowIntervals, unsettled: RowIntervals) {
        state.withLockedValue { state in
            state.durable.formUnion(durable)
            state.committed.formUnion(durable.subtracting(unsettled))
            state.taken = state.durable.contiguous
        }
    }

    /// Rows are durable; refusals are of rows in this range.
    public func becameDurable(_ range: RowRange, refusals: [RowRefusal] = []) {
        let wake = state.withLockedValue { state -> (@Sendable () -> Void)? in
            let before = state.durable.contiguous
            state.durable.insert(range)
            guard state.session != nil else { return nil }
            if state.isWaiting {
                // Refusals of rows that another session sent are not this one's.
                guard state.durable.contiguous >= state.taken else { return nil }
                state.isWaiting = false
                state.ready = state.durable.contiguous
                return state.news()
            }
            let room = Self.refusalsMax - state.refusals.count
            state.refusals += refusals.prefix(room)
            state.refusalsLeftOut += max(0, refusals.count - room)
            guard state.durable.contiguous > before || !refusals.isEmpty else { return nil }
            return state.news()
        }
        wake?()
    }

    /// Ends the session. What it handed over stays under way.
    func turnAway(because reason: String) {
        let wake = state.withLockedValue { state -> (@Sendable () -> Void)? in
            guard let session = state.session else { return nil }
            let wake = state.wake
            state.release()
            state.turnedAway = (session, reason)
            return wake
        }
        wake?()
    }

    /// Rows are settled: committed, dead-lettered or discarded. Told only once they are durable, too: their refusals come
    /// with that, and are never later than an ack.
    public func becameSettled(_ range: RowRange) {
        let wake = state.withLockedValue { state -> (@Sendable () -> Void)? in
            let before = state.committed.contiguous
            state.committed.insert(range)
            guard state.committed.contiguous > before, state.session != nil, !state.isWaiting else { return nil }
            return state.news()
        }
        wake?()
    }

    /// - Parameter lastUse: in milliseconds since 1970.
    func status(lastUse: Int64, now: Int64) -> ProducerStatus {
        state.withLockedValue { state in
            let isConnected = state.session != nil
            return ProducerStatus(
                name: identity.isNamed ? identity.name : nil, epoch: identity.isNamed ? identity.epoch : nil,
                isConnected: isConnected, taken: state.taken, durable: state.durable.contiguous,
                settled: min(state.committed.contiguous, state.durable.contiguous), rows: state.rows,
                lastSeen: isConnected ? now : lastUse)
        }
    }

    public var durable: RowIntervals { state.withLockedValue { $0.durable } }
    public var committed: RowIntervals { state.withLockedValue { $0.committed } }
    public var isAttached: Bool { state.withLockedValue { $0.session != nil } }
    /// Rows that were handed over and are not durable yet exist.
    public var isUnderWay: Bool { state.withLockedValue { $0.durable.contiguous < $0.taken } }
}
