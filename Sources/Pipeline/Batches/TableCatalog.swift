import ClickHouseNative
import Synchronization

/// Who knows what the tables look like: the server (`DESCRIBE TABLE`), or schema files for sinks without a server.
public protocol TableCatalog: Sendable {
    /// The structure of a table. Waits while the source of truth is away (backpressure, not loss).
    ///
    /// - Throws: `CatalogError` when the table does not exist, or has a type that sluice does not know: final answers.
    func structure(of table: TableName) async throws -> TableStructure

    /// The same, asking the source of truth whatever is remembered.
    func refresh(_ table: TableName) async throws -> TableStructure
}

extension TableCatalog {
    /// For what never changes.
    public func refresh(_ table: TableName) async throws -> TableStructure { try await structure(of: table) }
}

/// Counts what a catalog learned: who remembers structures looks again when the count is another one.
public final class StructureChanges: Sendable {
    private let number = Atomic<UInt64>(0)

    public init() {}

    public var count: UInt64 { number.load(ordering: .acquiring) }

    /// Called once the catalog answers with what is new.
    public func note() { number.wrappingAdd(1, ordering: .releasing) }
}

/// Why a table cannot be written to.
public struct CatalogError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable, CaseIterable {
        case unknownTable = "unknown_table"
        case unsupportedType = "unsupported_type"
        case accessDenied = "access_denied"
        /// More tables than `tables_max` are in use.
        case tooManyTables = "too_many_tables"
        /// What is asked of the table's rows does not fit its columns.
        case invalidRules = "rule_invalid"
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
