import NIOCore
import TestSupport
import Testing

@testable import ClickHouseNative

/// Rows that lie on a disk in frames become a part of blocks without being read. Whether they are what they seem is found out by the
/// frames' sizes alone.
@Suite("Frames are found again")
struct RunFramesTests {
    private static let stored = BlockEncoding(revision: Revision(54412), compression: .lz4)
    private static let sent = BlockEncoding(revision: Revision(54454), compression: .lz4)

    private func body(_ block: Block, frameBytes: Int) throws -> ByteBuffer {
        try BlockEncoder.encodeAsPart(block, as: Self.stored, frameBytes: frameBytes, runBytesMin: 0).body
    }

    private func find(
        _ body: ByteBuffer, _ rows: Int, _ layout: BlockLayout, frameBytes: Int = 1 << 20,
        encoding: BlockEncoding = stored
    ) -> BlockPart? {
        BlockPart(framesOf: body, rows: rows, layout: layout, encoding: encoding, frameBytes: frameBytes)
    }

    private func isRead(_ layout: BlockLayout) -> Bool {
        zip(layout.nodes, layout.types).allSatisfy { node, type in
            if case .dynamic = type { false } else { node.kind != .variant }
        }
    }

    @Test("Of each block that ClickHouse wrote", arguments: Golden.engines, Seeds.some(3))
    func golden(engine: String, seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var found = 0
        try Golden.forEachBlock(engine, seed: seed) { whole, name in
            guard whole.rows > 0 else { return }
            let first = random.int(0...whole.rows - 1)
            let block = whole.gathering([first..<random.int(first + 1...whole.rows)])
            for frameBytes in [1 << 10, 1 << 20] {
                let (body, written) = try BlockEncoder.encodeAsPart(
                    block, as: Self.stored, frameBytes: frameBytes, runBytesMin: 0)
                guard let part = find(body, block.rows, block.layout, frameBytes: frameBytes) else {
                    // Dictionaries by themselves are in one frame, like rows that are too few.
                    let hasRuns = written.frames?.ranges.contains { $0?.isEmpty == false } == true
                    #expect(!isRead(block.layout) || !hasRuns, name)
                    continue
                }
                #expect(isRead(block.layout), name)
                found += 1
                #expect(part.whole == nil && part.rows == block.rows, name)
                // A dictionary that no row needs is not written, not even its default.
                let isWhole = block.layout.nodes.indices.allSatisfy {
                    block.layout.nodes[$0].kind != .lowCardinality || block.nodes[$0].rows > 0
                }
                #expect(part.byteCount == block.byteCount || !isWhole, name)
                // Beside one that was never written: ends and dictionaries of both go together.
                let joined = try BlockEncoder.encode([part, BlockPart(block), part], as: Self.sent)
                let expected = try BlockEncoder.encode([block, block, block], as: Self.sent)
                var (a, b) = (joined.body, expected.body)
                #expect(joined.rawBytes == expected.rawBytes, name)
                #expect(try FrameReader.readAll(&a) == FrameReader.readAll(&b), name)
            }
        }
        #expect(found > 10)
    }

    private static func texts(_ columns: Int, rows: Int, bytes: Int) -> Block {
        let block = Block(
            layout: BlockLayout((0..<columns).map { ColumnDefinition(name: "c\($0)", type: .string) }))
        for _ in 0..<rows {
            for column in 0..<columns {
                let text = [UInt8](repeating: UInt8(ascii: "a") + UInt8(column), count: bytes)
                text.withUnsafeBytes {
                    block.nodes[column].appendString(
                        $0.baseAddress!, count: bytes, node: block.layout.nodes[column])
                }
            }
            block.commitRow()
        }
        return block
    }

    /// Nothing says how long texts are. If their frames are all full, the next column could be taken for the rest of them.
    @Test(arguments: [7, 8, 9, 16, 24]) func textsThatFillTheirFramesToTheByteEndWhereTheyEnd(rows: Int) throws {
        let block = Self.texts(3, rows: rows, bytes: 127)
        let body = try body(block, frameBytes: 1 << 10)
        let part = try #require(find(body, rows, block.layout, frameBytes: 1 << 10))
        #expect(part.frames?.rawBytes == [128 * rows, 128 * rows, 128 * rows])
        var joined = try BlockEncoder.encode([part], as: Self.sent).body
        var expected = try BlockEncoder.encode([block], as: Self.sent).body
        #expect(try FrameReader.readAll(&joined) == FrameReader.readAll(&expected))
    }

    @Test func whatIsSomethingElseIsNotTaken() throws {
        let block = Self.texts(2, rows: 8, bytes: 20)
        let body = try body(block, frameBytes: 1 << 20)
        #expect(find(body, 8, block.layout) != nil)
        #expect(find(body, 9, block.layout) == nil, "other rows")
        #expect(find(body, 0, block.layout) == nil)
        #expect(find(body, 8, Self.texts(3, rows: 1, bytes: 1).layout) == nil, "more columns")
        let other = BlockLayout(["c0", "d1"].map { ColumnDefinition(name: $0, type: .string) })
        #expect(find(body, 8, other) == nil, "other names")
        let numbers = BlockLayout(["c0", "c1"].map { ColumnDefinition(name: $0, type: .uint64) })
        #expect(find(body, 8, numbers) == nil, "other types")
        for count in 0..<body.readableBytes {
            #expect(find(body.getSlice(at: body.readerIndex, length: count)!, 8, block.layout) == nil, "cut off")
        }
        var longer = body
        longer.writeImmutableBuffer(body)
        #expect(find(longer, 8, block.layout) == nil, "and more behind it")
        let uncut = try BlockEncoder.encode([block], as: Self.stored).body
        #expect(find(uncut, 8, block.layout) == nil, "in one frame")
        #expect(find(body, 8, block.layout, encoding: Self.sent) == nil, "for another revision")
        let bare = BlockEncoding(revision: Revision(54412), compression: nil)
        #expect(find(try BlockEncoder.encode([block], as: bare).body, 8, block.layout, encoding: bare) == nil)
    }

    /// Bytes that were changed are for the record's checksum to find. They must be no danger all the same.
    @Test(arguments: Seeds.some(8)) func changedBytesAreNoDanger(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let files = Golden.files("modern", suffix: ".native")
        for file in files {
            var input = try Golden.bytes(file)
            guard let block = try BlockReader.read(&input, revision: nil), block.rows > 0 else { continue }
            let body = try body(block, frameBytes: 1 << 10)
            for _ in 0..<20 {
                var changed = body
                for _ in 0..<random.int(1...3) {
                    changed.setInteger(
                        UInt8(random.int(0...255)), at: changed.readerIndex + random.int(0...body.readableBytes - 1))
                }
                guard let part = find(changed, block.rows, block.layout, frameBytes: 1 << 10) else { continue }
                #expect(part.rows == block.rows)
                _ = try? BlockEncoder.encode([part], as: Self.sent)
            }
        }
    }
}
