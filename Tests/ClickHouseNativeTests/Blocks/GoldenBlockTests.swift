import Foundation
import NIOCore
import TestSupport
import Testing

@testable import ClickHouseNative

/// Files that ClickHouse itself wrote; see `Golden/blocks/make-golden`.
enum Golden {
    static func files(_ folder: String, suffix: String) -> [URL] {
        let root = Bundle.module.resourceURL!.appending(path: "Golden/blocks/\(folder)")
        let all = (try? FileManager.default.contentsOfDirectory(at: root, includingPropertiesForKeys: nil)) ?? []
        return all.filter { $0.lastPathComponent.hasSuffix(suffix) }.sorted { $0.path < $1.path }
    }

    static func bytes(_ url: URL) throws -> ByteBuffer { ByteBuffer(bytes: try Data(contentsOf: url)) }

    static let engines = ["modern", "legacy"]

    /// Each block that ClickHouse wrote, with what a failure should name.
    static func forEachBlock(_ engine: String, seed: UInt64, _ body: (Block, Comment) throws -> Void) throws {
        for file in files(engine, suffix: ".native") {
            var input = try bytes(file)
            let name = Comment(rawValue: "\(file.lastPathComponent), seed \(seed)")
            while input.readableBytes > 0 {
                try body(try #require(try BlockReader.read(&input, revision: nil), name), name)
            }
        }
    }
}

extension Block {
    /// The block cut at up to `cutsMax` random rows. None of the pieces is empty.
    func pieces(cutsMax: Int, _ random: inout SeededRandom) -> [Block] {
        let cuts = Set((0..<cutsMax).map { _ in random.int(0...rows) }).union([0, rows]).sorted()
        return zip(cuts, cuts.dropFirst()).map { gathering([$0..<$1]) }
    }
}

@Suite("Golden bytes of ClickHouse")
struct GoldenBlockTests {
    @Test("A block that ClickHouse wrote is written back identical", arguments: Golden.engines)
    func blocksRoundTrip(engine: String) throws {
        let files = Golden.files(engine, suffix: ".native")
        #expect(files.count >= 10)
        for file in files {
            var input = try Golden.bytes(file)
            let original = input
            let name = Comment(rawValue: file.lastPathComponent)
            while input.readableBytes > 0 {
                let start = input.readerIndex
                let block = try #require(try BlockReader.read(&input, revision: nil), name)
                let written = try BlockEncoder.encode([block], as: .file).body
                let span = original.getSlice(at: start, length: input.readerIndex - start)
                #expect(written == span, name)
            }
        }
    }

    @Test("Every shorter input asks for more and takes nothing", arguments: Golden.engines)
    func truncatedBlocks(engine: String) throws {
        for file in Golden.files(engine, suffix: ".native") {
            let whole = try Golden.bytes(file)
            for length in stride(from: 0, to: whole.readableBytes, by: max(1, whole.readableBytes / 97)) {
                var cut = whole.getSlice(at: 0, length: length)!
                let block = try BlockReader.read(&cut, revision: nil)
                #expect(block == nil, Comment(rawValue: "\(file.lastPathComponent) at \(length)"))
                #expect(cut.readableBytes == length)
            }
        }
    }

    static let methods: [(suffix: String, compression: Compression)] = [
        ("lz4", .lz4), ("zstd", .zstd(level: 1)), ("none", .none),
    ]

    /// The compressors are the system's. Frames come out identical with liblz4 1.9.4 and libzstd 1.5.4; others may pack
    /// the same bytes otherwise, which no reader minds.
    @Test("The frames of ClickHouse are read, and written back identical", arguments: methods.indices)
    func frames(method: Int) throws {
        let (suffix, compression) = Self.methods[method]
        let files = Golden.files("modern", suffix: ".native.\(suffix)")
        #expect(files.count == 5)
        for file in files {
            let original = try Golden.bytes(file)
            var framed = original
            let raw = try FrameReader.readAll(&framed)
            #expect(raw == (try Golden.bytes(file.deletingPathExtension())), Comment(rawValue: file.lastPathComponent))
            var writer = FrameWriter(compression: compression, frameBytes: 1 << 20, expecting: raw.readableBytes)
            try raw.withUnsafeReadableBytes { try writer.write($0) }
            try writer.finish()
            #expect(writer.output == original, Comment(rawValue: file.lastPathComponent))
        }
    }

    @Test("A frame with one flipped bit is refused")
    func damagedFrame() throws {
        let file = try #require(Golden.files("modern", suffix: "strings.native.lz4").first)
        let whole = try Golden.bytes(file)
        for bit in stride(from: 0, to: whole.readableBytes * 8, by: 13) {
            var damaged = whole
            damaged.setInteger(whole.getInteger(at: bit / 8, as: UInt8.self)! ^ (1 << UInt8(bit % 8)), at: bit / 8)
            // A size that grew makes the frame look cut off; everything else is told by the checksum.
            var input = damaged
            do {
                let frame = try FrameReader.readFrame(&input, limits: FrameLimits(frameBytesMax: 1 << 20))
                #expect(frame == nil && (136..<200).contains(bit))
            } catch {}
        }
    }

    @Test("Two halves are encoded as the whole", arguments: Golden.engines)
    func partsJoin(engine: String) throws {
        for file in Golden.files(engine, suffix: ".native") {
            var input = try Golden.bytes(file)
            let block = try #require(try BlockReader.read(&input, revision: nil))
            var twice = try BlockEncoder.encode([block, block], as: .file).body
            let read = try #require(try BlockReader.read(&twice, revision: nil))
            #expect(read.rows == 2 * block.rows)
            // Reading what was joined and writing it again must give the same bytes.
            let again = try BlockEncoder.encode([read], as: .file).body
            #expect(again == (try BlockEncoder.encode([block, block], as: .file).body))
        }
    }

    @Test(
        "Every revision's form of a block reads back the same",
        arguments: [54412, 54453, 54454, 54480, 54491, 54492].map { Revision($0) },
        [nil, .lz4, .zstd(level: 1), Compression.none])
    func revisions(revision: Revision, compression: Compression?) throws {
        for file in Golden.files("modern", suffix: ".native") {
            var input = try Golden.bytes(file)
            let block = try #require(try BlockReader.read(&input, revision: nil))
            let encoding = BlockEncoding(revision: revision, compression: compression)
            var bytes = try BlockEncoder.encode([block], as: encoding, frameBytes: 1 << 10).body
            if compression != nil { bytes = try FrameReader.readAll(&bytes) }
            let read = try #require(try BlockReader.read(&bytes, revision: revision))
            #expect(bytes.readableBytes == 0)
            #expect(try BlockEncoder.encode([read], as: .file).body == (try Golden.bytes(file)))
        }
    }
}

@Suite("CityHash128 1.0.2")
struct CityHashTests {
    /// From the checksums of frames that ClickHouse wrote: any error in the hash fails the golden frames. What those
    /// don't reach are the short inputs; these values come from `SELECT hex(cityHash64(...))`'s sibling in a frame of
    /// method none, whose payload length we choose.
    @Test("Inputs of every short length hash without reading outside")
    func shortInputs() {
        let bytes = (0..<400).map { UInt8(truncatingIfNeeded: $0 &* 37) }
        var seen = Set<CityHash128>()
        for length in 0...400 {
            // A copy of exact size, so that a sanitizer sees any over-read.
            let exact = Array(bytes[..<length])
            exact.withUnsafeBytes { _ = seen.insert(CityHash128(hashing: $0)) }
        }
        #expect(seen.count == 401)
    }
}
