import NIOCore
import TestSupport
import Testing

@testable import ClickHouseNative

@Suite struct BlockSelectionTests {
    /// Rows as text, one after the other: what two blocks have in common if they mean the same.
    private func rows(_ block: Block) throws -> [[UInt8]] {
        try (0..<block.rows).map { row in
            let alone = block.gathering([row..<row + 1])
            return Array(try BlockEncoder.encode([alone], as: .file).body.readableBytesView)
        }
    }

    /// Each block that ClickHouse wrote, cut into its rows and into random pieces, and put together again.
    @Test("Pieces of a block are the block", arguments: Golden.engines, Seeds.some(4))
    func piecesJoin(engine: String, seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for file in Golden.files(engine, suffix: ".native") {
            var input = try Golden.bytes(file)
            let name = Comment(rawValue: "\(file.lastPathComponent), seed \(seed)")
            while input.readableBytes > 0 {
                let block = try #require(try BlockReader.read(&input, revision: nil), name)
                let all = try rows(block)
                var cuts = Set((0..<random.int(0...4)).map { _ in random.int(0...block.rows) })
                cuts.formUnion([0, block.rows])
                let bounds = cuts.sorted()
                let pieces = zip(bounds, bounds.dropFirst()).map { block.gathering([$0..<$1]) }
                #expect(try pieces.flatMap(rows) == all, name)
                #expect(block.gathering(zip(bounds, bounds.dropFirst()).map { $0..<$1 }).rows == block.rows, name)
                // A reader takes it for what it is.
                for piece in pieces {
                    var body = try BlockEncoder.encode([piece], as: .file).body
                    let read = try #require(try BlockReader.read(&body, revision: nil), name)
                    #expect(try rows(read) == rows(piece), name)
                }
                // Every second row.
                let odd = stride(from: 1, to: block.rows, by: 2).map { $0..<$0 + 1 }
                #expect(try rows(block.gathering(odd)) == odd.map { all[$0.lowerBound] }, name)
            }
        }
    }

    @Test func aRowBringsOnlyItsOwnDictionaryValues() throws {
        let block = Block(layout: BlockLayout([ColumnDefinition(name: "c", type: .lowCardinality(.string))]))
        for number in 0..<1000 {
            let text = "value \(number)"
            text.utf8.withContiguousStorageIfAvailable { bytes in
                block.appendLowCardinality(0, UnsafeRawPointer(bytes.baseAddress!), count: bytes.count)
            }
            block.commitRow()
        }
        let row = block.gathering([500..<501])
        #expect(row.rows == 1)
        #expect(row.nodes[1].rows == 2)
        #expect(row.nodes[0].data.load(UInt32.self, at: 0) == 1)
        #expect(block.gathering([]).rows == 0)
    }
}
