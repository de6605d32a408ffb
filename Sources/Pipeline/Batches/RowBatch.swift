import ClickHouseNative

/// Where rows came from: one chunk of one session's input. Acks travel by it.
public struct Origin: Hashable, Sendable {
    /// Unique within one run of the daemon.
    public let session: UInt64
    /// Number of the chunk, counted from 0 within the session, in the order of receipt.
    public let chunk: UInt64
    /// Rows of the chunk that are in the batch; the others went to other tables or were rejected.
    public let rows: Int

    public init(session: UInt64, chunk: UInt64, rows: Int) {
        self.session = session
        self.chunk = chunk
        self.rows = rows
    }
}

/// Typed columns for some rows of one table: the unit between stages.
public struct RowBatch: Sendable {
    public let table: TableName
    /// Frozen: nobody writes to it any more.
    public let block: Block
    public let origins: [Origin]
    /// When the first of the rows was received; age limits count from here.
    public let firstReceived: ContinuousClock.Instant

    public var rows: Int { block.rows }
    /// Bytes of the rows' values.
    public var bytes: Int { block.byteCount }
    /// Bytes of memory that the rows hold, room for growth included.
    public var memory: Int { block.byteCapacity }

    public init(table: TableName, block: Block, origins: [Origin], firstReceived: ContinuousClock.Instant) {
        self.table = table
        self.block = block
        self.origins = origins
        self.firstReceived = firstReceived
    }
}

/// Row batches of one table with the same layout, frozen together: what becomes one INSERT. Rows, their order and the
/// identity are fixed from here on.
public struct SealedBlock: Sendable {
    /// Why a block was sealed; a bounded set, for metrics.
    public enum Reason: String, Sendable, CaseIterable {
        case immediate, rows, bytes, age, memory, layout, flush, drain
    }

    /// Counts sealed blocks within one run of the daemon.
    public let id: UInt64
    public let table: TableName
    /// Never empty; all parts have the same layout.
    public let parts: [RowBatch]
    public let reason: Reason

    public var layout: BlockLayout { parts[0].block.layout }
    public var rows: Int { parts.reduce(0) { $0 + $1.rows } }
    public var bytes: Int { parts.reduce(0) { $0 + $1.bytes } }
    public var memory: Int { parts.reduce(0) { $0 + $1.memory } }

    public init(id: UInt64, table: TableName, parts: [RowBatch], reason: Reason) {
        precondition(!parts.isEmpty, "a sealed block has rows")
        self.id = id
        self.table = table
        self.parts = parts
        self.reason = reason
    }
}
