import ArgumentParser
import Foundation
import NIOConcurrencyHelpers
import NIOCore
import Pipeline
import ProducerProtocol
import Workloads

/// How long a producer waits for its acks, at a steady rate, and beside it how long this disk takes to sync as much.
struct AckLatencyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ack-latency", abstract: "Measures the time from a frame to its ack, at a steady rate.")

    @Option(help: "Rows a second, over all producers.")
    var rate = 100_000

    @Option(help: "For how long; the first second does not count.")
    var seconds = 15

    @Option(help: "Producers, each on a thread.")
    var producers = 4

    @Option(help: "Rows in a frame.")
    var frameRows = 100

    @Option(help: "received, durable or committed.")
    var ack = "durable"

    @Option(help: "Where the spool is put, and what is synced.")
    var directory = FileManager.default.temporaryDirectory.path

    @Option(help: "The folder with the CREATE TABLE files.")
    var schema = "schema"

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let folder = URL(fileURLWithPath: directory).appendingPathComponent("sluice-ack-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }

        print(Machine().description)
        let bytes = Workload(rows: frameRows).bytes.count
        let disk = try Self.syncLatency(of: bytes, in: folder.path)
        let daemon = try ServedDaemon(
            ServeJob(
                directory: folder.path, rows: .max, sink: "null", table: .mstore, schema: schema, clickhouse: nil))
        defer { daemon.kill() }
        try await daemon.waitUntilListening()

        let path = folder.path + "/s"
        let frames = rate * seconds / frameRows / producers
        let interval = Double(frameRows * producers) / Double(rate)
        var latencies: [Double] = []
        try await withThrowingTaskGroup(of: [Double].self) { group in
            for number in 0..<producers {
                group.addTask { [ack, frameRows] in
                    try await withCheckedThrowingContinuation { continuation in
                        Thread {
                            continuation.resume(
                                with: Result {
                                    try AckedProducer(
                                        path, name: "bench-\(number)", ack: ack, frameRows: frameRows, frames: frames,
                                        interval: interval, offset: interval * Double(number) / Double(producers)
                                    ).run()
                                })
                        }.start()
                    }
                }
            }
            for try await some in group { latencies += some }
        }
        latencies.sort()
        print(
            "\(rate) rows/s in frames of \(frameRows) rows from \(producers) producers for \(seconds) s, level \(ack)")
        print("  frame to ack:            \(Self.line(latencies))")
        print("  pwrite + fdatasync here: \(Self.line(disk)), one frame's bytes at a time, nothing else running")
    }

    private static func line(_ sorted: [Double]) -> String {
        func at(_ share: Double) -> String {
            let value = sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
            return String(format: "%.2f ms", value * 1000)
        }
        return "p50 \(at(0.5))  p90 \(at(0.9))  p99 \(at(0.99))  max \(at(1))"
    }

    private static func syncLatency(of bytes: Int, in folder: String) throws -> [Double] {
        let descriptor = open(folder + "/probe", O_RDWR | O_CREAT, 0o600)
        guard descriptor >= 0 else { throw BenchmarkError("cannot write to \(folder): errno \(errno)") }
        defer { close(descriptor) }
        let data = [UInt8](repeating: 7, count: bytes)
        var times: [Double] = []
        for number in 0..<300 {
            let begin = Clocks.wall
            pwrite(descriptor, data, bytes, off_t(number * bytes))
            fdatasync(descriptor)
            times.append(Clocks.wall - begin)
        }
        return times.sorted()
    }
}

/// Sends frames at fixed times, whatever comes back, and notes when each is acked.
private final class AckedProducer: Sendable {
    private let socket: UnixSocket
    private let name: String
    private let ack: String
    private let frameRows: Int
    private let frames: Int
    private let interval: Double
    private let offset: Double
    private let sentAt: NIOLockedValueBox<[Double]>

    init(_ path: String, name: String, ack: String, frameRows: Int, frames: Int, interval: Double, offset: Double)
        throws
    {
        socket = try UnixSocket(connectingTo: path)
        self.name = name
        self.ack = ack
        self.frameRows = frameRows
        self.frames = frames
        self.interval = interval
        self.offset = offset
        sentAt = NIOLockedValueBox([])
    }

    func run() throws -> [Double] {
        defer { socket.close() }
        var hello = ByteBuffer(bytes: FrameHeader.preamble)
        hello.writeFrame(
            .hello, number: 1, fields: [("producer", name), ("ack", ack), ("format", "ndjson"), ("client", "bench")])
        try hello.withUnsafeReadableBytes { try socket.write($0) }
        try awaitWelcome()
        let payload = Workload(rows: frameRows).bytes

        let latencies = NIOLockedValueBox<Result<[Double], any Error>>(.success([]))
        let done = DispatchSemaphore(value: 0)
        Thread {
            let result = Result { try self.readAcks() }
            latencies.withLockedValue { $0 = result }
            done.signal()
        }.start()

        let begin = Clocks.wall + offset
        for number in 0..<frames {
            let due = begin + Double(number) * interval
            let wait = due - Clocks.wall
            if wait > 0 { usleep(UInt32(wait * 1e6)) }
            var frame = ByteBuffer()
            FrameHeader(
                kind: .data, number: UInt64(number * frameRows + 1), count: UInt32(frameRows),
                length: UInt32(payload.count)
            ).write(to: &frame)
            frame.writeBytes(payload)
            sentAt.withLockedValue { $0.append(Clocks.wall) }
            try frame.withUnsafeReadableBytes { try socket.write($0) }
        }
        done.wait()
        return try latencies.withLockedValue { try $0.get() }
    }

    /// Nothing may be sent before it.
    private func awaitWelcome() throws {
        var input = ByteBuffer()
        while true {
            guard socket.read(into: &input) else { throw BenchmarkError("the daemon closed the connection") }
            guard let header = FrameHeader(peeking: input),
                input.readableBytes >= FrameHeader.bytes + Int(header.length)
            else { continue }
            guard header.kind == FrameKind.welcome.rawValue else {
                throw BenchmarkError("the daemon refused the session: \(String(buffer: input))")
            }
            return
        }
    }

    private func readAcks() throws -> [Double] {
        var latencies: [Double] = []
        var input = ByteBuffer()
        var next = 0
        let warm = Int(1 / interval)
        while next < frames {
            guard socket.read(into: &input) else { throw BenchmarkError("the daemon closed the connection") }
            let now = Clocks.wall
            while let header = FrameHeader(peeking: input),
                input.readableBytes >= FrameHeader.bytes + Int(header.length)
            {
                input.moveReaderIndex(forwardBy: FrameHeader.bytes + Int(header.length))
                if header.kind == FrameKind.error.rawValue { throw BenchmarkError("the daemon refused the session") }
                guard header.kind == FrameKind.ack.rawValue else { continue }
                let acked = Int(header.number) / frameRows
                while next < acked {
                    if next >= warm { latencies.append(now - sentAt.withLockedValue { $0[next] }) }
                    next += 1
                }
            }
        }
        return latencies
    }
}
