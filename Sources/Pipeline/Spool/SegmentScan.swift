import ClickHouseNative
import NIOCore

/// Reads the records of a segment one after the other, over whatever a crash or a bad disk left of them.
struct SegmentScan {
    enum Item {
        case record(SpoolFormat.RecordHead, offset: Int, body: ByteBuffer)
        /// Bytes that are no whole record, with a record behind them.
        case damage(from: Int, to: Int)
        /// From here to the end there is no record any more.
        case tail(from: Int)
    }

    /// Read from the file at once, unless a record is larger.
    private static let windowBytes = 256 << 10

    private let file: any SpoolFile
    private let buffers: BufferPool
    private var length: Int
    /// Where the next record begins.
    private(set) var offset: Int
    private var window = ByteBuffer()
    private var windowStart = 0
    private var isDone = false

    /// - Parameters:
    ///   - offset: where the first record begins; nil: behind the segment's head.
    ///   - length: up to where to read; nil: the whole file.
    ///   - buffers: what is read comes in those.
    init(
        _ file: any SpoolFile, from offset: Int? = nil, length: Int? = nil,
        buffers: BufferPool = .none
    ) throws(SpoolDiskError) {
        self.file = file
        self.buffers = buffers
        self.length = if let length { length } else { try file.length() }
        self.offset = offset ?? SpoolFormat.segmentHeadBytes
    }

    /// Up to where to read from now on: records were added, or cut off.
    mutating func set(length: Int) {
        if length > self.length { isDone = false }
        self.length = length
    }

    /// Whether there is any record, whatever the segment's head is.
    static func findsRecords(in file: any SpoolFile) throws(SpoolDiskError) -> Bool {
        var scan = try SegmentScan(file)
        while let item = try scan.next() {
            if case .tail = item { continue }
            return true
        }
        return false
    }

    /// The next record or what is in its place; nil at the end.
    mutating func next() throws(SpoolDiskError) -> Item? {
        guard !isDone, offset < length else { return nil }
        if let item = try record(at: offset) {
            offset += item.head.bytes
            return .record(item.head, offset: offset - item.head.bytes, body: item.body)
        }
        let start = offset
        // A head that is right vouches for where its record ends, whatever its body is.
        var at = start + ((try head(at: start))?.bytes ?? SpoolFormat.alignment)
        while at < length {
            if let head = try head(at: at), at + head.bytes <= length {
                offset = at
                return .damage(from: start, to: at)
            }
            at += SpoolFormat.alignment
        }
        isDone = true
        return .tail(from: start)
    }

    private mutating func head(at offset: Int) throws(SpoolDiskError) -> SpoolFormat.RecordHead? {
        guard let bytes = try bytes(at: offset, count: SpoolFormat.headBytes) else { return nil }
        return SpoolFormat.readHead(bytes, at: bytes.readerIndex)
    }

    private mutating func record(
        at offset: Int
    ) throws(SpoolDiskError) -> (head: SpoolFormat.RecordHead, body: ByteBuffer)? {
        guard let head = try head(at: offset), offset + head.bytes <= length,
            let body = try bytes(at: offset + SpoolFormat.headBytes, count: head.bodyBytes),
            SpoolFormat.checksum(body) == head.bodyChecksum
        else { return nil }
        return (head, body)
    }

    private mutating func bytes(at offset: Int, count: Int) throws(SpoolDiskError) -> ByteBuffer? {
        guard offset + count <= length else { return nil }
        if offset < windowStart || offset + count > windowStart + window.readableBytes {
            let wanted = min(max(count, Self.windowBytes), length - offset)
            var read = buffers.take(wanted)
            try file.read(at: offset, count: wanted, into: &read)
            buffers.lend(read)
            (window, windowStart) = (read, offset)
        }
        return window.getSlice(at: window.readerIndex + offset - windowStart, length: count)
    }
}
