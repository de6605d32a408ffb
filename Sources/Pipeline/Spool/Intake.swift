import ClickHouseNative

/// What validation made of some whole chunks: it becomes durable as one record, or not at all.
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
        self.numbered = numbered
        guard let spool else {
            self.batches = batches.map { $0.compacted(release) }
            record = nil
            return
        }
        let encoded = try SpoolFormat.rows(
            received: received,
            spans: numbered.map { ProducerSpan(identity: $0.producer.identity, range: $0.range) }, batches: batches,
            compression: spool == .lz4 ? .lz4 : Compression.none, isFinal: isFinal)
        record = encoded.record
        self.batches = zip(batches, encoded.parts).map { batch, part in
            guard part.whole == nil else { return batch.compacted(release) }
            release([batch.block])
            return RowBatch(table: batch.table, part: part, firstReceived: batch.firstReceived)
        }
    }

    public var rows: Int { batches.reduce(0) { $0 + $1.rows } }
    /// Bytes of memory that it holds.
    public var memory: Int { batches.reduce(0) { $0 + $1.memory } + (record?.body.capacity ?? 0) }
    /// Bytes that it will take on disk.
    var bytes: Int { record?.bytes ?? 0 }

    var entry: SpoolEntry? {
        record.map {
            .rows(
                $0, rows: batches.map(\.rows),
                spans: numbered.map { ProducerSpan(identity: $0.producer.identity, range: $0.range) })
        }
    }
}

extension RowBatch {
    /// Memory that may be idle in a row batch while it waits, in bytes.
    private static let idleBytesMax = 64 << 10

    /// Few rows in much memory, which a block has from the many before, are copied into less: what waits in large numbers is small.
    fileprivate func compacted(_ release: ([Block]) -> Void) -> RowBatch {
        guard memory > max(Self.idleBytesMax, 4 * bytes) else { return self }
        let block = block
        defer { release([block]) }
        return RowBatch(table: table, block: block.compacted(), firstReceived: firstReceived, place: place)
    }
}
