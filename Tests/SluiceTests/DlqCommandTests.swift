import Foundation
import TestSupport
import Pipeline
import Testing

@testable import sluice

/// `sluice dlq` on what a daemon rejected.
@Suite(.endsEvenIfItHangs) struct DlqCommandTests {
    private let folder: Folder
    private let daemon: FolderDaemon
    /// With the table that was missing, and numbers where there were none.
    private var fixed: FolderDaemon {
        var fixed = daemon
        fixed.schema += "\nCREATE TABLE u (id UInt64) ENGINE = MergeTree ORDER BY id;"
        return fixed
    }

    init() throws {
        folder = try Folder()
        var daemon = FolderDaemon(folder: folder)
        daemon.rowBytesMax = 100
        self.daemon = daemon
    }

    private static func send(
        _ text: String, to daemon: FolderDaemon, table: String? = nil, identity: (String, UInt64)? = nil
    ) throws {
        let file = daemon.folder.file("in-\(UUID()).ndjson")
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        var plan = Sending.Plan(socketPath: daemon.socket, table: table, producers: 1)
        plan.acks = .at(.durable)
        plan.identity = identity
        let report = Sending(plan, source: RowSource(.files([file]))).run { _ in }
        #expect(report.problems.isEmpty)
    }

    private func files() throws -> [DeadLetterFile] { try DeadLetterFile.find(in: daemon.deadLetter) }

    private func counts(_ filter: DeadLetterFilter = DeadLetterFilter()) throws -> [String: Int] {
        var counts: [String: Int] = [:]
        for file in try files() {
            for group in try DlqCommand.List.count(file, filter)?.groups ?? [] {
                counts["\(group.table ?? "-") \(group.column ?? "-") \(group.reason)", default: 0] += group.rows
            }
        }
        return counts
    }

    private func replay(_ arguments: String...) -> Int32? {
        Fixtures.exitCode {
            try DlqCommand.Replay.parse(
                ["--socket", daemon.socket, "--directory", daemon.deadLetter] + arguments
            ).run()
        }
    }

    /// Ten rows of a missing table (the last of which a session named), one of a wrong type, one that is no JSON.
    private func reject() async throws {
        let daemon = daemon
        try await daemon.run {
            try Self.send(
                (0..<9).map { "{\"table\":\"u\",\"id\":\($0)}\n" }.joined() + "{\"table\":\"t\",\"id\":\"x\"}\n",
                to: daemon, identity: ("web", 1))
            try Self.send("{\"id\":9}\n", to: daemon, table: "u")
            try Self.send("nonsense\n", to: daemon, table: "t")
        }
    }

    @Test func rejectedRowsAreCountedAndFiltered() async throws {
        try await reject()
        #expect(
            try counts() == ["u - unknown_table": 10, "t id type_mismatch": 1, "t - malformed_json": 1])
        #expect(try counts(DeadLetterFilter(table: "t")).values.reduce(0, +) == 2)
        #expect(try counts(DeadLetterFilter(column: "id")) == ["t id type_mismatch": 1])
        #expect(try counts(DeadLetterFilter(reason: "unknown_table")) == ["u - unknown_table": 10])
        #expect(try counts(DeadLetterFilter(since: DeadLetterFilter.time("1h"))).values.reduce(0, +) == 12)
        #expect(try counts(DeadLetterFilter(until: DeadLetterFilter.time("1h"))).isEmpty)
        #expect(try counts(DeadLetterFilter(since: DeadLetterFilter.time("2999-01-01"))).isEmpty)
        for arguments in [[], ["--json"], ["--table", "t"]] {
            #expect(
                Fixtures.exitCode {
                    try DlqCommand.List.parse(["--directory", daemon.deadLetter] + arguments).run()
                    try DlqCommand.Show.parse(["--directory", daemon.deadLetter] + arguments).run()
                } == nil)
        }
        #expect(throws: (any Error).self) { try DlqCommand.List.parse(["--since", "yesterday"]) }
    }

    @Test func aReplayAfterAFixLandsOnce() async throws {
        try await reject()
        let fixed = fixed
        try await fixed.run {
            // First with a filter, then all; the row that is still wrong is rejected again, to the open file.
            #expect(replay("--table", "u") == nil)
            #expect(replay() == 65)
        }
        #expect(try fixed.shipped() == FolderDaemon.rows(0..<10))
        let states = try files().map(\.state)
        #expect(states.first == .replayed && states.count == 2)
        // What was rejected again is wrong for ever; nothing else is sent again.
        try await fixed.run { #expect(replay() == 65) }
        #expect(try fixed.shipped() == FolderDaemon.rows(0..<10))
    }

    @Test func aReplayThatWasInterruptedGoesOnAsItWasBegun() async throws {
        try await reject()
        let fixed = fixed
        // The daemon is away when it is begun: the plan is there, nothing is sent.
        #expect(replay("--table", "u") == 1)
        let file = try #require(try files().first)
        #expect(try ReplayJournal(file.journalPath).open.map(\.count) == [10])
        try await fixed.run {
            // All acked, and the note of that lost.
            #expect(replay("--reason", "malformed_json") == 65)
            #expect(try fixed.folder.names("dead-letter").contains { $0.hasSuffix(".replay") })
            let text = try String(contentsOfFile: file.journalPath, encoding: .utf8)
            let plans = text.split(separator: "\n").filter { !$0.hasPrefix("{\"done\"") }
            try (plans.joined(separator: "\n") + "\n{\"pla").write(
                toFile: file.journalPath, atomically: true, encoding: .utf8)
            #expect(replay("--table", "u") == nil)
            #expect(try ReplayJournal(file.journalPath).open.isEmpty)
        }
        #expect(try fixed.shipped() == FolderDaemon.rows(0..<10))
    }

    @Test func rowsWithoutRedactedValuesAreReplayedOnlyIfAskedFor() async throws {
        var daemon = daemon
        daemon.schema = "CREATE TABLE t (id UInt64, mail String) ENGINE = MergeTree ORDER BY id;"
        var rules = TableRules()
        rules.fields["mail", default: FieldRules()].redaction.method = .mask
        rules.fields["id", default: FieldRules()].max = Literal("5", isPlain: true)
        daemon.rules["t"] = rules
        let strict = daemon
        try await strict.run { try Self.send("{\"id\":7,\"mail\":\"s3cret\"}\n{\"id\":8}\n", to: strict, table: "t") }
        #expect(try counts() == ["t id rule_range": 2])
        let text = try files().map { try String(contentsOfFile: $0.path, encoding: .utf8) }.joined()
        #expect(!text.contains("s3cret") && text.contains("\"redacted\":true"))
        daemon.rules["t"]?.fields["id"] = nil
        let lenient = daemon
        try await lenient.run {
            #expect(replay() == 65)
            #expect(replay("--redacted") == nil)
        }
        #expect(try lenient.shipped() == ["{\"id\":7,\"mail\":\"\"}", "{\"id\":8,\"mail\":\"\"}"])
    }

    @Test func rowsOfTheFileThatIsBeingWrittenAreReplayed() async throws {
        let daemon = daemon
        try await daemon.run {
            try Self.send("{\"table\":\"t\",\"id\":\"1\"}\n{\"table\":\"u\",\"id\":1}\n", to: daemon)
            #expect(try files().map(\.state) == [.open])
            #expect(replay("--table", "t") == nil)
            try Self.send("{\"table\":\"u\",\"id\":2}\n", to: daemon)
        }
        try await fixed.run { #expect(replay() == nil) }
        #expect(try Set(fixed.shipped()).isSuperset(of: FolderDaemon.rows(1..<3)))
        #expect(try files().map(\.state) == [.replayed])
    }

    /// A daemon that dies before the ack gets the rows again, and rejects them again.
    @Test func aRowThatWasRejectedTwiceLandsOnce() async throws {
        try await reject()
        let file = try #require(try files().first)
        let twin = daemon.deadLetter + "/rejected-20270101T000000.000Z-1.ndjson"
        try FileManager.default.copyItem(atPath: "\(daemon.deadLetter)/\(file.name)", toPath: twin)
        let fixed = fixed
        try await fixed.run { #expect(replay("--reason", "unknown_table") == nil) }
        // The nine of the producer with a name once; nobody can tell that the other one is the same.
        #expect(try fixed.shipped() == (FolderDaemon.rows(0..<10) + ["{\"id\":9}"]).sorted())
    }

    @Test func aRowThatIsNotThereAsAWholeIsLeft() async throws {
        let daemon = daemon
        try await daemon.run {
            let pad = String(repeating: "x", count: 200)
            try Self.send("{\"table\":\"u\",\"id\":1,\"pad\":\"\(pad)\"}\n{\"table\":\"u\",\"id\":2}\n", to: daemon)
        }
        let fixed = fixed
        try await fixed.run { #expect(replay() == 65) }
        #expect(try fixed.shipped() == FolderDaemon.rows([2]))
        #expect(try files().map(\.state) == [.closed])
    }

    @Test func blocksAreReplayedRowByRow() async throws {
        try FileManager.default.createDirectory(atPath: daemon.deadLetter, withIntermediateDirectories: true)
        for (name, message) in [
            ("t-20261123T000000.000Z-7", "rows: no"), ("t-20261123T000001.000Z-8", "outcome_unknown: no"),
        ] {
            let block = try Fixtures.block(0..<20)
            var raw = Data([1, 20, 2] + Array("id".utf8) + [6] + Array("UInt64".utf8))
            for id in 0..<block.rows { withUnsafeBytes(of: UInt64(id).littleEndian) { raw.append(contentsOf: $0) } }
            try raw.write(to: URL(fileURLWithPath: "\(daemon.deadLetter)/\(name).native"))
            try """
            {"time":"2026-11-23T00:00:00.000Z","table":"t","reason":"refused_by_server","code":117,"message":"\(message)",\
            "block":7,"rows":20,"bytes":\(raw.count)}

            """.write(toFile: "\(daemon.deadLetter)/\(name).json", atomically: true, encoding: .utf8)
        }
        let daemon = daemon
        #expect(try counts() == ["t - refused_by_server": 40])
        try await daemon.run {
            #expect(replay("--table", "other") == nil)
            #expect(replay() == 65)
            #expect(replay() == 65)
        }
        #expect(try daemon.shipped() == FolderDaemon.rows(0..<20))
        #expect(try files().map(\.state) == [.replayed, .closed])
    }

    @Test func purgeAsksFirstAndLeavesWhatIsNotMeant() async throws {
        try await reject()
        let purge = { (arguments: [String]) in
            Fixtures.exitCode { try DlqCommand.Purge.parse(["--directory", self.daemon.deadLetter] + arguments).run() }
        }
        #expect(purge([]) == 1)
        #expect(purge(["--replayed", "--yes"]) == nil)
        #expect(purge(["--table", "u", "--yes"]) == nil)
        #expect(try files().count == 1)
        #expect(purge(["--yes"]) == nil)
        #expect(try files().isEmpty)
    }

    @Test func twoReplaysAtOnceAreRefused() throws {
        try FileManager.default.createDirectory(atPath: daemon.deadLetter, withIntermediateDirectories: true)
        let lock = try DeadLetterReplay.lock(daemon.deadLetter)
        #expect(replay() == 1)
        close(lock)
        #expect(replay() == nil)
    }
}
