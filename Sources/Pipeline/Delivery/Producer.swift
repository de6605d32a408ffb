import Synchronization

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

/// What a session hears about the rows that its producer sent. Called from any thread, under no lock, in no order
/// between threads: the numbers in it only grow, and a smaller one that comes late says nothing new.
public enum ProducerNews: Sendable {
    /// Rows may be sent, from `resume + 1` on. First and once.
    case ready(resume: UInt64)
    /// All rows up to here are durable. The refusals are of rows that are durable with this; they come once.
    case durable(upTo: UInt64, refusals: [RowRefusal])
    /// All rows up to here are settled.
    case committed(upTo: UInt64)
    /// Another session has the name now; nothing more is taken from this one.
    case takenOver
    /// Rows that were handed over are given back: the session ends with this reason, an error code of the protocol's.
    case turnedAway(reason: String)
}

/// Why a producer is not let in.
public enum ProducerRefusal: String, Error, Sendable, CaseIterable {
    /// A higher epoch is known.
    case staleEpoch = "stale_epoch"
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
        /// The daemon knew nothing of this producer when it began behind this number.
        var base: UInt64 = 0
        var durable = RowIntervals()
        var committed = RowIntervals()
        var session: UInt64?
        var listener: (@Sendable (ProducerNews) -> Void)?
        /// The session waits until what an earlier one handed over is durable.
        var isWaiting = false
    }

    public let identity: Identity
    private let state: Mutex<State>

    /// - Parameter durable: what is known of earlier runs.
    init(_ identity: Identity, durable: RowIntervals = RowIntervals()) {
        self.identity = identity
        var state = State()
        state.durable = durable
        // What an earlier run left beyond a gap is there, too; see `takes`.
        state.taken = durable.contiguous
        state.committed = RowIntervals()
        self.state = Mutex(state)
    }

    public static func == (a: Producer, b: Producer) -> Bool { a === b }
    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }

    // MARK: The session's side

    /// Gives the numbering to a session; the one that had it hears `takenOver`. `ready` comes when all that was handed over
    /// before is durable, perhaps before this returns.
    func attach(session: UInt64, listener: @escaping @Sendable (ProducerNews) -> Void) {
        let (previous, resume) = state.withLock { state in
            let previous = state.listener
            state.session = session
            state.listener = listener
            state.isWaiting = state.durable.contiguous < state.taken
            return (previous, state.isWaiting ? nil : state.durable.contiguous)
        }
        previous?(.takenOver)
        if let resume { listener(.ready(resume: resume)) }
    }

    /// The session ends. What it took stays under way.
    ///
    /// - Returns: Whether nobody has the numbering now.
    public func detach(session: UInt64) -> Bool {
        state.withLock { state in
            guard state.session == session else { return state.session == nil }
            state.session = nil
            state.listener = nil
            state.isWaiting = false
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
        state.withLock { state in
            guard state.session == session else { return (.notOwner, 0) }
            if state.taken == 0, state.durable.runs.isEmpty, range.first > 1 {
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
            skipDurable()
            return (.from(from), upTo)
        }
    }

    /// The name has a new epoch: the session that had the old one hears it.
    func takeOver() {
        let previous = state.withLock { state in
            defer {
                state.session = nil
                state.listener = nil
            }
            return state.listener
        }
        previous?(.takenOver)
    }

    /// The numbers that become durable with rows of these: those before them as well, if the producer began with these.
    public func covered(by range: RowRange) -> RowRange {
        let base = state.withLock { $0.base }
        return base > 0 && range.first == base + 1 ? RowRange(first: 1, last: range.last) : range
    }

    // MARK: The spool's side

    /// Before any session: an earlier run left these.
    func restore(_ durable: RowIntervals) {
        state.withLock { state in
            state.durable.formUnion(durable)
            state.taken = state.durable.contiguous
        }
    }

    /// Rows are durable; refusals are of rows in this range.
    public func becameDurable(_ range: RowRange, refusals: [RowRefusal] = []) {
        let news = state.withLock { state -> (@Sendable () -> Void)? in
            let before = state.durable.contiguous
            state.durable.insert(range)
            let now = state.durable.contiguous
            guard let listener = state.listener else { return nil }
            if state.isWaiting {
                guard now >= state.taken else { return nil }
                state.isWaiting = false
                return { listener(.ready(resume: now)) }
            }
            guard now > before || !refusals.isEmpty else { return nil }
            return { listener(.durable(upTo: now, refusals: refusals)) }
        }
        news?()
    }

    /// Rows that were taken are not kept: they have to be sent again.
    func turnedAway(because reason: String) {
        let listener = state.withLock { state in
            defer {
                state.session = nil
                state.listener = nil
                state.isWaiting = false
                state.taken = state.durable.contiguous
            }
            return state.listener
        }
        listener?(.turnedAway(reason: reason))
    }

    /// Rows are settled: committed, dead-lettered or discarded.
    public func becameSettled(_ range: RowRange) {
        let news = state.withLock { state -> (@Sendable () -> Void)? in
            let before = state.committed.contiguous
            state.committed.insert(range)
            let now = state.committed.contiguous
            guard now > before, let listener = state.listener, !state.isWaiting else { return nil }
            return { listener(.committed(upTo: now)) }
        }
        news?()
    }

    public var durable: RowIntervals { state.withLock { $0.durable } }
    public var committed: RowIntervals { state.withLock { $0.committed } }
    public var isAttached: Bool { state.withLock { $0.session != nil } }
    /// Rows that were handed over and are not durable yet exist.
    public var isUnderWay: Bool { state.withLock { $0.durable.contiguous < $0.taken } }
}
