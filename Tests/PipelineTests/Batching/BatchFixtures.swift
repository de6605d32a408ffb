import ClickHouseNative
import Pipeline
import TestSupport

extension StageClock {
    init(_ clock: ManualClock) {
        self.init(now: { clock.now }, sleep: { try await clock.sleep(until: $0) })
    }
}

/// Row batches with a column of numbers: 8 bytes a row.
enum BatchFixtures {
    static let layout = BlockLayout([ColumnDefinition(name: "number", type: .uint64)])

    /// Layouts that differ, as those of rows that leave out different columns do.
    static func layout(_ number: Int) -> BlockLayout {
        BlockLayout([ColumnDefinition(name: "column\(number)", type: .uint64)])
    }

    static func batch(
        _ table: String, rows: Int, at time: StageClock.Instant, layout: BlockLayout = layout, number: UInt64 = 0
    ) -> RowBatch {
        let block = Block(layout: layout)
        for row in 0..<rows {
            block.nodes[0].data.append(number << 32 + UInt64(row))
            block.nodes[0].rows += 1
            block.commitRow()
        }
        return RowBatch(
            table: TableName(table: table), block: block,
            firstReceived: time, place: SpoolPlace(lsn: number, part: 0))
    }

    static func strategy(_ kind: BatchStrategy.Kind, _ change: (inout BatchStrategy) -> Void = { _ in })
        -> BatchStrategy
    {
        var strategy = BatchStrategy()
        strategy.kind = kind
        change(&strategy)
        return strategy
    }

    static func settings(_ defaults: BatchStrategy, memoryMax: Int = 1 << 30) -> BatchSettings {
        var settings = BatchSettings()
        settings.defaults = defaults
        settings.memoryMax = memoryMax
        return settings
    }
}
