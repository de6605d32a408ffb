import Foundation
import Workloads

/// Programs of others that do a part of sluice's work, only where they are installed.
enum PeerProgramSuite {
    static let benchmarks: [Benchmark] = [
        Benchmark(
            name: "syslog-ng/file",
            about: "syslog-ng takes the lines from a Unix socket and writes them to a file, as they are",
            program: "syslog-ng", run: writeBySyslog)
    ]

    static let pairs = [
        (peer: "syslog-ng/file", ours: "clickhouse/plain"), (peer: "syslog-ng/file", ours: "null/plain"),
        (peer: "syslog-ng/file", ours: "null/plain-nospool"),
    ]

    static func isInstalled(_ program: String) -> Bool { path(of: program) != nil }

    private static func path(of program: String) -> String? {
        ["/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/"].map { $0 + program }.first {
            FileManager.default.isExecutableFile(atPath: $0)
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
