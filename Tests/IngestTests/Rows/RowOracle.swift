import Foundation
import Ingest
import Pipeline
import TestSupport

/// ClickHouse's own reading of values, and its view of blocks that sluice made: both as text that tells any two values apart.
struct RowOracle {
    /// Columns, and rows for them: the members of each object as they stand in its line, without braces.
    struct Table: Sendable {
        let columns: [(name: String, type: String)]
        let rows: [String]

        /// Of one column, `v`.
        init(type: String, values: [String]) {
            self.init(columns: [("v", type)], rows: values.map { "\"v\":\($0)" })
        }

        init(columns: [(name: String, type: String)], rows: [String]) {
            self.columns = columns
            self.rows = rows
        }

        /// A row with its number in front.
        func line(_ number: Int) -> String {
            rows[number].isEmpty ? "{\"n\":\(number)}" : "{\"n\":\(number),\(rows[number])}"
        }

        var structure: String { (["n UInt32"] + columns.map { "`\($0.name)` \($0.type)" }).joined(separator: ", ") }

        /// Each value as text, and as JSON: the one tells nan from null, the other texts from numbers.
        var cells: String {
            let texts = columns.map { column in
                let text = "ifNull(toString(`\(column.name)`), 'NULL') || ' '"
                return column.type == "Dynamic" ? text + " || dynamicType(`\(column.name)`) || ' '" : text
            }.joined(separator: " || ")
            return
                "hex(\(texts) || formatRow('JSONCompactEachRow', \(columns.map { "`\($0.name)`" }.joined(separator: ", "))))"
        }
    }

    let input: ValidateSettings.Input

    init(_ input: ValidateSettings.Input) { self.input = input }

    init(format: ValidateSettings.DateTimeFormat) {
        var input = ValidateSettings.Input()
        input.dateTimeInputFormat = format
        self.input = input
    }

    /// What the oracle needs to have every type, and times of types without a zone in UTC.
    private var settings: [String: String] {
        [
            "session_timezone": "UTC", "allow_suspicious_low_cardinality_types": "1",
            "allow_suspicious_variant_types": "1", "allow_experimental_nullable_tuple_type": "1",
            "enable_time_time64_type": "1", "max_query_size": "100000000", "input_format_parallel_parsing": "0",
            "max_threads": "1",
        ].merging(input.named) { $1 }
    }

    /// What ClickHouse itself makes of a table's rows; nil: it refuses the row.
    ///
    /// It passes over most bad rows. Some end the query: then it is asked for either half.
    func read(_ table: Table, _ server: ClickHouseServer) async -> [String?] {
        await read(table, 0..<table.rows.count, server)
    }

    /// One row alone: neither what stands before it nor how ClickHouse goes on behind a bad row plays a part.
    func read(_ table: Table, row: Int, _ server: ClickHouseServer) async -> String? {
        try? await answer(table, row..<row + 1, settings, server).first?.text
    }

    private func read(_ table: Table, _ range: Range<Int>, _ server: ClickHouseServer) async -> [String?] {
        if range.count <= 1 {
            var found: [String?] = []
            for row in range { found.append(await read(table, row: row, server)) }
            return found
        }
        var settings = self.settings
        settings["input_format_allow_errors_num"] = "1000000000"
        settings["input_format_allow_errors_ratio"] = "1"
        if let answer = try? await answer(table, range, settings, server) {
            var found = [String?](repeating: nil, count: range.count)
            for (row, text) in answer where range.contains(row) { found[row - range.lowerBound] = text }
            return found
        }
        let middle = range.lowerBound + range.count / 2
        return await read(table, range.lowerBound..<middle, server) + read(table, middle..<range.upperBound, server)
    }

    private func answer(
        _ table: Table, _ range: Range<Int>, _ settings: [String: String], _ server: ClickHouseServer
    ) async throws -> [(row: Int, text: String)] {
        let lines = range.map { table.line($0) + "\n" }.joined()
        let answer = try await server.query(
            """
            SELECT n, \(table.cells) FROM format(JSONEachRow, \(Self.quoted(table.structure)), \(Self.quoted(lines)))
            FORMAT TSVRaw
            """, settings: settings)
        return Self.rows(of: answer)
    }

    /// What ClickHouse finds in the blocks that sluice makes of each table's rows; nil: sluice refused the row.
    func stored(_ tables: [Table]) async throws -> [[String?]] {
        try await Self.stored(tables.map { ($0, input) })
    }

    /// The same of tables with settings of their own.
    static func stored(_ tables: [(table: Table, input: ValidateSettings.Input)]) async throws -> [[String?]] {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-rows-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try await ClickHouseServer.modern()
        var found = tables.map { [String?](repeating: nil, count: $0.table.rows.count) }
        for (number, (table, input)) in tables.enumerated() {
            var fixture = try RowFixture([("n", "UInt32", nil)] + table.columns.map { ($0.name, $0.type, nil) })
            fixture.settings.input = input
            fixture.isPrinted = false
            let outcome = try fixture.read(table.rows.indices.map(table.line))
            let settings = RowOracle(ValidateSettings.Input()).settings.merging(input.namedForServer) { $1 }
            for block in outcome.blocks {
                let file = folder.appendingPathComponent("\(number).native")
                try Data(block.native).write(to: file)
                let sql = "SELECT n, \(table.cells) FROM file('\(file.path)', Native) FORMAT TSVRaw"
                for (row, text) in rows(of: try await server.query(sql, settings: settings)) {
                    found[number][row] = text
                }
            }
        }
        return found
    }

    /// Numbers of rows, and the texts of their cells.
    private static func rows(of answer: String) -> [(row: Int, text: String)] {
        answer.utf8.split(separator: 0x0A).compactMap { line in
            let fields = line.split(separator: 0x09, omittingEmptySubsequences: false)
            guard fields.count == 2, let row = Int(Substring(fields[0])) else { return nil }
            return (row, FormatOracle.readable(Substring(fields[1])))
        }
    }

    private static func quoted(_ text: String) -> String {
        "'" + text.replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'"
    }
}
