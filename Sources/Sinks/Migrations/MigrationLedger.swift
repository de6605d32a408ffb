import ClickHouseNative
import Pipeline

/// The table `sluice_migrations`, in the database that sluice ships to. Any server since 2018 can keep it.
struct MigrationLedger: Sendable {
    static let table = "sluice_migrations"

    let database: String
    /// With one, all its servers have the same table.
    let cluster: ClusterVariant?
    let timeout: Duration

    private var name: String { TableName(database: database, table: Self.table).quoted }

    /// Columns are only ever added.
    private var create: String {
        """
        CREATE TABLE IF NOT EXISTS \(name) /*on_cluster*/
        (
            name String, event String, statement UInt32, statements UInt32, checksum String,
            run String, by String, lease UInt32, number UInt64, applied_at DateTime DEFAULT now()
        )
        ENGINE = /*replicated*/MergeTree() ORDER BY (name, applied_at, number)
        """
    }

    func prepare(_ session: ServerSession) async throws {
        var statement = create
        if let cluster {
            // One table for all shards, so that every server tells the same; hence its own path, and names that differ.
            let own = ClusterVariant(
                cluster: cluster.cluster,
                replicaPath: cluster.replicaPath.isEmpty
                    ? "" : "/clickhouse/sluice/\(cluster.cluster)/{database}/{table}",
                replicaName: "{shard}_{replica}")
            statement = try own.statement(statement, database: database)
        }
        try await session.run(statement, timeout: timeout)
    }

    /// - Returns: An empty history where there is no such table yet.
    func read(_ session: ServerSession) async throws -> MigrationHistory {
        let rows: [[String]]
        do {
            rows = try await session.rows(
                """
                SELECT event, name, toString(statement), toString(statements), checksum, run, by, toString(lease),
                    toString(applied_at), toString(toUnixTimestamp(now()) - toUnixTimestamp(applied_at))
                FROM \(name) ORDER BY applied_at, number
                """, timeout: timeout)
        } catch let error as ConnectionError where error.exception?.code == .unknownTable {
            return MigrationHistory(events: [])
        }
        return MigrationHistory(
            events: rows.compactMap { row in
                guard let kind = MigrationEvent.Kind(rawValue: row[0]) else { return nil }
                return MigrationEvent(
                    kind: kind, name: row[1], statement: Int(row[2]) ?? 0, statements: Int(row[3]) ?? 0,
                    checksum: row[4], run: row[5], by: row[6], lease: Int(row[7]) ?? 0, at: row[8],
                    age: Int(row[9]) ?? 0)
            })
    }

    /// - Parameter number: grows from row to row; it decides the order within one second.
    func write(_ event: MigrationEvent, number: UInt64, _ session: ServerSession) async throws {
        let texts = [event.name, event.kind.rawValue, event.checksum, event.run, event.by].map(ServerSession.literal)
        try await session.run(
            """
            INSERT INTO \(name) (name, event, checksum, run, by, statement, statements, lease, number)
            SELECT \(texts.joined(separator: ", ")), toUInt32(\(event.statement)), toUInt32(\(event.statements)),
                toUInt32(\(event.lease)), toUInt64(\(number))
            """, timeout: timeout)
    }
}
