import NIOCore
import ProducerProtocol

/// What comes from the daemon.
enum DaemonFrame {
    case welcome(resume: UInt64, credit: Int)
    case ack(UInt64)
    case nack(SluiceRejection)
    case nacksLeftOut(Int)
    case pong
    /// `retryAfter`: not to come again before.
    case error(code: String, message: String, retryAfter: Duration?)
}

/// Cuts what the daemon sends into frames. On the event loop of its channel, which is its producer's.
final class ClientHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    /// A frame of the daemon is small; a longer one is none.
    static let frameBytesMax = 64 << 10

    private let onFrame: (DaemonFrame) -> Void
    /// Once: why the connection is over.
    private let onEnd: (String) -> Void
    private var input = ByteBuffer()
    private var isEnded = false

    init(onFrame: @escaping (DaemonFrame) -> Void, onEnd: @escaping (String) -> Void) {
        self.onFrame = onFrame
        self.onEnd = onEnd
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = Self.unwrapInboundIn(data)
        input.writeBuffer(&bytes)
        while !isEnded, let header = FrameHeader(peeking: input) {
            // Before it knows the dialect, a daemon that is full or stops answers in text.
            if input.readableBytesView.starts(with: Self.textError) { return }
            guard header.length <= Self.frameBytesMax else {
                end("the daemon sent a frame of \(header.length) bytes", context)
                return
            }
            guard input.readableBytes >= FrameHeader.bytes + Int(header.length) else { return }
            input.moveReaderIndex(forwardBy: FrameHeader.bytes)
            let payload = input.readSlice(length: Int(header.length)) ?? ByteBuffer()
            guard payload.matches(header.checksum), let fields = try? FrameFields(payload) else {
                end("the daemon sent a frame that is damaged", context)
                return
            }
            receive(header, fields, context)
        }
        input.discardReadBytes()
    }

    private static let textError = Array("error: ".utf8)

    private func receive(_ header: FrameHeader, _ fields: FrameFields, _ context: ChannelHandlerContext) {
        switch FrameKind(rawValue: header.kind) {
        case .welcome: onFrame(.welcome(resume: header.number, credit: Int(header.count)))
        case .ack: onFrame(.ack(header.number))
        case .nack where header.number == 0: onFrame(.nacksLeftOut(Int(header.count)))
        case .nack:
            onFrame(
                .nack(
                    SluiceRejection(
                        row: header.number, reason: fields["reason"] ?? "", column: fields["column"],
                        message: fields["message"] ?? "")))
        case .pong: onFrame(.pong)
        case .error:
            let wait = fields["retry_after_ms"].flatMap { Int64($0) }.map { Duration.milliseconds($0) }
            onFrame(.error(code: fields["code"] ?? "", message: fields["message"] ?? "", retryAfter: wait))
        case .hello, .data, .ping, .bye: end("the daemon sent a frame of a producer", context)
        case nil:
            if header.kind < FrameKind.skippableMin { end("the daemon sent a frame of kind \(header.kind)", context) }
        }
    }

    /// A daemon that does not let us in says why and closes; that it read nothing of us shows as a reset, behind what it said.
    func errorCaught(context: ChannelHandlerContext, error: any Error) { ended(because: "\(error)", context) }

    func channelInactive(context: ChannelHandlerContext) {
        ended(because: "the daemon closed the connection", context)
    }

    private func ended(because reason: String, _ context: ChannelHandlerContext) {
        if input.readableBytesView.starts(with: Self.textError) {
            let line = String(String(buffer: input).dropFirst(Self.textError.count).prefix { !$0.isNewline })
            // Of what it says in text, this alone does not pass by itself.
            let refusal = "\(SessionErrorCode.notAllowed.rawValue): "
            guard !isEnded, line.hasPrefix(refusal) else {
                end(line, context)
                return
            }
            isEnded = true
            onFrame(
                .error(
                    code: SessionErrorCode.notAllowed.rawValue, message: String(line.dropFirst(refusal.count)),
                    retryAfter: nil))
        } else {
            end(reason, context)
        }
    }

    private func end(_ reason: String, _ context: ChannelHandlerContext) {
        guard !isEnded else { return }
        isEnded = true
        context.close(promise: nil)
        onEnd(reason)
    }
}
