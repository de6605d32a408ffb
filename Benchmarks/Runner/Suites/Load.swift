import Workloads
import Foundation

/// Rows that producers push into the socket as fast as it takes them.
final class Load: Sendable {
    /// How producers hand over their rows.
    enum Dialect: String, Sendable {
        /// Bare lines: nobody says what became of them.
        case lines
        /// Frames with numbers and checksums, of a producer with a name that wants `durable` acks.
        case frames
    }

    /// Bytes of a write: a producer that hands over some hundred rows at a time.
    private static let writeBytes = 64 << 10

    /// Producers beyond these share threads.
    private static let threadsMax = 8

    let rows: Int
    let bytes: Int
    private let workload: Workload
    private let dialect: Dialect
    /// For each producer, pieces of whole lines.
    private let shares: [[Range<Int>]]

    /// Whole multiples of the distinct rows, so the rows may become some fewer than asked for.
    init(rows wanted: Int, producers: Int, tables: Int = 0, dialect: Dialect = .lines) {
        self.dialect = dialect
        let distinct = min(wanted, Workload.distinctRowsMax)
        let times = max(1, wanted / distinct)
        workload = Workload(rows: distinct, tables: tables)
        rows = distinct * times
        bytes = workload.bytes.count * times
        var shares = Array(repeating: [Range<Int>](), count: producers)
        let pieces = workload.pieces(of: Self.writeBytes)
        for number in 0..<pieces.count * times { shares[number % producers].append(pieces[number % pieces.count]) }
        self.shares = shares
    }

    /// Returns when everything is written; up to `threadsMax` producers on a thread of their own.
    func send(to path: String) async throws {
        guard dialect == .lines else { return try await sendFrames(to: path) }
        let threads = min(shares.count, Self.threadsMax)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<threads {
                let mine = stride(from: number, to: shares.count, by: threads).map { shares[$0] }
                group.addTask {
                    try await withCheckedThrowingContinuation { continuation in
                        Thread { continuation.resume(with: Result { try self.push(mine, to: path) }) }.start()
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// Each producer on a thread of its own; returns when everything is acked.
    private func sendFrames(to path: String) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, share) in shares.enumerated() {
                group.addTask {
                    try await withCheckedThrowingContinuation { continuation in
                        Thread {
                            continuation.resume(
                                with: Result {
                                    let producer = try FramedProducer(path, name: "bench-\(number)")
                                    defer { producer.close() }
                                    try producer.push(share, of: self.workload.bytes)
                                })
                        }.start()
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// Of each producer a piece, then of each the next.
    private func push(_ shares: [[Range<Int>]], to path: String) throws {
        let sockets = try shares.map { _ in try UnixSocket(connectingTo: path) }
        defer { for socket in sockets { socket.close() } }
        try workload.bytes.withUnsafeBytes { bytes in
            for place in 0..<(shares.map(\.count).max() ?? 0) {
                for (share, socket) in zip(shares, sockets) where place < share.count {
                    try socket.write(UnsafeRawBufferPointer(rebasing: bytes[share[place]]))
                }
            }
        }
    }
}
