import NIOCore

extension BlockPart {
    /// Rows that lie in frames as `BlockEncoder` cut them by runs, as a part of blocks to come: the frames are taken over as they lie, and only
    /// what stands between them is read.
    ///
    /// Where a frame ends is nothing that the format says, so each place is checked against what the layout and the number of rows ask
    /// for. What is in a run's frames is neither decompressed nor checked: whoever calls knows that the bytes are those that were written.
    ///
    /// - Parameters:
    ///   - body: the block, and nothing else. The part keeps it alive.
    ///   - layout: what the block's columns should be.
    ///   - encoding: how it was written; LZ4, for a revision before strings became two streams.
    ///   - frameBytes: most raw bytes of a frame there.
    /// - Returns: nil: these are other columns, other numbers of rows, frames that are not cut so, or values that have to be read to know where
    ///   they end (Variant, Dynamic). `BlockReader` reads them.
    public init?(
        framesOf body: ByteBuffer, rows: Int, layout: BlockLayout, encoding: BlockEncoding, frameBytes: Int
    ) {
        guard rows > 0, encoding.compression == .lz4, let revision = encoding.revision,
            !revision.supports(.customSerialization), !revision.supports(.stringSizesApart)
        else { return nil }
        var reader = RunFramesReader(body: body, layout: layout, revision: revision, frameBytes: frameBytes)
        guard reader.read(rows) else { return nil }
        self.init(
            others: reader.block,
            in: RunFrames(
                body: body, encoding: encoding, frameBytes: frameBytes, ranges: reader.ranges,
                rawBytes: reader.rawBytes))
    }
}

/// Finds the frames of each run in a block that was cut by runs.
private struct RunFramesReader {
    private let layout: BlockLayout
    private let revision: Revision
    private let frameBytes: Int
    /// The nodes whose values stand between runs: array ends, dictionaries and their indexes.
    let block: Block
    private(set) var ranges: [Range<Int>?]
    private(set) var rawBytes: [Int]

    private var decoder: ColumnDecoder
    /// The frames that are still to come.
    private var rest: ByteBuffer
    private let start: Int
    /// Raw bytes of frames that were no run's, not read yet.
    private var between = ByteBuffer()

    init(body: ByteBuffer, layout: BlockLayout, revision: Revision, frameBytes: Int) {
        self.layout = layout
        self.revision = revision
        self.frameBytes = frameBytes
        block = Block(bare: layout)
        ranges = Array(repeating: nil, count: layout.nodes.count)
        rawBytes = Array(repeating: 0, count: layout.nodes.count)
        rest = body
        start = body.readerIndex
        decoder = ColumnDecoder(block: block, revision: revision, bytesMax: BlockLimits().bytesMax)
        decoder.begin(Array(repeating: .plain, count: layout.nodes.count))
    }

    mutating func read(_ rows: Int) -> Bool {
        // Few rows lie in one frame, all of them: that is seen without a look into it.
        var behindFirst = rest
        guard FrameReader.skipFrame(&behindFirst) != nil, behindFirst.readableBytes > 0 else { return false }
        guard stands(BlockEncoder.head(columns: layout.columns.count, rows: rows, revision: revision)) else {
            return false
        }
        for (head, root) in zip(layout.columnHeads, layout.roots) {
            guard stands(head), prefix(root), values(root, rows) else { return false }
        }
        block.rows = rows
        return between.readableBytes == 0 && rest.readableBytes == 0
    }

    private mutating func prefix(_ place: Int) -> Bool {
        let isRead = (place..<layout.ends[place]).allSatisfy { place in
            if case .dynamic = layout.types[place] { false } else { layout.nodes[place].kind != .variant }
        }
        guard isRead else { return false }
        return take { [decoder] bytes throws(BlockReadFailure) in
            var decoder = decoder
            try decoder.prefix(place, from: &bytes)
        }
    }

    private mutating func values(_ place: Int, _ rows: Int) -> Bool {
        let node = layout.nodes[place]
        block.nodes[place].rows = rows
        switch node.kind {
        case .fixed:
            let (bytes, overflow) = rows.multipliedReportingOverflow(by: node.width)
            return !overflow && run(place, rawBytes: bytes, rows: rows)
        case .string:
            return run(place, rawBytes: nil, rows: rows)
        case .nullable:
            return run(place, rawBytes: rows, rows: rows) && values(node.child, rows)
        case .array:
            var elements = 0
            let isRead = take { [decoder] bytes throws(BlockReadFailure) in
                elements = try decoder.ends(place, rows, from: &bytes)
            }
            return isRead && values(node.child, elements)
        case .lowCardinality:
            // With the dictionary's values, which are in no frames of their own either.
            return take { [decoder] bytes throws(BlockReadFailure) in
                var decoder = decoder
                try decoder.values(place, rows, from: &bytes)
            } undoing: { [block] in
                block.nodes[place].data.truncate(to: 0)
                block.nodes[node.child].data.truncate(to: 0)
            }
        case .tuple:
            return layout.children(of: place).allSatisfy { values($0, rows) }
        case .variant:
            return false
        }
    }

    /// The frames of a run: all of them are full but the last, or the last is not compressed (`FrameWriter.writeAlone`).
    ///
    /// - Parameter rawBytes: what they hold; nil: texts.
    private mutating func run(_ place: Int, rawBytes expected: Int?, rows: Int) -> Bool {
        guard between.readableBytes == 0 else { return false }
        let from = rest.readerIndex - start
        var raw = 0
        var isEnded = rows == 0 || expected == 0
        while !isEnded {
            guard let frame = FrameReader.skipFrame(&rest), frame.rawBytes > 0, frame.rawBytes <= frameBytes else {
                return false
            }
            raw += frame.rawBytes
            let isFullEnd =
                expected == nil && frame.rawBytes == frameBytes && frame.method == FrameFormat.methodNone
            guard frame.method == FrameFormat.methodLZ4 || isFullEnd else { return false }
            isEnded = if let expected { raw >= expected } else { frame.rawBytes < frameBytes || isFullEnd }
        }
        // Each text has a byte for its length at least.
        guard raw == expected ?? max(raw, rows) else { return false }
        ranges[place] = from..<rest.readerIndex - start
        rawBytes[place] = raw
        return true
    }

    /// Whether these bytes come next, outside of runs.
    private mutating func stands(_ expected: [UInt8]) -> Bool {
        var isThere = false
        let isRead = take { bytes throws(BlockReadFailure) in
            isThere = try bytes.take(expected.count).elementsEqual(expected)
        }
        return isRead && isThere
    }

    /// Reads what is in no run, out of as many frames as it takes.
    ///
    /// - Parameter undoing: takes back what was read before the bytes came to their end.
    private mutating func take(
        _ read: (inout ByteCursor) throws(BlockReadFailure) -> Void, undoing: () -> Void = {}
    ) -> Bool {
        while true {
            let outcome = between.withUnsafeReadableBytes { raw -> Outcome in
                var bytes = ByteCursor(raw)
                do throws(BlockReadFailure) {
                    try read(&bytes)
                    return .read(bytes.offset)
                } catch {
                    if case .short = error { return .short }
                    return .refused
                }
            }
            switch outcome {
            case .read(let count):
                between.moveReaderIndex(forwardBy: count)
                return true
            case .refused: return false
            case .short:
                undoing()
                guard var frame = try? FrameReader.readFrame(&rest) else { return false }
                if between.readableBytes == 0 { between = frame } else { between.writeBuffer(&frame) }
            }
        }
    }

    private enum Outcome {
        case read(Int)
        case short
        case refused
    }
}
