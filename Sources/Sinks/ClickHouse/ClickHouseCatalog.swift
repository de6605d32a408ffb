import ClickHouseNative
import Logging
import Pipeline

/// What the tables look like, as the server tells (`DESCRIBE TABLE`). Remembers what it was told.
public actor ClickHouseCatalog: TableCatalog {
    /// Tables that are remembered; beyond it the memory starts anew.
    static let tablesMax = 4096
    /// A refusal is remembered so long: a table may be created any moment, but producers that name none that exists
    /// must not keep the server busy.
    static let refusalAgeMax: Duration = .seconds(5)

    private let servers: ClickHouseServers
    private let logger: Logger
    private let clock: StageClock
    private let random: @Sendable () -> Double
    private let changes: StructureChanges
    private var structures: [TableName: TableStructure] = [:]
    private var refusals: [TableName: (error: CatalogError, at: StageClock.Instant)] = [:]

    /// - Parameter changes: is told when a structure is another one than before.
    public init(
        servers: ClickHouseServers, logger: Logger, changes: StructureChanges = StructureChanges(),
        clock: StageClock = .continuous,
        random: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) }
    ) {
        self.servers = servers
        self.logger = logger
        self.clock = clock
        self.random = random
        self.changes = changes
    }

    /// - Throws: `CatalogError`, or `CancellationError` when the task is cancelled while the server is away.
    public func structure(of table: TableName) async throws -> TableStructure {
        if let known = structures[table] { return known }
        if let refusal = refusals[table] {
            if clock.now - refusal.at < Self.refusalAgeMax { throw refusal.error }
            refusals[table] = nil
        }
        return try await refresh(table)
    }

    /// Asks the server, whatever is remembered; waits while the server is away.
    ///
    /// - Throws: As `structure(of:)`.
    @discardableResult
    public func refresh(_ table: TableName) async throws -> TableStructure {
        let settings = servers.settings
        var backoff = Backoff(min: settings.retryDelayMin, max: settings.retryDelayMax, random: random)
        while true {
            do {
                return remember(try await describe(table), of: table)
            } catch let error as CatalogError {
                remember(error)
                throw error
            } catch {
                if Task.isCancelled { throw CancellationError() }
                let delay = backoff.next()
                logger.warning(
                    "table's structure not known yet, the server is asked again",
                    metadata: [
                        "table": "\(table)", "error": "\(error)", "wait_ms": "\(Int(delay.milliseconds))",
                    ])
                try await clock.sleep(for: delay)
            }
        }
    }

    private func describe(_ table: TableName) async throws -> TableStructure {
        let (result, hello) = try await ask(Query("DESCRIBE TABLE \(table.quoted)"))
        do {
            return try TableDescription(try result.get()).structure(of: table, on: hello)
        } catch let error as ConnectionError {
            throw CatalogError(error, table: table) ?? error
        }
    }

    /// By what the rows of a table are cut into partitions, as the server writes it; nil where it does not say. Waits while
    /// the server is away.
    ///
    /// - Throws: `CancellationError` when the task is cancelled meanwhile.
    func partitionKey(of table: TableName) async throws -> String? {
        let database = table.database ?? servers.settings.database
        let query = Query(
            """
            SELECT partition_key FROM system.tables
            WHERE database = \(Self.literal(database)) AND name = \(Self.literal(table.table))
            """)
        var backoff = Backoff(
            min: servers.settings.retryDelayMin, max: servers.settings.retryDelayMax, random: random)
        while true {
            do {
                var key: String?
                for block in try await ask(query).result.get().blocks {
                    try block.readTexts(of: "partition_key") { key = $1 }
                }
                return key
            } catch {
                if Task.isCancelled { throw CancellationError() }
                // An old server has no such column, and a user may not be allowed to look.
                guard error is HostsUnavailable || (error as? ConnectionError)?.isTransient == true else { return nil }
                try await clock.sleep(for: backoff.next())
            }
        }
    }

    private func ask(_ query: Query) async throws -> (result: Result<QueryResult, any Error>, hello: ServerHello) {
        let lease: Lease
        do { lease = try await servers.borrow() } catch let error as HostsUnavailable {
            try await clock.sleep(until: error.until)
            throw error
        }
        let result: Result<QueryResult, any Error>
        do {
            result = .success(try await lease.native.query(query, timeout: servers.settings.queryTimeout))
            await servers.giveBack(lease, .answered)
        } catch {
            result = .failure(error)
            await servers.giveBack(
                lease, Task.isCancelled ? .abandoned : error.outcomeForHost(otherwise: .answered), error: error)
        }
        return (result, lease.native.hello)
    }

    /// A text between quotes, with the two characters escaped that would end or change it.
    static func literal(_ text: String) -> String {
        "'" + text.replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'"
    }

    private func remember(_ structure: TableStructure, of table: TableName) -> TableStructure {
        if structures.count >= Self.tablesMax { structures.removeAll() }
        let before = structures.updateValue(structure, forKey: table)
        refusals[table] = nil
        if before != structure { changes.note() }
        return structure
    }

    private func remember(_ error: CatalogError) {
        if refusals.count >= Self.tablesMax { refusals.removeAll() }
        if structures.removeValue(forKey: error.table) != nil { changes.note() }
        refusals[error.table] = (error, clock.now)
    }
}

extension CatalogError {
    /// nil: the server may answer another time.
    fileprivate init?(_ error: ConnectionError, table: TableName) {
        guard let exception = error.exception else { return nil }
        switch exception.code {
        case .unknownTable: self.init(.unknownTable, table: table, message: "the server has no such table")
        case .unknownDatabase: self.init(.unknownTable, table: table, message: "the server has no such database")
        case ErrorCode(rawValue: 497):
            self.init(.accessDenied, table: table, message: "the user may not see the table")
        default: return nil
        }
    }
}
