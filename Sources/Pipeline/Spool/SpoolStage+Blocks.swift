import ClickHouseNative
import Logging

// Frozen blocks: how they become so, and how they come back from the disk.
extension SpoolStage {
    // MARK: Sending again

    /// What an earlier run had sealed and not settled, before anything else.
    func sendRestoredBlocks() async throws {
        for block in core.restored.blocks {
            guard !isInputEnded else { return }
            guard let sealed = try await sealedBlock(block, because: .restored, mayHaveBeenSent: true) else { continue }
            try await send(sealed)
        }
    }

    /// Sends blocks again that the sink had set aside, each when its time has come.
    func returnBlocks() async {
        while let next = try? await setAside.next(), !isInputEnded {
            guard let parts = core.parts(of: next.block.id) else {
                setAside.ended(next.block.id)
                continue
            }
            do {
                let sealed = try await sealedBlock(
                    parts, because: .setAside, mayHaveBeenSent: next.block.mayHaveBeenSent)
                if let sealed { try await send(sealed) }
            } catch {
                // The daemon stops; the next run has the block.
                return
            }
        }
    }

    /// A block as it was frozen, from the disk; nil: none of its rows can be read.
    private func sealedBlock(
        _ block: SealedParts, because reason: SealedBlock.Reason, mayHaveBeenSent: Bool
    ) async throws -> SealedBlock? {
        var parts: [RowBatch] = []
        for part in block.parts {
            guard let location = core.location(of: part.lsn),
                case .rows(let stored) = try await read(from: location), stored.lsn == part.lsn
            else {
                logger.error(
                    "rows of a block cannot be read", metadata: ["block": "\(block.id)", "rows": "\(part.rows)"])
                telemetry.spool.damagedPlaces.add()
                continue
            }
            let isWhole = part.firstRow == 0 && part.rows == stored.rows[part.part]
            var rows = try await decode(stored, parts: [part.part], keepsFrames: isWhole && compressesOnce)[0].part
            if !isWhole, let block = rows.whole {
                rows = BlockPart(block.gathering([part.firstRow..<part.firstRow + part.rows]))
            }
            let age = Duration.milliseconds(max(0, wallClock() - stored.received))
            parts.append(
                RowBatch(
                    table: block.table, part: rows, firstReceived: clock.now - age,
                    place: SpoolPlace(lsn: part.lsn, part: part.part, firstRow: part.firstRow)))
        }
        guard !parts.isEmpty else { return nil }
        return SealedBlock(
            identity: BlockIdentity(id: block.id, token: core.token(of: block.id)), table: block.table, parts: parts,
            reason: reason, mayHaveBeenSent: mayHaveBeenSent)
    }

    private func send(_ block: SealedBlock) async throws {
        do {
            try await blocks.send(block)
        } catch .cancelled {
            throw CancellationError()
        } catch .finished {
            throw StageError(.outputEnded, stage: name)
        }
    }

    // MARK: Freezing and settling

    /// Freezes blocks: gives them their ids and tokens. They may be sent once this returned.
    public func seal(_ blocks: [SealedBlock]) async -> [SealedBlock] {
        let ids = core.allocateBlocks(blocks.count)
        let sealed = zip(blocks, ids).map { block, id in
            var block = block
            block.identity = BlockIdentity(id: id, token: core.token(of: id))
            return block
        }
        let entry = SpoolEntry.seal(sealed.map(\.sealedParts))
        _ = await write([entry])
        return sealed
    }

    /// A block is where it belongs.
    public func settled(_ id: UInt64, as outcome: BlockOutcome) async {
        _ = await write([.settled(id: id, outcome)])
        setAside.ended(id)
    }

    /// Replaces a block by pieces of it.
    public func split(_ id: UInt64, into pieces: [[Range<Int>]]) async throws -> [BlockIdentity] {
        guard let block = core.parts(of: id) else { throw StageError(.unknownBlock, stage: name) }
        let ids = core.allocateBlocks(pieces.count)
        let children = zip(ids, pieces).map { id, piece in
            SealedParts(id: id, table: block.table, parts: block.selecting(piece))
        }
        _ = await write([.split(parent: id, children)])
        setAside.ended(id)
        return ids.map { BlockIdentity(id: $0, token: core.token(of: $0)) }
    }
}
