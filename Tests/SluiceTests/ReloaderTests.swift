import Admin
import Daemon
import Foundation
import Logging
import Pipeline
import Synchronization
import TestSupport
import Testing

@testable import sluice

/// What an operator sees of a reload: the answer, the log, and that all of it happens or nothing.
@Suite(.endsEvenIfItHangs) struct ReloaderTests {
    private let folder: Folder
    private let lines = Recorder<String>()

    init() throws { folder = try Folder() }

    private func write(_ text: String, to name: String = "sluice.yaml") throws {
        try text.write(toFile: folder.file(name), atomically: true, encoding: .utf8)
    }

    private var base: String {
        """
        admin: {enabled: false}
        audit: {path: none}
        """
    }

    private func stages(_ receive: String = "", ship: String = "sink: null") throws {
        try FileManager.default.createDirectory(atPath: folder.file("stages"), withIntermediateDirectories: true)
        try write("socket: {path: \(folder.file("s.sock"))}\n\(receive)\n", to: "stages/receive.yaml")
        try write("dead_letter: {directory: \(folder.file("dl"))}\n", to: "stages/validate.yaml")
        try write("enabled: false\n", to: "stages/spool.yaml")
        try write(ship + "\n", to: "stages/ship.yaml")
    }

    private func reloader() throws -> (Reloader, Daemon) {
        let loader = ConfigurationLoader(environment: [:])
        let main = folder.file("sluice.yaml")
        let configuration = try loader.load(main)
        let logger = Logger(label: "test") { [lines] _ in LineLog(lines: lines) }
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let reloader = Reloader(configuration, logger: logger, setLogLevel: { _ in }) {
            () throws(ConfigurationFailure) in try loader.load(main)
        }
        let daemon = try Daemon(
            settings: configuration.settings, schema: configuration.schema, logger: quiet, exitNow: { _ in })
        reloader.attach(daemon)
        return (reloader, daemon)
    }

    @Test func whatDiffersIsTakenOverAndLogged() async throws {
        try write(base)
        try stages()
        let (reloader, _) = try reloader()
        #expect(try await reloader.reload().message == "nothing differs from what is running")

        try stages("connections_max: 7\nrate_limit: {producer_rows: {\"*\": 100}}")
        let result = try await reloader.reload()
        #expect(
            result.details == [
                "receive.connections_max: 4096 → 7", "receive.rate_limit.producer_rows: {} → {\"*\": \"100\"}",
            ])
        #expect(lines.values.contains { $0.hasPrefix("configuration reloaded") && $0.contains("4096 → 7") })
        #expect(try await reloader.reload().details.isEmpty)
    }

    @Test func aMistakeLeavesTheOldOneRunningAndSaysWhy() async throws {
        try write(base)
        try stages()
        let (reloader, _) = try reloader()
        try stages("conections_max: 7")
        let unknown = await #expect(throws: AdminActionError.self) { try await reloader.reload() }
        #expect(unknown?.code == .invalid)
        #expect(unknown?.details.first?.contains("did you mean \"connections_max\"?") == true)

        // Of two changes one cannot be: the other one is not taken over either.
        try stages("connections_max: 7\nallowed_users: [nobody-of-this-name]")
        let impossible = await #expect(throws: AdminActionError.self) { try await reloader.reload() }
        #expect(impossible?.details == ["there is no user nobody-of-this-name"])
        try stages("connections_max: 7\nbacklog: 5")
        let restart = await #expect(throws: AdminActionError.self) { try await reloader.reload() }
        #expect(restart?.details == ["needs a restart: receive.backlog: 1024 → 5"])
        #expect(lines.values.count { $0.hasPrefix("reload refused") } == 3)

        try stages("connections_max: 7")
        #expect(try await reloader.reload().details == ["receive.connections_max: 4096 → 7"])
    }

    @Test func aSecretIsReadAgainAndNeverShown() async throws {
        try write(base)
        try write("first-password\n", to: "password")
        let ship = """
            sink: clickhouse
            clickhouse: {hosts: ["127.0.0.1:1"], password_file: \(folder.file("password"))}
            """
        try stages(ship: ship)
        let (reloader, _) = try reloader()
        #expect(reloader.watch.files.contains(folder.file("password")))
        try write("second-password\n", to: "password")
        let result = try await reloader.reload()
        #expect(result.details == ["ship.clickhouse.password: \"********\" → \"********\""])
        #expect(!lines.values.contains { $0.contains("-password") })
    }

    @Test func checkPrintsWhatNeedsARestart() throws {
        try write(base)
        try stages()
        let text = try ConfigurationLoader(environment: [:]).load(folder.file("sluice.yaml")).render()
        let list = text.components(separatedBy: "which need a restart:\n").last ?? ""
        let names = list.split(separator: "\n").map { $0.dropFirst(4) }
        #expect(names.contains("spool.directory") && names.contains("receive.socket") && names.contains("ship.sink"))
        #expect(!names.contains { $0.hasPrefix("ship.clickhouse.password") || $0.hasPrefix("receive.rate_limit") })
    }
}

/// Reloads by themselves, when files change.
@Suite(.endsEvenIfItHangs) struct ReloadOnChangeTests {
    /// Stands for the files.
    private final class Files: Sendable {
        let paths = Mutex<[String: FileVersion]>([:])
        let reloads = Recorder<Int>()
        let interval = Mutex<Duration?>(.seconds(5))
        let error = Mutex<AdminActionError?>(nil)
        let folder: Folder

        init() throws { folder = try Folder() }

        func write(_ text: String) throws {
            try text.write(toFile: folder.file("a"), atomically: true, encoding: .utf8)
        }
    }

    private func watching(
        _ body: (Files, ManualClock) async throws -> Void
    ) async throws {
        let (files, clock) = (try Files(), ManualClock())
        try files.write("one")
        let stage = ReloadOnChange(
            clock: StageClock(now: { clock.now }, sleep: { try await clock.sleep(until: $0) }),
            watch: { (files.interval.withLock { $0 }, [files.folder.file("a"), files.folder.file("missing")]) },
            version: { FileVersion($0) },
            reload: { () throws(AdminActionError) in
                files.reloads.record(1)
                if let error = files.error.withLock({ $0 }) { throw error }
            })
        let running = Task { try await stage.run() }
        await clock.waitForSleeper()
        try await body(files, clock)
        running.cancel()
        try await running.value
    }

    private func step(_ clock: ManualClock, _ duration: Duration) async {
        clock.advance(by: duration)
        await clock.waitForSleeper()
    }

    @Test func aFileThatChangedAndCameToRestIsReadOnce() async throws {
        try await watching { files, clock in
            await step(clock, .seconds(5))
            #expect(files.reloads.values.isEmpty)
            try files.write("two")
            await step(clock, .seconds(5))
            // It is not at rest yet.
            try files.write("three, which is longer")
            await step(clock, .milliseconds(500))
            #expect(files.reloads.values.isEmpty)
            await step(clock, .milliseconds(500))
            #expect(files.reloads.values.count == 1)
            for _ in 0..<3 { await step(clock, .seconds(5)) }
            #expect(files.reloads.values.count == 1)
        }
    }

    @Test func whatWasRefusedIsNotTriedAgainUntilItChanges() async throws {
        try await watching { files, clock in
            files.error.withLock { $0 = AdminActionError(.invalid, "no") }
            try files.write("wrong")
            await step(clock, .seconds(5))
            await step(clock, .milliseconds(500))
            #expect(files.reloads.values.count == 1)
            for _ in 0..<3 { await step(clock, .seconds(5)) }
            #expect(files.reloads.values.count == 1)
            // Another reload was under way: that one is tried again.
            files.error.withLock { $0 = AdminActionError(.conflict, "later") }
            try files.write("right, at last")
            await step(clock, .seconds(5))
            await step(clock, .milliseconds(500))
            #expect(files.reloads.values.count == 2)
            files.error.withLock { $0 = nil }
            await step(clock, .seconds(5))
            await step(clock, .milliseconds(500))
            #expect(files.reloads.values.count == 3)
        }
    }

    @Test func itCanBeSwitchedOffAndOnAgain() async throws {
        try await watching { files, clock in
            files.interval.withLock { $0 = nil }
            await step(clock, .seconds(5))
            try files.write("unseen")
            await step(clock, .seconds(5))
            await step(clock, .seconds(5))
            #expect(files.reloads.values.isEmpty)
            files.interval.withLock { $0 = .seconds(1) }
            await step(clock, .seconds(5))
            try files.write("seen again")
            await step(clock, .seconds(1))
            await step(clock, .milliseconds(500))
            #expect(files.reloads.values.count == 1)
        }
    }
}

/// Notes what is logged as `message [key=value …]`.
private struct LineLog: LogHandler {
    let lines: Recorder<String>
    var logLevel = Logger.Level.trace
    var metadata = Logger.Metadata()

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        lines.record("\(event.message) \(event.metadata ?? [:])")
    }
}
