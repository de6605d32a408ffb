import ClickHouseNative
import Testing

@testable import Ingest

@Suite struct BlockPoolTests {
    private static let layout = BlockLayout([ColumnDefinition(name: "c", type: .lowCardinality(.string))])

    private func append(_ text: String, to block: Block) {
        var text = text
        text.withUTF8 { block.appendLowCardinality(0, UnsafeRawPointer($0.baseAddress!), count: $0.count) }
        block.commitRow()
    }

    @Test func whatIsTakenTakesRows() {
        let pool = BlockPool(bytesMax: 1 << 20)
        let block = pool.take(Self.layout)
        append("a value", to: block)
        // Few rows wait in a copy, which comes here like any other block when its rows are encoded.
        pool.give([block.compacted(), block])
        #expect(pool.take(Self.layout) === block)
        let fresh = pool.take(Self.layout)
        append("another", to: fresh)
        #expect(fresh.rows == 1)
        #expect(pool.bytes == 0)
    }

    @Test func whatNobodyWillAskForIsNotKept() {
        let pool = BlockPool(bytesMax: 1 << 20)
        // As blocks that were read back from the spool have: equal, and none of a table's.
        let other = Block(layout: BlockLayout(Self.layout.columns))
        append("a value", to: other)
        pool.give([other])
        #expect(pool.bytes == 0)
        let own = pool.take(Self.layout)
        pool.give([own])
        #expect(pool.bytes > 0)
        // The table has other columns by now; a block of before comes back late.
        let late = pool.take(Self.layout)
        pool.forget(Self.layout)
        pool.give([late])
        #expect(pool.bytes == 0)
    }
}
