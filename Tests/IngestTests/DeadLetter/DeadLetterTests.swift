import Foundation
import NIOCore
import Pipeline
import TestSupport
import Testing

@testable import Ingest

@Suite(.endsEvenIfItHangs) struct DeadLetterTests {
    private let directory: TemporaryDirectory
    private var settings = DeadLetterSettings()

    init() throws {
        directory = try TemporaryDirectory()
        settings.directory = directory.file("dead/letter")
    }

    private func rejection(
        _ bytes: [UInt8], table: TableName? = TableName(table: "mstore"), column: String? = nil, length: Int? = nil
    ) -> Rejection {
        Rejection(
            table: table, column: column, reason: .typeMismatch, message: "a \"message\"\n", session: 12,
            bytes: ByteBuffer(bytes: bytes), length: length)
    }

    /// Records, ends, and says what the files hold.
    private func recorded(
        _ rejections: [Rejection], _ settings: DeadLetterSettings? = nil
    ) async throws -> [RejectedLine] {
        let settings = settings ?? self.settings
        let deadLetter = try DeadLetter(
            settings: settings, logger: quietLogger, now: { Date(timeIntervalSince1970: 1_795_437_843.125) })
        await deadLetter.record(rejections)
        deadLetter.finish()
        try await deadLetter.run()
        #expect(deadLetter.recordedRows.current == UInt64(rejections.count))
        return try RejectedLine.read(settings.directory)
    }

    private func files(_ suffix: String = "") throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: settings.directory).filter { $0.hasSuffix(suffix) }.sorted()
    }

    private func mode(_ path: String) -> mode_t {
        var status = stat()
        #expect(lstat(path, &status) == 0)
        return status.st_mode & 0o7777
    }

    // MARK: Lines

    @Test func aRejectedRowIsKeptWithItsReasonAndItsBytes() async throws {
        let row = "{\"a\":\"\\u0041 \t ü \u{1}\"}"
        let lines = try await recorded([rejection(Array(row.utf8), column: "a")])
        #expect(
            lines == [
                RejectedLine(
                    time: "2026-11-23T12:44:03.125Z", table: "mstore", column: "a", reason: "type_mismatch",
                    message: "a \"message\"\n", session: 12, row: row, rowBase64: nil, truncated: nil)
            ])
        #expect(mode(settings.directory) == 0o700)
        let names = try files()
        #expect(names == ["rejected-20261123T124403.125Z-1.ndjson"])
        #expect(names.map { mode("\(settings.directory)/\($0)") } == [0o600])
    }

    @Test func bytesThatAreNoTextAreKeptAsBase64() async throws {
        let bytes: [UInt8] = [0x7B, 0xFF, 0x00, 0xC3]
        let lines = try await recorded([rejection(bytes, table: nil)])
        #expect(lines.first?.row == nil)
        #expect(lines.first?.table == nil)
        #expect(lines.first?.rowBase64.flatMap { Data(base64Encoded: $0) } == Data(bytes))
    }

    @Test func aLongRowIsCutBetweenCharactersAndTheCutIsNoted() async throws {
        var settings = settings
        settings.rowBytesMax = 6
        // The sixth byte is the first of two.
        let lines = try await recorded(
            [
                rejection(Array("abcdeü".utf8)), rejection(Array("abcdü".utf8)), rejection(Array("abcd€".utf8)),
                rejection(Array("abcdef".utf8), length: 1_000),
            ], settings)
        #expect(lines.map(\.row) == ["abcde", "abcdü", "abcd", "abcdef"])
        #expect(lines.map(\.truncated) == [7, nil, 7, 1_000])
    }

    @Test(arguments: Seeds.some(20))
    func whateverTheBytesTheyComeBack(seed: UInt64) async throws {
        var random = SeededRandom(seed: seed)
        let rows: [[UInt8]] = (0..<50).map { _ in
            (0..<random.int(0...40)).map { _ in UInt8(random.one(in: 4) ? random.int(0...255) : random.int(0...127)) }
        }
        let lines = try await recorded(rows.map { rejection($0) })
        let back = lines.map { line in
            line.row.map { Array($0.utf8) } ?? line.rowBase64.flatMap { Data(base64Encoded: $0) }.map { Array($0) }
        }
        #expect(back == rows)
    }

    // MARK: Files

    @Test func filesRollAndTheOldestMakesRoom() async throws {
        var settings = settings
        settings.fileBytesMax = 8 << 10
        settings.totalBytesMax = 32 << 10
        let deadLetter = try DeadLetter(settings: settings, logger: quietLogger)
        let running = Task { try await deadLetter.run() }
        for number in 0..<400 {
            let text = "{\"n\":\(number),\"pad\":\"\(String(repeating: "p", count: 100))\"}"
            await deadLetter.record([rejection(Array(text.utf8))])
        }
        deadLetter.finish()
        try await running.value
        let names = try files()
        let sizes = try names.map { name in
            try FileManager.default.attributesOfItem(atPath: "\(settings.directory)/\(name)")[.size] as? Int ?? 0
        }
        #expect(names.allSatisfy { $0.hasSuffix(".ndjson") })
        #expect(sizes.reduce(0, +) <= settings.totalBytesMax)
        let kept = try RejectedLine.read(settings.directory).count
        #expect(kept > 50)
        #expect(deadLetter.recordedRows.current == 400)
        #expect(deadLetter.discardedRows.snapshot() == ["dead_letter_full": UInt64(400 - kept)])
    }

    @Test func aRowIsInTheFileAsSoonAsNothingElseWaits() async throws {
        let deadLetter = try DeadLetter(settings: settings, logger: quietLogger)
        let running = Task { try await deadLetter.run() }
        await deadLetter.record([rejection(Array("{}".utf8))])
        await eventually { deadLetter.recordedRows.current == 1 }
        let open = try files(".ndjson.open")
        #expect(open.count == 1)
        let text = try String(contentsOfFile: "\(settings.directory)/\(open.first ?? "")", encoding: .utf8)
        #expect(text.contains("\"row\":\"{}\"}\n"))
        running.cancel()
        try await running.value
        #expect(try files(".ndjson").count == 1)
    }

    @Test func whatAnEarlierRunLeftCountsAndIsClosed() async throws {
        var settings = settings
        _ = try await recorded([rejection(Array("{\"n\":1}".utf8)), rejection(Array("{\"n\":2}".utf8))])
        let earlier = "\(settings.directory)/\(try files().first ?? "")"
        // As if that run had been killed.
        #expect(rename(earlier, earlier + ".open") == 0)
        settings.totalBytesMax = 300
        let deadLetter = try DeadLetter(settings: settings, logger: quietLogger)
        #expect(FileManager.default.fileExists(atPath: earlier))
        await deadLetter.record([rejection(Array("{\"n\":3}".utf8))])
        deadLetter.finish()
        try await deadLetter.run()
        #expect(try RejectedLine.read(settings.directory).map(\.row) == ["{\"n\":3}"])
        #expect(deadLetter.discardedRows.snapshot() == ["dead_letter_full": 2])
    }

    @Test func twoDaemonsDoNotShareADirectory() throws {
        let first = try DeadLetter(settings: settings, logger: quietLogger)
        #expect(throws: DeadLetterError.self) { try DeadLetter(settings: settings, logger: quietLogger) }
        withExtendedLifetime(first) {}
    }

    @Test func whatComesAfterTheEndIsCounted() async throws {
        let deadLetter = try DeadLetter(settings: settings, logger: quietLogger)
        deadLetter.finish()
        await deadLetter.record([rejection([]), rejection([])])
        #expect(deadLetter.discardedRows.snapshot() == ["stopped": 2])
    }

    @Test func aDiskThatFailsCostsRowsThatAreCountedAndNothingElse() async throws {
        let deadLetter = try DeadLetter(settings: settings, logger: quietLogger)
        let running = Task { try await deadLetter.run() }
        try FileManager.default.removeItem(atPath: settings.directory)
        await deadLetter.record([rejection([]), rejection([])])
        await eventually { deadLetter.diskErrors.current == 1 }
        #expect(deadLetter.discardedRows.snapshot() == ["disk_error": 2])
        try FileManager.default.createDirectory(atPath: settings.directory, withIntermediateDirectories: true)
        await deadLetter.record([rejection([])])
        deadLetter.finish()
        try await running.value
        #expect(deadLetter.recordedRows.current == 1)
        #expect(try RejectedLine.read(settings.directory).count == 1)
    }

    // MARK: Blocks

    @Test func aRefusedBlockIsKeptBesideItsReason() async throws {
        struct Why: Decodable, Equatable {
            var table: String
            var reason: String
            var code: Int
            var message: String
            var block: UInt64
            var rows: Int
        }
        let deadLetter = try DeadLetter(
            settings: settings, logger: quietLogger, now: { Date(timeIntervalSince1970: 1_795_437_843.125) })
        try await deadLetter.recordBlock(
            table: TableName(database: "a/b", table: "mstore"), id: 5, rows: 3, bytes: ByteBuffer(bytes: [1, 2, 3]),
            code: 27, message: "cannot parse")
        let base = "a%2Fb%2Emstore-20261123T124403.125Z-5"
        #expect(try files() == [base + ".json", base + ".native"])
        let path = "\(settings.directory)/\(base)"
        #expect(try Data(contentsOf: URL(fileURLWithPath: path + ".native")) == Data([1, 2, 3]))
        let why = try JSONDecoder().decode(Why.self, from: Data(contentsOf: URL(fileURLWithPath: path + ".json")))
        #expect(
            why
                == Why(
                    table: "a/b.mstore", reason: "refused_by_server", code: 27, message: "cannot parse", block: 5,
                    rows: 3))
        #expect(mode(path + ".native") == 0o600)
        #expect(deadLetter.recordedBlocks.current == 1)
    }

    @Test func aBlockThatCannotBeKeptIsTheCallersAgain() async throws {
        var settings = settings
        settings.totalBytesMax = 1_000
        let deadLetter = try DeadLetter(settings: settings, logger: quietLogger)
        try await deadLetter.recordBlock(
            table: TableName(table: "t"), id: 1, rows: 3, bytes: ByteBuffer(repeating: 1, count: 500), message: "no")
        await #expect(throws: DeadLetterError.self) {
            try await deadLetter.recordBlock(
                table: TableName(table: "t"), id: 2, rows: 1, bytes: ByteBuffer(repeating: 1, count: 2_000),
                message: "no")
        }
        // A block that is too large for an empty directory costs no other.
        #expect(try files(".native").count == 1)
        try await deadLetter.recordBlock(
            table: TableName(table: "t"), id: 3, rows: 1, bytes: ByteBuffer(repeating: 1, count: 500), message: "no")
        #expect(try files(".native").map { $0.hasSuffix("-3.native") } == [true])
        #expect(deadLetter.discardedRows.snapshot() == ["dead_letter_full": 3])
    }
}
