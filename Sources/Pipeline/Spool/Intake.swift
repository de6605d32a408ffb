import ClickHouseNative

/// What validation made of some whole chunks, or of a part of chunks whose rows have no numbers: it becomes durable as one record, or not at
/// all.
public struct Intake: Sendable {
    /// Rows of a numbering, and those of them that were refused.
    public struct Numbered: Sendable {
        public let producer: Producer
        public let range: RowRange
        public var refusals: [RowRefusal]

        public init(producer: Producer, range: RowRange, refusals: [RowRefusal] = []) {
            self.producer = producer
            self.range = range
            self.refusals = refusals
        }
    }

    public let batches: [RowBatch]
    public let numbered: [Numbered]
    public let rows: Int
    /// Bytes of memory that the row batches hold.
    let batchMemory: Int
    /// The record, where there is a spool; nil without.
    let record: PreparedRecord?

    /// - Parameters:
    ///   - received: when the first row was received, in milliseconds since 1970.
    ///   - spool: compression of the record; nil: there is no spool to write it to.
    ///   - isFinal: whether rows go to the server compressed as they are for the spool: then they are compressed once, here.
    ///   - release: takes blocks that nobody needs any more, because their rows are kept compressed or in less memory.
    public init(
        batches: [RowBatch], numbered: [Numbered], received: Int64, spool: SpoolSettings.Compression?,
        isFinal: Bool = false, release: ([Block]) -> Void = { _ in }
    ) throws(FrameError) {
        var builder = IntakeBuilder(
            numbered: numbered, spool: spool, isFinal: isFinal, expecting: batches.reduce(0) { $0 + $1.bytes })
        for batch in batches { try builder.append(batch, release: release) }
        self = builder.finish(numbered: numbered, received: received, release: release)
    }

    fileprivate init(batches: [RowBatch], numbered: [Numbered], record: PreparedRecord?) {
        self.batches = batches
        self.numbered = numbered
        self.record = record
        // Summed up once, and by their places: every stream and stage asks.
        var (rows, memory) = (0, 0)
        for place in batches.indices {
            rows += batches[place].rows
            memory += batches[place].memory
        }
        (self.rows, batchMemory) = (rows, memory)
    }

    /// Bytes of memory that it holds.
    public var memory: Int { batchMemory + (record?.body.capacity ?? 0) }
    /// Bytes that it will take on disk; 0 without a spool.
    public var bytes: Int { record?.bytes ?? 0 }

    var entry: SpoolEntry? {
        record.map {
            .rows(
                $0, rows: batches.map(\.rows),
                spans: numbered.map { ProducerSpan(identity: $0.producer.identity, range: $0.range) })
        }
    }
}

/// An intake while it is being made: row batches come one after the other, and few rows leave their block at once, for the next ones to
/// be read into while it is near.
public struct IntakeBuilder {
    private var writer: SpoolFormat.RowsWriter?
    private let isFinal: Bool
    private let buffers: BufferPool
    private var batches: [RowBatch] = []

    /// - Parameters:
    ///   - numbered: the rows' numbers; what was refused of them need not be known yet.
    ///   - spool: compression of the record; nil: there is no spool to write it to.
    ///   - isFinal: whether blocks may take over the rows as they are compressed here, for the spool or without one: then they are
    ///     compressed once.
    ///   - backlog: tells whether rows go on from the disk. While none do, few rows, which are compressed once more for their block, are
    ///     not compressed for the little time that they are on the disk.
    ///   - buffers: what rows are compressed into comes from there.
    ///   - expected: bytes that the row batches will have in memory, about.
    public init(
        numbered: [Intake.Numbered], spool: SpoolSettings.Compression?, isFinal: Bool, backlog: SpoolBacklog? = nil,
        buffers: BufferPool = .none, expecting expected: Int
    ) {
        self.isFinal = isFinal
        self.buffers = buffers
        writer = spool.map { spool in
            SpoolFormat.RowsWriter(
                spans: numbered.map { ProducerSpan(identity: $0.producer.identity, range: $0.range) },
                compression: spool == .lz4 ? .lz4 : Compression.none, isFinal: isFinal,
                compressesFew: backlog?.isThere ?? true, buffers: buffers, expecting: expected)
        }
    }

    public var isEmpty: Bool { batches.isEmpty }

    /// - Parameter release: takes blocks that nobody needs any more.
    public mutating func append(_ batch: RowBatch, release: ([Block]) -> Void) throws(FrameError) {
        guard writer != nil else {
            batches.append(
                try isFinal ? batch.compressed(into: buffers, release) : batch.compacted(in: buffers, release))
            return
        }
        var isCopied = false
        let part = try writer?.append(batch) { block in
            let copy = batch.isWorthACopy ? block.compacted(buffers) : block
            isCopied = copy !== block
            return copy
        }
        guard let part else {
            // Its frames are a part of the record, which is not whole yet.
            batches.append(batch)
            return
        }
        batches.append(RowBatch(table: batch.table, part: part, firstReceived: batch.firstReceived))
        if isCopied { release([batch.block]) }
    }

    /// - Parameters:
    ///   - numbered: those that it began with, and now with what was refused.
    ///   - received: when the first row was received, in milliseconds since 1970.
    public mutating func finish(
        numbered: [Intake.Numbered], received: Int64, release: ([Block]) -> Void
    ) -> Intake {
        guard let (record, parts) = writer?.finish(received: received) else {
            return Intake(batches: batches, numbered: numbered, record: nil)
        }
        for place in batches.indices where parts[place].whole == nil {
            let batch = batches[place]
            release([batch.block])
            batches[place] = RowBatch(table: batch.table, part: parts[place], firstReceived: batch.firstReceived)
        }
        return Intake(batches: batches, numbered: numbered, record: record)
    }
}

extension RowBatch {
    /// Memory that may be idle in a row batch while it waits, in bytes.
    private static let idleBytesMax = 64 << 10
    /// Up to so many bytes a copy costs less than a block that is used again only when the rows are sent.
    private static let copyBytesMax = 128 << 10

    /// Whether its rows are better kept in memory of their own than in the block that they were read into: what waits in large numbers
    /// is small.
    fileprivate var isWorthACopy: Bool {
        let bytes = bytes
        return part.takesRows && (bytes <= Self.copyBytesMax || memory > max(Self.idleBytesMax, 4 * bytes))
    }

    /// In the frames that blocks take over, if there are enough rows for that.
    fileprivate func compressed(
        into buffers: BufferPool, _ release: ([Block]) -> Void
    ) throws(FrameError) -> RowBatch {
        let encoding = BlockEncoding(revision: SpoolFormat.blockRevision, compression: .lz4)
        guard BlockEncoder.canShareFrames(of: block, as: encoding) else { return compacted(in: buffers, release) }
        let part = try BlockEncoder.encodeAsPart(
            block, as: encoding, frameBytes: SpoolFormat.frameBytes, buffers: buffers
        ).part
        defer { release([block]) }
        return RowBatch(table: table, part: part, firstReceived: firstReceived, place: place)
    }

    fileprivate func compacted(in buffers: BufferPool, _ release: ([Block]) -> Void) -> RowBatch {
        guard isWorthACopy else { return self }
        let block = block
        defer { release([block]) }
        return RowBatch(table: table, block: block.compacted(buffers), firstReceived: firstReceived, place: place)
    }
}
