/// In the spool's place when there is none: rows go on from memory, and only there. Producers still hear what is
/// committed; nothing survives the daemon.
public actor DirectStage: Stage {
    public nonisolated let name = "direct"
    private let input: BoundedStream<Intake>
    private let output: BoundedStream<RowBatch>
    private let registry: ProducerRegistry
    private let held = Gauge()
    /// One segment for ever, of records that are not settled.
    private var ledger: SpoolLedger
    private var lastLSN: UInt64 = 0
    /// Wait for the rows around them to be settled: without a spool nothing is durable before.
    private var refusals: [ProducerSpan: [RowRefusal]] = [:]

    public init(input: BoundedStream<Intake>, output: BoundedStream<RowBatch>, registry: ProducerRegistry) {
        self.input = input
        self.output = output
        self.registry = registry
        ledger = SpoolLedger()
        ledger.segmentBegan(.init(number: 1, firstLSN: 1, bytes: 0, created: 0))
    }

    public nonisolated var rowsHeld: Int { held.current }

    public func run() async throws {
        defer { output.finish() }
        while let intake = await input.next() {
            held.add(intake.rows)
            defer { held.subtract(intake.rows) }
            lastLSN += 1
            let lsn = lastLSN
            let spans = intake.numbered.map { ProducerSpan(identity: $0.producer.identity, range: $0.range) }
            ledger.rowsWritten(
                lsn: lsn, rows: intake.rows, spans: spans, location: SpoolLocation(segment: 1, offset: 0), at: 0)
            for numbered in intake.numbered {
                if intake.batches.isEmpty {
                    numbered.producer.becameDurable(numbered.range, refusals: numbered.refusals)
                    numbered.producer.becameSettled(numbered.range)
                } else if !numbered.refusals.isEmpty {
                    let span = ProducerSpan(identity: numbered.producer.identity, range: numbered.range)
                    refusals[span] = numbered.refusals
                }
            }
            for (part, batch) in intake.batches.enumerated() {
                var batch = batch
                batch.place = SpoolPlace(lsn: lsn, part: part)
                do {
                    try await output.send(batch)
                } catch .cancelled {
                    throw CancellationError()
                } catch .finished {
                    throw StageError(.outputEnded, stage: name)
                }
            }
        }
        try Task.checkCancellation()
    }

    /// Gives blocks their ids. Without a spool there are no tokens: nothing would remember them.
    public func seal(_ blocks: [SealedBlock]) -> [SealedBlock] {
        let sealed = blocks.map { block in
            var block = block
            ledger.lastBlock += 1
            block.identity = BlockIdentity(id: ledger.lastBlock)
            return block
        }
        ledger.sealed(sealed.map(\.sealedParts))
        return sealed
    }

    public func settled(_ id: UInt64, as outcome: BlockOutcome) {
        for span in ledger.settled(id, as: outcome) {
            let producer = registry.find(span.identity)
            producer?.becameDurable(span.range, refusals: refusals.removeValue(forKey: span) ?? [])
            producer?.becameSettled(span.range)
        }
    }

    public func split(_ id: UInt64, into pieces: [[Range<Int>]]) throws -> [BlockIdentity] {
        guard let block = ledger.blocks[id] else { throw StageError(.unknownBlock, stage: name) }
        let children = pieces.map { piece in
            ledger.lastBlock += 1
            return SealedParts(id: ledger.lastBlock, table: block.table, parts: block.selecting(piece))
        }
        ledger.split(id, into: children)
        return children.map { BlockIdentity(id: $0.id) }
    }
}

extension SealedBlock {
    /// As the spool names it.
    var sealedParts: SealedParts {
        SealedParts(
            id: id, table: table,
            parts: parts.compactMap { batch in
                batch.place.map { SpoolPart(lsn: $0.lsn, part: $0.part, firstRow: $0.firstRow, rows: batch.rows) }
            })
    }
}
