import ClickHouseNative
import Foundation
import Pipeline
import Synchronization
import TestSupport
import Testing

@testable import Sinks

/// Files of blocks, read by ClickHouse itself.
@Suite(.endsEvenIfItHangs) struct NativeFileSinkTests {
    @Test(arguments: FileSinkSettings.Compression.allCases)
    func clickHouseReadsTheFilesAsTheyAre(compression: FileSinkSettings.Compression) async throws {
        try await withDirectory { directory in
            let files = Fixture(directory, compression)
            try await files.write((0..<5).map { .numbers($0 * 1000..<($0 + 1) * 1000) })

            let names = try files.names(of: "numbers")
            #expect(names.count == 1)
            #expect(names[0].hasPrefix("numbers-20"))
            #expect(names[0].hasSuffix(".native" + compression.suffix))
            let answer = try await ClickHouseOracle.query(
                "SELECT count(), sum(n) FROM file('\(directory)/numbers/\(names[0])')")
            #expect(answer == "5000\t12497500\n")
            #expect(files.committed.values == [0, 1, 2, 3, 4])
            #expect(files.telemetry.snapshot().committedRows == 5000)
            #expect(files.sink.rowsHeld == 0)
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(directory)/numbers/\(names[0])")
            #expect(attributes[.posixPermissions] as? Int == 0o640)
        }
    }

    @Test func aFileIsClosedAtItsSizeAndColumnsDoNotMix() async throws {
        try await withDirectory { directory in
            let files = Fixture(directory, rollBytes: 10_000)
            try await files.write([
                .numbers(0..<1000), .numbers(0..<1000, column: "m"), .numbers(0..<1000), .numbers(0..<1000),
            ])
            // Two blocks of 8 kB fill one file; the third and the one with another column have their own.
            #expect(try files.names(of: "numbers").count == 3)
            let answer = try await ClickHouseOracle.query(
                "SELECT count() FROM file('\(directory)/numbers/*.native', Native, 'n UInt64, m UInt64') WHERE n + m = 999"
            )
            #expect(answer == "4\n")
        }
    }

    @Test func aFileThatIsOldEnoughIsClosedThoughNothingComes() async throws {
        try await withDirectory { directory in
            let clock = ManualClock()
            let files = Fixture(directory, clock: clock)
            try await files.input.send(try files.block(0, .numbers(0..<10)))
            let running = Task { try await files.sink.run() }
            await clock.waitForSleeper()
            await eventually { files.telemetry.snapshot().rowsInFlight == 10 }
            #expect(try files.names(of: "numbers").isEmpty)

            clock.advance(by: .seconds(1))
            await files.committed.wait(count: 1)
            #expect(try files.names(of: "numbers").isEmpty)
            await clock.waitForSleeper(until: clock.start + .seconds(2))
            clock.advance(by: .seconds(60))
            await clock.waitForSleeper(until: clock.start + .seconds(62))
            #expect(try files.names(of: "numbers").count == 1)
            files.input.finish()
            try await running.value
        }
    }

    @Test(arguments: FileSinkSettings.Compression.allCases)
    func whatAKilledRunLeftIsPublishedUpToItsLastWholeBlock(compression: FileSinkSettings.Compression) async throws {
        try await withDirectory { directory in
            let before = Fixture(directory, compression)
            try await before.write((0..<3).map { .numbers($0 * 300_000..<($0 + 1) * 300_000) })
            let name = try before.names(of: "numbers")[0]
            let folder = "\(directory)/numbers"
            // As a kill leaves it: under its temporary name, and the last block is a piece.
            let whole = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)"))
            try FileManager.default.removeItem(atPath: "\(folder)/\(name)")
            try whole.dropLast(100).write(to: URL(fileURLWithPath: "\(folder)/.\(name).tmp"))
            let torn = ".numbers-20260101T000000Z-7.native" + compression.suffix
            try whole.prefix(500).write(to: URL(fileURLWithPath: "\(folder)/\(torn).tmp"))

            let after = Fixture(directory, compression)
            try await after.write([])
            #expect(try after.names(of: "numbers") == [name])
            #expect(FileManager.default.fileExists(atPath: "\(folder)/\(torn).torn"))
            let answer = try await ClickHouseOracle.query("SELECT count(), max(n) FROM file('\(folder)/\(name)')")
            #expect(answer == "600000\t599999\n")
        }
    }

    @Test func aFullDiskCostsNoBlock() async throws {
        try await withDirectory { directory in
            let writes = Mutex(0)
            // Half of every second write arrives, and then there is no room, three times.
            let files = Fixture(
                directory,
                calls: FileCalls(
                    write: { descriptor, bytes in
                        let number = writes.withLock { count in
                            count += 1
                            return count
                        }
                        guard number < 7 else { return FileCalls.system.write(descriptor, bytes) }
                        guard number % 2 == 1 else {
                            errno = ENOSPC
                            return -1
                        }
                        return FileCalls.system.write(descriptor, UnsafeRawBufferPointer(rebasing: bytes.prefix(100)))
                    }, sync: FileCalls.system.sync))
            try await files.write([.numbers(0..<1000), .numbers(1000..<2000)])
            #expect(files.telemetry.snapshot().insertErrors[.query] == 3)
            #expect(files.committed.values == [0, 1])
            let answer = try await ClickHouseOracle.query(
                "SELECT count(), sum(n) FROM file('\(directory)/numbers/*.native')")
            #expect(answer == "2000\t1999000\n")
        }
    }

    @Test func blocksOfAFileThatCannotBeSyncedAreWrittenAnew() async throws {
        try await withDirectory { directory in
            let syncs = Mutex(0)
            let files = Fixture(
                directory,
                calls: FileCalls(
                    write: FileCalls.system.write,
                    sync: { descriptor in
                        let isFirst = syncs.withLock { count in
                            count += 1
                            return count == 1
                        }
                        guard !isFirst else {
                            errno = EIO
                            return -1
                        }
                        return FileCalls.system.sync(descriptor)
                    }))
            try await files.write([.numbers(0..<1000), .numbers(1000..<2000)])
            #expect(files.committed.values == [0, 1])
            #expect(files.telemetry.snapshot().rowsInFlight == 0)
            let answer = try await ClickHouseOracle.query(
                "SELECT count(), sum(n) FROM file('\(directory)/numbers/*.native')")
            #expect(answer == "2000\t1999000\n")
        }
    }

    @Test func theLockOfASecondDaemonIsClosedOnce() async throws {
        try await withDirectory { directory in
            try makeDirectory(directory)
            let first = try DirectoryLock(directory: directory)
            let closed = filesClosedByOthers {
                for _ in 0..<2_000 { #expect(throws: FileError.self) { try DirectoryLock(directory: directory) } }
            }
            #expect(closed == 0)
            withExtendedLifetime(first) {}
        }
    }

    @Test func twoDaemonsDoNotShareADirectory() async throws {
        try await withDirectory { directory in
            let first = Fixture(directory)
            let running = Task { try await first.sink.run() }
            await eventually { first.telemetry.health.status == .connected }
            let error = try await #require(throws: FileError.self) { try await Fixture(directory).sink.run() }
            #expect(error.code == .directoryInUse)
            first.input.finish()
            try await running.value
        }
    }

    @Test func noTableNamesAPlaceOutsideOfTheDirectory() {
        #expect(NativeFileName.escaped(TableName(table: "../../etc/passwd")) == "%2E%2E%2F%2E%2E%2Fetc%2Fpasswd")
        #expect(NativeFileName.escaped(TableName(database: "a.b", table: "c")) == "a%2Eb.c")
        let long = TableName(table: String(repeating: "ü", count: 100))
        let other = TableName(table: String(repeating: "ü", count: 99) + "u")
        #expect(NativeFileName.escaped(long).utf8.count <= NativeFileName.tableBytesMax)
        #expect(NativeFileName.escaped(long) != NativeFileName.escaped(other))
    }

    // MARK: Support

    private func withDirectory(_ body: (String) async throws -> Void) async throws {
        let directory = FileManager.default.temporaryDirectory.path + "/sluice-files-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try await body(directory)
    }

    private struct Fixture {
        let directory: String
        let telemetry = Telemetry()
        let committed = Recorder<UInt64>()
        let input = BoundedStream<EncodedBlock>(elementsMax: 64, bytesMax: 1 << 30) { $0.body.readableBytes }
        let sink: NativeFileSink

        init(
            _ directory: String, _ compression: FileSinkSettings.Compression = .none, rollBytes: Int = 256 << 20,
            clock: ManualClock? = nil, calls: FileCalls = .system
        ) {
            self.directory = directory
            var settings = FileSinkSettings()
            settings.directory = directory
            settings.compression = compression
            settings.rollBytes = rollBytes
            let committed = committed
            sink = NativeFileSink(
                input: input, settings: settings, telemetry: telemetry, logger: SinkFixture.quiet,
                clock: clock.map { clock in
                    StageClock(now: { clock.now }, sleep: { try await clock.sleep(until: $0) })
                } ?? .continuous,
                committed: { committed.record($0.id) }, calls: calls)
        }

        func block(_ id: UInt64, _ part: Block) throws -> EncodedBlock {
            try EncodedBlock(SealedBlock(id: id, TableName(table: "numbers"), [part]), .file)
        }

        func write(_ parts: [Block]) async throws {
            for (id, part) in parts.enumerated() { try await input.send(block(UInt64(id), part)) }
            input.finish()
            try await sink.run()
        }

        /// Without those under temporary names.
        func names(of table: String) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: directory + "/" + table)
                .filter { !$0.hasPrefix(".") }.sorted()
        }
    }
}
