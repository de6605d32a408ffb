import Foundation
import NIOCore
import ProducerProtocol
import Workloads

/// A producer with a name that sends frames with checksums, keeps within its credit, and waits for `durable` acks
/// (docs/specs/producer-protocol.md). Blocking: for a thread of its own.
final class FramedProducer {
    private let socket: UnixSocket
    private var input = ByteBuffer()
    private var creditBytes = 0
    /// The highest row that is acked.
    private var acked: UInt64 = 0

    init(_ path: String, name: String, ack: String = "durable") throws {
        socket = try UnixSocket(connectingTo: path)
        var hello = ByteBuffer(bytes: FrameHeader.preamble)
        hello.writeFrame(
            .hello, number: 1, fields: [("producer", name), ("ack", ack), ("format", "ndjson"), ("client", "bench")])
        try hello.withUnsafeReadableBytes { try socket.write($0) }
        while creditBytes == 0 { try readAnswer() }
    }

    func close() { socket.close() }

    /// Sends pieces of whole lines, a frame each, and returns when all of them are acked.
    func push(_ pieces: [Range<Int>], of bytes: [UInt8]) throws {
        var sent: UInt64 = 0
        var unacked = CircularBuffer<(last: UInt64, bytes: Int)>()
        var unackedBytes = 0
        var frame = ByteBuffer()
        for piece in pieces {
            let payload = ByteBuffer(bytes: bytes[piece])
            let rows = payload.countNewlines()
            while unackedBytes + payload.readableBytes > creditBytes {
                try readAnswer()
                while let first = unacked.first, first.last <= acked { unackedBytes -= unacked.removeFirst().bytes }
            }
            frame.clear()
            FrameHeader(
                kind: .data, number: sent + 1, count: UInt32(rows), length: UInt32(payload.readableBytes),
                checksum: payload.crc32()
            ).write(to: &frame)
            frame.writeImmutableBuffer(payload)
            try frame.withUnsafeReadableBytes { try socket.write($0) }
            sent += UInt64(rows)
            unacked.append((sent, payload.readableBytes))
            unackedBytes += payload.readableBytes
        }
        while acked < sent { try readAnswer() }
    }

    private func readAnswer() throws {
        guard socket.read(into: &input) else { throw BenchmarkError("the daemon closed the connection") }
        while let header = FrameHeader(peeking: input),
            input.readableBytes >= FrameHeader.bytes + Int(header.length)
        {
            input.moveReaderIndex(forwardBy: FrameHeader.bytes)
            let payload = input.readSlice(length: Int(header.length)) ?? ByteBuffer()
            switch FrameKind(rawValue: header.kind) {
            case .welcome: creditBytes = Int(header.count)
            case .ack: acked = max(acked, header.number)
            case .nack: throw BenchmarkError("row \(header.number) was rejected: \(String(buffer: payload))")
            case .error: throw BenchmarkError("the daemon refused the session: \(String(buffer: payload))")
            default: break
            }
        }
        input.discardReadBytes()
    }
}
