import ClickHouseNative
import Daemon
import Foundation
import Logging
import NIOCore
import Testing

@testable import Pipeline
@testable import sluice

/// A directory that goes away with the object; its path is short enough for a socket.
final class Folder: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "sluice-" + String(UInt32.random(in: .min ... .max), radix: 36)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }
    func names(_ directory: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: file(directory)).sorted()
    }
}

/// The whole daemon in a folder: spool, dead letter, and files of what was shipped.
struct FolderDaemon {
    let folder: Folder
    var schema = "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id;"
    var rowBytesMax = 64 << 10
    var rules: [String: TableRules] = [:]

    var socket: String { folder.file("s.sock") }
    var deadLetter: String { folder.file("dead-letter") }

    /// Runs it while a body runs on a thread of its own, and to its orderly end.
    func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        let schemaFile = folder.file("schema.sql")
        try schema.write(toFile: schemaFile, atomically: true, encoding: .utf8)
        var issues: [ConfigurationIssue] = []
        let catalog = SchemaCatalog(files: [schemaFile], errors: &issues)
        #expect(issues.isEmpty)
        var settings = Settings()
        settings.receive.socketPath = socket
        settings.validate.deadLetter.directory = deadLetter
        settings.validate.deadLetter.rowBytesMax = rowBytesMax
        settings.validate.rules = rules
        settings.spool.directory = folder.file("spool")
        settings.batch.defaults.ageMax = .milliseconds(50)
        settings.ship.sink = .file
        settings.ship.file.directory = folder.file("data")
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let daemon = try Daemon(settings: settings, schema: catalog, logger: quiet, exitNow: { _ in })
        let running = Task { try await daemon.runtime.run(signals: false) }
        await daemon.listening.wait()
        let result: Result<Value, any Error> = await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: Result { try body() }) }
        }
        daemon.runtime.stop()
        _ = try await running.value
        return try result.get()
    }

    /// What was shipped, row by row, sorted.
    func shipped() throws -> [String] {
        var rows: [String] = []
        for name in FileManager.default.enumerator(atPath: folder.file("data"))?.compactMap({ $0 as? String }) ?? []
        where name.contains(".native") {
            rows += try Fixtures.rows(ofFile: folder.file("data/\(name)"))
        }
        return rows.sorted()
    }

    /// `{"id":0}`, and so on, sorted as text.
    static func rows(_ ids: some Sequence<Int>) -> [String] { ids.map { "{\"id\":\($0)}" }.sorted() }
}

enum Fixtures {
    static func rows(ofFile path: String) throws -> [String] {
        var file = try BlockFile(path)
        var bytes = ByteBuffer()
        while let block = try file.next() { try RowPrinter.print(block, into: &bytes) }
        return String(buffer: bytes).split(separator: "\n").map(String.init)
    }

    /// One column `id`.
    static func block(_ ids: Range<Int>) throws -> Block {
        var bytes = ByteBuffer(bytes: [1, UInt8(ids.count), 2] + Array("id".utf8) + [6] + Array("UInt64".utf8))
        for id in ids { bytes.writeInteger(UInt64(id), endianness: .little) }
        return try #require(try BlockReader.read(&bytes, revision: nil))
    }

    /// A spool of records with ten rows each for table t, in small segments: rows 0 to 9 in the first, and so on. Of the
    /// sixth record, rows 50 to 54 are committed.
    static func makeSpool(_ directory: String, records: Int = 12) throws {
        var settings = SpoolSettings()
        settings.segmentBytes = 400
        let registry = ProducerRegistry(wallClock: { 0 })
        let core = try SpoolCore(
            disk: SystemSpoolDisk(path: directory), settings: settings, registry: registry,
            wallClock: { Int64(Date().timeIntervalSince1970 * 1000) })
        var lsns: [UInt64] = []
        for record in 0..<records {
            let batch = RowBatch(
                table: TableName(table: "t"), block: try block(record * 10..<record * 10 + 10), firstReceived: .now)
            let intake = try Intake(batches: [batch], numbered: [], received: 0, spool: .lz4)
            lsns += try core.commit([try #require(intake.entry)]).places.map(\.lsn)
        }
        let ids = core.allocateBlocks(3)
        let whole = SpoolPart(lsn: lsns[5], part: 0, firstRow: 0, rows: 10)
        _ = try core.commit([.seal([SealedParts(id: ids[0], table: TableName(table: "t"), parts: [whole])])])
        let halves = [0, 5].map { SpoolPart(lsn: lsns[5], part: 0, firstRow: $0, rows: 5) }
        let children = zip(ids[1...], halves).map {
            SealedParts(id: $0, table: TableName(table: "t"), parts: [$1])
        }
        _ = try core.commit([.split(parent: ids[0], children)])
        _ = try core.commit([.settled(id: ids[1], .committed)])
        try core.sync()
    }

    static func flip(_ path: String, at offset: Int) throws {
        var data = try Data(contentsOf: URL(fileURLWithPath: path))
        data[data.startIndex + offset] ^= 0x10
        try data.write(to: URL(fileURLWithPath: path))
    }

    /// How a command ended; nil: well.
    static func exitCode(_ body: () throws -> Void) -> Int32? {
        do {
            try body()
            return nil
        } catch {
            return sluice.Sluice.exitCode(for: error).rawValue
        }
    }
}
