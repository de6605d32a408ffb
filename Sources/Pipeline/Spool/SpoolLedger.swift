/// What the spool knows by heart: which rows are where, and which are settled. A value without disk or clock.
///
/// It grows with what was handed on and is not settled, and with the number of segments; not with the backlog.
struct SpoolLedger: Sendable {
    struct Segment: Sendable {
        let number: UInt64
        let firstLSN: UInt64
        var bytes: Int
        /// Rows of rows records that are in no settled block.
        var unsettledRows = 0
        /// Milliseconds since 1970.
        let created: Int64
    }

    /// A rows record that was handed on, or is about to be.
    struct Record: Sendable {
        let location: SpoolLocation
        var unsettledRows: Int
        let spans: [ProducerSpan]
    }

    /// Ascending; the last is the one that is written to, if there is one.
    private(set) var segments: [Segment] = []
    private(set) var records: [UInt64: Record] = [:]
    private(set) var blocks: [UInt64: SealedParts] = [:]
    var lastBlock: UInt64 = 0
    private(set) var totals = SpoolTotals()
    private var ages = SpoolAges()

    init() {}

    init(
        segments: [Segment], records: [UInt64: Record], blocks: [UInt64: SealedParts], lastBlock: UInt64,
        totals: SpoolTotals
    ) {
        self.segments = segments
        self.records = records
        self.blocks = blocks
        self.lastBlock = lastBlock
        self.totals = totals
        ages = SpoolAges(segments)
    }

    var bytes: Int { segments.reduce(0) { $0 + $1.bytes } }
    var unsettledRows: Int { segments.reduce(0) { $0 + $1.unsettledRows } }
    /// When the oldest row that is not settled was written, in milliseconds since 1970; nil: there is none.
    var oldest: Int64? { ages.oldest }

    // MARK: What was written

    mutating func segmentBegan(_ segment: Segment) { segments.append(segment) }

    mutating func wrote(bytes: Int) { segments[segments.count - 1].bytes += bytes }

    /// The last segment ends here: what is behind is void.
    mutating func cut(toBytes bytes: Int) { segments[segments.count - 1].bytes = bytes }

    /// - Parameter time: milliseconds since 1970.
    mutating func rowsWritten(
        lsn: UInt64, rows: Int, spans: [ProducerSpan], location: SpoolLocation, at time: Int64
    ) {
        totals.accepted += UInt64(rows)
        guard rows > 0 else { return }
        ages.written(rows: rows, lsn: lsn, at: time)
        segments[segments.count - 1].unsettledRows += rows
        records[lsn] = Record(location: location, unsettledRows: rows, spans: spans)
    }

    mutating func sealed(_ sealed: [SealedParts]) {
        for block in sealed {
            blocks[block.id] = block
            lastBlock = max(lastBlock, block.id)
        }
    }

    mutating func split(_ parent: UInt64, into children: [SealedParts]) {
        blocks[parent] = nil
        sealed(children)
    }

    /// - Returns: Numbers of rows that are settled by it.
    mutating func settled(_ id: UInt64, as outcome: BlockOutcome) -> [ProducerSpan] {
        guard let block = blocks.removeValue(forKey: id) else { return [] }
        totals.settled(block.rows, as: outcome)
        return settled(block.parts)
    }

    /// Rows that were never sealed are given up.
    mutating func discarded(_ parts: [SpoolPart]) -> [ProducerSpan] {
        totals.settled(parts.reduce(0) { $0 + $1.rows }, as: .discarded)
        return settled(parts)
    }

    private mutating func settled(_ parts: [SpoolPart]) -> [ProducerSpan] {
        var spans: [ProducerSpan] = []
        for part in parts {
            guard var record = records[part.lsn] else { continue }
            record.unsettledRows -= part.rows
            ages.settled(rows: part.rows, lsn: part.lsn)
            if let place = segments.firstIndex(where: { $0.number == record.location.segment }) {
                segments[place].unsettledRows -= part.rows
            }
            if record.unsettledRows == 0 {
                records[part.lsn] = nil
                spans += record.spans
            } else {
                records[part.lsn] = record
            }
        }
        return spans
    }

    // MARK: What is kept

    /// A record that is only on disk from now on; `remember` brings it back.
    mutating func forget(lsn: UInt64) { records[lsn] = nil }

    mutating func remember(lsn: UInt64, at location: SpoolLocation, rows: Int, spans: [ProducerSpan]) {
        records[lsn] = Record(location: location, unsettledRows: rows, spans: spans)
    }

    /// The oldest segment, if nothing in it is needed any more.
    var deletable: Segment? {
        guard segments.count > 1, let oldest = segments.first, oldest.unsettledRows == 0 else { return nil }
        return oldest
    }

    mutating func deletedOldest() { segments.removeFirst() }
}
