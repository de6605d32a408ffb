import NIOCore
import TestSupport
import Testing

@testable import ClickHouseNative

/// Few rows are written in one go. Nobody can tell from the bytes.
@Suite struct FlatBlockTests {
    private static let flat = [
        "UInt8", "String", "Nullable(String)", "DateTime64(3)", "Tuple(Int32, Nullable(String))", "FixedString(5)",
        "Enum8('a' = 3)",
        "Tuple(Tuple(String), Bool)", "UUID", "Nullable(Decimal(38, 4))",
    ]
    private static let others = [
        "Array(String)", "LowCardinality(String)", "Map(String, UInt8)", "Variant(String, UInt64)", "Dynamic", "JSON",
        "Tuple(Array(UInt8))", "Nullable(Tuple(JSON))",
    ]

    private static let encodings: [BlockEncoding] = [
        BlockEncoding(revision: nil, compression: .lz4), BlockEncoding(revision: .newest, compression: .lz4),
        BlockEncoding(revision: Revision(54412), compression: Compression.none),
        BlockEncoding(revision: .newest, compression: Compression.none),
    ]

    /// As the encoder of columns writes it.
    private func slowly(_ parts: [BlockPart], as encoding: BlockEncoding) throws -> (bytes: ByteBuffer, raw: Int) {
        var writer = FrameWriter(compression: encoding.compression, frameBytes: 1 << 20, expecting: 0)
        var marks: [Range<Int>?]?
        try BlockEncoder.write(parts, as: encoding, marks: &marks, to: &writer)
        return (writer.takeOutput(), writer.rawBytes)
    }

    @Test("Of blocks that ClickHouse wrote", arguments: Golden.engines, Seeds.some(4))
    func fewRowsAreTheSameBytes(engine: String, seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var found = 0
        let buffers = BufferPool(bytesMax: 1 << 22)
        try Golden.forEachBlock(engine, seed: seed) { block, name in
            let pieces = block.pieces(cutsMax: 3, &random)
            guard !pieces.isEmpty else { return }
            let parts = pieces.map {
                BlockPart(random.one(in: 2) ? $0 : $0.compacted(random.one(in: 2) ? buffers : .none))
            }
            for encoding in Self.encodings {
                guard let few = FlatBlock(parts, as: encoding, frameBytes: 1 << 20) else {
                    #expect(!block.layout.isFlat || block.byteCount > 60_000, name)
                    continue
                }
                found += block.layout.columns.count
                let (bytes, raw) = try slowly(parts, as: encoding)
                var output = ByteBuffer(string: "before")
                #expect(try few.append(to: &output) == raw, name)
                #expect(output.readString(length: 6) == "before" && output == bytes, name)
                let encoded = try BlockEncoder.encode(parts, as: encoding)
                #expect(encoded.body == bytes && encoded.rawBytes == raw, name)
                let pooled = try BlockEncoder.encode(parts, as: encoding, buffers: buffers)
                #expect(pooled.body == bytes && pooled.rawBytes == raw, name)
                #expect(encoded.body.storageCapacity <= 2 * (bytes.readableBytes + 128), "it may wait among many")
            }
        }
        #expect(found > 50)
    }

    @Test func flatIsWhatIsCopied() throws {
        for type in Self.flat {
            #expect(BlockLayout([ColumnDefinition(name: "c", type: try DataType(parsing: type))]).isFlat, "\(type)")
        }
    }

    @Test func whatSaysMoreThanItsBytesIsNotFlat() throws {
        for type in Self.others {
            let layout = BlockLayout([ColumnDefinition(name: "c", type: try DataType(parsing: type))])
            #expect(!layout.isFlat, "\(type)")
        }
    }

    @Test func manyRowsAreNotWrittenInOneGo() throws {
        let layout = BlockLayout([
            ColumnDefinition(name: "c", type: .uint64), ColumnDefinition(name: "d", type: .uint8),
        ])
        let lz4 = BlockEncoding(revision: .newest, compression: .lz4)
        func isFlat(_ rows: [Int], _ encoding: BlockEncoding, frameBytes: Int = 1 << 20) -> Bool {
            let parts = rows.map { rows in
                let block = Block(layout: layout)
                for number in 0..<rows {
                    block.nodes[0].appendFixed(UInt64(number))
                    block.nodes[1].appendFixed(UInt8(7))
                    block.commitRow()
                }
                return BlockPart(block)
            }
            return FlatBlock(parts, as: encoding, frameBytes: frameBytes) != nil
        }
        #expect(isFlat([8000, 8000], lz4))
        #expect(!isFlat([8192], lz4), "a run that is a frame of its own")
        #expect(!isFlat(Array(repeating: 8000, count: 4), lz4))
        #expect(!isFlat([2000], lz4, frameBytes: 4096))
        #expect(!isFlat([0], lz4))
        #expect(!isFlat([5], BlockEncoding(revision: .newest, compression: .zstd(level: 1))))
        #expect(!isFlat([5], .file))
        #expect(!isFlat([5], BlockEncoding(revision: Revision(54492), compression: .lz4)))
    }
}
