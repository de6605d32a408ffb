import Foundation
import Logging
import TestSupport
import Testing

@testable import Pipeline

@Suite final class AuditLogTests {
    private let directory = FileManager.default.temporaryDirectory.appending(path: "audit-\(UUID().uuidString)")
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private let telemetry = Telemetry()
    private var path: String { directory.appending(path: "audit.log").path(percentEncoded: false) }

    init() throws { try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(at: directory) }

    private func log(bytesMax: Int = 1 << 20, filesMax: Int = 3, at time: Double = 1_705_314_600) throws -> AuditLog {
        var settings = AuditSettings()
        settings.path = path
        settings.fileBytesMax = bytesMax
        settings.filesMax = filesMax
        return try #require(
            try AuditLog(
                settings: settings, telemetry: telemetry, logger: logger, now: { Date(timeIntervalSince1970: time) }))
    }

    private func lines(_ path: String) -> [String] {
        ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").split(separator: "\n").map(String.init)
    }

    @Test func anEntryIsALineThatSaysWhoDidWhat() async throws {
        try await log().record(
            .init(actor: "unix uid 0 pid 812", action: "reload", outcome: .done, detail: "2 keys changed\n\"x\""))
        #expect(
            lines(path) == [
                #"{"time":"2024-01-15T10:30:00Z","actor":"unix uid 0 pid 812","action":"reload","outcome":"done","detail":"2 keys changed\u000a\"x\""}"#
            ])
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }

    @Test func whatWasThereStays() async throws {
        try await log().record(.init(actor: "a", action: "x", outcome: .done))
        try await log().record(.init(actor: "a", action: "y", outcome: .failed))
        #expect(lines(path).count == 2)
    }

    @Test func filesAreBoundedInSizeAndNumber() async throws {
        let log = try log(bytesMax: 4096, filesMax: 3)
        for number in 0..<300 { await log.record(.init(actor: "a", action: "action \(number)", outcome: .done)) }
        let names = try FileManager.default.contentsOfDirectory(atPath: directory.path(percentEncoded: false)).sorted()
        #expect(names == ["audit.log", "audit.log.1", "audit.log.2"] || names == ["audit.log.1", "audit.log.2"])
        for name in names {
            let size = lines(directory.appending(path: name).path(percentEncoded: false)).reduce(0) {
                $0 + $1.utf8.count + 1
            }
            #expect(size < 4096 + 200)
        }
        #expect(lines(path + ".1").last?.contains("action") == true)
    }

    @Test func aFileThatSomebodyRenamedIsNotWrittenToAnyMore() async throws {
        let log = try log()
        await log.record(.init(actor: "a", action: "x", outcome: .done))
        try FileManager.default.moveItem(atPath: path, toPath: path + ".old")
        await log.record(.init(actor: "a", action: "y", outcome: .done))
        #expect(lines(path).count == 1 && lines(path + ".old").count == 1)
    }

    @Test func whoKnocksOftenPushesNothingOut() async throws {
        let log = try log()
        for _ in 0..<50 { await log.record(.init(actor: "tcp 10.0.0.7", action: "GET /status", outcome: .refused)) }
        #expect(lines(path).count == AuditLog.refusalsPerSecondMax)
        await log.record(.init(actor: "a", action: "drain", outcome: .done))
        #expect(lines(path).last?.hasSuffix(#""outcome":"done","suppressed":40}"#) == true)
    }

    @Test func longDetailsAreCutBetweenCharacters() async throws {
        try await log().record(
            .init(actor: "a", action: "x", outcome: .failed, detail: String(repeating: "ä", count: 5_000)))
        let line = try #require(lines(path).first)
        #expect(line.utf8.count < 1_300 && line.hasSuffix("…\"}"))
    }

    @Test func aPlaceThatCannotBeWrittenIsRefusedAtTheStart() throws {
        var settings = AuditSettings()
        settings.path = directory.appending(path: "none/audit.log").path(percentEncoded: false)
        let error = #expect(throws: AuditError.self) { try AuditLog(settings: settings, logger: logger) }
        #expect(error?.description.contains("audit.path") == true)
        // A link that somebody laid where the log is to be would have us append to what it leads to.
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "/dev/null")
        settings.path = path
        #expect(throws: AuditError.self) { try AuditLog(settings: settings, logger: logger) }
    }

    @Test func whatIsNoPlainFileIsClosedOnce() {
        let closed = filesClosedByOthers {
            for _ in 0..<2_000 { #expect(throws: AuditError.self) { try AuditFile(path: "/dev/null") } }
        }
        #expect(closed == 0)
    }

    @Test func aLineThatCannotBeWrittenIsCounted() async throws {
        let log = try log()
        // A directory of that name: nothing can be opened there any more.
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        await log.record(.init(actor: "a", action: "x", outcome: .done))
        #expect(telemetry.snapshot().auditErrors == 1)
    }

    @Test func withoutAPathThereIsNone() throws {
        var settings = AuditSettings()
        settings.path = nil
        #expect(try AuditLog(settings: settings, logger: logger) == nil)
    }
}
