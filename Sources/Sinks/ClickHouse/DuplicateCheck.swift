import ClickHouseNative
import Pipeline

// A server that is not replicated notes an INSERT's token in a file of the table, and only then gives the part its name
// (ClickHouse's Storages/MergeTree/MergeTreeSink.cpp). One that dies in between knows the token and has no rows: the INSERT
// that is sent again is dropped as a duplicate, and the rows are lost although the server said yes. Seen with 26.9, in one of
// some 25 kills under load.
//
// So when a block that was sent before is called a duplicate, the part that the server names is looked for. If it is not
// there, the rows go once more, under a token that follows from the block's: after a crash of ours the same steps lead to
// the same tokens.

/// What became of the parts that the server called duplicates.
enum DuplicateFinding: String, Sendable {
    /// All are there.
    case there
    /// Some are not: the server had lost them.
    case lost
    /// It could not be found out; the server's word counts.
    case unclear
}

extension ShippingContext {
    /// Looks for the parts, by the numbers of their blocks, which later merges keep.
    ///
    /// - Parameter lease: of the server that spoke; no other one knows.
    /// - Returns: The finding, and places in `duplicates` of those that are not there.
    /// - Throws: `ConnectionError` when the server went away over it.
    func look(
        for duplicates: [DuplicatePart], of table: TableName, over lease: Lease
    ) async throws -> (finding: DuplicateFinding, lost: [Int]) {
        var lost: [Int] = []
        for (number, part) in duplicates.enumerated() {
            guard let place = part.place else { return (.unclear, []) }
            let query = Query(
                """
                SELECT count() > 0 ? 'yes' : 'no' AS found FROM system.parts
                WHERE database = \(ClickHouseCatalog.literal(table.database ?? servers.settings.database))
                  AND table = \(ClickHouseCatalog.literal(table.table))
                  AND partition_id = \(ClickHouseCatalog.literal(String(place.partition)))
                  AND min_block_number <= \(place.block) AND max_block_number >= \(place.block)
                """)
            var found: String?
            do {
                for block in try await lease.native.query(query, timeout: servers.settings.queryTimeout).blocks {
                    try block.readTexts(of: "found") { found = $1 }
                }
            } catch let error as ConnectionError where error.exception != nil {
                logger.warning(
                    "a block was called a duplicate, and system.parts, which would tell, may not be read: GRANT SELECT ON system.parts",
                    metadata: ["table": "\(table)", "error": "\(error)"])
                return (.unclear, [])
            }
            switch found {
            case "yes": break
            case "no": lost.append(number)
            default: return (.unclear, [])
            }
        }
        return (lost.isEmpty ? .there : .lost, lost)
    }
}

/// What is sent of one block: all of it, until a server that called it a duplicate turns out to have lost it.
struct Sending: Sendable {
    /// Blocks that are made anew one after the other; a server that loses each of them is beyond help.
    static let renewalsMax = 16

    /// As it goes over the wire.
    private(set) var block: EncodedBlock
    private let token: String?
    private var renewals = 0
    /// The server lost a part of it, by the last attempt. One that took some partitions only now has not told of those: it
    /// is asked again before anything else, since then all are told of.
    private var hasLost = false

    init(_ block: EncodedBlock) {
        self.block = block
        token = block.identity.token
    }

    enum Step: Sendable {
        /// It is in the table.
        case done(DuplicateFinding)
        /// There is something to send once more.
        case again
    }

    /// - Parameters:
    ///   - lost: of `duplicates`.
    ///   - partitions: of the rows, counted from 0 in the order in which they come, as servers cut a block up; nil where
    ///     that is not known.
    mutating func take(
        _ finding: DuplicateFinding, lost: [Int], duplicates: Int, partitions: (Block) async throws -> [Int]?
    ) async throws -> Step {
        guard finding == .lost, renewals < Self.renewalsMax, let token else { return .done(finding) }
        guard hasLost else {
            hasLost = true
            return .again
        }
        let identity = BlockIdentity(id: block.identity.id, token: "\(token)-again-\(renewals + 1)")
        if lost.count == duplicates {
            block = block.with(identity)
        } else {
            guard let rows = try? block.decoded(), let partitions = try await partitions(rows),
                (partitions.max() ?? 0) + 1 == duplicates
            else { return .done(.unclear) }
            let lost = Set(lost)
            let missing = partitions.indices.filter { lost.contains(partitions[$0]) }
            block = try block.piece(rows.gathering(missing.map { $0..<$0 + 1 }), identity)
        }
        renewals += 1
        hasLost = false
        return .again
    }
}
