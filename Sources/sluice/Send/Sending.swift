import EventGenerator
import Foundation
import NIOConcurrencyHelpers
import SluiceClient
import Synchronization

/// Sends all of a source to the daemon, over one connection or several, each with a thread of its own.
final class Sending: Sendable {
    /// When rows count as sent.
    enum Acks: Hashable, Sendable {
        /// When they are written to the socket.
        case none
        case at(SluiceAck)
        /// When they are durable, if the daemon can say that; otherwise as `none`.
        case durableIfGranted
    }

    struct Plan: Sendable {
        var socketPath: String
        /// Said in each session's first line.
        var table: String?
        var generator = EventGenerator()
        /// Rows per second, of all producers together.
        var rate: Int?
        var producers = 1
        var acks = Acks.durableIfGranted
        /// Of all rows; NDJSON without it.
        var format = SluiceFormat.ndjson
        /// Under which the daemon remembers the rows; only for one producer, with acks.
        var identity: (name: String, epoch: UInt64)?
    }

    struct Progress: Sendable {
        var rows = 0
        var bytes = 0
    }

    /// How it went, besides the figures.
    struct Report: Sendable {
        /// Rows that the daemon told to be in its dead letter.
        var rejectedRows = 0
        /// What the person at the terminal should know; none of it means that rows were not sent.
        var notes: [String] = []
        /// What ended one producer or more, one line each.
        var problems: [String] = []
        /// Rows that the daemon had already, of an earlier run.
        var resumedRows = 0
        /// At which level all rows were acked; nil: they were written to the socket.
        var ack: SluiceAck?
    }

    private struct Outcome: Sendable {
        var report = Report()
        /// Producers that still run.
        var running: Int
    }

    private final class Figure: Sendable {
        let value = Atomic<Int>(0)
    }

    private let plan: Plan
    private let source: RowSource
    /// In the place of `source`, of another format than NDJSON.
    private let frames: FormatSource?
    private let began = ContinuousClock.now
    private let rows = Figure()
    private let bytes = Figure()
    private let outcome: NIOLockedValueBox<Outcome>
    private let ended = DispatchSemaphore(value: 0)

    init(_ plan: Plan, source: RowSource, frames: FormatSource? = nil) {
        self.plan = plan
        self.source = source
        self.frames = frames
        outcome = NIOLockedValueBox(Outcome(running: plan.producers))
    }

    /// What was sent so far: acked, or without acks written to the socket.
    var progress: Progress {
        Progress(rows: rows.value.load(ordering: .relaxed), bytes: bytes.value.load(ordering: .relaxed))
    }

    /// Blocks until all is sent.
    ///
    /// - Parameter report: called about ten times a second.
    /// - Returns: What there is to tell.
    func run(report: (Progress) -> Void) -> Report {
        for _ in 0..<plan.producers {
            let thread = Thread { [self] in
                let report = produce()
                outcome.withLockedValue { outcome in
                    outcome.report.add(report)
                    outcome.running -= 1
                }
                ended.signal()
            }
            thread.stackSize = 1 << 20
            thread.start()
        }
        while outcome.withLockedValue({ $0.running > 0 }) {
            // Wakes up for each producer that ends, too.
            _ = ended.wait(timeout: .now() + .milliseconds(100))
            report(progress)
        }
        return outcome.withLockedValue { $0.report }
    }

    /// One producer, from start to end.
    private func produce() -> Report {
        switch plan.acks {
        case .none: return Report(problems: produceWithoutAcks())
        case .at(let ack): return produce(ack)
        case .durableIfGranted: return produce(.durable, orWithoutAcks: true)
        }
    }

    private func produce(_ ack: SluiceAck, orWithoutAcks: Bool = false) -> Report {
        let connection = AckedConnection(plan, ack: ack) { [rows, bytes] in
            rows.value.add($0, ordering: .relaxed)
            bytes.value.add($1, ordering: .relaxed)
        }
        let resume: UInt64
        do {
            resume = try connection.open()
        } catch {
            let code = (error as? SluiceClientError)?.code
            if orWithoutAcks, frames != nil, code == .refused("no_spool") {
                var report = produce(.received)
                report.notes.insert("the daemon has no spool: rows count as sent when it has them in memory", at: 0)
                return report
            }
            let givesNoAcks = code == .refused("not_allowed") && "\(error)".contains("gives no acks")
            if orWithoutAcks, frames == nil, code == .refused("no_spool") || givesNoAcks {
                return Report(
                    notes: ["the daemon has no spool: rows are not acked, and a crash of the daemon may lose some"],
                    problems: produceWithoutAcks())
            }
            let isAbsent = code == .notConnected && "\(error)".hasPrefix("no daemon listens")
            return Report(problems: ["\(error)" + (isAbsent ? ": start it with `sluice run`" : "")])
        }
        var left = Int(clamping: resume)
        var failure: String?
        do {
            var made: [UInt8] = []
            if let frames, left > 0 { frames.skip(left) }
            while let frames, let (frame, rowsBefore) = try frames.next() {
                left = 0
                wait(for: rowsBefore)
                try connection.send(frame.payload, rows: frame.rows)
            }
            while frames == nil, let (piece, rowsBefore) = try source.next() {
                let (piece, skipped) = piece.dropping(rows: left)
                left -= skipped
                guard let piece else { continue }
                wait(for: rowsBefore)
                try connection.send(lines(of: piece, &made))
            }
            try connection.finish()
        } catch {
            let unacked = connection.unackedRows
            connection.abandon()
            failure = "\(error)" + (unacked > 0 ? " (\(unacked) rows that were handed over are not acked)" : "")
        }
        var report = connection.report
        if let failure { report.problems.append(failure) }
        report.resumedRows = Int(clamping: resume) - left
        report.ack = ack
        return report
    }

    private func lines(of piece: Piece, _ made: inout [UInt8]) -> [UInt8] {
        switch piece {
        case .bytes(let bytes, _): return bytes
        case .numbers(let numbers):
            made.removeAll(keepingCapacity: true)
            plan.generator.append(rows: numbers, to: &made)
            return made
        }
    }

    private func produceWithoutAcks() -> [String] {
        do {
            let connection = try DaemonConnection(to: plan.socketPath)
            var isOpen = true
            if let table = plan.table {
                let line = Array("#sluice table=\(table)\n".utf8)
                isOpen =
                    try line.withUnsafeBytes { (bytes) throws(SendError) in try connection.write(bytes) } == .written
            }
            var made: [UInt8] = []
            while isOpen, let (piece, rowsBefore) = try source.next() {
                wait(for: rowsBefore)
                let lines = lines(of: piece, &made)
                isOpen =
                    try lines.withUnsafeBytes { (bytes) throws(SendError) in try connection.write(bytes) } == .written
                guard isOpen else { break }
                rows.value.add(piece.rows, ordering: .relaxed)
                bytes.value.add(lines.count, ordering: .relaxed)
            }
            let (answers, isOrderly) = connection.finish()
            if !answers.isEmpty { return answers }
            return isOpen && isOrderly ? [] : ["the daemon closed the connection before it had taken everything"]
        } catch {
            return ["\(error)"]
        }
    }

    /// Until the rate allows more rows.
    private func wait(for rowsBefore: Int) {
        guard let rate = plan.rate else { return }
        let due = began + .seconds(Double(rowsBefore) / Double(rate))
        let left = due - .now
        if left > .zero {
            Thread.sleep(forTimeInterval: Double(left.components.seconds) + Double(left.components.attoseconds) / 1e18)
        }
    }
}

extension Sending.Report {
    /// Of another producer; what both say is said once.
    mutating func add(_ other: Self) {
        rejectedRows += other.rejectedRows
        notes += other.notes.filter { !notes.contains($0) }
        problems += other.problems.filter { !problems.contains($0) }
        resumedRows += other.resumedRows
        ack = ack ?? other.ack
    }
}
