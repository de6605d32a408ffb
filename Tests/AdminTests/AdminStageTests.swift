import Foundation
import Hummingbird
import HummingbirdTesting
import Logging
import Pipeline
import TestSupport
import Testing

@testable import Admin

/// The endpoints on real sockets, run as the daemon runs them.
@Suite(.endsEvenIfItHangs) final class AdminStageTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private let directory = FileManager.default.temporaryDirectory.appending(
        path: "admin-\(UInt32.random(in: 0...UInt32.max))")
    private var socketPath: String { directory.appending(path: "admin.sock").path(percentEncoded: false) }

    init() throws { try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(at: directory) }

    private func stage(
        _ ports: Recorder<Int>, telemetry: Telemetry = Telemetry(), port: Int = 0,
        _ change: (inout AdminSettings) -> Void = { _ in }
    ) throws -> AdminStage {
        var settings = AdminSettings()
        settings.port = port
        change(&settings)
        return try AdminStage(settings: settings, telemetry: telemetry, logger: logger, onListening: ports.record)
    }

    /// Runs a stage while the body does, which gets the port.
    private func running<T: Sendable>(
        telemetry: Telemetry = Telemetry(), _ change: (inout AdminSettings) -> Void = { _ in },
        _ body: (Int) async throws -> T
    ) async throws -> T {
        let ports = Recorder<Int>()
        let runtime = Runtime(
            stages: [try stage(ports, telemetry: telemetry, change)], shutdownTimeout: .seconds(30), logger: logger,
            exitNow: { _ in })
        let running = Task { try await runtime.run(signals: false) }
        let port = await ports.wait(count: 1)[0]
        let result = try await body(port)
        runtime.stop()
        #expect(try await running.value == .drained)
        return result
    }

    @Test func answersUntilItIsStoppedAndAnIdleClientHoldsNothingUp() async throws {
        let ports = Recorder<Int>()
        let runtime = Runtime(
            stages: [try stage(ports)], shutdownTimeout: .seconds(30), logger: logger, exitNow: { _ in })
        let running = Task { try await runtime.run(signals: false) }
        let port = await ports.wait(count: 1)[0]

        let reason = try await TestClient.withClient(
            host: "127.0.0.1", port: port, configuration: .init(timeout: .seconds(120))
        ) { client in
            let response = try await client.get("/ping")
            #expect(response.status == .ok)
            // The client's connection stays open meanwhile.
            runtime.stop()
            return try await running.value
        }
        #expect(reason == .drained)
    }

    @Test func aPortThatIsTakenIsNamed() async throws {
        let ports = Recorder<Int>()
        let first = try stage(ports)
        let running = Task { try await first.run() }
        let port = await ports.wait(count: 1)[0]

        let error = await #expect(throws: AdminError.self) { try await stage(Recorder(), port: port).run() }

        #expect(error?.description.contains("127.0.0.1:\(port)") == true)
        running.cancel()
        _ = try? await running.value
    }

    @Test(.enabled(if: LiveClient.isPossible, "curl is missing"))
    func aUnixSocketServesWhoeverMayOpenIt() async throws {
        let path = socketPath
        try await running { settings in
            settings.host = nil
            settings.socketPath = path
        } _: { _ in
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
            let client = LiveClient(arguments: ["--unix-socket", path])
            let ping = await client.ask("http://sluice/ping")
            #expect(ping.status == 200 && ping.body.contains("initializing"))
            // Something can be asked for without a token; this daemon just has no such thing.
            #expect(await client.ask("http://sluice/reload", "-X", "POST").status == 501)
            let names = try FileManager.default.contentsOfDirectory(atPath: directory.path(percentEncoded: false))
            #expect(names == ["admin.sock"], "what it was made in is gone")
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test func aLiveSocketIsRefusedAndAStaleOneReplaced() async throws {
        let path = socketPath
        func onSocket(_ settings: inout AdminSettings) {
            settings.host = nil
            settings.socketPath = path
        }
        try await running(onSocket) { _ in
            let error = await #expect(throws: AdminError.self) {
                try await stage(Recorder(), onSocket).run()
            }
            #expect(error?.description == "\(path) (admin.socket.path) is in use by another process")
        }
        // A socket whose process was killed.
        var address = try #require(AdminSocket.address(of: path))
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        close(descriptor)
        #expect(bound == 0)
        try await running(onSocket) { _ in }
        // A file that is none is not touched.
        try "mine".write(toFile: path, atomically: true, encoding: .utf8)
        let error = await #expect(throws: AdminError.self) { try await stage(Recorder(), onSocket).run() }
        #expect(error?.description.contains("it is no socket") == true)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "mine")
    }

    @Test(.enabled(if: LiveClient.isPossible && Certificate.isPossible, "curl or openssl is missing"))
    func overTLSTheTokenIsAskedFor() async throws {
        let certificate = try Certificate(in: directory.path(percentEncoded: false))
        try await running { settings in
            settings.token = Secret("0123456789abcdef")
            settings.tlsCertificate = certificate.path
            settings.tlsKey = certificate.key
        } _: { port in
            let client = LiveClient(arguments: ["--cacert", certificate.path])
            #expect(await client.ask("https://localhost:\(port)/status").status == 401)
            let right = await client.ask(
                "https://localhost:\(port)/status", "-H", "Authorization: Bearer 0123456789abcdef")
            #expect(right.status == 200)
            #expect(await client.ask("http://localhost:\(port)/ping").status == 0, "not in the clear")
            #expect(
                await client.ask("https://localhost:\(port)/ping", "--tls-max", "1.1").status == 0, "not with old TLS")
        }
    }

    @Test func aKeyThatCannotBeUsedIsNamedAndNotShown() async throws {
        let path = directory.appending(path: "x.pem").path(percentEncoded: false)
        try "no certificate, but s3cret".write(toFile: path, atomically: true, encoding: .utf8)
        let error = await #expect(throws: AdminError.self) {
            try await stage(Recorder()) {
                $0.tlsCertificate = path
                $0.tlsKey = path
            }.run()
        }
        #expect(error?.description.contains(path) == true && error?.description.contains("s3cret") == false)
    }

    @Test(.enabled(if: LiveClient.isPossible, "curl is missing"))
    func aLoopbackListenerAnswersToLoopbackNamesOnly() async throws {
        try await running { port in
            let client = LiveClient()
            #expect(await client.ask("http://localhost:\(port)/status").status == 200)
            #expect(await client.ask("http://127.0.0.1:\(port)/status").status == 200)
            #expect(await client.ask("http://127.0.0.1:\(port)/status", "-H", "Host: evil.example").status == 403)
            #expect(await client.ask("http://127.0.0.1:\(port)/drain", "-X", "POST").status == 403)
        }
    }

    @Test(.enabled(if: LiveClient.isPossible, "curl is missing"))
    func theLiveStreamTellsWhatHappensAndEndsWithTheDaemon() async throws {
        let telemetry = Telemetry()
        let table = telemetry.table(TableName(table: "mstore"))
        let stopped = Recorder<String>()
        try await running(telemetry: telemetry) { port in
            let client = LiveClient()
            // Counts up while somebody looks.
            let counting = Task {
                while !Task.isCancelled {
                    telemetry.accepted(rows: 100, into: table)
                    try? await Task.sleep(for: .milliseconds(50))
                }
            }
            var events: [String] = []
            // Two come within some seconds, on a machine that has time for them.
            for seconds in [20, 60, 180] where events.count < 2 {
                let text = await client.ask("http://127.0.0.1:\(port)/events", "--max-time", "\(seconds)", "-N").body
                events = text.components(separatedBy: "\n\n").filter { !$0.isEmpty }
            }
            counting.cancel()
            #expect(events.count >= 2)
            for event in events.dropLast() {
                let lines = event.split(separator: "\n", maxSplits: 1)
                #expect(lines[0] == "event: status" && lines[1].hasPrefix("data: {"))
                let data = try JSONSerialization.jsonObject(with: Data(lines[1].dropFirst(6).utf8))
                #expect(data is [String: Any])
            }
            #expect(events.first?.contains("\"rates\":null") == true)
            #expect(events.count < 2 || events[1].contains("\"accepted_rows\":"))
            // One that is open when the daemon stops.
            let before = telemetry.snapshot().adminRequests["ok"] ?? 0
            Task { stopped.record(await client.ask("http://127.0.0.1:\(port)/events", "-N").body) }
            await eventually { telemetry.snapshot().adminRequests["ok"] == before + 1 }
        }
        #expect(await stopped.wait(count: 1)[0].hasPrefix("event: status"))
    }

    @Test(.enabled(if: LiveClient.isPossible, "curl is missing"))
    func thereAreOnlySoManyStreams() async throws {
        let telemetry = Telemetry()
        try await running(telemetry: telemetry) {
            $0.streamsMax = 1
        } _: { port in
            let client = LiveClient()
            let first = Task { await client.ask("http://127.0.0.1:\(port)/events", "--max-time", "300", "-N") }
            await eventually { telemetry.snapshot().adminRequests["ok"] == 1 }
            let second = await client.ask("http://127.0.0.1:\(port)/events")
            #expect(second.status == 503 && second.body.contains("admin.streams_max"))
            first.cancel()
            // The place is free again once the server has noticed.
            await eventually {
                await client.ask("http://127.0.0.1:\(port)/events", "--max-time", "1", "-N").status == 200
            }
        }
    }
}

/// A certificate for loopback that signs itself.
private struct Certificate: Sendable {
    static let isPossible = FileManager.default.isExecutableFile(atPath: "/usr/bin/openssl")

    let path: String
    let key: String

    init(in directory: String) throws {
        path = directory + "/certificate.pem"
        key = directory + "/key.pem"
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/openssl")
        process.arguments = [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=sluice test", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out",
            path,
        ]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
    }
}
