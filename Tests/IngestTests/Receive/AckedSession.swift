import NIOCore
import Pipeline
import ProducerProtocol
import Synchronization

@testable import Ingest

/// A session's decisions without a socket: does what the state says against a registry, and notes it as text.
final class AckedSession {
    static let start = SessionState.origin

    var state: SessionState
    let registry: ProducerRegistry
    let id: UInt64
    private(set) var producer: Producer?
    private(set) var chunks: [Chunk] = []
    private(set) var rejections: [Rejection] = []
    /// All that was written, whole.
    private(set) var answers = ByteBuffer()
    private(set) var closed: SessionState.CloseReason?
    /// Whether the next stage takes chunks.
    var refuses: () -> Bool = { false }
    /// Whether what is written is gone at once.
    var isRead = true
    /// Calls of `wake`.
    private let woken = Wakes()

    private final class Wakes: Sendable {
        private let count = Mutex(0)
        func add() { count.withLock { $0 += 1 } }
        func take() -> Int {
            count.withLock { count in
                defer { count = 0 }
                return count
            }
        }
    }

    static func limits(
        lineBytesMax: Int = 1_000, frameBytesMax: Int = 4_096, creditBytes: Int = 1 << 20, nacksMax: Int = 3,
        unreadBytesMax: Int = 4_096, timeout: Duration? = nil, idle: Duration? = nil, hasSpool: Bool = true,
        hasProducers: Bool = true
    ) -> SessionState.Limits {
        SessionState.Limits(
            lineBytesMax: lineBytesMax, rowBytesMax: 10, partialLineTimeout: timeout, idleTimeout: idle,
            frames: FrameReader.Limits(frameBytesMax: frameBytesMax, creditBytes: creditBytes),
            replies: SessionReplies.Limits(
                nacksMax: nacksMax, unreadBytesMax: unreadBytesMax, creditBytes: creditBytes),
            hasProducers: hasProducers, hasSpool: hasSpool)
    }

    init(
        _ registry: ProducerRegistry = ProducerRegistry(wallClock: { 0 }), id: UInt64 = 1,
        limits: SessionState.Limits = limits()
    ) {
        self.registry = registry
        self.id = id
        state = SessionState(session: id, limits: limits, at: Self.start)
    }

    /// Does all that is to be done now; what it was, as text, without reads.
    @discardableResult
    func act() -> [String] {
        var done: [String] = []
        while let action = state.nextAction() {
            switch action {
            case .forward(let chunk):
                if refuses() {
                    state.forwardRefused(chunk)
                    done.append("full")
                } else {
                    chunks.append(chunk)
                    done.append("forward \(Self.text(of: chunk))")
                }
            case .reject(let rejection):
                rejections.append(rejection)
                done.append("reject \(rejection.reason.rawValue)")
            case .attach(let name, let epoch):
                let result = registry.attach(name: name, epoch: epoch, session: id) { [woken] in woken.add() }
                producer = try? result.get()
                state.attached(result)
                hearIfWoken()
            case .take(let range):
                guard let producer else { break }
                let (taking, upTo) = producer.take(range, session: id)
                state.taken(taking, upTo: upTo)
            case .write(let bytes):
                answers.writeImmutableBuffer(bytes)
                done.append(contentsOf: SessionTranscript.lines(of: bytes))
                if isRead { state.written(at: Self.start) }
            case .read: break
            case .setTimer(let due): done.append("timer \((due - Self.start).components.seconds)")
            case .handedOver: done.append("handed over")
            case .close(let reason):
                if let producer { registry.detach(producer, session: id) }
                closed = reason
                done.append("close \(reason.name)")
            }
        }
        return done
    }

    func hearIfWoken(at elapsed: Duration = .zero) {
        guard woken.take() > 0, let news = producer?.takeNews(session: id) else { return }
        state.newsReceived(news, at: Self.start + elapsed)
    }

    func receive(_ bytes: ByteBuffer, at elapsed: Duration = .zero) -> [String] {
        state.bytesReceived(bytes, at: Self.start + elapsed)
        return act()
    }

    func receive(_ text: String, at elapsed: Duration = .zero) -> [String] {
        receive(ByteBuffer(string: text), at: elapsed)
    }

    func hear(at elapsed: Duration = .zero) -> [String] {
        hearIfWoken(at: elapsed)
        return act()
    }

    func close() -> [String] {
        state.inputClosed(at: Self.start)
        return act()
    }

    func stop() -> [String] {
        state.stopRequested(at: Self.start)
        return act()
    }

    /// The rows become durable, as the spool would say it.
    func durable(_ first: UInt64, _ last: UInt64, refused: [UInt64] = []) -> [String] {
        producer?.becameDurable(
            RowRange(first: first, last: last),
            refusals: refused.map { RowRefusal(number: $0, reason: "type_mismatch", column: "id", message: "no") })
        return hear()
    }

    func settled(_ first: UInt64, _ last: UInt64) -> [String] {
        producer?.becameSettled(RowRange(first: first, last: last))
        return hear()
    }

    static func text(of chunk: Chunk) -> String {
        let numbers = chunk.numbering.map { "\($0.range.first)-\($0.range.last) " } ?? ""
        let table = chunk.table.map { "\($0): " } ?? ""
        let rejected = chunk.rejection.map { "rejected \($0.reason.rawValue)" } ?? ""
        return "\(numbers)\(table)\(String(buffer: chunk.bytes).replacing("\n", with: "|"))\(rejected)"
    }
}

/// Frames as a producer sends them.
enum Frames {
    static let preamble = ByteBuffer(bytes: FrameHeader.preamble)

    static func hello(_ fields: String = "ack=durable", epoch: UInt64 = 0) -> ByteBuffer {
        var bytes = preamble
        let payload = ByteBuffer(string: fields.replacing(" ", with: "\n") + "\n")
        FrameHeader(kind: .hello, number: epoch, length: UInt32(payload.readableBytes)).write(to: &bytes)
        bytes.writeImmutableBuffer(payload)
        return bytes
    }

    static func data(_ number: UInt64, _ text: String, count: UInt32? = nil, checksum: UInt32? = nil) -> ByteBuffer {
        let payload = ByteBuffer(string: text.replacing("|", with: "\n"))
        var bytes = ByteBuffer()
        FrameHeader(
            kind: .data, number: number, count: count ?? UInt32(payload.countNewlines()),
            length: UInt32(payload.readableBytes), checksum: checksum ?? payload.crc32()
        ).write(to: &bytes)
        bytes.writeImmutableBuffer(payload)
        return bytes
    }

    static func plain(_ kind: FrameKind, _ number: UInt64 = 0) -> ByteBuffer {
        var bytes = ByteBuffer()
        bytes.writeFrame(kind, number: number)
        return bytes
    }

    static func joined(_ frames: ByteBuffer...) -> ByteBuffer {
        var all = ByteBuffer()
        for frame in frames { all.writeImmutableBuffer(frame) }
        return all
    }
}

/// What a session was told, in words.
enum SessionTranscript {
    static func lines(of bytes: ByteBuffer) -> [String] {
        frames(of: bytes) ?? String(buffer: bytes).split(separator: "\n").map(String.init)
    }

    static func text(of bytes: ByteBuffer) -> String {
        frames(of: bytes)?.joined(separator: ", ") ?? String(buffer: bytes).replacing("\n", with: "|")
    }

    /// `ACK 5`, `NACK 3 reason=… message=…`; nil: these are no frames.
    static func frames(of bytes: ByteBuffer) -> [String]? {
        var rest = bytes
        var lines: [String] = []
        while rest.readableBytes > 0 {
            guard let header = FrameHeader(peeking: rest), let kind = FrameKind(rawValue: header.kind),
                rest.readableBytes >= FrameHeader.bytes + Int(header.length)
            else { return nil }
            rest.moveReaderIndex(forwardBy: FrameHeader.bytes)
            let payload = rest.readSlice(length: Int(header.length)).map { String(buffer: $0) } ?? ""
            let isLeftOut = kind == .nack && header.number == 0
            let fields = payload.split(separator: "\n").joined(separator: " ")
            lines.append(
                "\(kind)".uppercased() + (kind == .error ? "" : " \(isLeftOut ? UInt64(header.count) : header.number)")
                    + (isLeftOut ? " left out" : "") + (fields.isEmpty ? "" : " \(fields)"))
        }
        return lines
    }
}
