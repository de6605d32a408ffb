import ClickHouseNative
import NIOCore

/// A sealed block as bytes: the Native block in compressed frames (or bare, with `.none` and no frames for a file).
public struct EncodedBlock: Sendable {
    public let identity: BlockIdentity
    public var id: UInt64 { identity.id }
    public let table: TableName
    public let layout: BlockLayout
    public let rows: Int
    /// Size of the block before compression, in bytes.
    public let rawBytes: Int
    /// What `bytes` were written as; another encoding needs `BlockTranscoder`.
    public let encoding: BlockEncoding
    public let bytes: BlockBody
    public let firstReceived: ContinuousClock.Instant
    /// There may have been an attempt at it, in this run or an earlier one, with an outcome that nobody knows any more.
    public let mayHaveBeenSent: Bool

    public init(
        identity: BlockIdentity, table: TableName, layout: BlockLayout, rows: Int, rawBytes: Int,
        encoding: BlockEncoding, bytes: BlockBody, firstReceived: ContinuousClock.Instant, mayHaveBeenSent: Bool = false
    ) {
        self.identity = identity
        self.table = table
        self.layout = layout
        self.rows = rows
        self.rawBytes = rawBytes
        self.encoding = encoding
        self.bytes = bytes
        self.firstReceived = firstReceived
        self.mayHaveBeenSent = mayHaveBeenSent
    }

    public init(
        identity: BlockIdentity, table: TableName, layout: BlockLayout, rows: Int, rawBytes: Int,
        encoding: BlockEncoding, body: ByteBuffer, firstReceived: ContinuousClock.Instant, mayHaveBeenSent: Bool = false
    ) {
        self.init(
            identity: identity, table: table, layout: layout, rows: rows, rawBytes: rawBytes, encoding: encoding,
            bytes: BlockBody(body), firstReceived: firstReceived, mayHaveBeenSent: mayHaveBeenSent)
    }

    /// All bytes in one buffer; see `BlockBody.joined`.
    public var body: ByteBuffer { bytes.joined }
}
