/// A part of a table that the server says it has: it left out rows of an INSERT, because it knew their token.
///
/// Only the server's log tells, which comes with an INSERT that asks for it (`send_logs_level`, `information` or finer). The
/// words are those of Storages/MergeTree/MergeTreeSink.cpp, for tables that are not replicated: "Block with ID X already
/// exists as part Y; ignoring it". Replicated tables have other words, and no need of this.
public struct DuplicatePart: Hashable, Sendable {
    /// Parts of one INSERT that are remembered; further ones count only. Far above what servers put into one by default
    /// (`max_partitions_per_insert_block`, 100).
    static let countMax = 10_000

    /// Who wrote the line: the table and its UUID, `default.t (7987f5e1-…)`.
    public let source: String
    /// Such as `202601_7_7_0`: partition, first and last block number, level.
    public let name: String

    public init(source: String, name: String) {
        self.source = source
        self.name = name
    }

    /// nil: the line says something else.
    init?(source: String, text: String) {
        guard text.hasPrefix("Block with ID "),
            let before = text.range(of: " already exists as part "),
            let end = text[before.upperBound...].range(of: "; ignoring it")
        else { return nil }
        self.init(source: source, name: String(text[before.upperBound..<end.lowerBound]))
    }
}

extension DuplicatePart {
    /// The table's name as servers write it into a log: without quotes, unless a character needs them. A table whose name
    /// does is not recognized here.
    public func isOf(database: String, table: String) -> Bool { source.hasPrefix("\(database).\(table) (") }

    /// Where an INSERT's rows went.
    public struct Place: Hashable, Sendable {
        /// The partition's id.
        public let partition: Substring
        /// The number of the block, as the server counts them.
        public let block: UInt64
    }

    /// nil for names that are not of one INSERT's part.
    public var place: Place? {
        let pieces = name.split(separator: "_", omittingEmptySubsequences: false)
        guard pieces.count >= 4, let block = UInt64(pieces[pieces.count - 3]),
            pieces[pieces.count - 2] == pieces[pieces.count - 3]
        else { return nil }
        return Place(
            partition: name.prefix(name.count - pieces.suffix(3).reduce(3) { $0 + $1.count }), block: block)
    }
}

extension InsertSummary {
    /// Takes a packet of the server's log.
    mutating func note(log: Block) {
        var sources = [String](repeating: "", count: log.rows)
        // Without these columns it is no log that we understand; the INSERT is none the worse.
        try? log.readTexts(of: "source") { sources[$0] = $1 }
        try? log.readTexts(of: "text") { row, text in
            guard let part = DuplicatePart(source: sources[row], text: text) else { return }
            duplicates.count < DuplicatePart.countMax ? duplicates.append(part) : (hasFurtherDuplicates = true)
        }
    }
}
