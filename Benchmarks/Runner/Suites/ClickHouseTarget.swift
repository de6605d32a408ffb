import Workloads
import ClickHouseNative
import Pipeline
import Sinks

/// A server to measure with, over the native protocol and without a password.
struct ClickHouseTarget: Sendable {
    /// Made for the measurement and dropped after it.
    static let databaseName = "sluice_bench"
    private static let timeout: Duration = .seconds(60)

    let address: String
    let host: ClickHouseSettings.Host

    /// - Parameter address: `host:port`.
    init(_ address: String) throws {
        let parts = address.split(separator: ":")
        guard parts.count == 2, let port = Int(parts[1]), (1...65_535).contains(port) else {
            throw BenchmarkError("\(address) is not host:port")
        }
        self.address = address
        host = ClickHouseSettings.Host(name: String(parts[0]), port: port)
    }

    /// The database of the measurement, while it exists.
    struct Database: Sendable {
        let connection: NativeConnection

        /// Makes the table, empty.
        ///
        /// - Parameter keepsRows: whether it is what the schema says; otherwise the server drops what it is given.
        func recreate(_ table: Workload.Table, _ schema: SchemaFolder, keepsRows: Bool = true) async throws {
            try await run("DROP TABLE IF EXISTS \(databaseName).\(table.rawValue)")
            let statement = try schema.statement(of: table).withoutComments
            guard !keepsRows else {
                try await run(statement)
                return
            }
            guard let engine = statement.range(of: "\nENGINE = ") else {
                throw BenchmarkError("\(schema.file(of: table)) names no engine")
            }
            try await run(String(statement[..<engine.lowerBound]) + "\nENGINE = Null")
        }

        func count(_ table: Workload.Table) async throws -> Int {
            let result = try await run("SELECT count() FROM \(databaseName).\(table.rawValue)")
            guard let block = result.blocks.first(where: { $0.rows == 1 }) else {
                throw BenchmarkError("the server did not count")
            }
            return Int(block.nodes[0].data.load(UInt64.self, at: 0))
        }

        @discardableResult
        fileprivate func run(_ sql: String) async throws -> QueryResult {
            try await connection.query(Query(sql), timeout: ClickHouseTarget.timeout)
        }
    }

    /// Makes the database, and drops it whatever happens.
    func withDatabase<T: Sendable>(_ work: (Database) async throws -> T) async throws -> T {
        let first = try await connect("")
        try await Database(connection: first).run("CREATE DATABASE IF NOT EXISTS \(Self.databaseName)")
        let result: Result<T, any Error>
        do {
            let database = Database(connection: try await connect(Self.databaseName))
            result = .success(try await work(database))
            await database.connection.close()
        } catch {
            result = .failure(error)
        }
        try await Database(connection: first).run("DROP DATABASE IF EXISTS \(Self.databaseName)")
        await first.close()
        return try result.get()
    }

    private func connect(_ database: String) async throws -> NativeConnection {
        try await NativeConnection.connect(
            to: host, ConnectionConfiguration(credentials: Credentials(database: database)))
    }
}

extension String {
    /// A statement of a schema file, which has no text with two dashes in it, without what ends it.
    fileprivate var withoutComments: String {
        let lines = split(separator: "\n").map { $0.split(separator: "--", omittingEmptySubsequences: false)[0] }
        return lines.joined(separator: "\n").replacing(";", with: "")
    }
}
