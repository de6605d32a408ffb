import ClickHouseNative

/// Where a row batch lies in the spool: seals, settlements and acks find its rows by it (docs/specs/spool.md).
public struct SpoolPlace: Hashable, Sendable {
    /// Log sequence number of the record.
    public let lsn: UInt64
    /// Which of the record's row batches, counted from 0.
    public let part: Int
    /// The first of the rows within that row batch; 0 unless a split block is sent in pieces.
    public let firstRow: Int

    public init(lsn: UInt64, part: Int, firstRow: Int = 0) {
        self.lsn = lsn
        self.part = part
        self.firstRow = firstRow
    }
}

/// Typed columns for some rows of one table: the unit between stages.
public struct RowBatch: Sendable {
    /// What does not change, behind one reference: with a thousand tables there are some thirty rows in a row batch, and each copy of one, from
    /// stream to stage to block, would count the references to all of it, which lie in no cache.
    private final class Contents: Sendable {
        let table: TableName
        let part: BlockPart
        let firstReceived: ContinuousClock.Instant

        init(_ table: TableName, _ part: BlockPart, _ firstReceived: ContinuousClock.Instant) {
            self.table = table
            self.part = part
            self.firstReceived = firstReceived
        }
    }

    private let contents: Contents
    /// nil until the spool has given it one.
    public var place: SpoolPlace?

    public var table: TableName { contents.table }
    /// Frozen: nobody writes to it any more.
    public var part: BlockPart { contents.part }
    /// When the first of the rows was received; age limits count from here.
    public var firstReceived: ContinuousClock.Instant { contents.firstReceived }

    public var rows: Int { contents.part.rows }
    public var layout: BlockLayout { contents.part.layout }
    /// Bytes of the rows' values.
    public var bytes: Int { contents.part.byteCount }
    /// Bytes of memory that the rows hold, room for growth included.
    public var memory: Int { contents.part.byteCapacity }

    public init(table: TableName, block: Block, firstReceived: ContinuousClock.Instant, place: SpoolPlace? = nil) {
        self.init(table: table, part: BlockPart(block), firstReceived: firstReceived, place: place)
    }

    init(table: TableName, part: BlockPart, firstReceived: ContinuousClock.Instant, place: SpoolPlace? = nil) {
        contents = Contents(table, part, firstReceived)
        self.place = place
    }

    /// The rows, where they are in memory as they were parsed; those that went through the spool's compression are not.
    public var block: Block {
        guard let whole = part.whole else { preconditionFailure("the rows are in frames") }
        return whole
    }
}

/// What a frozen block is known by, to the spool and to the server.
public struct BlockIdentity: Hashable, Sendable {
    /// Grows from block to block, over all runs that share a spool.
    public let id: UInt64
    /// The deduplication token; the same in every attempt, and no other block's. nil without a spool: nothing remembers it
    /// over a restart.
    public let token: String?

    public init(id: UInt64, token: String? = nil) {
        self.id = id
        self.token = token
    }
}

/// Row batches of one table with the same layout, frozen together: what becomes one INSERT. Rows, their order and the
/// identity are fixed from here on.
public struct SealedBlock: Sendable {
    /// Why a block was sealed; a bounded set, for metrics.
    public enum Reason: String, Sendable, CaseIterable {
        case immediate, rows, bytes, age, memory, layout, flush, drain
        /// By an earlier run of the daemon.
        case restored
        /// Sealed before, and sent again: its table took none for a while.
        case setAside = "set_aside"
    }

    public var identity: BlockIdentity
    public var id: UInt64 { identity.id }
    public let table: TableName
    /// Never empty; all parts have the same layout.
    public let parts: [RowBatch]
    public let reason: Reason
    /// There may have been an attempt at it with an outcome that nobody knows any more.
    public let mayHaveBeenSent: Bool

    public var layout: BlockLayout { parts[0].layout }
    public let rows: Int
    /// Bytes of the rows' values.
    public let bytes: Int
    /// Bytes of memory that the rows hold, room for growth included.
    public let memory: Int
    /// When the first of the rows was received.
    public let firstReceived: ContinuousClock.Instant

    /// - Parameter mayHaveBeenSent: nil: if an earlier run sealed it.
    public init(
        identity: BlockIdentity, table: TableName, parts: [RowBatch], reason: Reason, mayHaveBeenSent: Bool? = nil
    ) {
        precondition(!parts.isEmpty, "a sealed block has rows")
        self.mayHaveBeenSent = mayHaveBeenSent ?? (reason == .restored)
        self.identity = identity
        self.table = table
        self.parts = parts
        self.reason = reason
        // Summed up once, and by their places: every stage asks, and a copy of a row batch touches what it refers to.
        var (rows, bytes, memory, first) = (0, 0, 0, parts[0].firstReceived)
        for place in parts.indices {
            rows += parts[place].rows
            bytes += parts[place].bytes
            memory += parts[place].memory
            first = min(first, parts[place].firstReceived)
        }
        (self.rows, self.bytes, self.memory, firstReceived) = (rows, bytes, memory, first)
    }
}
