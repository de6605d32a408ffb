import Foundation
import Logging
import Pipeline
import TestSupport
import Testing

@testable import Admin

/// The page as somebody sees it who opens it in a browser. The script fails when the browser complains of anything: an
/// error of the page's own script, what its policy forbids, a request to elsewhere.
@Suite(.serialized, .endsEvenIfItHangs)
struct DashboardTests {
    private static let hasBrowser = ["/usr/bin/chromium", "/usr/local/bin/chromium"].contains {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    /// What can be read on the page of a daemon that has counted this.
    private func page(
        _ telemetry: Telemetry, token: String? = nil, _ change: @escaping (inout AdminSettings) -> Void = { _ in }
    ) async throws -> String {
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "dashboard-\(UInt32.random(in: 0...UInt32.max))")
        defer { try? FileManager.default.removeItem(at: folder) }
        var settings = AdminSettings()
        settings.port = 0
        change(&settings)
        let ports = Recorder<Int>()
        let stage = try AdminStage(
            settings: settings, telemetry: telemetry,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, onListening: ports.record)
        let running = Task { try await stage.run() }
        let port = await ports.wait(count: 1)[0]
        let arguments = ["http://127.0.0.1:\(port)", folder.path, "--seconds", "0"]
        let result: Result<String, any Error>
        do {
            result = .success(
                try await ScriptRunner.run(
                    "scripts/dashboard-pictures", arguments + (token.map { ["--token", $0] } ?? [])))
        } catch {
            result = .failure(error)
        }
        running.cancel()
        _ = try? await running.value
        _ = try result.get()
        for picture in ["wide", "dark", "phone"] {
            let bytes = try Data(contentsOf: folder.appending(path: "\(picture).png"))
            #expect(bytes.starts(with: [0x89, 0x50, 0x4E, 0x47]), "\(picture) is a picture")
        }
        return try String(contentsOf: folder.appending(path: "page.txt"), encoding: .utf8)
    }

    /// With the streams of a daemon, so that there is a flow to draw.
    private func telemetry() -> (Telemetry, [BoundedStream<Int>]) {
        let telemetry = Telemetry()
        telemetry.describe(version: "1.2.3")
        let streams = ["validate", "spool", "batch", "compress", "ship"].map { name in
            let stream = BoundedStream<Int>(elementsMax: 4, bytesMax: 1024) { $0 }
            telemetry.observe(stream, as: name, rows: { $0 })
            return stream
        }
        return (telemetry, streams)
    }

    @Test(.enabled(if: hasBrowser, "chromium is missing: scripts/needs tests"))
    func aHostThatIsDownAndRowsThatAreRejectedAreSeen() async throws {
        let (telemetry, streams) = telemetry()
        defer { withExtendedLifetime(streams) {} }
        telemetry.health.set(.degraded)
        let (down, well) = (HostTelemetry(host: "ch1:9000"), HostTelemetry(host: "ch2:9000"))
        down.set(breaker: .open)
        down.erred(.connection)
        telemetry.observe(hosts: [down, well])
        let table = telemetry.table(TableName(table: "mstore"))
        telemetry.accepted(rows: 1_234_567, into: table)
        table.rejectedRows.add(7, reason: "type_mismatch")

        let page = try await page(telemetry)

        #expect(page.contains("degraded"))
        #expect(page.contains("Left alone for now, because it failed again and again: ch1:9000."))
        #expect(page.contains("ch1:9000\topen\t0\t0\t0\tconnection 1"))
        #expect(page.contains("ch2:9000\tclosed\t0\t0\t0\tnone"))
        #expect(page.contains("type_mismatch") && page.contains("7 rows"))
        #expect(page.contains("mstore\t1.23 M"))
    }

    /// Names and messages are what producers and servers made of them.
    @Test(.enabled(if: hasBrowser, "chromium is missing: scripts/needs tests"))
    func textFromOutsideStaysText() async throws {
        let (telemetry, streams) = telemetry()
        defer { withExtendedLifetime(streams) {} }
        let hostile = "<img src=x onerror=document.title=1><script>fetch('http://192.0.2.1/')</script>"
        let table = telemetry.table(TableName(table: hostile))
        telemetry.accepted(rows: 1, into: table)
        table.rejectedRows.add(reason: "type_mismatch")

        let page = try await page(telemetry)

        #expect(page.contains(hostile))
    }

    @Test(.enabled(if: hasBrowser, "chromium is missing: scripts/needs tests"))
    func whereATokenIsAskedForItIsTypedOnce() async throws {
        let (telemetry, streams) = telemetry()
        defer { withExtendedLifetime(streams) {} }
        let token = "0123456789abcdef"

        let page = try await page(telemetry, token: token) { $0.token = Secret(token) }

        #expect(page.contains("All is well") && page.contains("1.2.3"))
    }

    @Test(.enabled(if: hasBrowser, "chromium is missing: scripts/needs tests"))
    func nothingIsShownToAWrongToken() async throws {
        let (telemetry, streams) = telemetry()
        defer { withExtendedLifetime(streams) {} }
        let error = await #expect(throws: ScriptRunner.Failure.self) {
            try await page(telemetry, token: "another one, of 16 and more bytes") {
                $0.token = Secret("0123456789abcdef")
            }
        }
        #expect(error?.description.contains("no data is shown") == true)
    }
}
