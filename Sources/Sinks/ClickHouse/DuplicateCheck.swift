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
//
// A part of that name may be another INSERT's, too: the server, started again, goes on counting at the parts that it has.
// Therefore the rows are compared (`PartComparison`).

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
    /// Parts that one query asks for; as many partitions as one INSERT may have by default.
    private static let partsMax = 100
    /// Parts may be merged between two queries; so often they are looked for.
    private static let looksMax = 3

    /// Looks for the parts, by the numbers of their blocks, which later merges keep, and for the block's rows in them.
    ///
    /// - Parameter lease: of the server that spoke; no other one knows.
    /// - Returns: The finding, and places in `duplicates` of those that are not there.
    /// - Throws: `ConnectionError` when the server went away over it, or does not answer: see `Sending.mayLookAgain(after:)`.
    func look(
        for duplicates: [DuplicatePart], of block: EncodedBlock, over lease: Lease
    ) async throws(ConnectionError) -> (finding: DuplicateFinding, lost: [Int]) {
        let session = PartSession(
            lease.native, block, database: block.table.database ?? servers.settings.database,
            timeout: servers.settings.queryTimeout)
        var findings: [DuplicateFinding] = []
        for first in stride(from: 0, to: duplicates.count, by: Self.partsMax) {
            let some = duplicates[first..<min(first + Self.partsMax, duplicates.count)]
            let places = some.compactMap(\.place)
            guard places.count == some.count else { return (.unclear, []) }
            findings += try await find(places, isOnly: duplicates.count == 1, session)
        }
        let lost = findings.indices.filter { findings[$0] == .lost }
        return (lost.isEmpty ? findings.contains(.unclear) ? .unclear : .there : .lost, lost)
    }

    /// - Parameter isOnly: all rows of the block should be in the one part.
    /// - Returns: A finding for each place.
    private func find(
        _ places: [DuplicatePart.Place], isOnly: Bool, _ session: PartSession
    ) async throws(ConnectionError) -> [DuplicateFinding] {
        var findings = [DuplicateFinding?](repeating: nil, count: places.count)
        for _ in 0..<Self.looksMax {
            let open = findings.indices.filter { findings[$0] == nil }
            if open.isEmpty { break }
            let parts = try await session.parts(at: open.map { places[$0] })
            var questions: [(number: Int, part: CoveringPart)] = []
            for (number, covering) in zip(open, parts) {
                guard !covering.isEmpty else {
                    findings[number] = .lost
                    continue
                }
                // A partition that was dropped, or moved, since: the server had the rows.
                guard let part = covering.first(where: \.isActive) else {
                    findings[number] = .there
                    continue
                }
                // Rows may be others by now than those that were inserted.
                if part.isMutated { findings[number] = .unclear } else { questions.append((number, part)) }
            }
            guard !questions.isEmpty else { continue }
            guard let comparison = try await session.comparison() else {
                for question in questions { findings[question.number] = .unclear }
                continue
            }
            let answers = try await session.compare(questions.map(\.part), comparison)
            for question in questions {
                guard comparison.tells(of: question.part) else {
                    findings[question.number] = .unclear
                    continue
                }
                // Not there: merged meanwhile, so it is looked for again.
                guard let answer = answers[question.part.name] else { continue }
                findings[question.number] = answer.isOurs(question.part, isOnly: isOnly) ? .there : .lost
            }
        }
        return findings.map { $0 ?? .unclear }
    }
}

/// What is sent of one block: all of it, until a server that called it a duplicate turns out to have lost it.
struct Sending: Sendable {
    /// Blocks that are made anew one after the other; a server that loses each of them is beyond help.
    static let renewalsMax = 16
    /// A server that does not say in so many attempts whether it has the rows is taken at its word.
    static let failedLooksMax = 8

    /// As it goes over the wire.
    private(set) var block: EncodedBlock
    private let token: String?
    private var renewals = 0
    private var failedLooks = 0
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

    /// Whether the server is worth another attempt, after one at which it did not say what became of the parts. The block is
    /// not refused for that.
    mutating func mayLookAgain(after error: ConnectionError) -> Bool {
        switch error.code {
        // One that is gone will be asked when it is back, however often it goes.
        case .connectionClosed, .notReady, .cancelled: return true
        case .refusedByServer, .timedOut:
            guard error.isTransient else { return false }
            failedLooks += 1
            return failedLooks < Self.failedLooksMax
        case .protocolViolation, .resultTooLarge: return false
        }
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
