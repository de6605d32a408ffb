/// What the spool counts.
public final class SpoolTelemetry: Sendable {
    /// On disk now.
    public let bytes = Gauge()
    /// What it may take there; 0: there is none.
    public let bytesMax = Gauge()
    public let segments = Gauge()
    /// Rows on disk that are not settled.
    public let unsettledRows = Gauge()
    /// When the oldest of them was written, in milliseconds since 1970; 0: there is none.
    public let oldest = Gauge()
    /// 1 while rows wait because there is no room.
    public let isFull = Gauge()
    /// Rows that an earlier run left.
    public let restoredRows = Counter()
    /// Groups that were written, and how long each took to become durable.
    public let commits = Counter()
    public let commitLatency = LatencyHistogram()
    /// Writes, syncs and reads that failed, by what the disk said.
    public let errors = CounterFamily()
    /// Places where something was lost that was once whole.
    public let damagedPlaces = Counter()
    /// Blocks and rows that wait on the disk because their table takes none for now, and how many such tables there are.
    public let setAsideBlocks = Gauge()
    public let setAsideRows = Gauge()
    public let refusingTables = Gauge()
    /// How often a block was set aside.
    public let setAsides = Counter()

    init() {}

    public struct Snapshot: Hashable, Sendable {
        public var bytes = 0
        public var bytesMax = 0
        public var segments = 0
        public var unsettledRows = 0
        /// Milliseconds since 1970; 0: nothing waits.
        public var oldest = 0
        public var isFull = false
        public var restoredRows: UInt64 = 0
        public var commits: UInt64 = 0
        public var commitLatency = LatencySnapshot()
        public var errors: [String: UInt64] = [:]
        public var damagedPlaces: UInt64 = 0
        public var setAsideBlocks = 0
        public var setAsideRows = 0
        public var refusingTables = 0
        public var setAsides: UInt64 = 0

        public init() {}
    }

    func snapshot() -> Snapshot {
        var snapshot = Snapshot()
        snapshot.bytes = bytes.current
        snapshot.bytesMax = bytesMax.current
        snapshot.segments = segments.current
        snapshot.unsettledRows = unsettledRows.current
        snapshot.oldest = oldest.current
        snapshot.isFull = isFull.current != 0
        snapshot.restoredRows = restoredRows.current
        snapshot.commits = commits.current
        snapshot.commitLatency = commitLatency.snapshot()
        snapshot.errors = errors.snapshot()
        snapshot.damagedPlaces = damagedPlaces.current
        snapshot.setAsideBlocks = setAsideBlocks.current
        snapshot.setAsideRows = setAsideRows.current
        snapshot.refusingTables = refusingTables.current
        snapshot.setAsides = setAsides.current
        return snapshot
    }
}
