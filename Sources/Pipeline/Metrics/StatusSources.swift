/// Where a scrape finds what the stages know and counters do not: each is asked when somebody looks, on the thread of who
/// looks, and must answer without waiting. Registered once, while the daemon is put together.
public struct StatusSources: Sendable {
    public var producers: (@Sendable () -> ProducerList)?
    public var deadLetter: (@Sendable () -> DeadLetterStatus?)?
    /// Bytes of memory that is kept to be used again, by what it was: `blocks`, `buffers`.
    public var recycledBytes: (@Sendable () -> [String: Int])?

    public init() {}
}

/// A producer with acks: one that gave itself a name, or a session of one that did not.
public struct ProducerStatus: Hashable, Sendable {
    /// So many at most are shown: first those that are connected, then those that were last.
    public static let shownMax = 100

    /// nil: it has none.
    public var name: String?
    /// nil for one without a name.
    public var epoch: UInt64?
    public var isConnected: Bool
    /// The highest number that was taken in, and those up to which all rows are durable, and settled.
    public var taken: UInt64
    public var durable: UInt64
    public var settled: UInt64
    /// Rows that were taken in since the daemon began.
    public var rows: UInt64
    /// When it was connected last, in milliseconds since 1970; now, if it is.
    public var lastSeen: Int64

    public init(
        name: String?, epoch: UInt64?, isConnected: Bool, taken: UInt64, durable: UInt64, settled: UInt64,
        rows: UInt64, lastSeen: Int64
    ) {
        self.name = name
        self.epoch = epoch
        self.isConnected = isConnected
        self.taken = taken
        self.durable = durable
        self.settled = settled
        self.rows = rows
        self.lastSeen = lastSeen
    }
}

/// The producers that are known, as far as they are shown.
public struct ProducerList: Hashable, Sendable {
    public var shown: [ProducerStatus] = []
    /// Of these, so many there are.
    public var known = 0
    public var connected = 0

    public init() {}
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
