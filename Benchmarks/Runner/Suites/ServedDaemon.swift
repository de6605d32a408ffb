import Workloads
import Foundation

/// What a daemon in a child process shall do.
struct ServeJob: Codable, Sendable {
    /// For the socket, the files and the dead letter.
    let directory: String
    /// It stops when so many rows were accepted or rejected.
    let rows: Int
    let sink: String
    let table: Workload.Table
    let schema: String
    let clickhouse: String?
    var hasSpool = true
    /// Tables of the structure, which rows name; 0: one, which they need not name.
    var tables = 0
    /// Rows find their tables by a route on the field that names them.
    var hasRoute = false

    var socketPath: String { directory + "/s" }
}

/// What it says at the end.
struct ServeOutcome: Codable, Sendable {
    let committedRows: Int
    /// From listening to the end, of the process.
    let cpuSeconds: Double
    /// On the clock that all processes of a machine share.
    let end: Double
    let peakResidentBytes: Int
    /// That the rows went through the daemon in.
    let rowBatches: Int
    let system: SystemCounts
}

/// A daemon in a child process: this executable with the subcommand `serve`. The child writes a line when it listens and
/// its outcome as JSON when it is done.
final class ServedDaemon: Sendable {
    private let process: Process
    private let lines: LineFeed

    init(_ job: ServeJob) throws {
        process = Process()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = ["serve", String(decoding: try JSONEncoder().encode(job), as: UTF8.self)]
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardInput = FileHandle.nullDevice
        lines = LineFeed(pipe.fileHandleForReading)
        try process.run()
    }

    func waitUntilListening() async throws {
        guard await lines.next() == ServeCommand.listening else { throw BenchmarkError("the daemon did not start") }
    }

    func outcome() async throws -> ServeOutcome {
        guard let line = await lines.next() else { throw BenchmarkError("the daemon ended early") }
        return try JSONDecoder().decode(ServeOutcome.self, from: Data(line.utf8))
    }

    func kill() {
        if process.isRunning { process.terminate() }
        process.waitUntilExit()
    }
}

/// Lines of a pipe, read on threads that may block.
private struct LineFeed: Sendable {
    private let handle: FileHandle

    init(_ handle: FileHandle) { self.handle = handle }

    /// nil at the end. The child writes a line at a time and waits in between, so a line is what one read gives.
    func next() async -> String? {
        await withCheckedContinuation { continuation in
            Thread {
                var bytes = Data()
                while bytes.last != 0x0A {
                    let more = handle.availableData
                    if more.isEmpty { break }
                    bytes += more
                }
                let line = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .newlines)
                continuation.resume(returning: bytes.isEmpty ? nil : line)
            }.start()
        }
    }
}
