import Foundation
import TestSupport
import Testing

@testable import Pipeline
@testable import sluice

/// `sluice spool` on spools as a daemon leaves them, and as bad disks do.
@Suite(.endsEvenIfItHangs) struct SpoolCommandTests {
    private let folder: Folder
    private var spool: String { folder.file("old") }

    init() throws {
        folder = try Folder()
        try Fixtures.makeSpool(spool)
    }

    private func inspect() throws -> SpoolInspection {
        try SpoolInspection.read(directory: spool, decodesBlocks: true)
    }

    private func segments() throws -> [String] { try folder.names("old").filter { $0.hasSuffix(".seg") } }

    private func contents() throws -> [String: Data] {
        var contents: [String: Data] = [:]
        for name in try folder.names("old") {
            contents[name] = try Data(contentsOf: URL(fileURLWithPath: "\(spool)/\(name)"))
        }
        return contents
    }

    private func verify(_ arguments: String...) -> Int32? {
        Fixtures.exitCode { try SpoolCommand.Verify.parse(["--directory", spool] + arguments).run() }
    }

    private func exported(_ arguments: [String] = []) throws -> (Int32?, [String]) {
        let output = folder.file("out-\(UUID())")
        let code = Fixtures.exitCode {
            try SpoolCommand.Export.parse(["--directory", spool, "--output", output] + arguments).run()
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: output)
        #expect(names.allSatisfy { !$0.hasSuffix(".open") })
        return (code, try names.flatMap { try Fixtures.rows(ofFile: "\(output)/\($0)") }.sorted())
    }

    private static let unsettled = Array(0..<50) + Array(55..<120)

    @Test func aWholeSpoolIsCountedAndNotTouched() throws {
        let before = try contents()
        let found = try inspect()
        #expect(found.segments.count > 2 && found.faults.isEmpty && found.isConserved && found.isInUse != true)
        #expect(found.segments.reduce(0) { $0 + $1.rows } == 120)
        #expect(found.inFlight == 115 && found.totals.accepted == 120 && found.totals.committed == 5)
        #expect(found.segments.reduce(0) { $0 + $1.unsettledRows } == 115)
        #expect(found.sealedBlocks == 1 && found.segments.reduce(0) { $0 + $1.sealedBlocks } == 1)
        #expect(found.segments.last?.state == .writing && found.segments.first?.state == .waiting)
        #expect(verify() == nil && verify("--conservation") == nil && verify("--json") == nil)
        #expect(Fixtures.exitCode { try SpoolCommand.List.parse(["--directory", spool, "--json"]).run() } == nil)
        #expect(Fixtures.exitCode { try SpoolCommand.List.parse(["--directory", spool]).run() } == nil)
        #expect(try contents() == before)
    }

    @Test func itWorksBesideWhoeverHasTheLock() throws {
        let disk = try SystemSpoolDisk(path: spool)
        let isInUse = try inspect().isInUse
        #expect(isInUse == true)
        #expect(verify("--conservation") == nil)
        _ = disk.freeBytes()
    }

    @Test func whatIsNotSettledIsExported() throws {
        let (code, rows) = try exported()
        #expect(code == nil && rows == FolderDaemon.rows(Self.unsettled))
        let (_, all) = try exported(["--all"])
        #expect(all == FolderDaemon.rows(0..<120))
    }

    @Test func linesOfJSONAreExportedAsWell() throws {
        let output = folder.file("lines")
        try SpoolCommand.Export.parse(["--directory", spool, "--output", output, "--format", "ndjson"]).run()
        let text = try String(contentsOfFile: "\(output)/t-1.ndjson", encoding: .utf8)
        #expect(text.split(separator: "\n").map(String.init).sorted() == FolderDaemon.rows(Self.unsettled))
        // Never over what is there.
        #expect(
            Fixtures.exitCode {
                try SpoolCommand.Export.parse(["--directory", spool, "--output", output, "--format", "ndjson"]).run()
            } == 1)
    }

    @Test func aFlippedBitIsFoundAndCostsItsRecordOnly() throws {
        let path = "\(spool)/\(try segments()[1])"
        let length = try Data(contentsOf: URL(fileURLWithPath: path)).count
        try Fixtures.flip(path, at: length - 40)
        let before = try contents()
        let found = try inspect()
        #expect(found.damage.map(\.kind) == [.badRecord])
        #expect(verify() == 65)
        let (code, rows) = try exported()
        #expect(code == 65 && rows.count == 105)
        #expect(try contents() == before)
    }

    @Test func aTornTailIsNoDamage() throws {
        let path = "\(spool)/\(try #require(try segments().last))"
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data(repeating: 7, count: 100))
        try handle.close()
        let found = try inspect()
        #expect(found.faults.map(\.kind) == [.tornTail] && found.damage.isEmpty && found.isConserved)
        #expect(found.faults.first?.bytes == 100)
        #expect(verify("--conservation") == nil)
    }

    @Test func aMissingSegmentIsDamageAndDoesNotAddUp() throws {
        let missing = try segments()[2]
        try FileManager.default.removeItem(atPath: "\(spool)/\(missing)")
        let found = try inspect()
        #expect(found.damage.filter { $0.kind == .missingSegment }.map(\.file) == [missing])
        #expect(verify() == 65)
    }

    @Test func theOldestSegmentIsMissedByTheCountAlone() throws {
        try FileManager.default.removeItem(atPath: "\(spool)/\(try segments()[0])")
        #expect(verify() == nil)
        #expect(verify("--conservation") == 65)
    }

    @Test(arguments: [false, true]) func aDamagedHeadLeavesTheRecordsToBeSalvaged(isLast: Bool) throws {
        let name = try #require(isLast ? try segments().last : try segments()[1])
        let rows = try inspect().segments.first { $0.name == name }?.rows
        try Fixtures.flip("\(spool)/\(name)", at: 20)
        #expect(try inspect().damage.contains { $0.kind == .badHead && $0.file == name })
        #expect(verify() == 65)
        // A daemon keeps it as .bad.
        let core = try SpoolCore(
            disk: SystemSpoolDisk(path: spool), settings: SpoolSettings(),
            registry: ProducerRegistry(wallClock: { 0 }), wallClock: { 0 })
        #expect(core.restored.damage.segments > 0)
        let bad = name.dropLast(4) + ".bad"
        let (code, salvaged) = try exported(["\(spool)/\(bad)"])
        #expect(code == nil && salvaged.count == rows)
    }

    // MARK: Replay

    private func replay(_ sources: [String], _ socket: String, _ arguments: [String] = []) -> Int32? {
        Fixtures.exitCode { try SpoolCommand.Replay.parse(["--socket", socket] + arguments + sources).run() }
    }

    @Test func anotherSpoolLandsOnce() async throws {
        let daemon = FolderDaemon(folder: folder)
        let old = spool
        try await daemon.run {
            #expect(self.replay([old], daemon.socket) == nil)
            #expect(self.replay([old], daemon.socket) == nil)
        }
        // Another daemon on the same spool remembers.
        try await daemon.run { #expect(self.replay([old], daemon.socket) == nil) }
        #expect(try daemon.shipped() == FolderDaemon.rows(Self.unsettled))
    }

    @Test func exportedFilesLandOnceUnderWhateverName() async throws {
        let output = folder.file("out")
        try SpoolCommand.Export.parse(["--directory", spool, "--output", output]).run()
        try FileManager.default.copyItem(atPath: "\(output)/t-1.native", toPath: folder.file("copy"))
        let daemon = FolderDaemon(folder: folder)
        let copy = folder.file("copy")
        try await daemon.run {
            #expect(self.replay(["\(output)/t-1.native"], daemon.socket) == nil)
            #expect(self.replay([copy], daemon.socket) == 1)
            #expect(self.replay([copy], daemon.socket, ["--table", "t"]) == nil)
        }
        #expect(try daemon.shipped() == FolderDaemon.rows(Self.unsettled))
    }

    @Test func aSegmentAloneLandsOnce() async throws {
        let path = "\(spool)/\(try segments()[2])"
        let rows = try inspect().segments[2].rows
        let daemon = FolderDaemon(folder: folder)
        try await daemon.run {
            #expect(self.replay([path], daemon.socket) == nil)
            #expect(self.replay([path], daemon.socket) == nil)
        }
        #expect(try daemon.shipped().count == rows && rows > 0)
    }

    @Test func aSpoolThatADaemonRunsOnIsNotReplayed() async throws {
        let disk = try SystemSpoolDisk(path: spool)
        let (spool, socket) = (spool, folder.file("none.sock"))
        #expect(try await offThePool { self.replay([spool], socket) } == 1)
        _ = disk.freeBytes()
    }
}
