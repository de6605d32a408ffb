import NIOCore

/// A block in compressed frames none of which has bytes of two runs, and where each run's frames lie.
///
/// What makes it worth its memory: the bytes of most runs are the same in every block that their rows become a part of, and frames
/// may stand in any order. So rows that were compressed for the disk need not be compressed again for the server.
final class RunFrames: Sendable {
    /// The whole block, as `BlockEncoder` wrote it.
    let body: ByteBuffer
    let encoding: BlockEncoding
    /// Most raw bytes of a frame.
    let frameBytes: Int
    /// Of each node, where its frames lie, counted from the body's first byte; nil: its bytes are not there as they are in memory.
    let ranges: [Range<Int>?]
    /// Of each node, bytes of its run; 0 where it has no frames.
    let rawBytes: [Int]

    init(body: ByteBuffer, encoding: BlockEncoding, frameBytes: Int, ranges: [Range<Int>?], rawBytes: [Int]) {
        self.body = body
        self.encoding = encoding
        self.frameBytes = frameBytes
        self.ranges = ranges
        self.rawBytes = rawBytes
    }

    /// The frames of a node's run.
    func frames(of place: Int) -> ByteBuffer? {
        ranges[place].flatMap { body.getSlice(at: body.readerIndex + $0.lowerBound, length: $0.count) }
    }
}

/// Rows for `BlockEncoder` to make a block of: in memory as they were parsed, or compressed already.
public struct BlockPart: Sendable {
    /// Without the runs that `frames` has, if there are frames.
    let block: Block
    let frames: RunFrames?
    public let rows: Int
    /// Bytes that the values take before compression.
    public let byteCount: Int
    /// Bytes of memory that the rows hold, room for growth included.
    public let byteCapacity: Int

    /// - Parameter block: nobody adds to it any more.
    public init(_ block: Block) {
        self.block = block
        frames = nil
        rows = block.rows
        byteCount = block.byteCount
        byteCapacity = block.byteCapacity
    }

    /// Keeps of the block what the frames have not, in memory of its own: `block` may then be reused.
    init(_ block: Block, in frames: RunFrames) {
        self.init(others: Block(keepingOf: block) { frames.ranges[$0] == nil }, in: frames)
    }

    /// - Parameter block: has the runs that are in no frames, and no others.
    init(others block: Block, in frames: RunFrames) {
        self.block = block
        self.frames = frames
        rows = block.rows
        byteCount = block.byteCount + frames.rawBytes.reduce(0, +)
        byteCapacity = block.byteCapacity + frames.body.readableBytes
    }

    public var layout: BlockLayout { block.layout }

    /// The rows as a block; nil: most of their bytes are in frames.
    public var whole: Block? { frames == nil ? block : nil }

    /// Whether they are in a block that more rows may be added to.
    public var takesRows: Bool { frames == nil && block.takesRows }

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

    /// Bytes that compression may leave of the part, for making room; frames that are there already are not copied.
    var bytesExpected: Int { frames == nil ? byteCount / 2 : block.byteCount }
}

/// A block that was appended to a buffer, in compressed frames or bare.
public struct AppendedBlock: Sendable {
    fileprivate let block: Block
    fileprivate let encoding: BlockEncoding
    fileprivate let frameBytes: Int
    /// By node, if runs have frames of their own; counted from the block's first byte.
    fileprivate let marks: [Range<Int>?]?
    /// Where it lies, counted from the buffer's first readable byte.
    public let range: Range<Int>

    /// Whether blocks can take over the frames that were written; otherwise the block itself is the part.
    public var hasFrames: Bool { marks != nil }

    /// The rows for other blocks to be made of.
    ///
    /// - Parameter buffer: the one that the block was appended to. The part keeps it alive, so nothing should be appended to it
    ///   any more.
    public func part(in buffer: ByteBuffer) -> BlockPart {
        guard let marks, let body = buffer.getSlice(at: buffer.readerIndex + range.lowerBound, length: range.count)
        else { return BlockPart(block) }
        return BlockPart(
            block,
            in: RunFrames(
                body: body, encoding: encoding, frameBytes: frameBytes, ranges: marks,
                rawBytes: block.layout.nodes.indices.map { marks[$0] == nil ? 0 : block.nodes[$0].data.count }))
    }
}

extension BlockEncoder {
    /// A run's frames cost some 40 bytes each and compress worse the shorter the run. So frames are cut by runs only if a run has so many bytes
    /// on average.
    public static let runBytesMin = 2560

    /// A block as Native in frames, and the same as a part for other blocks. Where runs are short the block itself is the part.
    ///
    /// - Parameter buffers: the body is one of those.
    public static func encodeAsPart(
        _ block: Block, as encoding: BlockEncoding, frameBytes: Int = 1 << 20,
        runBytesMin: Int = BlockEncoder.runBytesMin,
        buffers: BufferPool = .none
    ) throws(FrameError) -> (body: ByteBuffer, part: BlockPart) {
        var body = buffers.take(bytesExpected(of: block, as: encoding))
        let appended = try append(
            block, as: encoding, byRuns: true, to: &body, frameBytes: frameBytes, runBytesMin: runBytesMin)
        buffers.lend(body)
        return (body, appended.part(in: body))
    }

    /// About as many bytes as the block will take, for making room.
    private static func bytesExpected(of block: Block, as encoding: BlockEncoding) -> Int {
        (encoding.isPacked ? block.byteCount / 2 : block.byteCount) + 4096
    }

    /// Whether a block's frames are worth to be taken over by other blocks; see `encodeAsPart`.
    public static func canShareFrames(
        of block: Block, as encoding: BlockEncoding, runBytesMin: Int = BlockEncoder.runBytesMin
    ) -> Bool {
        encoding.compression != nil && encoding.revision?.supports(.stringSizesApart) != true
            && block.byteCount >= runBytesMin * block.layout.nodes.count
    }

    /// Writes a block behind what is in a buffer, without a copy.
    ///
    /// - Parameters:
    ///   - byRuns: whether it should become a part of other blocks in the frames that are written here; see `encodeAsPart`.
    ///   - buffer: of no use when this throws.
    public static func append(
        _ block: Block, as encoding: BlockEncoding, byRuns: Bool, to buffer: inout ByteBuffer,
        frameBytes: Int = 1 << 20, runBytesMin: Int = BlockEncoder.runBytesMin
    ) throws(FrameError) -> AppendedBlock {
        let start = buffer.readableBytes
        let hasRuns = byRuns && canShareFrames(of: block, as: encoding, runBytesMin: runBytesMin)
        var marks: [Range<Int>?]? = hasRuns ? Array(repeating: nil, count: block.layout.nodes.count) : nil
        let parts = [BlockPart(block)]
        if !hasRuns, let few = FlatBlock(parts, as: encoding, frameBytes: frameBytes) {
            _ = try few.append(to: &buffer)
        } else {
            var writer = FrameWriter(compression: encoding.compression, frameBytes: frameBytes, appendingTo: &buffer)
            try write(parts, as: encoding, marks: &marks, to: &writer)
            buffer = writer.takeOutput()
        }
        return AppendedBlock(
            block: block, encoding: encoding, frameBytes: frameBytes, marks: marks,
            range: start..<buffer.readableBytes)
    }
}
