import ClickHouseNative
import Foundation
import NIOCore
import TestSupport
import Testing

@testable import Pipeline

/// Records go to the disk as they lie, in pieces. What is in the segment must not tell.
@Suite struct SpoolPiecesTests {
    private func body(_ count: Int, seed: UInt8) -> ByteBuffer {
        ByteBuffer(bytes: (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ Int(seed)) })
    }

    @Test func recordsOfAnyLengthLieAsIfWrittenOneByOne() {
        let lengths = [1, 8, 100, 16 << 10, 40_001, 3, 70_000, (16 << 10) - 1, (16 << 10) + 1]
        var pieces = SpoolPieces()
        var whole = ByteBuffer()
        for (number, length) in lengths.enumerated() {
            let record = PreparedRecord(.rows, body(length, seed: UInt8(number)))
            pieces.append(record, lsn: UInt64(number) + 7)
            SpoolFormat.write(record, lsn: UInt64(number) + 7, into: &whole)
            #expect(pieces.bytes == whole.readableBytes)
        }
        var joined = ByteBuffer()
        for piece in pieces.pieces { joined.writeImmutableBuffer(piece) }
        #expect(joined == whole)
    }

    @Test func manyPiecesArriveOnARealDiskInTheirOrder() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-pieces-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let disk = try SystemSpoolDisk(path: folder.path)
        let file = try disk.create("0000000000000001.seg")
        try file.write(body(80, seed: 1), at: 0)
        // More than one call takes.
        let pieces = (0..<2500).map { body(1 + $0 % 97, seed: UInt8(truncatingIfNeeded: $0)) }
        try file.write(pieces, at: 80)
        var expected = body(80, seed: 1)
        for piece in pieces { expected.writeImmutableBuffer(piece) }
        #expect(try file.length() == expected.readableBytes)
        #expect(try file.read(at: 0, count: expected.readableBytes) == expected)
    }

    @Test func fewRowsAreCompressedForTheDiskOnlyWhileThereIsABacklog() throws {
        let backlog = SpoolBacklog()
        var blocks: [Block] = []
        var bytes: [Int] = []
        for isThere in [false, true] {
            backlog.isThere = isThere
            var builder = IntakeBuilder(numbered: [], spool: .lz4, isFinal: true, backlog: backlog, expecting: 0)
            let batch = BatchFixtures.batch("few", rows: 200, at: .now)
            try builder.append(batch) { blocks += $0 }
            let intake = builder.finish(numbered: [], received: 5) { blocks += $0 }
            #expect(blocks.last === batch.block, "free for other rows at once")
            let body = try #require(intake.record?.body)
            bytes.append(body.readableBytes)
            let head = try SpoolFormat.readRows(body)
            #expect(head.received == 5 && head.parts.map(\.rows) == [200])
            // Read twice: the second time the table's columns are known.
            let stored = StoredBlocks(StoredLayouts())
            for _ in 0..<2 {
                let block = try stored.read(head.parts[0], of: body)
                #expect(block.nodes[0].data.bytes.elementsEqual(batch.block.nodes[0].data.bytes))
                #expect(block.rows == 200)
            }
            let part = try BlockEncoder.encode([intake.batches[0].part], as: .file).body
            #expect(part == (try BlockEncoder.encode([batch.block], as: .file).body))
        }
        #expect(bytes[0] > 1600 && bytes[1] < bytes[0])
    }

    @Test func aRecordIsWrittenWhereAnEarlierOneWas() throws {
        let buffers = BufferPool(bytesMax: 1 << 24)
        var places: Set<UInt> = []
        for _ in 0..<3 {
            var builder = IntakeBuilder(
                numbered: [], spool: .lz4, isFinal: true, buffers: buffers, expecting: 4 * BufferPool.bufferBytesMin)
            try builder.append(BatchFixtures.batch("t", rows: 20_000, at: .now)) { _ in }
            let record = try #require(builder.finish(numbered: [], received: 5) { _ in }.record)
            #expect(buffers.idleBytes == 0)
            places.insert(record.body.withVeryUnsafeBytes { UInt(bitPattern: $0.baseAddress) })
        }
        #expect(places.count == 1, "a copy was made of it, or nobody gave it back")
    }

    @Test func withoutASpoolManyRowsWaitCompressed() throws {
        for isFinal in [false, true] {
            for rows in [3, 20_000] {
                let inFrames = isFinal && rows == 20_000
                let batch = BatchFixtures.batch("t", rows: rows, at: .now)
                let bytes = batch.bytes
                var free: [Block] = []
                var builder = IntakeBuilder(numbered: [], spool: nil, isFinal: isFinal, expecting: 0)
                try builder.append(batch) { free += $0 }
                let intake = builder.finish(numbered: [], received: 5) { free += $0 }
                #expect(intake.record == nil && intake.rows == rows)
                let part = try #require(intake.batches.first).part
                #expect((part.whole == nil) == inFrames)
                #expect(
                    free.contains { $0 === batch.block } == (part.whole !== batch.block), "free for other rows at once")
                if inFrames { #expect(intake.memory < bytes) }
                let sent = try BlockEncoder.encode([part], as: .file).body
                #expect(sent == (try BlockEncoder.encode([batch.block], as: .file).body))
            }
        }
    }

    @Test func aTableThatHasOtherColumnsByNowIsReadAllTheSame() throws {
        let layouts = [BatchFixtures.layout(1), BatchFixtures.layout(2), BatchFixtures.layout(1)]
        let batches = layouts.map { BatchFixtures.batch("t", rows: 3, at: .now, layout: $0) }
        let body = try SpoolFormat.rows(received: 0, spans: [], batches: batches, compression: .lz4).record.body
        let stored = StoredBlocks(StoredLayouts())
        let read = try SpoolFormat.readRows(body).parts.map { try stored.read($0, of: body) }
        #expect(read.map(\.layout) == layouts)
        #expect(read.allSatisfy { $0.nodes[0].data.bytes.elementsEqual(batches[0].block.nodes[0].data.bytes) })
    }

    @Test func rowsOfATableThatLeaveOutOtherColumnsByTurnsStayInTheirFrames() throws {
        let batches = (0..<6).map {
            BatchFixtures.batch("t", rows: 2000, at: .now, layout: BatchFixtures.layout($0 % 3), number: UInt64($0))
        }
        let record = try SpoolFormat.rows(
            received: 0, spans: [], batches: batches, compression: .lz4, isFinal: true
        ).record
        let stored = StoredBlocks(StoredLayouts())
        let parts = try SpoolFormat.readRows(record.body).parts.map { try stored.part($0, of: record.body) }
        #expect(parts.map { $0.whole == nil } == [false, false, false, true, true, true])
        for (part, batch) in zip(parts, batches) {
            #expect(part.layout == batch.layout)
            let bytes = try BlockEncoder.encode([part], as: .file).body
            #expect(bytes == (try BlockEncoder.encode([batch.block], as: .file).body))
        }
    }

    @Test func rowsOfSeveralTablesAreReadBackFromTheRecordThatTheyWereEncodedInto() throws {
        // Some whose runs become frames of their own, and some that do not.
        let batches = [3, 5000, 1, 20_000].enumerated().map { number, rows in
            BatchFixtures.batch("table\(number)", rows: rows, at: .now, number: UInt64(number))
        }
        for isFinal in [false, true] {
            for compression in [Compression.lz4, Compression.none] {
                let encoded = try SpoolFormat.rows(
                    received: 5, spans: [], batches: batches, compression: compression, isFinal: isFinal)
                let head = try SpoolFormat.readRows(encoded.record.body)
                let layouts = StoredLayouts()
                #expect(head.parts.map(\.rows) == batches.map(\.rows))
                #expect(head.parts.map(\.table) == batches.map(\.table))
                for (part, batch) in zip(head.parts, batches) {
                    let block = try SpoolFormat.readBlock(part, of: encoded.record.body)
                    #expect(block.nodes[0].data.bytes.elementsEqual(batch.block.nodes[0].data.bytes))
                }
                // The table's columns are known from the second time on.
                for isKnown in [false, true] {
                    let stored = StoredBlocks(layouts)
                    for (part, batch) in zip(head.parts, batches) {
                        let read = try stored.part(part, of: encoded.record.body)
                        if compression != .lz4 || !isKnown || batch.rows < 5000 {
                            #expect(read.whole != nil)
                        } else if isFinal {
                            #expect(read.whole == nil)
                        }
                        #expect(read.rows == batch.rows)
                        let bytes = try BlockEncoder.encode([read], as: .file).body
                        #expect(bytes == (try BlockEncoder.encode([batch.block], as: .file).body))
                    }
                }
                let sent = BlockEncoding(revision: .newest, compression: compression)
                for (part, batch) in zip(encoded.parts, batches) {
                    let bytes = try BlockEncoder.encode([part], as: sent).bytes
                    // Long frames are taken over where they lie.
                    if isFinal, batch.rows == 20_000 { #expect(bytes.pieces.count == 2) }
                    #expect(bytes.pieces.reduce(0) { $0 + $1.readableBytes } == bytes.readableBytes)
                    var frames = bytes.joined
                    var raw = try FrameReader.readAll(&frames)
                    let block = try #require(try BlockReader.read(&raw, revision: .newest))
                    #expect(block.nodes[0].data.bytes.elementsEqual(batch.block.nodes[0].data.bytes))
                }
            }
        }
    }
}

extension SpoolFormat {
    /// A record of row batches that are there already.
    fileprivate static func rows(
        received: Int64, spans: [ProducerSpan], batches: [RowBatch], compression: Compression?, isFinal: Bool = false
    ) throws(FrameError) -> (record: PreparedRecord, parts: [BlockPart]) {
        var writer = RowsWriter(spans: spans, compression: compression, isFinal: isFinal, expecting: 0)
        for batch in batches { _ = try writer.append(batch) { $0 } }
        return writer.finish(received: received)
    }
}
