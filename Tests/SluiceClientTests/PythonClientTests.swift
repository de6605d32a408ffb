import Foundation
import TestSupport
import Testing

/// The client of clients/python against the daemon's own code: proof that the specification is enough.
@Suite(.endsEvenIfItHangs) struct PythonClientTests {
    private static let client =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("clients/python").path

    private struct Result: Sendable {
        var status: Int32
        var output: String
        var errors: String
    }

    /// Fails loudly where there is no Python: a test that is skipped proves nothing.
    private func python(_ arguments: [String], input: String = "") async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(
                    with: Swift.Result {
                        let process = Process()
                        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
                        process.arguments = ["python3"] + arguments
                        process.environment = ProcessInfo.processInfo.environment.merging([
                            "PYTHONPATH": Self.client, "PYTHONDONTWRITEBYTECODE": "1",
                        ]) { $1 }
                        let pipes = (Pipe(), Pipe(), Pipe())
                        (process.standardInput, process.standardOutput, process.standardError) = pipes
                        try process.run()
                        Thread.detachNewThread {
                            pipes.0.fileHandleForWriting.write(Data(input.utf8))
                            try? pipes.0.fileHandleForWriting.close()
                        }
                        let output = pipes.1.fileHandleForReading.readDataToEndOfFile()
                        let errors = pipes.2.fileHandleForReading.readDataToEndOfFile()
                        process.waitUntilExit()
                        #expect(process.terminationStatus != 127, "python3 is needed for this test")
                        return Result(
                            status: process.terminationStatus, output: String(decoding: output, as: UTF8.self),
                            errors: String(decoding: errors, as: UTF8.self))
                    })
            }
        }
    }

    @Test func itWaitsWhenItIsTooFastAndGivesUpWhenItMayNot() async throws {
        let rows = (0..<1_000).map { "row \($0)" }
        let daemon = try FakeDaemon {
            $0.rateLimit.producerBytes = ["py": 5_000]
            $0.rateLimit.burst = .milliseconds(50)
        }
        let result = try await daemon.run {
            try await python(
                [
                    "\(Self.client)/sluice_client.py", daemon.path, "--name", "py", "--epoch", "1", "--frame-bytes-max",
                    "512",
                ],
                input: rows.joined(separator: "\n") + "\n")
        }
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output.hasPrefix("acked 1000 rejected 0 connections ") && !result.output.hasSuffix(" 1\n"))
        #expect(daemon.rows("py") == rows)
        #expect(daemon.ledger.duplicates.isEmpty)

        let closed = try FakeDaemon { $0.allowedGroups = ["\(getgid() &+ 12_345)"] }
        let refused = try await closed.run {
            try await python(["\(Self.client)/sluice_client.py", closed.path, "--name", "py"], input: "a\n")
        }
        #expect(refused.status == 1)
        #expect(refused.errors.contains("Refused: not_allowed: user"))
    }

    @Test func rowsArriveAndRejectedOnesAreNamed() async throws {
        let daemon = try FakeDaemon()
        let result = try await daemon.run {
            try await python(
                ["\(Self.client)/sluice_client.py", daemon.path, "--name", "py", "--epoch", "1"],
                input: "a\nbad\nc\n")
        }
        #expect(result.status == 65, "\(result.errors)")
        #expect(result.output == "acked 3 rejected 1 connections 1\n")
        #expect(result.errors == "row 2 rejected: type_mismatch: not a number\n")
        #expect(daemon.rows("py") == ["a", "bad", "c"])
    }

    @Test(arguments: Seeds.some(4))
    func connectionsThatBreakAnywhereLoseAndDoubleNothing(seed: UInt64) async throws {
        let daemon = try FakeDaemon()
        let rows = (0..<2_000).map { "row \($0)" }
        let result = try await daemon.run {
            let proxy = try BreakingProxy(
                path: daemon.directory.file("p.sock"), target: daemon.path, seed: seed, breaks: 15)
            defer { proxy.stop() }
            return try await python(
                [
                    "\(Self.client)/sluice_client.py", proxy.path, "--name", "py", "--epoch", "1", "--buffer-bytes-max",
                    "5000", "--frame-bytes-max", "300",
                ], input: rows.joined(separator: "\n") + "\n")
        }
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output.hasPrefix("acked 2000 rejected 0"))
        #expect(daemon.rows("py") == rows)
        #expect(daemon.ledger.duplicates.isEmpty)
    }

    @Test func aRunThatIsRepeatedGoesOnWhereItWas() async throws {
        let daemon = try FakeDaemon()
        let arguments = ["\(Self.client)/sluice_client.py", daemon.path, "--name", "py", "--epoch", "1"]
        try await daemon.run {
            for input in ["a\nb\n", "a\nb\nc\n"] {
                let result = try await python(arguments, input: input)
                #expect(result.status == 0, "\(result.errors)")
            }
        }
        #expect(daemon.rows("py") == ["a", "b", "c"])
    }

    @Test func aRefusalEndsIt() async throws {
        let daemon = try FakeDaemon(hasSpool: false)
        let result = try await daemon.run {
            try await python(["\(Self.client)/sluice_client.py", daemon.path], input: "a\n")
        }
        #expect(result.status == 1)
        #expect(result.errors.contains("no_spool: this daemon has no spool"))
    }

    /// The program that the README shows, as it stands there.
    @Test func theTenLinesOfTheReadmeWork() async throws {
        let text = try String(contentsOfFile: "\(Self.client)/README.md", encoding: .utf8)
        let program = try #require(text.components(separatedBy: "```python\n").dropFirst().first)
            .components(separatedBy: "```")[0]
        let daemon = try FakeDaemon()
        let result = try await daemon.run {
            try await python(["-c", program.replacing("/run/sluice/sluice.sock", with: daemon.path)])
        }
        #expect(result.output == "acked 3 of 3 []\n", "\(result.errors)")
        #expect(daemon.rows("") == (0..<3).map { "{\"table\": \"events\", \"id\": \($0)}" })
    }
}
