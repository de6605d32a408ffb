import ClickHouseNative
import Pipeline
import Sinks
import TestSupport

/// Names and types, as the server writes them.
struct ColumnList: Sendable {
    let columns: [(name: String, type: String)]

    var names: String { columns.map { "`\($0.name)`" }.joined(separator: ", ") }
}

extension ClickHouseServer {
    func connect(database: String) async throws -> NativeConnection {
        try await NativeConnection.connect(
            to: .init(name: host, port: nativePort),
            ConnectionConfiguration(credentials: Credentials(database: database)))
    }

    /// A second table with the columns of `types_all`.
    func createSource(database: String) async throws {
        let setting =
            kind == .modern ? "allow_suspicious_low_cardinality_types" : "allow_experimental_low_cardinality_type"
        try await query("CREATE TABLE source AS types_all", database: database, settings: [setting: "1"])
    }

    /// What a SELECT gives over the native protocol, without blocks of no rows.
    func blocks(
        _ sql: String, database: String, compression: Compression? = nil, settings: [String: String] = [:]
    ) async throws -> [Block] {
        let connection = try await connect(database: database)
        let query = Query(
            sql, settings: settings.sorted { $0.key < $1.key }.map { QuerySetting($0.key, $0.value) },
            compression: compression)
        let result = try await connection.query(query, timeout: .seconds(120))
        await connection.close()
        return result.blocks.filter { $0.rows > 0 }
    }

    /// Those without a default of any kind.
    func insertableColumns(of table: String, database: String) async throws -> ColumnList {
        let text = try await query(
            """
            SELECT name, type FROM system.columns
            WHERE database = '\(database)' AND table = '\(table)' AND default_kind = '' FORMAT TSVRaw
            """, database: database)
        return ColumnList(
            columns: text.split(separator: "\n").map { line in
                let fields = line.split(separator: "\t", maxSplits: 1)
                return (String(fields[0]), String(fields[1]))
            })
    }

    /// - Parameter isText: only values that a server of 2018 reads from text exactly as they are.
    func fillWithRandomRows(
        _ table: String, _ columns: ColumnList, rows: Int = 3_000, isText: Bool = false, database: String
    ) async throws {
        let structure = columns.columns.map { "`\($0.name)` \($0.type)" }.joined(separator: ", ")
            .replacing("\\", with: "\\\\").replacing("'", with: "\\'")
        let values = columns.columns.map { isText ? Self.plain("`\($0.name)`", $0.type) : "`\($0.name)`" }
        try await query(
            """
            INSERT INTO \(table) (\(columns.names))
            SELECT \(values.joined(separator: ", ")) FROM generateRandom('\(structure)', 17, 20, 5) LIMIT \(rows)
            """, database: database,
            settings: ["max_block_size": "1000", "allow_suspicious_low_cardinality_types": "1"])
    }

    /// The value of an expression, moved to where no text loses anything: whole eighths, dates up to 2017, and letters.
    private static func plain(_ value: String, _ type: String) -> String {
        if type.hasPrefix("Array("), !type.hasPrefix("Array(Array(") {
            return "arrayMap(e -> \(plain("e", String(type.dropFirst(6).dropLast()))), \(value))"
        }
        if type.contains("FixedString(3)") { return "CAST(substring(hex(\(value)), 1, 3) AS \(type))" }
        if type.contains("Float") { return "CAST((cityHash64(\(value)) % 8000) / 8 AS \(type))" }
        if type.contains("DateTime") { return "CAST(toUInt32(\(value)) % 1500000000 AS \(type))" }
        if type.contains("Date") { return "CAST(toDate(toUInt16(\(value)) % 17000) AS \(type))" }
        return value
    }

    /// A value as text that tells it from others.
    private func text(of value: String, _ type: String) -> String {
        guard kind == .legacy else { return "toString(\(value))" }
        // It prints decimals wrongly now and then, and what it prints may stand where columns' names were, or it ends.
        if type.hasPrefix("Decimal") || type.hasPrefix("Nullable(Decimal") {
            return "hex(reinterpretAsString(\(value)))"
        }
        if type.hasPrefix("Array(Decimal") { return "toString(arrayMap(e -> hex(reinterpretAsString(e)), \(value)))" }
        // The name of what a NULL hides is asked for, and the hidden number may be none of the enum's.
        if type.hasPrefix("Nullable(Enum8") { return "toString(CAST(\(value), 'Nullable(Int8)'))" }
        return "toString(\(value))"
    }

    /// A hash over each column, whatever the order of rows.
    func fingerprint(of table: String, _ columns: ColumnList, database: String) async throws -> Set<String> {
        let sums = columns.columns.map { column in
            "sum(cityHash64(ifNull(\(text(of: "`\(column.name)`", column.type)), 'NULL!'))) AS `\(column.name)`"
        }
        // By one thread: that of 2018 has faults in what it prints that show when several do it.
        let answer = try await query(
            "SELECT count() AS rows, \(sums.joined(separator: ", ")) FROM \(table) FORMAT Vertical", database: database,
            settings: ["max_threads": "1"])
        return Set(answer.split(separator: "\n").map(String.init))
    }
}
