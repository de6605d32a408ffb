import EventGenerator
import Foundation
import TestSupport
import Testing

@testable import sluice

/// `sluice send`, and what it says.
@Suite struct SendingTests {
    private func lines(of source: RowSource) throws -> (text: String, rows: Int) {
        var bytes: [UInt8] = []
        var rows = 0
        while let (piece, before) = try source.next() {
            #expect(before == rows)
            rows += piece.rows
            if case .bytes(let some, _) = piece {
                #expect(some.last == UInt8(ascii: "\n"))
                bytes += some
            }
        }
        return (String(decoding: bytes, as: UTF8.self), rows)
    }

    private func withFiles(_ contents: [String], _ body: ([String]) throws -> Void) throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-\(UUID())")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let paths = contents.indices.map { directory.appendingPathComponent("\($0)").path }
        for (path, content) in zip(paths, contents) { try Data(content.utf8).write(to: URL(fileURLWithPath: path)) }
        try body(paths)
    }

    @Test func linesOfDifferentFilesAreNeverGluedTogether() throws {
        try withFiles(["{\"a\":1}\n{\"a\":2}", "", "{\"a\":3}"]) { paths in
            let source = RowSource(.files(paths))
            #expect(source.bytesTotal == 22)

            let (text, rows) = try lines(of: source)

            #expect(text == "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n")
            #expect(rows == 3)
        }
    }

    @Test func linesLongerThanAReadStayWhole() throws {
        let long = String(repeating: "x", count: RowSource.pieceBytes * 2 + 7)
        try withFiles(["a\n\(long)\nb\n"]) { paths in
            let (text, rows) = try lines(of: RowSource(.files(paths)))

            #expect(text == "a\n\(long)\nb\n")
            #expect(rows == 3)
        }
    }

    @Test func everyGeneratedRowIsTakenOnce() throws {
        let source = RowSource(.generated(1300), rowsPerPiece: 500)
        var taken: [Range<Int>] = []
        while let (piece, _) = try source.next() {
            if case .numbers(let range) = piece { taken.append(range) }
        }
        #expect(taken == [0..<500, 500..<1000, 1000..<1300])
    }

    @Test func nobodyListeningIsSaidInWordsThatHelp() async throws {
        let report = try await offThePool {
            Sending(Sending.Plan(socketPath: "/nonexistent/sluice.sock"), source: RowSource(.generated(1))).run { _ in }
        }

        #expect(
            report.problems == ["no daemon listens on /nonexistent/sluice.sock: start it with `sluice run`"])
    }

    @Test func theSummaryIsOneLine() {
        let line = ProgressLine(
            progress: .init(rows: 1_000_000, bytes: 485_200_000), elapsed: .milliseconds(1230), rowsTotal: 2_000_000,
            bytesTotal: nil)

        #expect(line.summary == "1000000 rows, 485.2 MB in 1.23 s: 813,008 rows/s")
        #expect(line.text == "[############------------]  50%  1,000,000 rows  485.2 MB  813,008 rows/s  ETA 0:02")
    }

    @Test(arguments: [
        [], ["run"], ["check", "--quiet"], ["config", "reference"], ["send", "--generate", "5", "--table", "events"],
        ["cat", "a", "--limit", "3"], ["version"], ["send", "--ack", "committed"],
        ["send", "--producer", "p", "--epoch", "3", "file"],
    ])
    func commandLinesThatAreUnderstood(arguments: [String]) throws { _ = try Sluice.parseAsRoot(arguments) }

    @Test(arguments: [
        ["send", "--generate", "5", "file"], ["send", "--generate", "5", "--table", "nosuch"],
        ["send", "--table", "a b"], ["send", "--producers", "0"], ["send", "--rate", "0"], ["cat"],
        ["send", "--ack", "sure"], ["send", "--producer", "p"], ["send", "--epoch", "1"],
        ["send", "--producer", "p", "--epoch", "1", "--ack", "none"],
        ["send", "--producer", "p", "--epoch", "1", "--producers", "2"],
        ["cat", "a", "--count", "--limit", "1"], ["cat", "a", "--limit", "-1"],
    ])
    func commandLinesThatAreRefused(arguments: [String]) {
        #expect(throws: (any Error).self) { try Sluice.parseAsRoot(arguments) }
    }
}
