import Dispatch
import NIOConcurrencyHelpers
import NIOCore
import SluiceClient

/// A session with acks, for a thread that may block. Rows count as sent when they are acked.
final class AckedConnection: Sendable {
    /// How long a daemon that went away is waited for.
    static let patience: Duration = .seconds(60)
    /// Rejected rows that are named one by one.
    static let rejectionsShownMax = 10

    private struct State {
        /// Handed over and not acked: the last row's number, and how much it is.
        var pieces: [(last: UInt64, bytes: Int)] = []
        var acked: UInt64 = 0
        var rejected = 0
        var rejections: [SluiceRejection] = []
        var reconnects = 0
        var problems: [String] = []
    }

    private let producer: SluiceProducer
    private let isNamed: Bool
    private let state: Ledger

    private final class Ledger: Sendable {
        let state = NIOLockedValueBox(State())
        let onAcked: @Sendable (_ rows: Int, _ bytes: Int) -> Void

        init(onAcked: @escaping @Sendable (Int, Int) -> Void) { self.onAcked = onAcked }

        func heard(_ event: SluiceEvent) {
            switch event {
            case .connected: break
            // Before it says so, the daemon acks all that it has taken: nothing is sent twice.
            case .disconnected(let reason) where reason.hasPrefix("rate_limit: "): break
            case .disconnected: state.withLockedValue { $0.reconnects += 1 }
            case .acked(let number): acked(number)
            case .rejected(let rejection):
                state.withLockedValue { state in
                    state.rejected += 1
                    if state.rejections.count < AckedConnection.rejectionsShownMax {
                        state.rejections.append(rejection)
                    }
                }
            case .rejectionsLeftOut(let count): state.withLockedValue { $0.rejected += count }
            case .daemonForgot(let acked, let has, _):
                state.withLockedValue {
                    $0.problems.append(
                        "the daemon had acked \(acked) rows and knows only \(has) of them now: the others may be lost")
                }
            }
        }

        func sent(upTo number: UInt64, bytes: Int) {
            let isAcked = state.withLockedValue { state in
                if number > state.acked { state.pieces.append((number, bytes)) }
                return number <= state.acked
            }
            // The ack was faster.
            if isAcked { onAcked(0, bytes) }
        }

        private func acked(_ number: UInt64) {
            let (rows, bytes) = state.withLockedValue { state in
                let rows = number > state.acked ? Int(number - state.acked) : 0
                state.acked = max(state.acked, number)
                let done = state.pieces.prefix { $0.last <= number }
                state.pieces.removeFirst(done.count)
                return (rows, done.reduce(0) { $0 + $1.bytes })
            }
            onAcked(rows, bytes)
        }
    }

    /// - Parameter onAcked: called from another thread, with what was acked since the last call.
    init(_ plan: Sending.Plan, ack: SluiceAck, onAcked: @escaping @Sendable (_ rows: Int, _ bytes: Int) -> Void) {
        var configuration = SluiceProducerConfiguration(
            socketPath: plan.socketPath, name: plan.identity?.name, epoch: plan.identity?.epoch ?? 0, ack: ack,
            table: plan.table)
        configuration.format = plan.format
        configuration.client = "sluice send \(Sluice.version)"
        configuration.rowBytesMax = RowSource.lineBytesMax
        configuration.giveUpAfter = Self.patience
        isNamed = plan.identity != nil
        let ledger = Ledger(onAcked: onAcked)
        state = ledger
        producer = SluiceProducer(configuration) { ledger.heard($0) }
    }

    /// - Returns: Rows that the daemon has already.
    /// - Throws: `SluiceClientError`, after one attempt.
    func open() throws -> UInt64 {
        let resume = try wait { [producer] in try await producer.connect(triesOnce: true) }
        state.state.withLockedValue { $0.acked = resume }
        return resume
    }

    /// Waits while there is no room for them.
    func send(_ lines: [UInt8]) throws {
        let bytes = ByteBuffer(bytes: lines)
        try wait { [producer, state] in
            let numbers = try await producer.send(bytes)
            state.sent(upTo: numbers.upperBound, bytes: bytes.readableBytes)
        }
    }

    /// The same for rows of another format than NDJSON, which are a frame. Without bytes: numbers without rows.
    func send(_ frame: [UInt8], rows: Int) throws {
        let bytes = ByteBuffer(bytes: frame)
        try wait { [producer, state] in
            let numbers = try await producer.send(bytes, rows: rows)
            state.sent(upTo: numbers.upperBound, bytes: bytes.readableBytes)
        }
    }

    /// Waits until all is acked.
    func finish() throws { try wait { [producer] in try await producer.close() } }

    func abandon() { try? wait { [producer] in await producer.abandon() } }

    /// Rows that were handed over and are not acked.
    var unackedRows: Int { (try? wait { [producer] in Int(await producer.unackedRows) }) ?? 0 }

    /// What is to be told, once it is over.
    var report: Sending.Report {
        state.state.withLockedValue { state in
            var notes = state.rejections.map { rejection in
                "row \(rejection.row) rejected: \(rejection.reason)"
                    + (rejection.column.map { ", column \($0)" } ?? "") + ": \(rejection.message)"
            }
            let more = state.rejected - state.rejections.count
            if more > 0 { notes.append("\(more) more rows rejected") }
            if state.reconnects > 0, !isNamed {
                notes.append(
                    "the connection broke, and rows were sent again: some may be there twice (--producer rules that out)"
                )
            }
            return Sending.Report(rejectedRows: state.rejected, notes: notes, problems: state.problems)
        }
    }

    /// Blocks this thread.
    private func wait<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) throws -> Value {
        let done = DispatchSemaphore(value: 0)
        let result = Outcome<Value>()
        Task.detached {
            do {
                let value = try await body()
                result.value.withLockedValue { $0 = .success(value) }
            } catch {
                result.value.withLockedValue { $0 = .failure(error) }
            }
            done.signal()
        }
        done.wait()
        // The semaphore says that it is there.
        return try result.value.withLockedValue { $0 }!.get()
    }

    private final class Outcome<Value: Sendable>: Sendable {
        let value = NIOLockedValueBox<Result<Value, any Error>?>(nil)
    }
}
