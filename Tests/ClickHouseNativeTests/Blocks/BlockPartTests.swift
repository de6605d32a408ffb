import NIOCore
import TestSupport
import Testing

@testable import ClickHouseNative

@Suite("Rows that are compressed once")
struct BlockPartTests {
    /// As the spool writes them.
    private static let stored = BlockEncoding(revision: Revision(54412), compression: .lz4)

    private func part(_ block: Block) throws -> BlockPart {
        try BlockEncoder.encodeAsPart(block, as: Self.stored, runBytesMin: 0).part
    }

    private func raw(_ body: ByteBuffer, _ encoding: BlockEncoding) throws -> ByteBuffer {
        var body = body
        return encoding.compression == nil ? body : try FrameReader.readAll(&body)
    }

    /// Each block that ClickHouse wrote, in pieces of which some are in frames and some in memory.
    @Test(
        "Blocks of such parts are, byte for byte, those of the rows themselves", arguments: Golden.engines,
        Seeds.some(4))
    func partsJoin(engine: String, seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let targets: [BlockEncoding] =
            [54412, 54454, 54491, 54492].map { BlockEncoding(revision: Revision($0), compression: .lz4) } + [
                .file, Self.stored, BlockEncoding(revision: Revision(54491), compression: .zstd(level: 1)),
                BlockEncoding(revision: Revision(54491), compression: Compression.none),
            ]
        try Golden.forEachBlock(engine, seed: seed) { block, name in
            let pieces = block.pieces(cutsMax: 3, &random)
            guard !pieces.isEmpty else { return }
            let parts = try pieces.map { random.one(in: 3) ? BlockPart($0.compacted()) : try part($0) }
            #expect(zip(parts, pieces).allSatisfy { $0.rows == $1.rows && $0.byteCount == $1.byteCount }, name)
            for target in targets {
                let whole = try BlockEncoder.encode(pieces, as: target)
                let joined = try BlockEncoder.encode(parts, as: target)
                #expect(joined.rawBytes == whole.rawBytes, name)
                #expect(try raw(joined.body, target) == raw(whole.body, target), name)
            }
        }
    }

    @Test("What a block is stored as does not change by it", arguments: Golden.engines)
    func storedBytes(engine: String) throws {
        for file in Golden.files(engine, suffix: ".native") {
            var input = try Golden.bytes(file)
            let block = try #require(try BlockReader.read(&input, revision: nil))
            let whole = try BlockEncoder.encode([block], as: Self.stored).body
            let stored = try BlockEncoder.encodeAsPart(block, as: Self.stored, runBytesMin: 0).body
            #expect(try raw(stored, Self.stored) == raw(whole, Self.stored))
        }
    }

    /// Frames of smaller runs than wanted stay; larger ones are made anew.
    @Test func frameBytesHold() throws {
        let block = Block(layout: BlockLayout([ColumnDefinition(name: "n", type: .uint64)]))
        for number in 0..<UInt64(100_000) {
            block.nodes[0].appendFixed(number)
            block.commitRow()
        }
        let part = try part(block)
        #expect(part.whole == nil)
        #expect(part.byteCapacity < block.byteCapacity)
        for (frameBytes, isAnew) in [(1 << 20, false), (2 << 20, false), (64 << 10, true)] {
            var body = try BlockEncoder.encode([part], as: Self.stored, frameBytes: frameBytes).body
            var sizes: [Int] = []
            while let frame = try FrameReader.readFrame(&body) { sizes.append(frame.readableBytes) }
            #expect(sizes.allSatisfy { $0 <= frameBytes })
            #expect((sizes.count > 10) == isAnew)
        }
    }

    @Test func fewRowsStayAsTheyAre() throws {
        let block = Block(layout: BlockLayout([ColumnDefinition(name: "n", type: .uint64)]))
        block.nodes[0].appendFixed(UInt64(7))
        block.commitRow()
        #expect(try BlockEncoder.encodeAsPart(block, as: Self.stored).part.whole === block)
        let bare = BlockEncoding(revision: Revision(54412), compression: nil)
        #expect(try BlockEncoder.encodeAsPart(block, as: bare, runBytesMin: 0).part.whole === block)
    }
}
