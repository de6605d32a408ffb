import Foundation
import Logging
import NIOCore
import Pipeline
import ServiceLifecycle

/// Keeps what was rejected: rows as lines of JSON, blocks that the server refused for good as `.native` files.
///
/// Whoever rejects encodes, and waits only when `queueBytesMax` wait already; one task writes. It goes on until the last
/// stage that may reject has ended: `finish()`, or a graceful shutdown that reaches it last (first in start order).
/// A disk that fails costs rejected rows, never the daemon: each is counted under a reason, and logged.
public actor DeadLetter {
    public nonisolated let name = "dead-letter"

    /// Encoded rejections that may wait to be written.
    static let queueElementsMax = 1024
    static let queueBytesMax = 4 << 20
    /// What is written at once while more waits; what waits no longer is written at once anyway.
    static let writeBytesMax = 64 << 10
    /// Errors in between are only counted.
    static let errorLogInterval: TimeInterval = 10

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
        /// Told when all before it is on the disk.
        var whenDurable: CheckedContinuation<Void, Never>?

        mutating func append(_ other: Entry) {
            lines.writeImmutableBuffer(other.lines)
            rows += other.rows
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
    /// What is gathered for one write, so that no file becomes larger than asked for.
    private nonisolated let entryBytesMax: Int
    private nonisolated let now: @Sendable () -> Date
    private nonisolated let logger: Logger
    private let directory: DeadLetterDirectory
    private var unwritten = Entry()
    private var lastErrorLogged = Date.distantPast
    private var errorsUnlogged = 0

    /// Makes the directory if it is not there.
    ///
    /// - Throws: `DeadLetterError` when it cannot be used, or another process uses it.
    public init(
        settings: DeadLetterSettings, logger: Logger, now: @escaping @Sendable () -> Date = { Date() }
    ) throws {
        directory = try DeadLetterDirectory(
            path: settings.directory, fileBytesMax: settings.fileBytesMax, totalBytesMax: settings.totalBytesMax)
        encoder = RejectionEncoder(rowBytesMax: settings.rowBytesMax)
        entryBytesMax = min(Self.writeBytesMax, settings.fileBytesMax, settings.totalBytesMax)
        input = BoundedStream(
            elementsMax: Self.queueElementsMax, bytesMax: Self.queueBytesMax, weight: { $0.lines.readableBytes })
        self.logger = logger
        self.now = now
    }

    // MARK: Rows

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
            discard(rows: error.element.rows, .stopped)
        }
    }

    /// Returns when all that was recorded before is on the disk, synced (or counted as discarded).
    public nonisolated func sync() async {
        await withCheckedContinuation { continuation in
            var marker = Entry()
            marker.whenDurable = continuation
            Task {
                do {
                    try await input.send(marker)
                } catch {
                    // After the end; `run` has written and synced what it took.
                    continuation.resume()
                }
            }
        }
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
            for entry in entries { write(entry) }
            if input.snapshot().elements == 0 { flush() }
        }
        // Cancelled or not, what was taken in is written.
        input.finish()
        for entry in input.takeAvailable(maxElements: .max) { write(entry) }
        flush()
        do {
            try directory.closeFile()
        } catch {
            diskFailed(error)
        }
    }

    private nonisolated func encode(_ rejection: Rejection, time: String) -> Entry {
        var entry = Entry(rows: 1)
        encoder.encode(rejection, time: time, into: &entry.lines)
        return entry
    }

    private func write(_ entry: Entry) {
        if let continuation = entry.whenDurable {
            flush()
            do {
                try directory.sync()
            } catch {
                diskFailed(error)
            }
            continuation.resume()
            return
        }
        if unwritten.lines.readableBytes + entry.lines.readableBytes > entryBytesMax { flush() }
        unwritten.append(entry)
    }

    private func flush() {
        guard unwritten.rows > 0 else { return }
        let entry = unwritten
        unwritten = Entry()
        do {
            let outcome = try directory.append(entry.lines, rows: entry.rows, time: TimeText(now()).name)
            discard(rows: outcome.rowsRemoved, .full)
            if outcome.isKept { recordedRows.add(entry.rows) } else { discard(rows: entry.rows, .full) }
        } catch {
            discard(rows: entry.rows, .diskError)
            diskFailed(error)
        }
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
