import ClickHouseNative
import NIOCore

/// What a record of the spool is about (docs/specs/spool.md).
public enum SpoolRecordKind: UInt8, Sendable, CaseIterable {
    case rows = 1
    case seal, settled, split, state, discard
}

/// How a sealed block ended.
public enum BlockOutcome: UInt8, Sendable, CaseIterable {
    case committed = 1
    case deadLettered, discarded
}

/// Rows of the spool that make up a block, or a part of it: some rows of one row batch of one record.
public struct SpoolPart: Hashable, Sendable {
    public let lsn: UInt64
    /// Which of the record's row batches.
    public let part: Int
    public let firstRow: Int
    public let rows: Int

    public init(lsn: UInt64, part: Int, firstRow: Int, rows: Int) {
        self.lsn = lsn
        self.part = part
        self.firstRow = firstRow
        self.rows = rows
    }
}

/// A frozen block as its seal names it.
public struct SealedParts: Hashable, Sendable {
    public let id: UInt64
    public let table: TableName
    public let parts: [SpoolPart]

    public var rows: Int { parts.reduce(0) { $0 + $1.rows } }

    public init(id: UInt64, table: TableName, parts: [SpoolPart]) {
        self.id = id
        self.table = table
        self.parts = parts
    }

    /// The rows of a selection, as parts. Positions count through the block's rows.
    func selecting(_ selection: [Range<Int>]) -> [SpoolPart] {
        var selected: [SpoolPart] = []
        var place = 0
        var start = 0
        for range in selection {
            var at = range.lowerBound
            while at < range.upperBound {
                while at >= start + parts[place].rows {
                    start += parts[place].rows
                    place += 1
                }
                let part = parts[place]
                let end = min(range.upperBound, start + part.rows)
                selected.append(
                    SpoolPart(
                        lsn: part.lsn, part: part.part, firstRow: part.firstRow + at - start, rows: end - at))
                at = end
            }
        }
        return selected
    }
}

/// Rows of a numbering that a record has.
public struct ProducerSpan: Hashable, Sendable {
    public let identity: Producer.Identity
    public let range: RowRange

    public init(identity: Producer.Identity, range: RowRange) {
        self.identity = identity
        self.range = range
    }
}

/// A record without its place: its kind, its body, and the body's checksum, which whoever makes it computes on its own thread.
public struct PreparedRecord: Sendable {
    public let kind: SpoolRecordKind
    public let body: ByteBuffer
    let checksum: UInt64

    init(_ kind: SpoolRecordKind, _ body: ByteBuffer) {
        self.kind = kind
        self.body = body
        checksum = SpoolFormat.checksum(body)
    }

    /// Bytes that it takes in a segment.
    public var bytes: Int { SpoolFormat.headBytes + SpoolFormat.padded(body.readableBytes) }
}

/// The bytes of segments and records. Pure functions.
enum SpoolFormat {
    static let version: UInt32 = 1
    static let magic: UInt64 = 0x530A_4543_4955_4C53  // "SLUICE\nS", little-endian
    static let segmentHeadBytes = 80
    static let headBytes = 32
    static let alignment = 8
    /// Longest body; a record holds one chunk of rows, or the seals of one moment.
    static let bodyBytesMax = 1 << 30
    /// Native as this revision has it: blocks in the spool do not change with the servers that are met.
    static let blockRevision = Revision(54412)

    /// Raw bytes of a compressed frame.
    static let frameBytes = 1 << 20

    static func padded(_ count: Int) -> Int { (count + alignment - 1) & ~(alignment - 1) }

    static func checksum(_ bytes: ByteBuffer) -> UInt64 {
        bytes.withUnsafeReadableBytes { CityHash128(hashing: $0).low }
    }

    // MARK: Segments

    struct SegmentHead: Hashable, Sendable {
        var version = SpoolFormat.version
        var spool: SpoolID
        var number: UInt64
        var firstLSN: UInt64
        /// Milliseconds since 1970.
        var created: Int64
        /// Bytes of the segment before this one that count; what lies behind them is void. 0: there was none.
        var previousBytes: UInt64
        /// Number of that segment.
        var previousNumber: UInt64

        func encoded() -> ByteBuffer {
            var bytes = ByteBuffer()
            bytes.reserveCapacity(segmentHeadBytes)
            bytes.writeInteger(magic, endianness: .little)
            bytes.writeInteger(version, endianness: .little)
            bytes.writeInteger(UInt32(0), endianness: .little)
            bytes.writeInteger(spool.high, endianness: .big)
            bytes.writeInteger(spool.low, endianness: .big)
            bytes.writeInteger(number, endianness: .little)
            bytes.writeInteger(firstLSN, endianness: .little)
            bytes.writeInteger(created, endianness: .little)
            bytes.writeInteger(previousBytes, endianness: .little)
            bytes.writeInteger(previousNumber, endianness: .little)
            bytes.writeInteger(checksum(bytes), endianness: .little)
            return bytes
        }

        enum Reading {
            case head(SegmentHead)
            case otherVersion(UInt32)
            /// No head: never written whole, or damaged.
            case none
        }

        static func read(_ bytes: ByteBuffer) -> Reading {
            var bytes = bytes
            guard bytes.readableBytes >= segmentHeadBytes,
                let covered = bytes.getSlice(at: bytes.readerIndex, length: 72),
                bytes.getInteger(at: bytes.readerIndex + 72, endianness: .little, as: UInt64.self) == checksum(covered),
                bytes.readInteger(endianness: .little, as: UInt64.self) == magic,
                let version = bytes.readInteger(endianness: .little, as: UInt32.self),
                bytes.readInteger(as: UInt32.self) != nil,
                let high = bytes.readInteger(endianness: .big, as: UInt64.self),
                let low = bytes.readInteger(endianness: .big, as: UInt64.self),
                let number = bytes.readInteger(endianness: .little, as: UInt64.self),
                let firstLSN = bytes.readInteger(endianness: .little, as: UInt64.self),
                let created = bytes.readInteger(endianness: .little, as: Int64.self),
                let previousBytes = bytes.readInteger(endianness: .little, as: UInt64.self),
                let previousNumber = bytes.readInteger(endianness: .little, as: UInt64.self)
            else { return .none }
            guard version == SpoolFormat.version else { return .otherVersion(version) }
            return .head(
                SegmentHead(
                    version: version, spool: SpoolID(high: high, low: low), number: number, firstLSN: firstLSN,
                    created: created, previousBytes: previousBytes, previousNumber: previousNumber))
        }
    }

    static func fileName(of number: UInt64) -> String { "\(number.hex16).seg" }

    static func number(ofFile name: String) -> UInt64? {
        guard name.utf8.count == 20, name.hasSuffix(".seg") else { return nil }
        return UInt64(name.dropLast(4), radix: 16)
    }

    // MARK: Records

    struct RecordHead: Hashable, Sendable {
        var kind: SpoolRecordKind
        var bodyBytes: Int
        var lsn: UInt64
        var bodyChecksum: UInt64

        /// Head, body and padding.
        var bytes: Int { headBytes + padded(bodyBytes) }
    }

    static func write(_ record: PreparedRecord, lsn: UInt64, into bytes: inout ByteBuffer) {
        writeHead(of: record, lsn: lsn, into: &bytes)
        bytes.writeImmutableBuffer(record.body)
        writePadding(of: record, into: &bytes)
    }

    static func writePadding(of record: PreparedRecord, into bytes: inout ByteBuffer) {
        bytes.writeRepeatingByte(0, count: padded(record.body.readableBytes) - record.body.readableBytes)
    }

    static func writeHead(of record: PreparedRecord, lsn: UInt64, into bytes: inout ByteBuffer) {
        let start = bytes.writerIndex
        bytes.writeInteger(UInt32(record.body.readableBytes), endianness: .little)
        bytes.writeInteger(record.kind.rawValue)
        bytes.writeRepeatingByte(0, count: 3)
        bytes.writeInteger(lsn, endianness: .little)
        bytes.writeInteger(record.checksum, endianness: .little)
        let head = bytes.getSlice(at: start, length: 24) ?? ByteBuffer()
        bytes.writeInteger(checksum(head), endianness: .little)
    }

    /// nil: no head of a record.
    static func readHead(_ bytes: ByteBuffer, at offset: Int) -> RecordHead? {
        guard let covered = bytes.getSlice(at: offset, length: 24),
            let sum = bytes.getInteger(at: offset + 24, endianness: .little, as: UInt64.self), sum == checksum(covered),
            let length = bytes.getInteger(at: offset, endianness: .little, as: UInt32.self),
            let kind = bytes.getInteger(at: offset + 4, as: UInt8.self).flatMap({ SpoolRecordKind(rawValue: $0) }),
            let lsn = bytes.getInteger(at: offset + 8, endianness: .little, as: UInt64.self),
            let bodySum = bytes.getInteger(at: offset + 16, endianness: .little, as: UInt64.self),
            Int(length) <= bodyBytesMax
        else { return nil }
        return RecordHead(kind: kind, bodyBytes: Int(length), lsn: lsn, bodyChecksum: bodySum)
    }
}

/// Names a spool for ever: part of every deduplication token.
public struct SpoolID: Hashable, Sendable, CustomStringConvertible {
    let high: UInt64
    let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    public var description: String { high.hex16 + low.hex16 }

    public func token(of block: UInt64) -> String { "\(self)-\(block)" }
}

extension UInt64 {
    /// 16 hexadecimal digits.
    var hex16: String {
        let digits = String(self, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
