import Workloads
import Foundation
import Synchronization

/// Rows that producers push into the socket as fast as it takes them.
final class Load: Sendable {
    /// Bytes of a write: a producer that hands over some hundred rows at a time.
    private static let writeBytes = 64 << 10

    /// Producers beyond these share threads.
    private static let threadsMax = 8

    let rows: Int
    let bytes: Int
    private let workload: Workload
    /// For each producer, pieces of whole lines.
    private let shares: [[Range<Int>]]

    /// Whole multiples of the distinct rows, so the rows may become some fewer than asked for.
    init(rows wanted: Int, producers: Int, tables: Int = 0) {
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

/// A blocking connection to a Unix socket.
struct UnixSocket: Sendable {
    let descriptor: Int32

    init(connectingTo path: String) throws {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < room else { throw BenchmarkError("the socket's path is too long") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        #if canImport(Darwin)
            descriptor = socket(AF_UNIX, SOCK_STREAM, 0)
        #else
            descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        #endif
        guard descriptor >= 0 else { throw BenchmarkError("no socket: errno \(errno)") }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else {
            close()
            throw BenchmarkError("cannot connect: errno \(errno)")
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while let start = rest.baseAddress, rest.count > 0 {
            let written = Foundation.write(descriptor, start, rest.count)
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { throw BenchmarkError("the daemon closed the socket: errno \(errno)") }
            rest = UnsafeRawBufferPointer(rebasing: rest[written...])
        }
    }

    func close() { _ = Foundation.close(descriptor) }
}
