import ClickHouseNative
import Pipeline

/// What becomes of a block when the table is no longer what it was when the block's rows were read
/// (docs/specs/structure-changes.md).
extension Shipper {
    enum Fit: Sendable {
        case verdict(InsertVerdict)
        /// What is to be sent in its place: the same rows under the same identity, or pieces with identities of their own.
        case replaced([EncodedBlock])
    }

    /// The server wants other columns than the block has, or says so. Only what the table is now can tell whether that is still true.
    ///
    /// - Throws: `CancellationError` only.
    func fitted(
        _ block: EncodedBlock, _ refusal: BlockRefusal, over lease: Lease, _ attempts: inout Attempts
    ) async throws -> Fit {
        let structure: TableStructure
        do {
            structure = try await shared.catalog.refresh(block.table)
        } catch let error as CatalogError {
            return .verdict(.refuse(BlockRefusal(.table, code: refusal.code, message: error.message)))
        }
        let change = LayoutChange(from: block.layout, to: structure)
        guard !change.isEmpty else { return .verdict(.retryOften(orRefuse: refusal)) }
        func refused(_ why: String) -> Fit {
            .verdict(
                .refuse(
                    BlockRefusal(
                        .structureChanged, code: refusal.code, message: "\(change). \(why) \(refusal.message)")))
        }
        // Without a token a server knows a block by its rows, of which other columns make others.
        guard !attempts.isInDoubt || lease.insert.isKnownByToken(block, at: lease.native.hello) else {
            return refused("The table may have the rows.")
        }
        guard !change.kept.isEmpty else { return refused("None of its columns is left.") }
        guard let whole = try? block.decoded() else { return refused("The block cannot be read.") }
        var rows = change.gone.isEmpty ? whole : whole.selecting(change.kept)
        if !change.changed.isEmpty {
            guard let converted = try? shared.handlers.convert?(rows, change.types, structure.timeZone) else {
                return refused("The values cannot be converted.")
            }
            switch converted {
            case .converted(let block): rows = block
            case .impossible(let numbers) where numbers.count == block.rows || attempts.isInDoubt:
                return refused("\(numbers.count) rows have values that the new types cannot hold as they are.")
            case .impossible(let numbers):
                return .replaced(try await apart(numbers, of: whole, block, &attempts))
            }
        }
        guard let fitted = try? block.fitted(rows, mayHaveBeenSent: attempts.isInDoubt) else {
            return refused("The block cannot be written.")
        }
        shared.telemetry.refittedBlocks.add(reason: change.changed.isEmpty ? "columns_dropped" : "types_converted")
        shared.logger.notice(
            "the table has changed; a block is sent as the table is now",
            metadata: block.metadata.merging(["change": "\(change)"]) { $1 })
        return .replaced([fitted])
    }

    /// Rows that cannot be converted are cut out, so that the others land.
    private func apart(
        _ numbers: [Int], of rows: Block, _ block: EncodedBlock, _ attempts: inout Attempts
    ) async throws -> [EncodedBlock] {
        let selections = BlockSplitting.apart(numbers, of: rows.rows)
        let identities = try await identities(block, selections, &attempts)
        shared.telemetry.splitBlocks.add(reason: "structure")
        return try zip(selections, identities).map { try block.piece(rows.gathering($0), $1) }
    }
}

/// How a table differs from the columns of a block.
struct LayoutChange: CustomStringConvertible {
    /// Places of the block's columns that the table still has, and their types there.
    private(set) var kept: [Int] = []
    private(set) var types: [DataType] = []
    /// Names of those that it has not, or computes itself; and of those with another type.
    private(set) var gone: [String] = []
    private(set) var changed: [(name: String, before: DataType, now: DataType)] = []

    init(from layout: BlockLayout, to structure: TableStructure) {
        let now = Dictionary(
            structure.columns.map { ($0.definition.name, $0.definition.type) }, uniquingKeysWith: { first, _ in first })
        for (place, column) in layout.columns.enumerated() {
            guard let type = now[column.name] else {
                gone.append(column.name)
                continue
            }
            kept.append(place)
            types.append(type)
            if type != column.type { changed.append((column.name, column.type, type)) }
        }
    }

    var isEmpty: Bool { gone.isEmpty && changed.isEmpty }

    var description: String {
        let parts =
            gone.map { "column \($0) is gone" }
            + changed.map { "column \($0.name) of type \($0.before) is \($0.now) now" }
        let shown = parts.prefix(5).joined(separator: ", ")
        return parts.count > 5 ? "\(shown) and \(parts.count - 5) more" : shown
    }
}

extension EncodedBlock {
    /// The same rows, in other columns, under the same identity.
    fileprivate func fitted(_ rows: Block, mayHaveBeenSent: Bool) throws -> EncodedBlock {
        let encoded = try BlockEncoder.encode([rows], as: encoding)
        return EncodedBlock(
            identity: identity, table: table, layout: rows.layout, rows: rows.rows, rawBytes: encoded.rawBytes,
            encoding: encoding, bytes: encoded.bytes, firstReceived: firstReceived, mayHaveBeenSent: mayHaveBeenSent)
    }
}

extension BlockLayout {
    /// Some column is JSON, or has it within.
    var hasJSON: Bool {
        types.contains { type in if case .json = type { true } else { false } }
    }
}
