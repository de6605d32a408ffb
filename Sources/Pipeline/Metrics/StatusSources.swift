/// Where a scrape finds what the stages know and counters do not: each is asked when somebody looks, on the thread of who
/// looks, and must answer without waiting. Registered once, while the daemon is put together.
public struct StatusSources: Sendable {
    public var producers: (@Sendable () -> [ProducerStatus])?
    public var deadLetter: (@Sendable () -> DeadLetterStatus?)?

    public init() {}
}

/// A producer that gave itself a name, or a session of one that did not.
public struct ProducerStatus: Hashable, Sendable {
    /// So many at most are shown; which, is for the source to say.
    public static let shownMax = 100

    public var name: String
    public var sessions: Int
    public var rows: UInt64
    public var bytes: UInt64
    /// Highest sequence number that is durable, for producers that number their frames.
    public var durableSequence: UInt64?

    public init(name: String, sessions: Int, rows: UInt64, bytes: UInt64, durableSequence: UInt64? = nil) {
        self.name = name
        self.sessions = sessions
        self.rows = rows
        self.bytes = bytes
        self.durableSequence = durableSequence
    }
}

/// Where rejected rows are kept.
public struct DeadLetterStatus: Hashable, Sendable {
    public var rows: UInt64
    public var blocks: UInt64
    /// Rows that are kept no longer, or never were, by reason.
    public var discardedRows: [String: UInt64]
    public var diskErrors: UInt64

    public init(rows: UInt64, blocks: UInt64, discardedRows: [String: UInt64], diskErrors: UInt64) {
        self.rows = rows
        self.blocks = blocks
        self.discardedRows = discardedRows
        self.diskErrors = diskErrors
    }
}

/// Whether producers' rows are taken: what readiness means. Whoever begins or stops taking them says so.
public enum IntakeState: String, Sendable, CaseIterable {
    /// The socket does not listen yet.
    case starting
    case open
    /// An operator asked for a pause.
    case paused
    /// The daemon is stopping.
    case draining
}
