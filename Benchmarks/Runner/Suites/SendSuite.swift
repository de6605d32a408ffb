import ClickHouseNative
import Ingest
import Sinks
import Workloads

/// Blocks that are there already, over one connection to a server: columns to bytes, compression, the protocol, TCP. What the client
/// libraries of ClickHouse do.
enum SendSuite {
    private static let blockRows = 65_536
    private static let timeout: Duration = .seconds(60)

    static let benchmarks: [Benchmark] = [
        Benchmark(
            name: "send/prebuilt", about: "blocks of 65,536 plain rows to a table that drops them (with --clickhouse)",
            needsServer: true
        ) { plan in
            guard let server = plan.clickhouse else { throw BenchmarkError("give --clickhouse host:port") }
            let table = Workload.Table.plain
            let structure = try plan.schema.catalog(for: table).structure(of: table.name)
            let reader = try RowReader(table: table.name, structure: structure)
            for chunk in Workload(rows: blockRows).chunks() { _ = reader.read(chunk) }
            let blocks = reader.takeBlocks()
            let rows = blocks.reduce(0) { $0 + $1.rows }
            let times = max(1, plan.rows / rows)
            return try await server.withDatabase { database in
                try await database.recreate(table, plan.schema, keepsRows: false)
                let connection = database.connection
                let encoding = BlockEncoding(revision: connection.revision, compression: .lz4)
                let query = Query(
                    "INSERT INTO \(ClickHouseTarget.databaseName).\(table.rawValue) FORMAT Native", compression: .lz4)
                let columns = blocks[0].layout.columns
                let rounds = try await plan.rounds.measureProcess {
                    for _ in 0..<times {
                        let bytes = try BlockEncoder.encode(blocks, as: encoding).bytes
                        _ = try await connection.insert(query, columns: columns, bytes: bytes, timeout: timeout)
                    }
                }
                let raw = try BlockEncoder.encode(blocks, as: encoding)
                return Measurement(
                    name: "send/prebuilt", unit: .row, count: rows * times, bytes: raw.rawBytes * times,
                    rounds: rounds, ratio: Double(raw.bytes.readableBytes) / Double(raw.rawBytes))
            }
        }
    ]
}
