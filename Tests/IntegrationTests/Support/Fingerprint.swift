import Foundation
import Pipeline
import TestSupport

/// A table's columns that rows carry, with ClickHouse's names of their types.
struct CarriedColumns: Sendable {
    let columns: [(name: String, type: String)]

    /// - Parameter server: has the table; columns that it computes when they are left out are not here.
    init(of table: String, in database: String, _ server: ClickHouseServer) async throws {
        let text = try await server.query(
            """
            SELECT name, type FROM system.columns WHERE database = '\(database)' AND table = '\(table)'
            AND (default_kind = '' OR name = 'seq') FORMAT TSVRaw
            """)
        columns = text.split(separator: "\n").map { line in
            let fields = line.split(separator: "\t", maxSplits: 1)
            return (String(fields[0]), String(fields[1]))
        }
    }

    var names: String { columns.map { "`\($0.name)`" }.joined(separator: ", ") }

    /// As a table function takes it, quoted.
    var structure: String {
        let text = columns.map { "`\($0.name)` \($0.type)" }.joined(separator: ", ")
        return "'" + text.replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'"
    }

    /// Rows, and for each column the sum of its hashes and the number of its nulls: equal whatever the order.
    private func query(_ source: String) -> String {
        let sums = columns.map { "sum(cityHash64(`\($0.name)`)), countIf(isNull(`\($0.name)`))" }
        return "SELECT count(), \(sums.joined(separator: ", ")) FROM \(source)"
    }

    /// A line for the rows and one for each column, so that a failure names it.
    private func fingerprint(_ answer: String) -> [String] {
        let values = answer.dropLast().split(separator: "\t", omittingEmptySubsequences: false)
        guard values.count == 1 + 2 * columns.count else { return [answer] }
        return ["\(values[0]) rows"]
            + columns.enumerated().map { place, column in
                "\(column.name): hashes \(values[1 + 2 * place]), nulls \(values[2 + 2 * place])"
            }
    }

    static let settings = """
        SET session_timezone = 'UTC', date_time_input_format = 'best_effort', allow_suspicious_low_cardinality_types = 1;\n
        """

    /// What ClickHouse makes of the rows when it reads them itself.
    func oracle(ndjson: URL) async throws -> [String] {
        try await oracle("file('\(ndjson.path)', JSONEachRow, \(structure))")
    }

    /// Of Native files, as they are.
    func oracle(files pattern: String) async throws -> [String] {
        try await oracle("file('\(pattern)', Native, \(structure))")
    }

    /// What a server stored, hashed where the expectation was hashed: cityHash64 differs between the servers of 2018
    /// and of today. The oracle reads the rows from the server itself.
    func stored(in table: String, of database: String, _ server: ClickHouseServer) async throws -> [String] {
        guard server.kind == .legacy else {
            return fingerprint(try await server.query(query(table), database: database))
        }
        let select = "SELECT \(columns.map(\.name).joined(separator: ",")) FROM \(database).\(table) FORMAT Native"
        let url = "http://\(server.host):\(server.httpPort)/?query=" + select.replacing(" ", with: "%20")
        return try await oracle("url('\(url)', Native, \(structure))")
    }

    private func oracle(_ source: String) async throws -> [String] {
        fingerprint(try await ClickHouseOracle.query(Self.settings + query(source)))
    }
}
