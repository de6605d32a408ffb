import ClickHouseNative

/// Who knows what the tables look like: the server (`DESCRIBE TABLE`), or schema files for sinks without a server.
public protocol TableCatalog: Sendable {
    /// The structure of a table. Waits while the source of truth is away (backpressure, not loss).
    ///
    /// - Throws: `CatalogError` when the table does not exist, or has a type that sluice does not know: final answers.
    func structure(of table: TableName) async throws -> TableStructure
}

/// Why a table cannot be written to.
public struct CatalogError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable, CaseIterable {
        case unknownTable = "unknown_table"
        case unsupportedType = "unsupported_type"
        case accessDenied = "access_denied"
        /// More tables than `tables_max` are in use.
        case tooManyTables = "too_many_tables"
    }

    public let code: Code
    public let table: TableName
    public let message: String

    public init(_ code: Code, table: TableName, message: String) {
        self.code = code
        self.table = table
        self.message = message
    }

    public var description: String { "table \(table): \(message)" }
}
