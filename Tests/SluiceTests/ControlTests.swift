import Admin
import Foundation
import Logging
import Pipeline
import TestSupport
import Testing

@testable import sluice

/// `sluice ctl` against the endpoints of a daemon that notes what it was asked for.
@Suite(.endsEvenIfItHangs) struct ControlTests {
    private final class Doing: AdminActions {
        let calls = Recorder<String>()

        func reload() async throws(AdminActionError) -> AdminActionResult {
            calls.record("reload")
            throw AdminActionError(.invalid, "nothing has changed", details: ["needs a restart: receive.backlog"])
        }

        func pause() async throws(AdminActionError) -> AdminActionResult {
            calls.record("pause")
            return AdminActionResult("paused")
        }

        func flush(_ table: TableName) async throws(AdminActionError) -> AdminActionResult {
            calls.record("flush \(table)")
            return AdminActionResult("a block", details: ["of \(table)"])
        }
    }

    /// What the commands end with.
    private func run(_ commands: [[String]]) async throws -> (statuses: [Int32], calls: [String]) {
        let folder = try Folder()
        let doing = Doing()
        var settings = AdminSettings()
        settings.host = nil
        settings.socketPath = folder.file("a.sock")
        let listening = Gate()
        let stage = try AdminStage(
            settings: settings, telemetry: Telemetry(), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            actions: doing, onListening: { _ in listening.open() })
        let running = Task { try await stage.run() }
        await listening.wait()
        var statuses: [Int32] = []
        for command in commands {
            let arguments = ["ctl"] + command + ["--socket", folder.file("a.sock")]
            statuses.append(
                await withCheckedContinuation { continuation in
                    Thread.detachNewThread {
                        do {
                            var parsed = try Sluice.parseAsRoot(arguments)
                            try parsed.run()
                            continuation.resume(returning: 0)
                        } catch {
                            continuation.resume(returning: Sluice.exitCode(for: error).rawValue)
                        }
                    }
                })
        }
        running.cancel()
        _ = try? await running.value
        return (statuses, doing.calls.values)
    }

    @Test func theExitStatusSaysWhetherItWasDone() async throws {
        let (statuses, calls) = try await run([["pause"], ["reload"], ["resume"]])
        #expect(statuses == [0, 1, 1])
        #expect(calls == ["pause", "reload"])
    }

    @Test func aTableMayHaveAnyName() async throws {
        let (statuses, calls) = try await run([["flush", "lake.mstore"], ["flush", "a b/c%"], ["flush", "a`b"]])
        #expect(statuses == [0, 0, 64])
        #expect(calls == ["flush lake.mstore", "flush a b/c%"])
    }

    @Test func whereNobodyListensItSaysSo() throws {
        let error = #expect(throws: TopError.self) {
            _ = try AdminConnection(to: .socket("/nowhere/a.sock"), method: "POST", path: "/reload", token: nil)
        }
        #expect(error?.description.hasPrefix("no daemon answers on /nowhere/a.sock") == true)
    }

    @Test func anAnswerIsASentenceAndWhatThereIsToSayToIt() throws {
        let answer = try JSONDecoder().decode(
            ControlAnswer.self, from: Data(#"{"status":"ok","message":"2 settings changed","details":["a","b"]}"#.utf8))
        #expect(answer.lines == ["2 settings changed", "  a", "  b"])
    }
}
