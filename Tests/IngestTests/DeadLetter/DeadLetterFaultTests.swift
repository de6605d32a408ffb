import Foundation
import NIOCore
import Pipeline
import Synchronization
import TestSupport
import Testing

@testable import Ingest

/// A dead letter on a disk that fails: what waits, what is discarded, and what producers may hear.
@Suite(.endsEvenIfItHangs) struct DeadLetterFaultTests {
    /// Fails calls until it is told that all is well; counts them, and the waits in between.
    private final class Disk: Sendable {
        struct State {
            var failing: Set<DeadLetterDirectory.Call> = []
            /// Of those, so many more; nil: for ever.
            var failuresLeft: Int?
            var failures = 0
            var waits: [Duration] = []
        }

        let state: Mutex<State>

        init(_ failing: Set<DeadLetterDirectory.Call>, times: Int? = nil) {
            state = Mutex(State(failing: failing, failuresLeft: times))
        }

        func fault(_ call: DeadLetterDirectory.Call) -> Int32? {
            state.withLock { state in
                guard state.failing.contains(call), state.failuresLeft != 0 else { return nil }
                state.failuresLeft = state.failuresLeft.map { $0 - 1 }
                state.failures += 1
                return ENOSPC
            }
        }

        /// Time flies, but a cancelled task does not wait.
        var clock: StageClock {
            StageClock(
                now: { .now },
                sleep: { deadline in
                    self.state.withLock { $0.waits.append(deadline - .now) }
                    try Task.checkCancellation()
                    await Task.yield()
                })
        }
    }

    private let directory: TemporaryDirectory
    private var settings = DeadLetterSettings()

    init() throws {
        directory = try TemporaryDirectory()
        settings.directory = directory.file("dead-letter")
    }

    private func deadLetter(_ disk: Disk) throws -> DeadLetter {
        try DeadLetter(
            settings: settings, logger: quietLogger, now: { Date(timeIntervalSince1970: 1_795_437_843.125) },
            clock: disk.clock, fault: { disk.fault($0) })
    }

    private func rejection(_ id: Int, isNumbered: Bool = true) -> Rejection {
        Rejection(
            table: TableName(table: "t"), reason: .typeMismatch, message: "", session: 1,
            bytes: ByteBuffer(string: "{\"id\":\(id)}"), number: isNumbered ? UInt64(id) : nil,
            producer: isNumbered ? Producer.Identity(name: "web-7", epoch: 3) : nil)
    }

    private func discarded(_ deadLetter: DeadLetter) -> UInt64 {
        DeadLetter.DiscardReason.allCases.reduce(0) { $0 + deadLetter.discardedRows.counter($1.rawValue).current }
    }

    private func ids() throws -> [String] { try RejectedLine.read(settings.directory).compactMap(\.row) }

    @Test(arguments: [DeadLetterDirectory.Call.make, .write, .sync])
    func rowsWithNumbersAreTriedAgainUntilTheyAreOnTheDisk(call: DeadLetterDirectory.Call) async throws {
        let disk = Disk([call], times: 12)
        let deadLetter = try deadLetter(disk)
        let running = Task { try await deadLetter.run() }
        await deadLetter.record([rejection(1), rejection(2)])
        try await deadLetter.sync()
        #expect(disk.state.withLock { $0.failures } == 12)
        await deadLetter.record([rejection(3)])
        try await deadLetter.sync()
        deadLetter.finish()
        try await running.value
        #expect(try ids() == ["{\"id\":1}", "{\"id\":2}", "{\"id\":3}"])
        #expect(deadLetter.recordedRows.current == 3 && discarded(deadLetter) == 0)
        #expect(deadLetter.diskErrors.current == 12)
        let waits = disk.state.withLock { $0.waits }
        #expect(waits.count == 12)
        #expect(zip(waits, waits.dropFirst()).allSatisfy { $0 <= $1 + .milliseconds(40) })
        #expect(waits.allSatisfy { $0 <= DeadLetter.retryDelayMax })
    }

    /// What lay unsynced in the file is written anew, rows of sessions without numbers as well, and each is there once.
    @Test func aSyncThatFailsLosesNoRowThatWasWrittenBefore() async throws {
        let disk = Disk([.sync], times: 0)
        let deadLetter = try deadLetter(disk)
        let running = Task { try await deadLetter.run() }
        await deadLetter.record([rejection(1)])
        try await deadLetter.sync()
        disk.state.withLock { $0.failuresLeft = 3 }
        await deadLetter.record([rejection(2, isNumbered: false)])
        await deadLetter.record([rejection(3)])
        try await deadLetter.sync()
        deadLetter.finish()
        try await running.value
        #expect(try ids() == ["{\"id\":1}", "{\"id\":2}", "{\"id\":3}"])
        #expect(try RejectedLine.read(settings.directory).map(\.number) == [1, nil, 3])
        #expect(deadLetter.recordedRows.current == 3)
    }

    @Test func aCutThatFailsAfterASyncThatFailedMayDoubleRowsButLosesNone() async throws {
        let disk = Disk([.sync, .truncate], times: 2)
        let deadLetter = try deadLetter(disk)
        let running = Task { try await deadLetter.run() }
        await deadLetter.record([rejection(1)])
        try await deadLetter.sync()
        deadLetter.finish()
        try await running.value
        #expect(try Set(ids()) == ["{\"id\":1}"])
    }

    @Test func rowsThatNobodyWaitsForAreDiscardedAndCounted() async throws {
        let disk = Disk([.write])
        let deadLetter = try deadLetter(disk)
        let running = Task { try await deadLetter.run() }
        await deadLetter.record([rejection(1, isNumbered: false)])
        try await deadLetter.sync()
        deadLetter.finish()
        try await running.value
        #expect(try ids() == [])
        #expect(deadLetter.discardedRows.counter("disk_error").current == 1)
        #expect(disk.state.withLock { $0.waits.isEmpty })
    }

    @Test func aDaemonThatEndsWhileTheDiskFailsTellsNobodyThatRowsAreKept() async throws {
        let disk = Disk([.write])
        let deadLetter = try deadLetter(disk)
        let running = Task { try await deadLetter.run() }
        await deadLetter.record([rejection(1)])
        let syncing = Task { try await deadLetter.sync() }
        while disk.state.withLock({ $0.failures }) < 3 { await Task.yield() }
        running.cancel()
        _ = try? await running.value
        await #expect(throws: DeadLetterError.self) { try await syncing.value }
        // Nor does one that comes later.
        await #expect(throws: DeadLetterError.self) { try await deadLetter.sync() }
        #expect(deadLetter.discardedRows.counter("disk_error").current == 1)
    }

    @Test func whoeverComesNextHasTheDirectoryAtOnce() async throws {
        let first = try deadLetter(Disk([]))
        #expect(throws: DeadLetterError.self) { try deadLetter(Disk([])) }
        first.finish()
        try await first.run()
        let second = try deadLetter(Disk([]))
        await #expect(throws: DeadLetterError.self) {
            try await first.recordBlock(
                table: TableName(table: "t"), id: 1, rows: 1, bytes: ByteBuffer(string: "x"), message: "")
        }
        second.finish()
        try await second.run()
    }

    @Test func aRowNamesItsProducerItsEpochAndItsNumber() async throws {
        let deadLetter = try deadLetter(Disk([]))
        var unnamed = rejection(8)
        unnamed.producer = Producer.Identity(name: "", epoch: 99)
        await deadLetter.record([rejection(7), unnamed, rejection(9, isNumbered: false)])
        deadLetter.finish()
        try await deadLetter.run()
        let lines = try RejectedLine.read(settings.directory)
        #expect(lines.map(\.producer) == ["web-7", nil, nil])
        #expect(lines.map(\.epoch) == [3, nil, nil])
        #expect(lines.map(\.number) == [7, 8, nil])
    }

    @Test func whatWasReplayedMakesRoomWithoutCountingAsLost() async throws {
        var settings = settings
        settings.fileBytesMax = 4 << 10
        settings.totalBytesMax = 12 << 10
        try FileManager.default.createDirectory(atPath: settings.directory, withIntermediateDirectories: true)
        let old = "\(settings.directory)/rejected-20260101T000000.000Z-1.ndjson.replayed"
        try String(repeating: "{}\n", count: 3_000).write(toFile: old, atomically: true, encoding: .utf8)
        let journal = "\(settings.directory)/rejected-20260101T000000.000Z-1.replay"
        try "{}\n".write(toFile: journal, atomically: true, encoding: .utf8)
        let deadLetter = try DeadLetter(settings: settings, logger: quietLogger)
        let running = Task { try await deadLetter.run() }
        for id in 0..<40 { await deadLetter.record([rejection(id)]) }
        try await deadLetter.sync()
        deadLetter.finish()
        try await running.value
        #expect(!FileManager.default.fileExists(atPath: old) && !FileManager.default.fileExists(atPath: journal))
        #expect(discarded(deadLetter) == 0 && deadLetter.recordedRows.current == 40)
    }
}
