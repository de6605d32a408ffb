import Foundation
import Hummingbird
import HummingbirdTesting
import Pipeline
import TestSupport
import Testing

@testable import Admin

/// What changes something: who did it, and what became of it.
@Suite final class ActionTests {
    private struct Doing: AdminActions {
        let calls = Recorder<String>()
        let gate = Gate()

        func reload() async throws(AdminActionError) -> AdminActionResult {
            calls.record("reload")
            throw AdminActionError(.invalid, "the configuration has errors", details: ["ship.yaml:12: unknown key"])
        }

        func drain() async throws(AdminActionError) -> AdminActionResult {
            calls.record("drain")
            await gate.wait()
            return AdminActionResult("draining")
        }

        func flush(_ table: TableName) async throws(AdminActionError) -> AdminActionResult {
            calls.record("flush \(table)")
            guard table.table == "mstore" else { throw AdminActionError(.notFound, "no rows of \(table) were seen") }
            return AdminActionResult("1 block sealed", details: ["mstore: 17 rows"])
        }
    }

    private let doing = Doing()
    private let telemetry = Telemetry()
    private let directory = FileManager.default.temporaryDirectory.appending(path: "action-\(UUID().uuidString)")
    private var auditPath: String { directory.appending(path: "audit.log").path(percentEncoded: false) }

    init() throws { try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(at: directory) }

    private func ask<T: Sendable>(
        _ body: @Sendable @escaping (any TestClientProtocol) async throws -> T
    ) async throws -> T {
        var site = AdminSite(telemetry: telemetry)
        site.actions = doing
        var settings = AuditSettings()
        settings.path = auditPath
        site.audit = try AuditLog(settings: settings, logger: site.logger)
        return try await Application(router: AdminRouter.make(site, access: .socket)).test(.router, body)
    }

    @Test func whatIsDoneIsSaidAndWrittenDown() async throws {
        try await ask { client in
            let answer = try await client.execute(uri: "/tables/lake.mstore/flush", method: .post)
            #expect(answer.status == .ok)
            #expect(
                String(buffer: answer.body)
                    == "{\"status\":\"ok\",\"action\":\"tables/lake.mstore/flush\",\"message\":\"1 block sealed\",\"details\":[\"mstore: 17 rows\"]}\n"
            )
        }
        let line = try String(contentsOfFile: auditPath, encoding: .utf8)
        #expect(line.contains(#""action":"tables/lake.mstore/flush","outcome":"done","detail":"1 block sealed"}"#))
    }

    @Test func whatDoesNotWorkSaysWhy() async throws {
        try await ask { client in
            let reload = try await client.execute(uri: "/reload", method: .post)
            #expect(reload.status == .unprocessableContent)
            #expect(String(buffer: reload.body).contains("ship.yaml:12: unknown key"))
            #expect(try await client.execute(uri: "/tables/other/flush", method: .post).status == .notFound)
            // A name as a path has to write it.
            #expect(try await client.execute(uri: "/tables/lake.a%20b/flush", method: .post).status == .notFound)
            #expect(try await client.execute(uri: "/tables/a%20b%00/flush", method: .post).status == .notFound)
            let pause = try await client.execute(uri: "/pause", method: .post)
            #expect(pause.status == .notImplemented)
            #expect(String(buffer: pause.body).contains("this daemon cannot pause while it runs"))
        }
        #expect(doing.calls.values.contains("flush lake.a b"))
        let lines = try String(contentsOfFile: auditPath, encoding: .utf8).split(separator: "\n")
        #expect(lines.count == 5 && lines.allSatisfy { $0.contains("\"outcome\":\"failed\"") })
    }

    @Test(.endsEvenIfItHangs) func oneThingIsDoneAtATime() async throws {
        let doing = doing
        try await ask { client in
            try await withThrowingTaskGroup(of: HTTPResponse.Status.self) { group in
                group.addTask { try await client.execute(uri: "/drain", method: .post).status }
                _ = await doing.calls.wait(count: 1)
                let second = try await client.execute(uri: "/reload", method: .post)
                #expect(second.status == .conflict && String(buffer: second.body).contains("drain is still running"))
                doing.gate.open()
                #expect(try await group.next() == .ok)
            }
        }
        #expect(doing.calls.values == ["drain"])
    }

    @Test func readinessIsWhetherRowsAreTaken() async throws {
        let telemetry = telemetry
        telemetry.health.set(.connectionFailed)
        try await ask { client in
            for state in IntakeState.allCases {
                telemetry.intake = state
                let answer = try await client.execute(uri: "/health/ready", method: .get)
                #expect(answer.status == (state == .open ? .ok : .serviceUnavailable))
                #expect(
                    String(buffer: answer.body).contains(
                        "\"intake\":\"\(state.rawValue)\",\"health\":\"connection_failed\""))
                #expect(try await client.execute(uri: "/health/live", method: .get).status == .ok)
            }
        }
    }
}
