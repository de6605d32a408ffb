import ClickHouseNative
import Pipeline

/// A part that has the number of a block among its own.
struct CoveringPart: Sendable, Hashable {
    let name: String
    /// Not merged with others; engines that merge an INSERT's rows give it a level above 0 at once.
    let isAlone: Bool
    /// Rows were changed or deleted since.
    let isMutated: Bool
    /// Not replaced by another one that has its rows.
    let isActive: Bool
}

/// How rows of a block are told from those of others that lie in a table: by hashes of their values.
///
/// What may happen to rows on their way into a part, and in merges, hangs on the engine (ClickHouse's
/// Storages/MergeTree/MergeTreeDataWriter.cpp and Processors/Merges): some leave rows out that others replace or cancel, some
/// add values up. What does not change is the sorting key.
struct PartComparison: Sendable, Hashable {
    /// Columns that a hash is made of; those of the sorting key go first.
    static let columnsMax = 32

    private enum Kind { case keepsAll, leavesOut, cancels, combines }

    private let kind: Kind
    /// The sorting key, as the server writes it; nil: none.
    private let key: String?
    /// Columns, as expressions.
    private let values: [String]

    /// - Parameters:
    ///   - columns: of the table, as far as they are stored; those of the sorting key are marked.
    ///   - inserted: of the block.
    /// - Returns: nil: nothing is known of how the engine treats rows, or nothing of them can be compared.
    init?(engine: String, sortingKey: String, columns: [(name: String, isInKey: Bool)], inserted: [ColumnDefinition]) {
        switch engine {
        case "MergeTree": kind = .keepsAll
        case "ReplacingMergeTree": kind = .leavesOut
        case "CollapsingMergeTree", "VersionedCollapsingMergeTree": kind = .cancels
        case "SummingMergeTree", "AggregatingMergeTree", "CoalescingMergeTree": kind = .combines
        default: return nil
        }
        key = sortingKey.isEmpty || sortingKey == "tuple()" ? nil : sortingKey
        let types = Dictionary(inserted.map { ($0.name, $0.type) }, uniquingKeysWith: { first, _ in first })
        let ordered = columns.filter(\.isInKey) + columns.filter { !$0.isInKey }
        values = Array(ordered.compactMap { types[$0.name]?.comparable($0.name) }.prefix(Self.columnsMax))
        guard kind == .combines ? key != nil : !values.isEmpty else { return nil }
    }

    /// Whether rows of the block can be told from others there.
    func tells(of part: CoveringPart) -> Bool {
        switch kind {
        case .keepsAll, .combines: true
        case .leavesOut: part.isAlone || key != nil
        case .cancels: part.isAlone
        }
    }

    /// - Parameters:
    ///   - table: that is read, as it stands in a query.
    ///   - block: name of the table with the block's rows.
    /// - Returns: A query that has a row for each part in which there are any: see `Answer`.
    func query(_ parts: [CoveringPart], of table: String, against block: String) -> String {
        let values = Self.hash(of: values.joined(separator: ", "))
        let key = key.map(Self.hash) ?? values
        // All rows of a part that was not merged with others are the block's, or none; what merges leave of rows, their keys at
        // least, is looked for in the others. One query does both.
        let alone = kind == .combines ? key : values
        let merged = kind == .keepsAll ? values : key
        let names = parts.map { ClickHouseCatalog.literal($0.name) }.joined(separator: ", ")
        return """
            SELECT CAST(_sluice_part, 'String') AS part, toString(count()) AS rows, toString(countIf(_sluice_same)) AS same,
                toString(uniqExactIf(_sluice_merged, _sluice_found)) AS found,
                CAST((SELECT uniqExact(\(merged)) FROM \(block)), 'String') AS expected
            FROM (
                SELECT _part AS _sluice_part, \(merged) AS _sluice_merged,
                    \(alone) IN (SELECT \(alone) FROM \(block)) AS _sluice_same,
                    \(merged) IN (SELECT \(merged) FROM \(block)) AS _sluice_found
                FROM \(table) WHERE _part IN (\(names)))
            GROUP BY _sluice_part
            """
    }

    /// Rows with a NULL in a sorting key are one to us: their hash would be NULL, which equals nothing.
    private static func hash(of expressions: String) -> String { "ifNull(cityHash64(\(expressions)), 0)" }

    /// What a part has in common with the block.
    struct Answer: Sendable, Hashable {
        /// Of the part.
        var rows: UInt64
        /// Of the part, that the block has.
        var same: UInt64
        /// Different rows of the block, by what merges leave alone: those that are in the part, and all.
        var found: UInt64
        var expected: UInt64

        /// Half of them is the line: rows of others may be equal to some, and some may be deleted by age.
        ///
        /// - Parameter isOnly: all of the block's rows should be in this part.
        func isOurs(_ part: CoveringPart, isOnly: Bool) -> Bool {
            if part.isAlone { return same >= rows - same }
            return isOnly ? found >= expected - min(found, expected) : found > 0
        }
    }
}

extension DataType {
    /// An expression that `cityHash64` takes, in all versions that know tokens, and that is the same for the same value; nil for
    /// types that have none.
    fileprivate func comparable(_ name: String) -> String? {
        let quoted = InsertStatement.quoted(name)
        switch self {
        case .int8, .int16, .int32, .int64, .uint8, .uint16, .uint32, .uint64, .float32, .float64, .bool, .string,
            .fixedString, .uuid, .date, .date32, .dateTime, .dateTime64, .enum8, .enum16:
            return quoted
        case .decimal(let precision, _) where precision <= 18: return quoted
        case .lowCardinality(let inner): return inner.comparable(name)
        // The hash of NULL is NULL, whatever stands beside it.
        case .nullable(let inner):
            return inner.comparable(name) == nil ? nil : "ifNull(toString(\(quoted)), '\\0NULL')"
        default: return nil
        }
    }
}

/// Asks one server what became of one block.
struct PartSession: Sendable {
    private static let blockName = "_sluice_block"

    private let connection: NativeConnection
    private let block: EncodedBlock
    private let database: String
    private let timeout: Duration

    init(_ connection: NativeConnection, _ block: EncodedBlock, database: String, timeout: Duration) {
        self.connection = connection
        self.block = block
        self.database = database
        self.timeout = timeout
    }

    /// - Returns: For each place the parts that cover it.
    func parts(at places: [DuplicatePart.Place]) async throws(ConnectionError) -> [[CoveringPart]] {
        let conditions = places.map {
            """
            (partition_id = \(ClickHouseCatalog.literal(String($0.partition)))
                AND min_block_number <= \($0.block) AND max_block_number >= \($0.block))
            """
        }
        let rows = try await rows(
            """
            SELECT partition_id AS partition, name, toString(min_block_number) AS first, toString(max_block_number) AS last,
                toString(data_version) AS version, toString(active) AS active
            FROM system.parts
            WHERE database = \(ClickHouseCatalog.literal(database))
              AND table = \(ClickHouseCatalog.literal(block.table.table)) AND (\(conditions.joined(separator: " OR ")))
            """, ["partition", "name", "first", "last", "version", "active"])
        return places.map { place in
            rows.compactMap { row in
                guard row[0] == place.partition, let first = UInt64(row[2]), let last = UInt64(row[3]),
                    (first...max(first, last)).contains(place.block)
                else { return nil }
                return CoveringPart(
                    name: row[1], isAlone: first == last, isMutated: row[4] != row[2],
                    isActive: row[5] == "1")
            }
        }
    }

    /// How the table's rows are compared; nil: not at all.
    func comparison() async throws(ConnectionError) -> PartComparison? {
        let database = ClickHouseCatalog.literal(database)
        let table = ClickHouseCatalog.literal(block.table.table)
        let tables = try await rows(
            "SELECT engine, sorting_key AS key FROM system.tables WHERE database = \(database) AND name = \(table)",
            ["engine", "key"])
        guard let found = tables.first else { return nil }
        let columns = try await rows(
            """
            SELECT name, toString(is_in_sorting_key) AS key FROM system.columns
            WHERE database = \(database) AND table = \(table) AND default_kind IN ('', 'DEFAULT')
            """, ["name", "key"])
        return PartComparison(
            engine: found[0], sortingKey: found[1], columns: columns.map { ($0[0], $0[1] == "1") },
            inserted: block.layout.columns)
    }

    /// - Returns: By the names of the parts, those that have rows.
    func compare(
        _ parts: [CoveringPart], _ comparison: PartComparison
    ) async throws(ConnectionError) -> [String: PartComparison.Answer] {
        let bytes: BlockBody
        do { bytes = try block.bytes(for: connection.revision) } catch {
            throw ConnectionError(.protocolViolation, cause: error)
        }
        let rows = try await rows(
            comparison.query(
                parts, of: TableName(database: database, table: block.table.table).quoted, against: Self.blockName),
            ["part", "rows", "same", "found", "expected"], reading: ExternalTable(Self.blockName, bytes))
        var answers: [String: PartComparison.Answer] = [:]
        for row in rows {
            guard let count = UInt64(row[1]), let same = UInt64(row[2]), let found = UInt64(row[3]),
                let expected = UInt64(row[4]), count > 0
            else { continue }
            answers[row[0]] = .init(rows: count, same: min(same, count), found: found, expected: expected)
        }
        return answers
    }

    private func rows(
        _ text: String, _ columns: [String], reading table: ExternalTable? = nil
    ) async throws(ConnectionError) -> [[String]] {
        // The server ends it rather than we, who would lose the connection over it.
        let seconds = max(1, timeout.components.seconds * 3 / 4)
        let query = Query(
            text, settings: [QuerySetting("max_execution_time", "\(seconds)")], compression: block.encoding.compression)
        do {
            var rows: [[String]] = []
            for answer in try await connection.query(query, reading: table, timeout: timeout).blocks {
                let first = rows.count
                rows += [[String]](repeating: [], count: answer.rows)
                for column in columns { try answer.readTexts(of: column) { rows[first + $0].append($1) } }
            }
            return rows
        } catch let error as ConnectionError { throw error } catch {
            throw ConnectionError(.protocolViolation, cause: error)
        }
    }
}
