import ClickHouseNative
import Foundation
import NIOCore
import Testing

@testable import sluice

/// `sluice send --format`, and what `sluice dlq replay` makes of rows of other formats.
@Suite(.endsEvenIfItHangs) struct FormatSendingTests {
    private let folder: Folder
    private let daemon: FolderDaemon
    /// The same table, with room for larger numbers, and its columns in another order.
    private var changed: FolderDaemon {
        var changed = daemon
        changed.schema = "CREATE TABLE t (name String, id UInt64) ENGINE = MergeTree ORDER BY id;"
        return changed
    }

    init() throws {
        folder = try Folder()
        var daemon = FolderDaemon(folder: folder)
        daemon.schema = "CREATE TABLE t (id UInt8, name String) ENGINE = MergeTree ORDER BY id;"
        self.daemon = daemon
    }

    /// - Returns: how the command ended; nil: well. -1: there is no file to send.
    private static func send(
        _ format: String, _ bytes: @autoclosure () throws -> [UInt8], to daemon: FolderDaemon, _ more: String...
    ) -> Int32? {
        let file = daemon.folder.file("in-\(UUID())")
        guard let bytes = try? bytes(), (try? Data(bytes).write(to: URL(fileURLWithPath: file))) != nil else {
            return -1
        }
        return Fixtures.exitCode {
            try SendCommand.parse(
                ["--socket", daemon.socket, "--format", format, "--table", "t", "--no-progress"] + more + [file]
            ).run()
        }
    }

    /// A row of RowBinary with `id` as a UInt64.
    private static func binary(_ id: UInt64, _ name: String) -> [UInt8] {
        withUnsafeBytes(of: id.littleEndian) { Array($0) } + [UInt8(name.utf8.count)] + Array(name.utf8)
    }

    private static let header = [UInt8(2), 2] + Array("id".utf8) + [4] + Array("name".utf8)
    private static let types = [UInt8(6)] + Array("UInt64".utf8) + [6] + Array("String".utf8)

    private static func block(_ rows: [(UInt64, String)]) throws -> Block {
        var bytes = ByteBuffer(bytes: [2, UInt8(rows.count), 2] + Array("id".utf8) + types.prefix(7))
        for row in rows { bytes.writeInteger(row.0, endianness: .little) }
        bytes.writeBytes([4] + Array("name".utf8) + types.dropFirst(7))
        for row in rows { bytes.writeBytes([UInt8(row.1.utf8.count)] + Array(row.1.utf8)) }
        return try #require(try BlockReader.read(&bytes, revision: nil))
    }

    private static func native(_ rows: [(UInt64, String)], _ compression: Compression?) throws -> [UInt8] {
        let encoding = BlockEncoding(revision: nil, compression: compression)
        return Array(try BlockEncoder.encode([try block(rows)], as: encoding).body.readableBytesView)
    }

    private func row(_ id: Int, _ name: String) -> String { "{\"id\":\(id),\"name\":\"\(name)\"}" }

    @Test func filesOfEveryFormatAreSent() async throws {
        let daemon = daemon
        try await daemon.run {
            #expect(Self.send("CSV", Array("1,\"a\nb\"\n2,c".utf8), to: daemon) == nil)
            #expect(
                Self.send("CSV", Array("d;3\n".utf8), to: daemon, "--columns", "name,id", "--delimiter", ";") == nil
            )
            #expect(Self.send("TSVWithNames", Array("name\tid\ne\\tf\t4\n".utf8), to: daemon) == nil)
            #expect(
                Self.send("CSVWithNamesAndTypes", Array("id,name\nUInt8,String\r\n5,g\r\n".utf8), to: daemon) == nil
            )
            #expect(
                Self.send("RowBinaryWithNamesAndTypes", Self.header + Self.types + Self.binary(6, "h"), to: daemon)
                    == nil)
            #expect(
                Self.send(
                    "RowBinary", Self.binary(7, "i") + Self.binary(8, "j"), to: daemon, "--columns", "id,name",
                    "--types",
                    "UInt64,String") == nil)
            #expect(Self.send("Native", try Self.native([(9, "k"), (10, "l")], nil), to: daemon) == nil)
            #expect(Self.send("Native", try Self.native([(11, "m")], .lz4), to: daemon) == nil)
        }
        let rows = [
            row(1, "a\\nb"), row(2, "c"), row(3, "d"), row(4, "e\\tf"), row(5, "g"), row(6, "h"), row(7, "i"),
            row(8, "j"),
            row(9, "k"), row(10, "l"), row(11, "m"),
        ]
        #expect(try daemon.shipped() == rows.sorted())
    }

    @Test func whatCannotBeReadIsNotSent() async throws {
        let daemon = daemon
        try await daemon.run {
            // Before anything is sent, or after the whole rows before it.
            #expect(Self.send("RowBinary", Self.binary(1, "a"), to: daemon) == 1)
            #expect(Self.send("CSVWithNames", Array("id,,name\n".utf8), to: daemon) == 1)
            #expect(Self.send("Native", [1, 2, 3], to: daemon) == 1)
            #expect(
                Self.send("RowBinaryWithNamesAndTypes", Self.header + Self.types + [1, 2], to: daemon) == 1)
        }
        #expect(try daemon.shipped().isEmpty)
    }

    @Test func aRunThatIsRepeatedSendsEachRowOnce() async throws {
        let daemon = daemon
        try await daemon.run {
            let all = Array((0..<200).map { "\($0),x\n" }.joined().utf8)
            let half = Array((0..<120).map { "\($0),x\n" }.joined().utf8)
            for bytes in [half, all, all] {
                #expect(Self.send("CSV", bytes, to: daemon, "--producer", "import", "--epoch", "1") == nil)
            }
        }
        #expect(try daemon.shipped() == (0..<200).map { row($0, "x") }.sorted())
    }

    @Test func rejectedRowsAreReplayedInTheirOwnFormat() async throws {
        let (daemon, changed) = (daemon, changed)
        try await daemon.run {
            // Of each the last one fits.
            #expect(Self.send("CSV", Array("300,\"a\nb\"\n1,x\n".utf8), to: daemon) == 65)
            #expect(Self.send("TSV", Array("301\tc\\td\n2\tx\n".utf8), to: daemon) == 65)
            #expect(
                Self.send(
                    "RowBinaryWithNamesAndTypes",
                    Self.header + Self.types + Self.binary(302, "e") + Self.binary(3, "x"), to: daemon) == 65)
            #expect(
                Self.send("Native", try Self.native([(303, "f"), (304, "g"), (4, "x")], .lz4), to: daemon) == 65)
        }
        #expect(try daemon.shipped() == (1...4).map { row($0, "x") })
        for _ in 0..<2 {
            try await changed.run {
                let exit = Fixtures.exitCode {
                    try DlqCommand.Replay.parse(["--socket", changed.socket, "--directory", changed.deadLetter]).run()
                }
                #expect(exit == nil)
            }
        }
        let landed = try changed.shipped().filter { $0.hasPrefix("{\"name\"") }
        let names = [(300, "a\\nb"), (301, "c\\td"), (302, "e"), (303, "f"), (304, "g")]
        #expect(landed == names.map { "{\"name\":\"\($0.1)\",\"id\":\($0.0)}" }.sorted())
    }
}
