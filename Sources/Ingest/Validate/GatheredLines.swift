// Unsafe by design. The invariant: `HeldChunk.bytes` is written to by nobody, so its storage stays where it is for as long as the chunk is
// held; `start` and `end` are its ends, and its last byte is a newline. Lines are offsets of rows within it.

import ClickHouseNative
import NIOCore

/// A line that is known to be for a table, and is not read yet.
struct GatheredLine {
    /// `TableWriter.number`
    let table: UInt32
    private let chunkAndRoute: UInt32
    /// Where the row begins in the chunk.
    let offset: UInt32
    /// Lines of the chunk before it; only where lines have numbers.
    let linesBefore: UInt32

    private static let routeBit: UInt32 = 1 << 31

    init(table: Int, chunk: UInt32, isRouted: Bool, offset: Int, linesBefore: UInt64) {
        self.table = UInt32(table)
        chunkAndRoute = chunk | (isRouted ? Self.routeBit : 0)
        self.offset = UInt32(offset)
        self.linesBefore = UInt32(truncatingIfNeeded: linesBefore)
    }

    /// Its place in `GatheredLines.chunks`.
    var chunk: Int { Int(chunkAndRoute & ~Self.routeBit) }
    /// A route says that it is for the table, not the line.
    var isRouted: Bool { chunkAndRoute & Self.routeBit != 0 }
}

/// A chunk some of whose lines are gathered.
struct HeldChunk {
    let chunk: Chunk
    /// Those of the chunk, a newline at their end.
    let bytes: ByteBuffer
    let start: Bytes
    let end: Bytes

    func place(of line: GatheredLine) -> Bytes { start + Int(line.offset) }
    func cursor(at line: GatheredLine) -> LineCursor { LineCursor(place(of: line), end: end) }
}

/// Lines of many tables, to be read table by table: a row costs much less when the columns that it goes to are near, and those of a
/// thousand tables are not. Only where lines begin is noted; their bytes stay in their chunks.
struct GatheredLines {
    private(set) var chunks: [HeldChunk] = []
    private var lines: [GatheredLine] = []
    /// Lines of each table, by its number.
    private var counts: [Int32] = []
    /// Tables that have lines.
    private(set) var tables = 0
    /// Memory that the chunks and the notes of lines hold, in bytes.
    private(set) var memory = 0

    var isEmpty: Bool { lines.isEmpty }
    var count: Int { lines.count }

    @inline(__always)
    func has(_ table: Int) -> Bool { table < counts.count && counts[table] > 0 }

    /// The place of a chunk's lines that lie together, which are held from here on.
    mutating func hold(_ chunk: Chunk, _ bytes: ByteBuffer, start: Bytes, end: Bytes) -> UInt32 {
        if let last = chunks.last, last.chunk.session == chunk.session, last.chunk.number == chunk.number,
            last.start == start
        {
            return UInt32(chunks.count - 1)
        }
        chunks.append(HeldChunk(chunk: chunk, bytes: bytes, start: start, end: end))
        memory += bytes.storageCapacity
        return UInt32(chunks.count - 1)
    }

    /// Passes over the line at the cursor, of a chunk that begins at `start` and whose lines are `counted`.
    @inline(__always)
    mutating func takeLine(
        _ cursor: inout LineCursor, table: Int, isRouted: Bool = false, chunk: UInt32, start: Bytes,
        _ counted: inout LineCount
    ) {
        let (offset, number) = (cursor.p - start, counted.number(at: cursor.p) ?? 0)
        _ = cursor.takeLine()
        counted.passed(to: cursor.p)
        if _slowPath(table >= counts.count) {
            counts += Array(repeating: 0, count: table + 1 - counts.count)
        }
        if counts[table] == 0 { tables += 1 }
        counts[table] += 1
        lines.append(
            GatheredLine(
                table: table, chunk: chunk, isRouted: isRouted, offset: offset, linesBefore: number &- counted.first))
        memory += MemoryLayout<GatheredLine>.size
    }

    /// The lines, those of a table together and in their order, and where those of each table are that has any.
    mutating func sorted() -> (lines: [GatheredLine], tables: [(number: Int, lines: Range<Int>)]) {
        var tables: [(number: Int, lines: Range<Int>)] = []
        var places = [Int](repeating: 0, count: counts.count)
        var end = 0
        for (number, count) in counts.enumerated() where count > 0 {
            places[number] = end
            tables.append((number, end..<end + Int(count)))
            end += Int(count)
        }
        let sorted = [GatheredLine](unsafeUninitializedCapacity: lines.count) { room, count in
            for line in lines {
                let table = Int(line.table)
                (room.baseAddress! + places[table]).initialize(to: line)
                places[table] += 1
            }
            count = lines.count
        }
        lines.removeAll(keepingCapacity: true)
        return (sorted, tables)
    }

    /// All lines are read: chunks are let go of.
    mutating func clear() {
        chunks.removeAll(keepingCapacity: true)
        lines.removeAll(keepingCapacity: true)
        counts.removeAll(keepingCapacity: true)
        tables = 0
        memory = 0
    }
}
