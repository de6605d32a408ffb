// Unsafe by design: reads the runs of blocks that nobody writes to any more, within their counts, and writes through `Room`, which
// checks each copy against what is left.

import CSluice
import NIOCore

/// Few rows whose columns go over the wire as they lie in memory (`BlockLayout.isFlat`), to be written in one frame.
///
/// The same bytes as `ColumnEncoder` writes, without asking for each column of each part what it is: where rows are of a thousand tables
/// there are some thirty in a part.
struct FlatBlock {
    /// Bytes before compression that are few.
    static let bytesMax = 256 << 10

    private let parts: [BlockPart]
    private let layout: BlockLayout
    private let revision: Revision?
    private let compression: Compression
    private let rows: Int
    /// At least as many bytes as the block has before compression.
    private let bytesBound: Int

    /// nil: the parts are many rows, or not flat, or in frames already.
    init?(_ parts: [BlockPart], as encoding: BlockEncoding, frameBytes: Int) {
        let layout = parts[0].layout
        guard layout.isFlat, encoding.revision?.supports(.stringSizesApart) != true else { return nil }
        switch encoding.compression {
        case .some(Compression.none): compression = Compression.none
        case .lz4: compression = .lz4
        default: return nil
        }
        var (rows, bytes) = (0, BlockEncoder.headBytesMax + layout.heads.count + layout.spans.count)
        for place in parts.indices {
            guard parts[place].frames == nil else { return nil }
            rows += parts[place].rows
            bytes += parts[place].byteCount
        }
        guard rows > 0, bytes <= min(Self.bytesMax, frameBytes) else { return nil }
        // Longer runs have frames of their own.
        let runBytesMax = FrameWriter.inPlaceBytesMin
        guard bytes < runBytesMax || Self.longestRun(parts) < runBytesMax else { return nil }
        self.parts = parts
        self.layout = layout
        self.rows = rows
        revision = encoding.revision
        bytesBound = bytes
    }

    private static func longestRun(_ parts: [BlockPart]) -> Int {
        parts.reduce(0) { longest, part in
            part.layout.nodes.indices.reduce(longest) { max($0, part.block.nodes[$1].data.count) }
        }
    }

    /// Appends the block as a frame.
    ///
    /// - Returns: Its bytes before compression.
    func append(to output: inout ByteBuffer) throws(FrameError) -> Int {
        guard compression == Compression.none else {
            return try withFrame { frame, raw in
                output.writeBytes(frame)
                return raw
            }
        }
        let prefix = FrameFormat.prefixBytes
        var raw = 0
        output.writeWithUnsafeMutableBytes(minimumWritableBytes: prefix + bytesBound) { room in
            raw = write(to: UnsafeMutableRawBufferPointer(rebasing: room[prefix..<prefix + bytesBound]))
            return FrameFormat.seal(room, payload: raw, raw: raw, method: FrameFormat.methodNone)
        }
        return raw
    }

    /// The block as a frame by itself.
    ///
    /// - Parameter buffers: the frame lies in one of those.
    func encoded(_ buffers: BufferPool) throws(FrameError) -> BlockEncoder.Encoded {
        guard compression == Compression.none else {
            return try withFrame { frame, raw in
                BlockEncoder.Encoded(bytes: BlockBody(buffers.copy(frame)), rawBytes: raw)
            }
        }
        var buffer = ByteBuffer()
        let raw = try append(to: &buffer)
        return BlockEncoder.Encoded(bytes: BlockBody(buffer), rawBytes: raw)
    }

    /// Compresses in memory of the thread, so that what goes on is no larger than it is: it may wait among many.
    private func withFrame<T>(
        _ body: (_ frame: UnsafeRawBufferPointer, _ raw: Int) -> T
    ) throws(FrameError) -> T {
        let prefix = FrameFormat.prefixBytes
        let compressor = Compressor(compression: compression, zstd: nil)
        let (method, bound) = compressor.methodAndBound(bytesBound)
        guard let scratch = sluice_thread_scratch(bytesBound + prefix + bound) else {
            throw FrameError(.compressionFailed, "out of memory: \(bytesBound + prefix + bound) bytes for a frame")
        }
        let raw = write(to: UnsafeMutableRawBufferPointer(start: scratch, count: bytesBound))
        let frame = UnsafeMutableRawBufferPointer(start: scratch + bytesBound, count: prefix + bound)
        let size = compressor.compress(
            UnsafeRawBufferPointer(start: scratch, count: raw),
            into: UnsafeMutableRawBufferPointer(rebasing: frame[prefix...]))
        guard let size else { throw FrameError(.compressionFailed, "the compressor took no \(raw) bytes") }
        let sealed = FrameFormat.seal(frame, payload: size, raw: raw, method: method)
        return body(UnsafeRawBufferPointer(rebasing: frame[..<sealed]), raw)
    }

    /// - Returns: Bytes that were written.
    private func write(to bytes: UnsafeMutableRawBufferPointer) -> Int {
        var room = Room(bytes)
        var head = ByteRun()
        defer { head.deallocate() }
        BlockEncoder.appendHead(columns: layout.columns.count, rows: rows, revision: revision, to: &head)
        room.put(head.base, head.count)
        let saysSerialization = revision?.supports(.customSerialization) == true
        withUnsafeTemporaryAllocation(of: UnsafeMutablePointer<ColumnNode>.self, capacity: parts.count) { blocks in
            for place in parts.indices { blocks.initializeElement(at: place, to: parts[place].block.nodes) }
            layout.heads.withUnsafeBytes { heads in
                var next = 0
                for span in layout.spans {
                    room.put(heads.baseAddress.map { $0 + next }, span.headBytes)
                    next += span.headBytes
                    if saysSerialization { room.putZero() }
                    // Nodes come as the wire has them: a NULL map before its values, the elements of a tuple in their order.
                    for node in span.nodes {
                        for place in 0..<blocks.count {
                            let run = blocks[place][node].data
                            room.put(UnsafeRawPointer(run.base), run.count)
                        }
                    }
                }
            }
        }
        withExtendedLifetime(parts) {}
        return bytes.count - room.left
    }
}

/// Memory that is filled from its first byte on.
private struct Room {
    private var place: UnsafeMutableRawPointer
    private(set) var left: Int

    init(_ bytes: UnsafeMutableRawBufferPointer) {
        place = bytes.baseAddress!
        left = bytes.count
    }

    @inline(__always)
    mutating func put(_ bytes: UnsafeRawPointer?, _ count: Int) {
        guard let bytes, count > 0 else { return }
        precondition(count <= left, "a block has more bytes than it was said to have")
        memcpy(place, bytes, count)
        place += count
        left -= count
    }

    @inline(__always)
    mutating func putZero() {
        precondition(left > 0, "a block has more bytes than it was said to have")
        place.storeBytes(of: 0, as: UInt8.self)
        place += 1
        left -= 1
    }
}
