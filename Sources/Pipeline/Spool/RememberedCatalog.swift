import ClickHouseNative
import Foundation
import Logging
import NIOConcurrencyHelpers

/// A catalog that remembers over restarts what tables look like, in the spool's directory, so that rows are taken from the first
/// moment on, though every server is away.
///
/// The server's answer goes before what is remembered, if it comes within `patience`; what the schema files say is the last resort.
/// Blocks of a structure that is no longer the table's are found out by the sink, which compares before it sends.
public final class RememberedCatalog: TableCatalog {
    /// How long to wait for a server before believing what is remembered.
    static let patience: Duration = .seconds(2)
    /// Tables that are remembered; the file holds no more.
    static let tablesMax = 4096

    private struct Entry: Codable, Hashable {
        struct Column: Codable, Hashable {
            let name: String
            let type: String
            /// The DEFAULT expression; nil: the type's default.
            let expression: String?
        }

        let columns: [Column]
        let computed: [String]
        let timeZone: String
    }

    private let source: any TableCatalog
    private let schema: (any TableCatalog)?
    private let path: String
    private let clock: StageClock
    private let logger: Logger
    private let entries: NIOLockedValueBox<[String: Entry]>

    /// - Parameters:
    ///   - directory: of the spool.
    ///   - schema: what the configuration says of tables, if it does.
    public init(
        _ source: any TableCatalog, directory: String, schema: (any TableCatalog)? = nil, logger: Logger,
        clock: StageClock = .continuous
    ) {
        self.source = source
        self.schema = schema
        self.clock = clock
        self.logger = logger
        path = directory + "/tables.json"
        let data = FileManager.default.contents(atPath: path)
        // A file that cannot be read is no memory; the servers fill it anew.
        entries = NIOLockedValueBox(data.flatMap { try? JSONDecoder().decode([String: Entry].self, from: $0) } ?? [:])
    }

    public func structure(of table: TableName) async throws -> TableStructure {
        var fallback = entries.withLockedValue { $0[table.description] }.flatMap(Self.structure)
        if fallback == nil { fallback = try? await schema?.structure(of: table) }
        guard let fallback else { return remember(try await source.structure(of: table), of: table) }

        let answered = try await withThrowingTaskGroup(of: TableStructure?.self) { group in
            group.addTask { [source] in try await source.structure(of: table) }
            group.addTask { [clock] in
                try await clock.sleep(for: Self.patience)
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
        if let answered { return remember(answered, of: table) }
        logger.warning(
            "no server answers; rows are read by what is remembered of the table", metadata: ["table": "\(table)"])
        return fallback
    }

    public func refresh(_ table: TableName) async throws -> TableStructure {
        remember(try await source.refresh(table), of: table)
    }

    private func remember(_ structure: TableStructure, of table: TableName) -> TableStructure {
        let entry = Self.entry(structure)
        let isNew = entries.withLockedValue { entries in
            guard entries[table.description] != entry else { return false }
            if entries.count >= Self.tablesMax { entries.removeAll() }
            entries[table.description] = entry
            return true
        }
        if isNew { save() }
        return structure
    }

    /// Not being able to is no harm now; it is said.
    private func save() {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        do {
            let data = try entries.withLockedValue { try encoder.encode($0) }
            let new = path + ".new"
            guard FileManager.default.createFile(atPath: new, contents: data, attributes: [.posixPermissions: 0o600]),
                rename(new, path) == 0
            else { throw SpoolDiskError(.write, path, errno) }
        } catch {
            logger.warning("what tables look like is not remembered", metadata: ["error": "\(error)"])
        }
    }

    private static func entry(_ structure: TableStructure) -> Entry {
        Entry(
            columns: structure.columns.map { column in
                let expression: String? = if case .expression(let text) = column.defaultValue { text } else { nil }
                return Entry.Column(
                    name: column.definition.name, type: column.definition.type.description, expression: expression)
            }, computed: structure.computedColumns, timeZone: structure.timeZone)
    }

    /// nil: a later version wrote of a type that this one does not know.
    private static func structure(_ entry: Entry) -> TableStructure? {
        var columns: [TableStructure.Column] = []
        for column in entry.columns {
            guard let type = try? DataType(parsing: column.type) else { return nil }
            columns.append(
                TableStructure.Column(
                    ColumnDefinition(name: column.name, type: type),
                    defaultValue: column.expression.map { .expression($0) } ?? .type))
        }
        return TableStructure(columns: columns, computedColumns: entry.computed, timeZone: entry.timeZone)
    }
}
