import Foundation
import NIOCore
import Testing

@testable import ClickHouseNative

@Suite("Transcoding")
struct BlockTranscoderTests {
    static let encodings: [BlockEncoding] =
        [54412, 54453, 54454, 54480, 54491, 54492].map { Revision($0) }.flatMap { revision in
            [nil, Compression.none, .lz4, .zstd(level: 1)].map { BlockEncoding(revision: revision, compression: $0) }
        } + [.file, BlockEncoding(revision: nil, compression: .lz4hc(level: 9))]

    @Test(
        "A body for one destination becomes the very body that would have been made for the other", arguments: encodings
    )
    func anyToAny(target: BlockEncoding) throws {
        for file in Golden.files("modern", suffix: ".native") {
            let original = try Golden.bytes(file)
            var input = original
            let block = try #require(try BlockReader.read(&input, revision: nil))
            // Files of several blocks are the next test's matter.
            guard input.readableBytes == 0 else { continue }
            let name = Comment(rawValue: file.lastPathComponent)
            let expected = try BlockEncoder.encode([block], as: target).body
            for source in [BlockEncoding.file, BlockEncoding(revision: Revision(54492), compression: .zstd(level: 1))] {
                let body = try BlockEncoder.encode([block], as: source).body
                let made = try BlockTranscoder.transcode(body, from: source, to: target)
                #expect(try unframed(made, target) == unframed(expected, target), name)
            }
            #expect(try BlockTranscoder.transcode(expected, from: target, to: .file) == original, name)
        }
    }

    @Test("Blocks that follow each other all arrive, and the empty one that ends an INSERT too")
    func severalBlocks() throws {
        let strings = try #require(Golden.files("modern", suffix: "strings.native").first)
        var body = ByteBuffer()
        for _ in 0..<3 {
            var copy = try Golden.bytes(strings)
            body.writeBuffer(&copy)
        }
        let end = try BlockEncoder.endOfData(as: .file)
        body.writeImmutableBuffer(end)
        let target = BlockEncoding(revision: Revision(54492), compression: .lz4)
        let made = try BlockTranscoder.transcode(body, from: .file, to: target, frameBytes: 1 << 10)
        #expect(try BlockTranscoder.transcode(made, from: target, to: .file) == body)
    }

    @Test("What is too large, damaged or cut off is refused")
    func refusals() throws {
        let file = try #require(Golden.files("modern", suffix: "low_cardinality_wide.native").first)
        let original = try Golden.bytes(file)
        let framed = BlockEncoding(revision: nil, compression: .lz4)
        let target = BlockEncoding(revision: .newest, compression: .zstd(level: 3))
        let body = try BlockTranscoder.transcode(original, from: .file, to: framed, frameBytes: 1 << 10)

        var limits = TranscodeLimits()
        limits.rawBytesMax = original.readableBytes - 1
        for (bytes, source) in [(original, BlockEncoding.file), (body, framed)] {
            let error = #expect(throws: TranscodeError.self) {
                try BlockTranscoder.transcode(bytes, from: source, to: target, limits: limits)
            }
            #expect(error?.cause == .limit(rawBytesMax: original.readableBytes - 1))
        }
        limits.rawBytesMax += 1
        #expect(throws: Never.self) { try BlockTranscoder.transcode(body, from: framed, to: target, limits: limits) }

        for (bytes, source) in [(original, BlockEncoding.file), (body, framed)] {
            let cut = try #require(bytes.getSlice(at: 0, length: bytes.readableBytes - 1))
            let error = #expect(throws: TranscodeError.self) {
                try BlockTranscoder.transcode(cut, from: source, to: target)
            }
            #expect(error?.cause == .cutOff)
        }

        var damaged = body
        damaged.setInteger(UInt8(0xFF), at: 40)
        let error = #expect(throws: TranscodeError.self) {
            try BlockTranscoder.transcode(damaged, from: framed, to: target)
        }
        guard case .frame(let cause) = error?.cause else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(cause.code == .checksumMismatch)
    }

    /// Frames may be cut differently, what is in them may not.
    private func unframed(_ body: ByteBuffer, _ encoding: BlockEncoding) throws -> ByteBuffer {
        var body = body
        return encoding.compression == nil ? body : try FrameReader.readAll(&body)
    }
}
