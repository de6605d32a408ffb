import Foundation

/// A server of a test's own, to be stopped, frozen, killed and started again; its data stay. It ends with the test's
/// process at the latest.
public struct OwnServer: Sendable {
    public let server: ClickHouseServer
    public let pid: Int32
    private let directory: String

    /// - Parameter directory: of its data; made where it is missing, and the caller's to remove.
    public static func start(_ kind: ClickHouseServer.Kind, in directory: URL) async throws -> OwnServer {
        try await start(kind, in: directory.path, ports: nil)
    }

    private static func start(
        _ kind: ClickHouseServer.Kind, in directory: String, ports: (tcp: Int, http: Int)?
    ) async throws -> OwnServer {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        var arguments = ["--dir", directory]
        if let ports { arguments += ["--tcp", "\(ports.tcp)", "--http", "\(ports.http)"] }
        let (server, pid) = try await ServerScript.start(kind, arguments)
        return OwnServer(server: server, pid: pid, directory: directory)
    }

    public func stop() async throws {
        _ = try await ScriptRunner.run("scripts/clickhouse", [server.kind.rawValue, "stop", "--dir", directory])
    }

    /// Returns when it is gone. Once: later its number may be another process's.
    public func kill() {
        send(SIGKILL)
        while Foundation.kill(pid, 0) == 0 { usleep(1000) }
    }

    /// `SIGSTOP` and `SIGCONT`.
    public func send(_ signal: Int32) { _ = Foundation.kill(pid, signal) }

    /// Starts it once more after it was stopped or killed, with the same data and ports.
    public func startAgain() async throws -> OwnServer {
        try await Self.start(server.kind, in: directory, ports: (server.nativePort, server.httpPort))
    }
}

/// `scripts/clickhouse … start`: what it says of the server.
enum ServerScript {
    private struct Said: Decodable {
        let pid: Int32
        let host: String
        let tcp: Int
        let http: Int
    }

    static func start(
        _ kind: ClickHouseServer.Kind, _ arguments: [String] = []
    ) async throws -> (server: ClickHouseServer, pid: Int32) {
        let parent = "\(ProcessInfo.processInfo.processIdentifier)"
        let line = try await ScriptRunner.run(
            "scripts/clickhouse", [kind.rawValue, "start", "--parent-pid", parent] + arguments)
        let said = try JSONDecoder().decode(Said.self, from: Data(line.utf8))
        let server = ClickHouseServer(kind: kind, host: said.host, nativePort: said.tcp, httpPort: said.http)
        return (server, said.pid)
    }
}
