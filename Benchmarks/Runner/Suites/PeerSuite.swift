import ClickHouseNative
import Foundation
import Ingest
import Pipeline
import Workloads

/// The same rows through sluice's hot path and through ClickHouse's own, on one thread each: NDJSON to compressed Native.
enum PeerSuite {
    private static let rows = 200_000
    private static let blockRows = 65_536
    private static let tables: [Workload.Table] = [.plain, .lowCardinality, .mstore]

    static let benchmarks: [Benchmark] = tables.map(path) + tables.map(chdb)

    /// Whose CPU is divided by whose, where both were measured.
    static let pairs =
        tables.map { (peer: "chdb/\($0.rawValue)", ours: "path/\($0.rawValue)") } + PeerProgramSuite.pairs

    /// Whether chdb was installed for the tests before; measuring does not install it.
    static var isInstalled: Bool {
        let environment = ProcessInfo.processInfo.environment
        let cache = environment["XDG_CACHE_HOME"] ?? (environment["HOME"] ?? "") + "/.cache"
        let known = (try? FileManager.default.contentsOfDirectory(atPath: cache + "/sluice")) ?? []
        return environment["SLUICE_CHDB_VENV"] != nil || known.contains { $0.hasPrefix("chdb-core-") }
    }

    /// Parse, encode, LZ4.
    private static func path(_ table: Workload.Table) -> Benchmark {
        let name = "path/\(table.rawValue)"
        return Benchmark(name: name, about: "parse and encode with LZ4, one thread: what chdb does below") { plan in
            let structure = try plan.schema.catalog(for: table).structure(of: table.name)
            let workload = Workload(rows: rows)
            let chunks = workload.chunks()
            let reader = try RowReader(table: table.name, structure: structure)
            let encoding = BlockEncoding(revision: .newest, compression: .lz4)
            var read = 0
            let rounds = try plan.rounds.measure {
                read = 0
                var pending: [Block] = []
                func encode() throws {
                    guard !pending.isEmpty else { return }
                    for (_, blocks) in Dictionary(grouping: pending, by: \.layout) {
                        read += blocks.reduce(0) { $0 + $1.rows }
                        _ = try BlockEncoder.encode(blocks, as: encoding)
                        reader.recycle(blocks)
                    }
                    pending = []
                }
                for (number, chunk) in chunks.enumerated() {
                    _ = reader.read(chunk)
                    guard number % 20 == 19 else { continue }
                    pending += reader.takeBlocks()
                    if pending.reduce(0, { $0 + $1.rows }) >= blockRows { try encode() }
                }
                pending += reader.takeBlocks()
                try encode()
            }
            return Measurement(
                name: name, unit: .row, count: rows, bytes: workload.bytes.count, rounds: rounds,
                fault: read == rows ? nil : "\(read) rows read of \(rows)")
        }
    }

    /// ClickHouse 26.x without a server, told to use one thread; what it needs to start is taken off.
    private static func chdb(_ table: Workload.Table) -> Benchmark {
        let name = "chdb/\(table.rawValue)"
        return Benchmark(name: name, about: "the same rows by chdb, one thread, into a Native file with LZ4") { plan in
            guard FileManager.default.isExecutableFile(atPath: script) else {
                throw BenchmarkError("\(script) is not there; run this in sluice's folder")
            }
            let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
                "sluice-peer-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            // Many, so that its start is little beside them.
            let times = 5
            let workload = Workload(rows: rows)
            let input = folder.appendingPathComponent("rows.ndjson")
            try Data(Array(repeating: workload.bytes, count: times).joined()).write(to: input)
            let structure = try plan.schema.catalog(for: table).structure(of: table.name)
            let columns = structure.columns.map { "`\($0.definition.name)` \($0.definition.type)" }.joined(
                separator: ", "
            )
            .replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "'", with: "\\'")
            let output = folder.appendingPathComponent("rows.native.lz4").path
            let statement = """
                INSERT INTO FUNCTION file('\(output)', 'Native', '\(columns)') \
                SELECT * FROM file('\(input.path)', 'JSONEachRow', '\(columns)') \
                SETTINGS max_threads = 1, max_insert_threads = 1, max_parsing_threads = 1, input_format_parallel_parsing = 0, \
                output_format_parallel_formatting = 0, engine_file_truncate_on_insert = 1, \
                date_time_input_format = 'best_effort';
                """
            _ = try run("SELECT 1;", in: folder)
            var rounds: [Round] = []
            for _ in 0..<plan.rounds.count {
                let start = try run("SELECT 1;", in: folder)
                let whole = try run(statement, in: folder)
                rounds.append(
                    Round(
                        wallSeconds: whole.wallSeconds - start.wallSeconds,
                        cpuSeconds: whole.cpuSeconds - start.cpuSeconds))
            }
            return Measurement(
                name: name, unit: .row, count: rows * times, bytes: workload.bytes.count * times, rounds: rounds)
        }
    }

    private static let script = "scripts/chdb-query"

    /// CPU of the process and of those that it started.
    private static func run(_ statement: String, in folder: URL) throws -> Round {
        let file = folder.appendingPathComponent("statement.sql")
        try Data(statement.utf8).write(to: file)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: script)
        process.arguments = [file.path]
        process.standardOutput = FileHandle.nullDevice
        let errors = Pipe()
        process.standardError = errors
        let (wall, cpu) = (Clocks.wall, Clocks.childrenCPU)
        try process.run()
        let said = try errors.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw BenchmarkError("chdb: \(String(decoding: said.prefix(500), as: UTF8.self))")
        }
        return Round(wallSeconds: Clocks.wall - wall, cpuSeconds: Clocks.childrenCPU - cpu)
    }
}
