import ClickHouseNative

/// Row batches of one table and layout that wait to become a block. An object, and the planner's own: to look at it copies nothing.
final class OpenBlock {
    let layout: BlockLayout
    private(set) var parts: [RowBatch] = []
    private(set) var rows = 0
    private(set) var bytes = 0
    /// Of the oldest row.
    private(set) var firstReceived: StageClock.Instant

    init(_ batch: RowBatch, bytes: Int) {
        layout = batch.layout
        firstReceived = batch.firstReceived
        append(batch, bytes: bytes)
    }

    func append(_ batch: RowBatch, bytes added: Int) {
        parts.append(batch)
        rows += batch.rows
        bytes += added
        firstReceived = min(firstReceived, batch.firstReceived)
    }
}

/// The open blocks of one table. An object, and the planner's own: there may be thousands, and a copy would touch all that they refer to.
final class OpenTable {
    let name: TableName
    var strategy: BatchStrategy
    /// One for each layout, the one that was used last at the end.
    var blocks: [OpenBlock] = []
    var rate = RateEstimate()
    /// How many times larger blocks are, while the sink has too many of them.
    var growth = 1
    /// In `Deadlines`; nil: it has none there.
    var deadlinePlace: Int?

    init(_ name: TableName, strategy: BatchStrategy) {
        self.name = name
        self.strategy = strategy
    }

    /// When a block is due; nil: never by age.
    func deadline(of block: OpenBlock) -> StageClock.Instant? {
        switch strategy.kind {
        case .size, .memory: nil
        // It was open before the table's strategy became this one.
        case .immediate: block.firstReceived
        case .time, .hybrid: block.firstReceived + strategy.ageMax * growth
        case .adaptive: block.firstReceived + adaptiveAge * growth
        }
    }

    /// The earliest deadline of its blocks.
    var deadline: StageClock.Instant? { blocks.lazy.compactMap { self.deadline(of: $0) }.min() }

    private var adaptiveAge: Duration {
        let fill = rate.timeToFill(rows: strategy.rowsMax, bytes: strategy.bytesMax) ?? strategy.ageMax
        return min(max(fill, strategy.ageMin), strategy.ageMax)
    }
}
