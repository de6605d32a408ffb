// Unsafe by design: reads the runs of blocks that nobody writes to any more, within their counts.

import NIOCore

/// Writes blocks in the Native format (ClickHouse's Formats/NativeWriter.cpp): as a file has it, or as a connection of
/// some revision wants it, in compressed frames or bare.
public enum BlockEncoder {
    public struct Encoded: Sendable {
        public let bytes: BlockBody
        /// Size before compression.
        public let rawBytes: Int

        /// All of it in one buffer; see `BlockBody.joined`.
        public var body: ByteBuffer { bytes.joined }
    }

    /// One block out of parts that share a layout: their rows, one part after the other.
    ///
    /// - Parameter frameBytes: raw bytes of a compressed frame, 1 KiB to 64 MiB.
    public static func encode(
        _ parts: [Block], as encoding: BlockEncoding, frameBytes: Int = 1 << 20
    ) throws(FrameError) -> Encoded {
        try encode(parts.map { BlockPart($0) }, as: encoding, frameBytes: frameBytes)
    }

    /// The same of parts that may be compressed already.
    ///
    /// - Parameter buffers: what is written comes from there.
    public static func encode(
        _ parts: [BlockPart], as encoding: BlockEncoding, frameBytes: Int = 1 << 20,
        buffers: BufferPool = .none
    ) throws(FrameError) -> Encoded {
        precondition(!parts.isEmpty && parts.indices.allSatisfy { parts[$0].layout == parts[0].layout })
        if let few = FlatBlock(parts, as: encoding, frameBytes: frameBytes) { return try few.encoded(buffers) }
        let parts = try parts.map { part throws(FrameError) in try part.fitting(encoding, frameBytes: frameBytes) }
        let bytes = parts.reduce(0) { $0 + (encoding.isPacked ? $1.bytesExpected : $1.byteCount) }
        var writer = FrameWriter(
            compression: encoding.compression, frameBytes: frameBytes, expecting: bytes, of: buffers)
        var marks: [Range<Int>?]?
        try write(parts, as: encoding, marks: &marks, to: &writer)
        buffers.lend(writer.output)
        return Encoded(bytes: writer.takeBody(), rawBytes: writer.rawBytes)
    }

    /// Writes a block out of parts whose frames are such as the writer makes.
    ///
    /// - Parameter marks: by node; where there are such, runs get frames of their own and are marked here.
    static func write(
        _ parts: [BlockPart], as encoding: BlockEncoding, marks: inout [Range<Int>?]?, to writer: inout FrameWriter
    ) throws(FrameError) {
        let layout = parts[0].layout
        let rows = parts.reduce(0) { $0 + $1.rows }

        try writer.write(head(columns: layout.columns.count, rows: rows, revision: encoding.revision))
        let saysSerialization = encoding.revision?.supports(.customSerialization) == true
        var column = ColumnEncoder(layout: layout, parts: parts, revision: encoding.revision, marks: marks)
        for (head, root) in zip(layout.columnHeads, layout.roots) {
            try writer.write(head)
            if saysSerialization { try writer.write(UInt8(0)) }
            // Columns of no rows are no bytes at all, not even a prefix.
            guard rows > 0 else { continue }
            try column.writePrefix(root, to: &writer)
            try column.writeValues(root, to: &writer)
        }
        marks = column.marks
        try writer.finish()
    }

    /// The block that ends an INSERT's data: no columns, no rows.
    public static func endOfData(as encoding: BlockEncoding) throws(FrameError) -> ByteBuffer {
        var writer = FrameWriter(compression: encoding.compression, frameBytes: 1 << 10, expecting: 16)
        try writer.write(head(columns: 0, rows: 0, revision: encoding.revision))
        try writer.finish()
        return writer.takeOutput()
    }

    /// What stands before the columns is no longer.
    static let headBytesMax = 48

    /// What stands before the columns. A connection's blocks begin with numbered fields, ended by 0 (ClickHouse's Core/BlockInfo.h): not an
    /// overflow row, no bucket.
    static func appendHead(columns: Int, rows: Int, revision: Revision?, to head: inout ByteRun) {
        if let revision {
            head.appendVarUInt(1)
            head.append(UInt8(0))
            head.appendVarUInt(2)
            head.append(Int32(-1).littleEndian)
            if revision.supports(.outOfOrderBuckets) {
                head.appendVarUInt(3)
                head.appendVarUInt(0)
            }
            head.appendVarUInt(0)
        }
        head.appendVarUInt(UInt64(columns))
        head.appendVarUInt(UInt64(rows))
    }

    static func head(columns: Int, rows: Int, revision: Revision?) -> [UInt8] {
        var head = ByteRun()
        defer { head.deallocate() }
        appendHead(columns: columns, rows: rows, revision: revision, to: &head)
        return Array(head.bytes)
    }
}

/// Writes the nodes of columns, from all parts.
struct ColumnEncoder {
    let layout: BlockLayout
    let parts: [BlockPart]
    let revision: Revision?
    /// By node: where the frames of a run lie that has some of its own; nil: runs share frames.
    private(set) var marks: [Range<Int>?]?
    /// Of Dynamic nodes: their values by type, which are needed for the prefix already.
    private var dynamics: [Int: DynamicColumns] = [:]

    init(layout: BlockLayout, parts: [BlockPart], revision: Revision?, marks: [Range<Int>?]? = nil) {
        self.layout = layout
        self.parts = parts
        self.revision = revision
        self.marks = marks
    }

    /// What comes before a column's values, once: the version of each low-cardinality serialization
    /// (ClickHouse's DataTypes/Serializations/SerializationLowCardinality.cpp), the mode of each variant's, and what
    /// `TextColumnFormat` tells.
    mutating func writePrefix(_ place: Int, to writer: inout FrameWriter) throws(FrameError) {
        let node = layout.nodes[place]
        switch node.kind {
        case .fixed: break
        case .string:
            let format = TextColumnFormat(layout.types[place])
            try format.writePrefix(to: &writer)
            if format == .dynamic {
                let columns = DynamicColumns(parts.map { $0.block.nodes[place].data }, revision: revision)
                dynamics[place] = columns
                try columns.writePrefix(to: &writer)
            }
        case .nullable, .array: try writePrefix(node.child, to: &writer)
        case .lowCardinality: try writer.write(UInt64(1).littleEndian)
        case .tuple:
            for child in layout.children(of: place) { try writePrefix(child, to: &writer) }
        case .variant:
            try writer.write(VariantFormat.basic.littleEndian)
            for child in layout.children(of: place) { try writePrefix(child, to: &writer) }
        }
    }

    mutating func writeValues(_ place: Int, to writer: inout FrameWriter) throws(FrameError) {
        let node = layout.nodes[place]
        switch node.kind {
        case .fixed:
            try writeRuns(place, to: &writer)
        case .string:
            if let columns = dynamics[place] {
                try columns.writeValues(to: &writer)
            } else if revision?.supports(.stringSizesApart) == true {
                try StringSizes(parts.map { $0.block.nodes[place].data }).write(to: &writer)
            } else {
                try writeRuns(place, to: &writer)
            }
        case .nullable:
            try writeRuns(place, to: &writer)
            try writeValues(node.child, to: &writer)
        case .array:
            try writeOffsets(place, to: &writer)
            try writeValues(node.child, to: &writer)
        case .lowCardinality:
            try writeLowCardinality(place, to: &writer)
        case .tuple:
            for child in layout.children(of: place) { try writeValues(child, to: &writer) }
        case .variant:
            try writeRuns(place, to: &writer)
            for child in layout.children(of: place) { try writeValues(child, to: &writer) }
        }
    }

    private mutating func writeRuns(_ place: Int, to writer: inout FrameWriter) throws(FrameError) {
        guard marks == nil else {
            try writer.endFrame()
            let start = writer.outputBytes
            let isText = layout.nodes[place].kind == .string
            for part in parts { try writer.writeAlone(part.block.nodes[place].data.bytes, isText: isText) }
            marks?[place] = start..<writer.outputBytes
            return
        }
        // By their places, for a part that is copied is counted by all that it refers to.
        for part in parts.indices {
            if let frames = parts[part].frames, let run = frames.frames(of: place) {
                try writer.write(frames: run, rawBytes: frames.rawBytes[place])
            } else {
                try writer.write(parts[part].block.nodes[place].data.bytes)
            }
        }
    }

    /// Array ends count from the block's start, so those of later parts move up.
    private func writeOffsets(_ place: Int, to writer: inout FrameWriter) throws(FrameError) {
        let blocks = parts.map(\.block)
        try writer.write(blocks[0].nodes[place].data.bytes)
        var base = UInt64(blocks[0].nodes[layout.nodes[place].child].rows)
        for part in blocks.dropFirst() {
            let ends = part.nodes[place].data
            var moved = ByteRun()
            defer { moved.deallocate() }
            moved.reserve(ends.count)
            for row in 0..<part.nodes[place].rows { moved.append(ends.load(UInt64.self, at: row * 8) &+ base) }
            try writer.write(moved.bytes)
            base += UInt64(part.nodes[layout.nodes[place].child].rows)
        }
    }

    private func writeLowCardinality(_ place: Int, to writer: inout FrameWriter) throws(FrameError) {
        let child = layout.nodes[place].child
        let parts = parts.map(\.block)
        let rows = parts.reduce(0) { $0 + $1.nodes[place].rows }
        guard rows > 0 else { return }
        let merged = parts.count > 1 ? MergedDictionary(parts, layout: layout, place: place) : nil
        let values = merged?.values ?? parts[0].nodes[child]
        let width = LowCardinalityFormat.IndexWidth(distinct: values.rows)

        try writer.write((LowCardinalityFormat.flags | width.rawValue).littleEndian)
        try writer.write(UInt64(values.rows).littleEndian)
        try writer.write(values.data.bytes)
        try writer.write(UInt64(rows).littleEndian)
        for (number, part) in parts.enumerated() {
            var narrowed = ByteRun()
            defer { narrowed.deallocate() }
            width.narrow(part.nodes[place].data, map: merged?.maps[number], into: &narrowed)
            try writer.write(narrowed.bytes)
        }
    }
}

/// The serialization of low-cardinality columns in one block
/// (ClickHouse's DataTypes/Serializations/SerializationLowCardinality.cpp).
enum LowCardinalityFormat {
    /// The block brings its own keys (bit 9) and they replace what was known before (bit 10).
    static let flags: UInt64 = 1 << 9 | 1 << 10

    /// Width of the indexes, as the low byte of the flags says it.
    enum IndexWidth: UInt64 {
        case one, two, four, eight

        /// As ClickHouse chooses it: one value short of what the width could name.
        init(distinct: Int) {
            self = distinct < 1 << 8 ? .one : distinct < 1 << 16 ? .two : .four
        }

        var bytes: Int { 1 << Int(rawValue) }

        func narrow(_ indexes: ByteRun, map: [UInt32]?, into out: inout ByteRun) {
            switch self {
            case .one: write(indexes, map, UInt8.self, into: &out)
            case .two: write(indexes, map, UInt16.self, into: &out)
            case .four, .eight: write(indexes, map, UInt32.self, into: &out)
            }
        }

        @inline(__always)
        private func write<Index: FixedWidthInteger & BitwiseCopyable>(
            _ indexes: ByteRun, _ map: [UInt32]?, _: Index.Type, into out: inout ByteRun
        ) {
            let count = indexes.count / 4
            guard count > 0, let base = indexes.base else { return }
            // Without a map it is a loop that the compiler makes one over 16 bytes of.
            let room = out.claim(count * MemoryLayout<Index>.size).bindMemory(to: Index.self, capacity: count)
            let from = base.assumingMemoryBound(to: UInt32.self)
            if let map {
                for row in 0..<count { room[row] = Index(truncatingIfNeeded: map[Int(from[row])]) }
            } else {
                for row in 0..<count { room[row] = Index(truncatingIfNeeded: from[row]) }
            }
            out.commit(count * MemoryLayout<Index>.size)
        }
    }
}

/// One dictionary out of those of several parts.
private final class MergedDictionary {
    private let block: Block
    /// For each part: its places to ours.
    let maps: [[UInt32]]

    /// The distinct values, in the child's node.
    var values: ColumnNode { block.nodes[block.layout.nodes[0].child] }

    init(_ parts: [Block], layout: BlockLayout, place: Int) {
        // A block of this one column gives the dictionary a home; its indexes are read back as the maps.
        block = Block(layout: BlockLayout([ColumnDefinition(name: "", type: layout.types[place])]))
        let child = layout.nodes[place].child
        var maps: [[UInt32]] = []
        for part in parts {
            var map: [UInt32] = [0]
            map.reserveCapacity(part.nodes[child].rows)
            var values = ValueCursor(part.nodes[child].data, width: layout.nodes[child].width)
            values.skip()
            while let value = values.next() {
                block.appendLowCardinality(0, value.baseAddress ?? emptyBytes, count: value.count)
                map.append(block.nodes[0].data.load(UInt32.self, at: block.nodes[0].data.count - 4))
            }
            maps.append(map)
        }
        self.maps = maps
    }
}

nonisolated(unsafe) private let emptyBytes: UnsafeRawPointer = UnsafeRawPointer(
    UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1))

/// Walks over the values of a fixed or string node.
public struct ValueCursor {
    private let run: ByteRun
    private let width: Int
    private var offset = 0

    /// - Parameter width: 0 for strings.
    public init(_ run: ByteRun, width: Int) {
        self.run = run
        self.width = width
    }

    /// Begins at the value that begins at an offset.
    init(_ run: ByteRun, width: Int, from offset: Int) {
        self.init(run, width: width)
        self.offset = offset
    }

    /// Where the next value begins.
    var place: Int { offset }

    public mutating func skip() { _ = next() }

    /// The next value's bytes; nil at the end. Stops at bytes that are no whole value, which a block never has.
    public mutating func next() -> UnsafeRawBufferPointer? {
        var length = width
        var start = offset
        if width == 0 {
            var shift: UInt64 = 0
            var size: UInt64 = 0
            while true {
                guard start < run.count, shift < 63 else { return nil }
                let byte = run.load(UInt8.self, at: start)
                start += 1
                size |= UInt64(byte & 0x7F) << shift
                if byte < 0x80 { break }
                shift += 7
            }
            guard size <= UInt64(run.count - start) else { return nil }
            length = Int(size)
        }
        guard start + length <= run.count, offset < run.count else { return nil }
        offset = start + length
        return UnsafeRawBufferPointer(rebasing: run.bytes[start..<start + length])
    }
}

/// String columns as revisions from 54492 have them: the end of each value as UInt64, then all bytes.
private struct StringSizes {
    let runs: [ByteRun]

    init(_ runs: [ByteRun]) { self.runs = runs }

    func write(to writer: inout FrameWriter) throws(FrameError) {
        var ends = ByteRun()
        var bytes = ByteRun()
        defer {
            ends.deallocate()
            bytes.deallocate()
        }
        for run in runs {
            var values = ValueCursor(run, width: 0)
            while let value = values.next() {
                bytes.append(value)
                ends.append(UInt64(bytes.count))
            }
        }
        try writer.write(ends.bytes)
        try writer.write(bytes.bytes)
    }
}
