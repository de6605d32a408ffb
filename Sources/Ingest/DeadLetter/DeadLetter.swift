import Foundation
import Logging
import NIOCore
import Pipeline
import ServiceLifecycle
import Synchronization

/// Keeps what was rejected: rows as lines of JSON, blocks that the server refused for good as `.native` files.
///
/// Whoever rejects encodes, and waits only when `queueBytesMax` wait already; one task writes. It goes on until the last
/// stage that may reject has ended: `finish()`, or a graceful shutdown that reaches it last (first in start order).
/// A disk that fails never costs the daemon. Rows that have numbers, whose producers wait for an ack, are tried again with
/// growing waits until they are on the disk; so whoever rejects waits, and producers feel it. Only where nobody counts on an
/// ack are rows discarded: each is counted under a reason, and logged.
public actor DeadLetter {
    public nonisolated let name = "dead-letter"

    /// Encoded rejections that may wait to be written.
    static let queueElementsMax = 1024
    static let queueBytesMax = 4 << 20
    /// What is written at once while more waits; what waits no longer is written at once anyway.
    static let writeBytesMax = 64 << 10
    /// Errors in between are only counted.
    static let errorLogInterval: TimeInterval = 10
    /// Between attempts to write what must not be discarded.
    static let retryDelayMin: Duration = .milliseconds(50)
    static let retryDelayMax: Duration = .seconds(5)
    /// What is written and not synced is kept in memory, to be written anew if the sync fails; so much of it is synced unasked.
    static let unsyncedBytesMax = 4 << 20

    /// Why a rejected row is not kept; a bounded set.
    public enum DiscardReason: String, Sendable, CaseIterable {
        /// It was the oldest when `total_bytes_max` was reached.
        case full = "dead_letter_full"
        case diskError = "disk_error"
        /// It came after the end.
        case stopped
    }

    /// Rejections as their lines.
    struct Entry: Sendable {
        var lines = ByteBuffer()
        var rows = 0
        /// Of them, those whose producer waits for an ack.
        var numberedRows = 0
        /// Told when all before it is on the disk, or never will be.
        var whenDurable: CheckedContinuation<Void, any Error>?

        mutating func append(_ other: Entry) {
            lines.writeImmutableBuffer(other.lines)
            rows += other.rows
            numberedRows += other.numberedRows
        }
    }

    /// Rows and blocks that were written.
    public nonisolated let recordedRows = Counter()
    public nonisolated let recordedBlocks = Counter()
    /// Rows that are kept no longer, or never were, by `DiscardReason`. A discarded block counts with its rows.
    public nonisolated let discardedRows = CounterFamily()
    /// Writes that failed.
    public nonisolated let diskErrors = Counter()

    private nonisolated let input: BoundedStream<Entry>
    private nonisolated let encoder: RejectionEncoder
    private nonisolated let redactor = RowRedactor()
    /// What is gathered for one write, so that no file becomes larger than asked for.
    private nonisolated let entryBytesMax: Int
    private nonisolated let now: @Sendable () -> Date
    private nonisolated let logger: Logger
    private nonisolated let clock: StageClock
    /// A row with a number found nobody any more who would have kept it.
    private nonisolated let hasLostNumbered = Atomic(false)
    private let directory: DeadLetterDirectory
    private var unwritten = Entry()
    /// Written, and not synced.
    private var unsynced: [Entry] = []
    private var unsyncedBytes = 0
    private var syncsSeen = 0
    private var lastErrorLogged = Date.distantPast
    private var errorsUnlogged = 0

    /// Makes the directory if it is not there.
    ///
    /// - Throws: `DeadLetterError` when it cannot be used, or another process uses it.
    public init(
        settings: DeadLetterSettings, logger: Logger, now: @escaping @Sendable () -> Date = { Date() },
        clock: StageClock = .continuous
    ) throws {
        try self.init(settings: settings, logger: logger, now: now, clock: clock, fault: { _ in nil })
    }

    /// - Parameter fault: for tests: the errno with which a call of the disk fails.
    init(
        settings: DeadLetterSettings, logger: Logger, now: @escaping @Sendable () -> Date, clock: StageClock,
        fault: @escaping @Sendable (DeadLetterDirectory.Call) -> Int32?
    ) throws {
        directory = try DeadLetterDirectory(
            path: settings.directory, fileBytesMax: settings.fileBytesMax, totalBytesMax: settings.totalBytesMax,
            fault: fault)
        self.clock = clock
        encoder = RejectionEncoder(rowBytesMax: settings.rowBytesMax)
        entryBytesMax = min(Self.writeBytesMax, settings.fileBytesMax, settings.totalBytesMax)
        input = BoundedStream(
            elementsMax: Self.queueElementsMax, bytesMax: Self.queueBytesMax, weight: { $0.lines.readableBytes })
        self.logger = logger
        self.now = now
    }

    // MARK: Rows

    /// Takes over what tables' rules keep out of dead letters: for rows that are rejected from here on.
    public nonisolated func redact(by settings: ValidateSettings) { redactor.reconfigure(settings) }

    /// Takes rejections in; waits while too many wait to be written. A cancelled task waits for nothing: then what finds
    /// no room is discarded, and counted.
    public nonisolated func record(_ rejections: [Rejection]) async {
        let time = TimeText(now()).text
        var entry = Entry()
        for rejection in rejections {
            let next = encode(rejection, time: time)
            if entry.rows > 0, entry.lines.readableBytes + next.lines.readableBytes > entryBytesMax {
                await send(entry)
                entry = next
            } else {
                entry.append(next)
            }
        }
        if entry.rows > 0 { await send(entry) }
    }

    private nonisolated func send(_ entry: Entry) async {
        do {
            try await input.send(entry)
        } catch {
            if error.element.numberedRows > 0 { hasLostNumbered.store(true, ordering: .sequentiallyConsistent) }
            discard(rows: error.element.rows, .stopped)
        }
    }

    /// Returns when all rows with numbers that were recorded before are on the disk, synced; those that were too large for
    /// the whole directory, or had to make room, count as discarded. Waits as long as the disk fails.
    ///
    /// - Throws: `DeadLetterError` when the daemon ends before that: then their producers must not hear an ack.
    public nonisolated func sync() async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            var marker = Entry()
            marker.whenDurable = continuation
            Task {
                do {
                    try await input.send(marker)
                } catch {
                    // After the end; `run` has written and synced what it took, or says that it could not.
                    continuation.resume(with: durability)
                }
            }
        }
    }

    private nonisolated var durability: Result<Void, any Error> {
        hasLostNumbered.load(ordering: .sequentiallyConsistent)
            ? .failure(DeadLetterError(.system, "the daemon ended before rejected rows were on the disk"))
            : .success(())
    }

    /// For event loops: false when there is no room, and the rejection is not taken.
    nonisolated func tryRecord(_ rejection: Rejection) -> Bool {
        switch input.trySend(encode(rejection, time: TimeText(now()).text)) {
        case .accepted: return true
        case .full: return false
        case .finished:
            discard(rows: 1, .stopped)
            return true
        }
    }

    /// Calls back once, on any thread, when there is room again.
    ///
    /// - Returns: What takes the call back.
    nonisolated func onWritable(_ callback: @escaping @Sendable () -> Void) -> @Sendable () -> Void {
        let registration = input.onWritable(callback)
        return { [input] in
            if let registration { input.cancelWritable(registration) }
        }
    }

    /// No more rejections; `run` writes what is there and ends. May be repeated.
    public nonisolated func finish() { input.finish() }

    public func run() async throws {
        await withGracefulShutdownHandler {
            await consume()
        } onGracefulShutdown: {
            self.finish()
        }
    }

    private func consume() async {
        while let entries = await input.nextBatch(maxElements: 64, maxBytes: Self.queueBytesMax) {
            for entry in entries { await write(entry) }
            if input.snapshot().elements == 0 { await flush() }
        }
        // Cancelled or not, what was taken in is written.
        input.finish()
        for entry in input.takeAvailable(maxElements: .max) { await write(entry) }
        await flush()
        if !unsynced.isEmpty { await makeDurable() }
        do {
            try directory.closeFile()
        } catch {
            diskFailed(error)
        }
        // Sessions that are being closed may hold this object for a while; the next daemon need not wait for that.
        directory.release()
    }

    private nonisolated func encode(_ rejection: Rejection, time: String) -> Entry {
        var entry = Entry(rows: 1, numberedRows: rejection.number == nil ? 0 : 1)
        encoder.encode(redactor.redacted(rejection), time: time, into: &entry.lines)
        return entry
    }

    private func write(_ entry: Entry) async {
        if let continuation = entry.whenDurable {
            await flush()
            await makeDurable()
            continuation.resume(with: durability)
            return
        }
        if unwritten.lines.readableBytes + entry.lines.readableBytes > entryBytesMax { await flush() }
        unwritten.append(entry)
    }

    private func flush() async {
        guard unwritten.rows > 0 else { return }
        let entry = unwritten
        unwritten = Entry()
        let isKept = await persist(rowsAtStake: entry.numberedRows) {
            let outcome = try self.append(entry)
            self.discard(rows: outcome.rowsRemoved, .full)
            if outcome.isKept { self.recordedRows.add(entry.rows) } else { self.discard(rows: entry.rows, .full) }
        }
        if !isKept { lost(entry) }
        if unsyncedBytes >= Self.unsyncedBytesMax { await makeDurable() }
    }

    /// Syncs. What a sync that failed leaves in doubt is written anew.
    private func makeDurable() async {
        let isDurable = await persist(rowsAtStake: unsynced.reduce(0) { $0 + $1.numberedRows }) {
            try self.directory.sync()
        }
        if isDurable {
            unsynced = []
            unsyncedBytes = 0
        } else if unsynced.contains(where: { $0.numberedRows > 0 }) {
            hasLostNumbered.store(true, ordering: .sequentiallyConsistent)
        }
    }

    /// Does something on the disk; if rows are at stake, until it works.
    ///
    /// - Returns: False when it did not work, and nothing is at stake, or the task is cancelled.
    private func persist(rowsAtStake: Int, _ body: () throws -> Void) async -> Bool {
        var delay = Self.retryDelayMin
        while true {
            do {
                // What was sent before may not come behind what is sent now, nor be forgotten.
                try writeAnew()
                try body()
                noteSyncs()
                return true
            } catch {
                diskFailed(error)
                noteSyncs()
            }
            guard rowsAtStake > 0 || unsynced.contains(where: { $0.numberedRows > 0 }) && directory.isSyncBroken,
                !Task.isCancelled
            else { return false }
            do {
                try await clock.sleep(for: delay)
            } catch {
                return false
            }
            delay = min(delay * 2, Self.retryDelayMax)
        }
    }

    /// After a sync that failed.
    private func writeAnew() throws {
        guard directory.isSyncBroken else { return }
        directory.giveUpFile()
        let entries = unsynced
        unsynced = []
        unsyncedBytes = 0
        for (index, entry) in entries.enumerated() {
            do {
                let outcome = try append(entry)
                discard(rows: outcome.rowsRemoved + (outcome.isKept ? 0 : entry.rows), .full)
            } catch {
                for rest in entries[index...] { noteUnsynced(rest) }
                // What was not written is to be written anew, too.
                directory.distrustFile()
                throw error
            }
        }
    }

    private func append(_ entry: Entry) throws -> DeadLetterDirectory.Outcome {
        defer { noteSyncs() }
        let outcome = try directory.append(entry.lines, rows: entry.rows, time: TimeText(now()).name)
        noteSyncs()
        if outcome.isKept { noteUnsynced(entry) }
        return outcome
    }

    private func noteUnsynced(_ entry: Entry) {
        unsynced.append(entry)
        unsyncedBytes += entry.lines.readableBytes
    }

    /// What was written before a sync is done with.
    private func noteSyncs() {
        guard directory.syncs != syncsSeen else { return }
        syncsSeen = directory.syncs
        unsynced = []
        unsyncedBytes = 0
    }

    private func lost(_ entry: Entry) {
        if entry.numberedRows > 0 { hasLostNumbered.store(true, ordering: .sequentiallyConsistent) }
        discard(rows: entry.rows, .diskError)
    }

    // MARK: Blocks

    /// Keeps a block that the server refused for good: `<table>-<time>-<id>.native`, beside it a `.json` that says why.
    ///
    /// - Parameters:
    ///   - bytes: The block in the Native format, uncompressed and without frames: what `clickhouse local` reads.
    ///   - code: The server's error code, if it was the server.
    /// - Throws: `DeadLetterError` when it could not be kept; the block is still the caller's.
    public func recordBlock(
        table: TableName, id: UInt64, rows: Int, bytes: ByteBuffer, reason: RejectReason = .refusedByServer,
        code: Int? = nil, message: String
    ) throws {
        let time = TimeText(now())
        var why = ByteBuffer()
        why.writeString("{\"time\":\"\(time.text)\",\"table\":")
        why.writeJSONString(table.description.utf8)
        why.writeString(",\"reason\":\"\(reason.rawValue)\",\"code\":\(code.map(String.init) ?? "null"),\"message\":")
        why.writeJSONString(message.cut(toBytes: RejectionEncoder.messageBytesMax).utf8)
        why.writeString(",\"block\":\(id),\"rows\":\(rows),\"bytes\":\(bytes.readableBytes)}\n")
        do {
            let removed = try directory.writeBlock(
                named: "\(DeadLetterDirectory.fileName(of: table))-\(time.name)-\(id)", bytes, why: why, rows: rows)
            discard(rows: removed, .full)
            recordedBlocks.add()
        } catch {
            diskFailed(error)
            throw error
        }
    }

    // MARK: Failures

    private nonisolated func discard(rows: Int, _ reason: DiscardReason) {
        guard rows > 0 else { return }
        discardedRows.add(rows, reason: reason.rawValue)
        if reason != .diskError {
            logger.warning(
                "rejected rows discarded", metadata: ["rows": "\(rows)", "reason": "\(reason.rawValue)"])
        }
    }

    private func diskFailed(_ error: any Error) {
        diskErrors.add()
        errorsUnlogged += 1
        let time = now()
        guard time.timeIntervalSince(lastErrorLogged) >= Self.errorLogInterval else { return }
        logger.error(
            "the dead letter cannot be written",
            metadata: [
                "error": "\(error)", "errors": "\(errorsUnlogged)",
                "rows_discarded": "\(discardedRows.counter(DiscardReason.diskError.rawValue).current)",
            ])
        lastErrorLogged = time
        errorsUnlogged = 0
    }
}

/// Why something could not be kept.
public struct DeadLetterError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Hashable, Sendable, CaseIterable {
        case system
        /// Another process has the directory.
        case inUse = "in_use"
        /// Larger than `total_bytes_max`.
        case tooLarge = "too_large"
    }

    public let code: Code
    public let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
