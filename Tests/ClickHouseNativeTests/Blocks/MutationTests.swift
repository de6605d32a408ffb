import Foundation
import NIOCore
import Testing

@testable import ClickHouseNative

/// Bytes of ClickHouse's own, damaged at random: a reader may refuse them or read something else, but never crash, hang or
/// take memory without bound. `SLUICE_SEED` replays a run, `SLUICE_MUTATIONS` sets how many there are of each kind.
@Suite("Damaged bytes")
struct MutationTests {
    static let seed =
        ProcessInfo.processInfo.environment["SLUICE_SEED"].flatMap(UInt64.init) ?? .random(in: 0..<1 << 32)
    static let count = ProcessInfo.processInfo.environment["SLUICE_MUTATIONS"].flatMap(Int.init) ?? 20_000
    /// Larger files would only make the runs fewer.
    static let fileBytesMax = 4096

    @Test("Damaged blocks are refused or read, and what was read prints and is written back the same")
    func blocks() throws {
        var random = SplitMix64(seed: Self.seed)
        var corpus: [(ByteBuffer, Revision?)] = []
        for file in Golden.engines.flatMap({ Golden.files($0, suffix: ".native") }) {
            var input = try Golden.bytes(file)
            guard input.readableBytes <= Self.fileBytesMax else { continue }
            let block = try #require(try BlockReader.read(&input, revision: nil))
            for revision in [nil, Revision(54412), Revision(54491), Revision(54492)] {
                let encoding = BlockEncoding(revision: revision, compression: nil)
                corpus.append((try BlockEncoder.encode([block], as: encoding).body, revision))
            }
        }
        corpus.append(contentsOf: SparseSamples.all)
        #expect(corpus.count > 100)

        var limits = BlockLimits()
        limits.bytesMax = 8 << 20
        var readable = 0
        for number in 0..<Self.count {
            let (original, revision) = corpus.randomElement(using: &random)!
            var bytes = Array(original.readableBytesView)
            random.damage(&bytes, donor: corpus.randomElement(using: &random)!.0)
            var input = ByteBuffer(bytes: bytes)
            guard let block = try? BlockReader.read(&input, revision: revision, limits: limits) else { continue }
            readable += 1
            #expect(block.byteCount <= limits.bytesMax, "seed \(Self.seed), mutation \(number)")
            guard block.rows <= 10_000, !block.layout.columns.isEmpty else { continue }
            try Self.check(block, "seed \(Self.seed), mutation \(number)")
        }
        #expect(readable > Self.count / 20, "seed \(Self.seed)")
    }

    private static func check(_ block: Block, _ comment: Comment) throws {
        var text = ByteBuffer()
        try? RowPrinter.print(block, into: &text)
        var written = try BlockEncoder.encode([block], as: .file).body
        let again = try #require(try BlockReader.read(&written, revision: nil), comment)
        #expect(written.readableBytes == 0, comment)
        #expect(again.rows == block.rows, comment)
        #expect(
            try BlockEncoder.encode([again], as: .file).body == (try BlockEncoder.encode([block], as: .file).body),
            comment)
        _ = try BlockEncoder.encode([block, again], as: BlockEncoding(revision: Revision(54492), compression: nil))
    }

    @Test("Damaged frames whose checksum fits again are refused or decompress within their bound")
    func frames() throws {
        var random = SplitMix64(seed: Self.seed &+ 1)
        var corpus: [ByteBuffer] = []
        for suffix in ["lz4", "zstd", "none"] {
            corpus += try Golden.files("modern", suffix: ".native.\(suffix)").map { try Golden.bytes($0) }
        }
        for file in Golden.files("modern", suffix: ".native") {
            for compression in [Compression.none, .lz4, .zstd(level: 1), .lz4hc(level: 9)] {
                corpus.append(
                    try BlockTranscoder.transcode(
                        try Golden.bytes(file), from: .file,
                        to: BlockEncoding(revision: nil, compression: compression)))
            }
        }
        corpus.removeAll { $0.readableBytes > Self.fileBytesMax }
        #expect(corpus.count > 100)

        let limits = FrameLimits(frameBytesMax: 1 << 20)
        var readable = 0
        for number in 0..<Self.count {
            var bytes = Array(corpus.randomElement(using: &random)!.readableBytesView)
            random.damage(&bytes, donor: corpus.randomElement(using: &random)!)
            Self.repairChecksum(&bytes)
            var input = ByteBuffer(bytes: bytes)
            guard let raw = try? FrameReader.readFrame(&input, limits: limits) else { continue }
            readable += 1
            #expect(raw.readableBytes <= limits.frameBytesMax, "seed \(Self.seed), mutation \(number)")
        }
        #expect(readable > Self.count / 20, "seed \(Self.seed)")
    }

    @Test("A few bytes that name gigabytes are refused before the memory is asked for")
    func amplification() {
        var limits = BlockLimits()
        limits.bytesMax = 1 << 20
        // 2^24 default values of 65,535 bytes in one group.
        var sparse = ByteBuffer(bytes: [1, 0, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0, 1, 0x80, 0x80, 0x80, 0x08, 1, 0x63, 18])
        sparse.writeString("FixedString(65535)")
        sparse.writeBytes([1, 1, 0x80, 0x80, 0x80, 0x88, 0x80, 0x80, 0x80, 0x80, 0x40])
        // 64 empty columns, each with a dictionary whose default takes 16 MB.
        var wide = ByteBuffer(bytes: [64, 0])
        for _ in 0..<64 {
            wide.writeBytes([1, 0x63, 37])
            wide.writeString("LowCardinality(FixedString(16777215))")
        }
        for (bytes, revision) in [(sparse, Revision(54454)), (wide, nil)] as [(ByteBuffer, Revision?)] {
            var input = bytes
            let error = #expect(throws: BlockError.self) {
                try BlockReader.read(&input, revision: revision, limits: limits)
            }
            #expect(error?.code == .limit)
        }
    }

    /// So that the decompressors see the damage, not only the hash.
    private static func repairChecksum(_ bytes: inout [UInt8]) {
        guard bytes.count >= FrameFormat.prefixBytes else { return }
        let named = (17..<21).reversed().reduce(0) { $0 << 8 | Int(bytes[$1]) }
        let end = min(bytes.count, FrameFormat.checksumBytes + max(named, FrameFormat.headerBytes))
        let hash = bytes[FrameFormat.checksumBytes..<end].withUnsafeBytes { CityHash128(hashing: $0) }
        withUnsafeBytes(of: (hash.low.littleEndian, hash.high.littleEndian)) { bytes.replaceSubrange(..<16, with: $0) }
    }

    @Test("Damaged type names are refused, or print as a name that means the same")
    func typeNames() throws {
        var random = SplitMix64(seed: Self.seed &+ 2)
        let corpus = [
            "UInt8", "FixedString(16)", "DateTime64(9, 'Europe/Berlin')", "Enum8('a' = -128, 'it\\'s' = 1)",
            "Decimal(38, 10)",
            "LowCardinality(Nullable(String))", "Array(Array(Nullable(Int32)))", "Enum16('x' = 1000, 'y\\n' = -1000)",
            "Tuple(a String, b Array(UInt8))", "Nested(a UInt8)", "DateTime('UTC')", "AggregateFunction(sum, UInt64)",
            "Map(String, Map(UInt8, IPv6))", "Variant(UInt8, Array(String), Point)",
            "JSON(a.b UInt8, SKIP c, `d e` Date)",
            "SimpleAggregateFunction(groupArrayArray(10), Array(String))",
            "Nullable(Tuple(`a b` Time64(3), c Geometry))",
        ]
        var accepted = 0
        for number in 0..<Self.count {
            var bytes = Array(corpus.randomElement(using: &random)!.utf8)
            random.damage(&bytes, donor: ByteBuffer(string: corpus.randomElement(using: &random)!))
            guard let type = try? DataType(parsing: String(decoding: bytes, as: UTF8.self)) else { continue }
            accepted += 1
            let again = try? DataType(parsing: type.description)
            #expect(again == type, "\(type), seed \(Self.seed), mutation \(number)")
        }
        #expect(accepted > 0)
    }
}

/// Columns as servers from 54454 on may send them: mostly default values, of which only the others are written.
private enum SparseSamples {
    static var all: [(ByteBuffer, Revision?)] {
        [
            // Ten rows; the values at 2 and 7.
            block("UInt32", rows: 10, values: [1, 0, 0, 0, 2, 0, 0, 0]),
            block("String", rows: 10, values: [1, 0x61, 2, 0x62, 0x63]),
            block("FixedString(3)", rows: 10, values: [1, 2, 3, 4, 5, 6]),
            block("Nullable(UInt8)", rows: 10, values: [1, 2]),
        ]
    }

    private static func block(_ type: String, rows: UInt8, values: [UInt8]) -> (ByteBuffer, Revision?) {
        var bytes = ByteBuffer(bytes: [1, 0, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0, 1, rows, 1, 0x63, UInt8(type.utf8.count)])
        bytes.writeString(type)
        // The kind of serialization; then gaps of 2 and 4, and the last 2 rows, marked by bit 62.
        bytes.writeBytes([1, 1, 2, 4, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40])
        bytes.writeBytes(values)
        return (bytes, Revision(54454))
    }
}

extension SplitMix64 {
    /// One to three changes of the kinds that find the most: bits, bytes at their borders, lengths, cuts and transplants.
    fileprivate mutating func damage(_ bytes: inout [UInt8], donor: ByteBuffer) {
        for _ in 0..<Int.random(in: 1...3, using: &self) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &self)
            let length = min(Int.random(in: 1...16, using: &self), bytes.count - place)
            switch Int.random(in: 0..<9, using: &self) {
            case 0, 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &self)
            case 2: bytes[place] = [0, 1, 0x7F, 0x80, 0xFF, 0x27, 0x28, 0x29, 0x2C].randomElement(using: &self)!
            case 3: bytes[place] = bytes[place] &+ UInt8.random(in: 0...255, using: &self)
            case 4: bytes.removeSubrange(place..<place + length)
            case 5: bytes.insert(contentsOf: bytes[place..<place + length], at: place)
            case 6:
                let number = UInt64.random(in: 0...(.max), using: &self) >> UInt64.random(in: 0..<64, using: &self)
                for byte in 0..<min(8, bytes.count - place) {
                    bytes[place + byte] = UInt8(truncatingIfNeeded: number >> UInt64(8 * byte))
                }
            case 7:
                // A large varint.
                let large = Array(repeating: UInt8(0xFF), count: Int.random(in: 1...9, using: &self)) + [0x7F]
                bytes.replaceSubrange(place..<place + 1, with: large)
            default:
                let given = donor.readableBytesView
                guard let start = given.indices.randomElement(using: &self) else { continue }
                bytes.insert(contentsOf: given[start...].prefix(32), at: place)
            }
        }
    }
}

/// Sebastiano Vigna's SplitMix64: the same numbers on every machine for the same seed.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
