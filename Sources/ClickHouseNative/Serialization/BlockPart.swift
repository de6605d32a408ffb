// Unsafe by design: copies the runs of a block that nobody writes to any more, within their counts.

import NIOCore

/// A block in compressed frames none of which has bytes of two runs, and where each run's frames lie.
///
/// What makes it worth its memory: the bytes of most runs are the same in every block that their rows become a part of, and frames
/// may stand in any order. So rows that were compressed for the disk need not be compressed again for the server.
struct RunFrames: Sendable {
    /// The whole block, as `BlockEncoder` wrote it.
    var body: ByteBuffer
    let encoding: BlockEncoding
    /// Most raw bytes of a frame.
    let frameBytes: Int
    /// Of each node, where its frames lie, counted from the body's first byte; nil: its bytes are not there as they are in memory.
    let ranges: [Range<Int>?]
    /// Of each node, bytes of its run.
    let rawBytes: [Int]

    /// The frames of a node's run.
    func frames(of place: Int) -> ByteBuffer? {
        ranges[place].flatMap { body.getSlice(at: body.readerIndex + $0.lowerBound, length: $0.count) }
    }
}

/// Rows for `BlockEncoder` to make a block of: in memory as they were parsed, or compressed already.
public struct BlockPart: Sendable {
    /// Without the runs that `frames` has, if there are frames.
    let block: Block
    private(set) var frames: RunFrames?
    /// Bytes that the values take before compression.
    public let byteCount: Int

    public init(_ block: Block) {
        self.block = block
        frames = nil
        byteCount = block.byteCount
    }

    /// Keeps of the block what the frames have not, in memory of its own: `block` may then be reused.
    init(_ block: Block, in frames: RunFrames) {
        self.block = Block(keepingOf: block) { frames.ranges[$0] == nil }
        self.frames = frames
        byteCount = block.byteCount
    }

    public var layout: BlockLayout { block.layout }
    public var rows: Int { block.rows }

    /// The same with the frames in other memory, which has the same bytes.
    public func withFrames(in body: ByteBuffer) -> BlockPart {
        var part = self
        part.frames?.body = body
        return part
    }

    /// The rows as a block; nil: most of their bytes are in frames.
    public var whole: Block? { frames == nil ? block : nil }

    /// Bytes of memory that the rows hold, room for growth included.
    public var byteCapacity: Int { block.byteCapacity + (frames?.body.readableBytes ?? 0) }

    /// The part as it may be written for an encoding: frames that are other than wanted are read back.
    func fitting(_ encoding: BlockEncoding, frameBytes: Int) throws(FrameError) -> BlockPart {
        guard let frames else { return self }
        let isAlike =
            frames.encoding.compression == encoding.compression && frames.frameBytes <= frameBytes
            && encoding.revision?.supports(.stringSizesApart) != true
        guard !isAlike else { return self }
        var body = frames.body
        var raw = try FrameReader.readAll(&body)
        guard let block = try? BlockReader.read(&raw, revision: frames.encoding.revision), block.layout == layout,
            block.rows == rows
        else { throw FrameError(.badPayload, "the frames of \(rows) rows do not hold the block that was written") }
        return BlockPart(block)
    }

    /// Bytes that compression may leave of the part, for making room.
    var bytesExpected: Int { frames.map { $0.body.readableBytes } ?? byteCount / 2 }
}

extension BlockEncoder {
    /// A block as Native in frames, and the same as a part for other blocks.
    ///
    /// A run's frames cost some 40 bytes each and compress worse the shorter the run. So the frames are cut by runs only if a run has
    /// `runBytesMin` bytes on average; otherwise the block itself is the part.
    public static func encodeAsPart(
        _ block: Block, as encoding: BlockEncoding, frameBytes: Int = 1 << 20, runBytesMin: Int = 4 << 10
    ) throws(FrameError) -> (body: ByteBuffer, part: BlockPart) {
        guard encoding.compression != nil, encoding.revision?.supports(.stringSizesApart) != true,
            block.byteCount >= runBytesMin * block.layout.nodes.count
        else {
            return (try encode([block], as: encoding, frameBytes: frameBytes).body, BlockPart(block))
        }
        var marks: [Range<Int>?]? = Array(repeating: nil, count: block.layout.nodes.count)
        let encoded = try encode([BlockPart(block)], as: encoding, frameBytes: frameBytes, marks: &marks)
        let frames = RunFrames(
            body: encoded.body, encoding: encoding, frameBytes: frameBytes, ranges: marks ?? [],
            rawBytes: block.layout.nodes.indices.map { block.nodes[$0].data.count })
        return (encoded.body, BlockPart(block, in: frames))
    }
}

extension Block {
    /// A copy that has the runs of some nodes only, in memory that is no larger than they are. For the encoder: no row can be read
    /// from it or added to it.
    convenience init(keepingOf block: Block, where isKept: (Int) -> Bool) {
        self.init(bare: block.layout)
        rows = block.rows
        for place in layout.nodes.indices {
            nodes[place].rows = block.nodes[place].rows
            guard isKept(place) else { continue }
            nodes[place].data.reserveExactly(block.nodes[place].data.count)
            nodes[place].data.append(block.nodes[place].data.bytes)
        }
    }

    /// The same rows in memory that is no larger than they are, for the encoder only.
    public func compacted() -> Block { Block(keepingOf: self) { _ in true } }
}
