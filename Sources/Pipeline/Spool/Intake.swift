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
    ///   - compression: of the record; nil: there is no spool to write it to.
    public init(
        batches: [RowBatch], numbered: [Numbered], received: Int64, spool: SpoolSettings.Compression?
    ) throws(FrameError) {
        self.batches = batches
        self.numbered = numbered
        guard let spool else {
            record = nil
            return
        }
        record = try SpoolFormat.rows(
            received: received,
            spans: numbered.map { ProducerSpan(identity: $0.producer.identity, range: $0.range) }, batches: batches,
            compression: spool == .lz4 ? .lz4 : Compression.none)
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
