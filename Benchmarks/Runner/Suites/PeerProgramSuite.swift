import Foundation
import Workloads

/// Programs of others that do a part of sluice's work, each only where it is installed.
enum PeerProgramSuite {
    static let benchmarks: [Benchmark] = [
        Benchmark(
            name: "clickhouse-client/plain",
            about:
                "the client takes the rows from a file and inserts them (with --clickhouse; fewer columns, a Null table)",
            needsServer: true, program: "clickhouse-client", run: insertByClient),
        Benchmark(
            name: "syslog-ng/file",
            about: "syslog-ng takes the lines from a Unix socket and writes them to a file, as they are",
            program: "syslog-ng", run: writeBySyslog),
    ]

    static let pairs = [
        (peer: "clickhouse-client/plain", ours: "clickhouse/plain"),
        (peer: "clickhouse-client/plain", ours: "clickhouse/plain-nospool"),
        (peer: "syslog-ng/file", ours: "clickhouse/plain"), (peer: "syslog-ng/file", ours: "null/plain"),
        (peer: "syslog-ng/file", ours: "null/plain-nospool"),
    ]

    static func isInstalled(_ program: String) -> Bool { path(of: program) != nil }

    private static func path(of program: String) -> String? {
        ["/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/"].map { $0 + program }.first {
            FileManager.default.isExecutableFile(atPath: $0)
        }
    }

    // MARK: clickhouse-client

    /// Columns that the client of 18.16 cannot read from these rows; it skips their fields.
    private static let skippedColumns = ["mtypes", "data"]

    /// The CREATE TABLE statement with columns that the client reads from these rows: Nullable, for it takes no null for a default.
    private static func asClientsReadIt(_ statement: String) -> String {
        statement.split(separator: "\n").filter { line in
            !skippedColumns.contains { line.contains(" \($0) ") }
        }.map { line in
            let words = line.split(separator: " ", maxSplits: 1)
            guard line.hasPrefix("    "), words.count == 2 else { return String(line) }
            let isLast = !words[1].hasSuffix(",")
            let type = (isLast ? words[1] : words[1].dropLast()).replacingOccurrences(
                of: "DateTime64(3, 'UTC')", with: "String")
            return "    \(words[0]) Nullable(\(type))\(isLast ? "" : ",")"
        }.joined(separator: "\n")
    }

    @Sendable private static func insertByClient(_ plan: Plan) async throws -> Measurement {
        guard let program = path(of: "clickhouse-client") else { throw BenchmarkError("no clickhouse-client") }
        guard let server = plan.clickhouse else { throw BenchmarkError("give --clickhouse host:port") }
        let load = Load(rows: plan.rows, producers: 1)
        return try await withFolder { folder in
            let input = folder + "/rows.ndjson"
            try load.write(to: input)
            return try await server.withDatabase { database in
                try await database.recreate(.plain, plan.schema, keepsRows: false) { asClientsReadIt($0) }
                var rounds: [Round] = []
                for round in 0...plan.rounds.count {
                    let (wall, cpu) = (Clocks.wall, Clocks.childrenCPU)
                    try run(
                        program,
                        [
                            "--host", server.host.name, "--port", "\(server.host.port)", "--database",
                            ClickHouseTarget.databaseName, "--input_format_skip_unknown_fields", "1", "--query",
                            "INSERT INTO plain FORMAT JSONEachRow",
                        ], input: input)
                    guard round > 0 else { continue }
                    rounds.append(
                        Round(wallSeconds: Clocks.wall - wall, cpuSeconds: Clocks.childrenCPU - cpu))
                }
                return Measurement(
                    name: "clickhouse-client/plain", unit: .row, count: load.rows, bytes: load.bytes, rounds: rounds)
            }
        }
    }

    private static func run(_ program: String, _ arguments: [String], input: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: input))
        process.standardOutput = FileHandle.nullDevice
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        let said = try errors.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw BenchmarkError("\(program): \(String(decoding: said.prefix(500), as: UTF8.self))")
        }
    }

    // MARK: syslog-ng

    @Sendable private static func writeBySyslog(_ plan: Plan) async throws -> Measurement {
        guard let program = path(of: "syslog-ng") else { throw BenchmarkError("no syslog-ng") }
        let load = Load(rows: plan.rows, producers: 1)
        var rounds: [Round] = []
        var fault: String?
        for round in 0...plan.rounds.count {
            let (result, bytes) = try await withFolder { try await syslogRound(program, load, in: $0) }
            if bytes != load.bytes { fault = "\(bytes) bytes were written of \(load.bytes)" }
            if round > 0 { rounds.append(result) }
        }
        return Measurement(
            name: "syslog-ng/file", unit: .row, count: load.rows, bytes: load.bytes, rounds: rounds, fault: fault)
    }

    /// - Returns: What it took, and the bytes that are in the file then.
    private static func syslogRound(
        _ program: String, _ load: Load, in folder: String
    ) async throws -> (Round, bytes: Int) {
        let (socket, output) = (folder + "/s", folder + "/out")
        try """
        @version: 3.38
        options { stats-freq(0); log-msg-size(65536); };
        source s { unix-stream("\(socket)" flags(no-parse) so-rcvbuf(1048576) log-fetch-limit(1000) log-iw-size(10000)); };
        destination d { file("\(output)" template("$MESSAGE\\n")); };
        log { source(s); destination(d); flags(flow-control); };
        """.write(toFile: folder + "/syslog-ng.conf", atomically: true, encoding: .utf8)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = [
            "--foreground", "--no-caps", "--cfgfile", folder + "/syslog-ng.conf", "--persist-file",
            folder + "/persist", "--pidfile", folder + "/pid", "--control", folder + "/control",
        ]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        defer {
            // It has nothing to lose, and may not heed less.
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        while !FileManager.default.fileExists(atPath: socket) {
            guard process.isRunning else { throw BenchmarkError("syslog-ng ended; is its configuration right?") }
            try await Task.sleep(for: .milliseconds(10))
        }
        let (wall, cpu) = (Clocks.wall, try cpuSeconds(of: process.processIdentifier))
        try await load.send(to: socket)
        // What does not grow for so long is all that comes.
        var (bytes, quietTimes) = (0, 0)
        while bytes < load.bytes, quietTimes < 200 {
            try await Task.sleep(for: .milliseconds(10))
            let now = try FileManager.default.attributesOfItem(atPath: output)[.size] as? Int ?? 0
            quietTimes = now == bytes ? quietTimes + 1 : 0
            bytes = now
        }
        return (
            Round(
                wallSeconds: Clocks.wall - wall, cpuSeconds: try cpuSeconds(of: process.processIdentifier) - cpu),
            bytes
        )
    }

    /// User and system time of another process (proc_pid_stat(5)), in steps of the system's tick.
    private static func cpuSeconds(of process: Int32) throws -> Double {
        let text = try String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
        let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else {
            throw BenchmarkError("/proc/\(process)/stat is not understood")
        }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    private static func withFolder<T: Sendable>(_ work: (String) async throws -> T) async throws -> T {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-peer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        return try await work(folder.path)
    }
}
