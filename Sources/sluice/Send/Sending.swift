import EventGenerator
import Foundation
import Synchronization

/// Sends all of a source to the daemon, over one connection or several, each with a thread of its own.
final class Sending: Sendable {
    struct Plan: Sendable {
        var socketPath: String
        /// Said in each session's first line.
        var table: String?
        var generator = EventGenerator()
        /// Rows per second, of all producers together.
        var rate: Int?
        var producers = 1
    }

    struct Progress: Sendable {
        var rows = 0
        var bytes = 0
    }

    /// A problem that ended one producer or more.
    struct Outcome: Sendable {
        var problems: [String] = []
        /// Producers that still run.
        var running: Int
    }

    private let plan: Plan
    private let source: RowSource
    private let began = ContinuousClock.now
    private let rows = Atomic<Int>(0)
    private let bytes = Atomic<Int>(0)
    private let outcome: Mutex<Outcome>
    private let ended = DispatchSemaphore(value: 0)

    init(_ plan: Plan, source: RowSource) {
        self.plan = plan
        self.source = source
        outcome = Mutex(Outcome(running: plan.producers))
    }

    /// What was written to the socket so far.
    var progress: Progress {
        Progress(rows: rows.load(ordering: .relaxed), bytes: bytes.load(ordering: .relaxed))
    }

    /// Blocks until all is sent.
    ///
    /// - Parameter report: called about ten times a second.
    /// - Returns: What went wrong, one line each.
    func run(report: (Progress) -> Void) -> [String] {
        for _ in 0..<plan.producers {
            let thread = Thread { [self] in
                let problems = produce()
                outcome.withLock { outcome in
                    outcome.problems += problems.filter { !outcome.problems.contains($0) }
                    outcome.running -= 1
                }
                ended.signal()
            }
            thread.stackSize = 1 << 20
            thread.start()
        }
        while outcome.withLock({ $0.running > 0 }) {
            // Wakes up for each producer that ends, too.
            _ = ended.wait(timeout: .now() + .milliseconds(100))
            report(progress)
        }
        return outcome.withLock { $0.problems }
    }

    /// One producer, from start to end.
    private func produce() -> [String] {
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
                let lines: [UInt8]
                switch piece {
                case .bytes(let bytes, _): lines = bytes
                case .numbers(let numbers):
                    made.removeAll(keepingCapacity: true)
                    plan.generator.append(rows: numbers, to: &made)
                    lines = made
                }
                isOpen =
                    try lines.withUnsafeBytes { (bytes) throws(SendError) in try connection.write(bytes) } == .written
                guard isOpen else { break }
                rows.add(piece.rows, ordering: .relaxed)
                bytes.add(lines.count, ordering: .relaxed)
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
