import Workloads
import Foundation
import Pipeline

/// From the producer's socket to the sink. The daemon is a process of its own with the defaults of its settings, so that
/// its CPU and its memory are counted alone; a fresh one for each round.
enum EndToEndSuite {
    static let benchmarks: [Benchmark] = [
        benchmark("null/1", "one producer, the tracker's mstore, a sink that drops", .null, producers: 1),
        benchmark("null/nospool", "the same without the spool", .null, producers: 1, hasSpool: false),
        benchmark("null/acked", "in frames with durable acks", .null, producers: 1, dialect: .frames),
        benchmark("null/8", "eight producers", .null, producers: 8),
        benchmark("null/plain", "one producer, 24 columns of plain types", .null, producers: 1, table: .plain),
        benchmark(
            "null/plain-nospool", "the same without the spool", .null, producers: 1, table: .plain, hasSpool: false),
        benchmark(
            "null/plain-acked", "in frames with durable acks", .null, producers: 1, table: .plain, dialect: .frames),
        benchmark(
            "null/low-cardinality", "the same rows, with dictionaries where values are few", .null, producers: 1,
            table: .lowCardinality),
        benchmark("null/plain-1000", "a thousand producers", .null, producers: 1000, table: .plain),
        benchmark("null/1000", "a thousand producers of mstore", .null, producers: 1000),
        benchmark(
            "null/tables-1", "one producer, each row names its table, of 24 plain columns", .null, producers: 1,
            table: .plain, tables: 1),
        benchmark(
            "null/tables-4", "the same, and each row one of four tables, as if at random", .null, producers: 1,
            table: .plain, tables: 4),
        benchmark(
            "null/routed-4", "one of four tables by a route, not by its name", .null, producers: 1, table: .plain,
            tables: 4, hasRoute: true),
        benchmark(
            "null/tables-20", "of twenty tables", .null, producers: 1, table: .plain, tables: 20),
        benchmark(
            "null/tables-125", "of a hundred and twenty-five tables", .null, producers: 1,
            table: .plain, tables: 125),
        benchmark(
            "null/tables-1000", "of a thousand tables", .null, producers: 1,
            table: .plain, tables: 1000),
        benchmark("file/1", "one producer, Native files", .file, producers: 1),
        benchmark("clickhouse/1", "one producer, a server (with --clickhouse)", .clickhouse, producers: 1),
        benchmark(
            "clickhouse/nospool", "the same without the spool", .clickhouse, producers: 1, hasSpool: false),
        benchmark("clickhouse/8", "eight producers, a server (with --clickhouse)", .clickhouse, producers: 8),
        benchmark(
            "clickhouse/acked", "in frames with durable acks", .clickhouse, producers: 1, dialect: .frames),
        benchmark("clickhouse/plain", "24 columns of plain types", .clickhouse, producers: 1, table: .plain),
        benchmark(
            "clickhouse/low-cardinality", "the same rows, with dictionaries where values are few", .clickhouse,
            producers: 1, table: .lowCardinality),
        benchmark(
            "clickhouse/plain-nospool", "the same without the spool", .clickhouse, producers: 1, table: .plain,
            hasSpool: false),
        benchmark(
            "clickhouse/plain-acked", "in frames with durable acks", .clickhouse, producers: 1, table: .plain,
            dialect: .frames),
    ]

    private static func benchmark(
        _ name: String, _ about: String, _ sink: ShipSettings.Sink, producers: Int, table: Workload.Table = .mstore,
        hasSpool: Bool = true, tables: Int = 0, hasRoute: Bool = false, dialect: Load.Dialect = .lines
    ) -> Benchmark {
        Benchmark(name: name, about: about, needsServer: sink == .clickhouse) { plan in
            if sink == .clickhouse {
                guard let server = plan.clickhouse else { throw BenchmarkError("give --clickhouse host:port") }
                return try await server.withDatabase { try await measure(plan, $0) }
            }
            return try await measure(plan, nil)

            @Sendable func measure(_ plan: Plan, _ server: ClickHouseTarget.Database?) async throws -> Measurement {
                let load = Load(rows: plan.rows, producers: producers, tables: tables, dialect: dialect)
                var rounds: [Round] = []
                var fault: String?
                // The first round only warms the caches of the system up.
                for round in 0...plan.rounds.count {
                    try await server?.recreate(table, plan.schema)
                    let result = try await run(
                        load, sink, table, plan, hasSpool: hasSpool, tables: tables, hasRoute: hasRoute)
                    if result.committed != load.rows { fault = "\(result.committed) rows arrived of \(load.rows)" }
                    if let server {
                        let stored = try await server.count(table)
                        if stored != load.rows { fault = "the server has \(stored) rows of \(load.rows)" }
                    }
                    if round > 0 { rounds.append(result.round) }
                }
                return Measurement(
                    name: name, unit: .row, count: load.rows, bytes: load.bytes, rounds: rounds, fault: fault)
            }
        }
    }

    private static func run(
        _ load: Load, _ sink: ShipSettings.Sink, _ table: Workload.Table, _ plan: Plan, hasSpool: Bool, tables: Int,
        hasRoute: Bool
    ) async throws -> (round: Round, committed: Int) {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-bench-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let job = ServeJob(
            directory: folder.path, rows: load.rows, sink: sink.rawValue, table: table, schema: plan.schema.path,
            clickhouse: plan.clickhouse?.address, hasSpool: hasSpool, tables: tables, hasRoute: hasRoute)
        let child = try ServedDaemon(job)
        defer { child.kill() }
        try await child.waitUntilListening()
        let begin = Clocks.wall
        try await load.send(to: job.socketPath)
        let outcome = try await child.outcome()
        return (
            Round(
                wallSeconds: outcome.end - begin, cpuSeconds: outcome.cpuSeconds,
                peakResidentBytes: outcome.peakResidentBytes, rowBatches: outcome.rowBatches, system: outcome.system),
            outcome.committedRows
        )
    }
}
