import ClickHouseNative
import Pipeline

/// The answer to `DESCRIBE TABLE`: a row for each column, all of it text.
struct TableDescription {
    private struct Row {
        var name = ""
        var type = ""
        var defaultKind = ""
        var defaultExpression = ""
    }

    private var rows: [Row] = []

    init(_ result: QueryResult) throws {
        for block in result.blocks where block.rows > 0 {
            var rows = [Row](repeating: Row(), count: block.rows)
            // Servers add columns to the answer from time to time; these four they have had always.
            try block.readTexts(of: "name") { rows[$0].name = $1 }
            try block.readTexts(of: "type") { rows[$0].type = $1 }
            try block.readTexts(of: "default_type") { rows[$0].defaultKind = $1 }
            try block.readTexts(of: "default_expression") { rows[$0].defaultExpression = $1 }
            self.rows += rows
        }
    }

    /// - Parameter server: what told it.
    /// - Throws: `CatalogError` with code `.unsupportedType`, naming the column and its type.
    func structure(of table: TableName, on server: ServerHello) throws -> TableStructure {
        var columns: [TableStructure.Column] = []
        var computed: [String] = []
        for row in rows {
            switch row.defaultKind {
            case "MATERIALIZED", "ALIAS": computed.append(row.name)
            // Rows may have a value for it, which others' DEFAULT expressions read; they need none, of whatever type it is.
            case "EPHEMERAL" where (try? Self.type(of: row, table, server)) == nil: computed.append(row.name)
            default:
                let definition = ColumnDefinition(name: row.name, type: try Self.type(of: row, table, server))
                columns.append(
                    .init(
                        definition, defaultValue: row.defaultKind.isEmpty ? .type : .expression(row.defaultExpression)))
            }
        }
        return TableStructure(
            columns: columns, computedColumns: computed, timeZone: server.timeZone.isEmpty ? "UTC" : server.timeZone)
    }

    private static func type(of row: Row, _ table: TableName, _ server: ServerHello) throws -> DataType {
        do {
            let type = try DataType(parsing: row.type)
            let version = ServerVersion(server.major, server.minor)
            if let first = type.firstServer, version < first {
                throw CatalogError(
                    .unsupportedType, table: table,
                    message: "column \(row.name) has type \(row.type), which can be sent to servers from \(first) on; "
                        + "this one is \(version)")
            }
            return type
        } catch let error as DataTypeError {
            throw CatalogError(
                .unsupportedType, table: table,
                message: "column \(row.name) has type \(error.name): \(error.reason)")
        }
    }
}
