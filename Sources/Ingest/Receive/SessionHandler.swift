import CSluice
import Logging
import NIOCore
import Pipeline

/// What sessions share.
struct SessionContext: Sendable {
    let limits: SessionState.Limits
    let output: BoundedStream<Chunk>
    let deadLetter: DeadLetter
    let registry: SessionRegistry
    let telemetry: Telemetry
    let clock: StageClock
    let logger: Logger
}

/// Does what `SessionState` decides, on the event loop of its channel. It never waits: what the stream does not take
/// stays here, unread bytes stay in the kernel, and the producer's writes block.
final class SessionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let shared: SessionContext
    private let eventLoop: any EventLoop
    private var state: SessionState
    /// nil before the channel is there and after it is gone; what is left is handed over even then.
    private var context: ChannelHandlerContext?
    private var timer: Scheduled<Void>?
    /// Takes back the request to be told of room.
    private var waitNoMore: (@Sendable () -> Void)?

    init(session: UInt64, shared: SessionContext, eventLoop: any EventLoop) {
        self.shared = shared
        self.eventLoop = eventLoop
        state = SessionState(session: session, limits: shared.limits)
    }

    // MARK: Events

    func handlerAdded(context: ChannelHandlerContext) {
        shared.telemetry.sessionsOpened.add()
        shared.telemetry.producerConnections.add()
        // Kept until the session ends, for somebody has to hand over what is left when the channel is gone.
        let stop = onEventLoop { $0.state.stopRequested(at: $0.shared.clock.now) }
        let abandon = onEventLoop { $0.abandon() }
        shared.registry.began(state.session) { order in
            switch order {
            case .stop: stop()
            case .abandon: abandon()
            }
        }
        if context.channel.isActive { channelActive(context: context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        guard self.context == nil else { return }
        self.context = context
        if shared.logger.logLevel <= .debug { logPeer(context) }
        act()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = Self.unwrapInboundIn(data)
        shared.telemetry.receivedBytes.add(bytes.readableBytes)
        state.bytesReceived(bytes, at: shared.clock.now)
        act()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            state.inputClosed(at: shared.clock.now)
            act()
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        shared.logger.debug(
            "session broken", metadata: ["session": "\(state.session)", "error": "\(error)"])
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { channelGone() }

    /// Also where a channel closes that never was active.
    func handlerRemoved(context: ChannelHandlerContext) { channelGone() }

    private func channelGone() {
        context = nil
        state.inputClosed(at: shared.clock.now)
        act()
    }

    // MARK: Actions

    private func act() {
        while let action = state.nextAction() {
            switch action {
            case .forward(let chunk): forward(chunk)
            case .reject(let rejection): reject(rejection)
            case .read: context?.read()
            case .setTimer(let deadline): setTimer(deadline)
            case .close(let reason): close(reason)
            }
        }
    }

    private func forward(_ chunk: Chunk) {
        switch shared.output.trySend(chunk) {
        case .accepted: break
        case .full(let chunk):
            state.forwardRefused(chunk)
            let registration = shared.output.onWritable(for: chunk.memory, spaceAvailable())
            waitNoMore = { [output = shared.output] in
                if let registration { output.cancelWritable(registration) }
            }
        case .finished(let chunk):
            state.forwardRefused(chunk)
            abandon()
        }
    }

    private func spaceAvailable() -> @Sendable () -> Void {
        onEventLoop {
            $0.waitNoMore = nil
            $0.state.spaceAvailable(at: $0.shared.clock.now)
        }
    }

    /// Nobody takes what is here, or the daemon does not wait for it.
    private func abandon() {
        waitNoMore?()
        waitNoMore = nil
        if state.bytesHeld > 0 {
            shared.logger.error(
                "session cut off with bytes that nobody took",
                metadata: ["session": "\(state.session)", "bytes": "\(state.bytesHeld)"])
        }
        state.outputFinished()
    }

    private func reject(_ rejection: Rejection) {
        guard shared.deadLetter.tryRecord(rejection) else {
            state.rejectRefused(rejection)
            waitNoMore = shared.deadLetter.onWritable(spaceAvailable())
            return
        }
        shared.telemetry.receivedRows.add()
        shared.telemetry.table(rejection.table ?? TableName(table: Telemetry.other)).rejectedRows.add(
            reason: rejection.reason.rawValue)
        shared.logger.debug(
            "line rejected", metadata: ["session": "\(state.session)", "reason": "\(rejection.reason.rawValue)"])
    }

    private func setTimer(_ deadline: ContinuousClock.Instant) {
        let delay = max(.zero, deadline - shared.clock.now)
        let fire = onEventLoop { $0.state.timerFired(at: $0.shared.clock.now) }
        timer = eventLoop.scheduleTask(in: TimeAmount(delay)) { fire() }
    }

    private func close(_ reason: SessionState.CloseReason) {
        timer?.cancel()
        timer = nil
        if let context {
            if let answer = reason.answer {
                context.writeAndFlush(
                    Self.wrapOutboundOut(context.channel.allocator.buffer(string: answer + "\n")), promise: nil)
            }
            context.close(promise: nil)
        }
        shared.telemetry.producerConnections.subtract()
        shared.logger.debug(
            "session closed", metadata: ["session": "\(state.session)", "reason": "\(reason.name)"])
        shared.registry.ended(state.session)
    }

    /// A closure for other threads that brings an event here and acts on it.
    private func onEventLoop(_ event: @escaping @Sendable (SessionHandler) -> Void) -> @Sendable () -> Void {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        return { [eventLoop] in
            eventLoop.execute {
                event(bound.value)
                bound.value.act()
            }
        }
    }

    private func logPeer(_ context: ChannelHandlerContext) {
        var uid: UInt32 = 0
        var gid: UInt32 = 0
        var pid: Int32 = 0
        let result = try? context.pipeline.syncOperations.withUnsafeTransportIfAvailable(
            of: NIOBSDSocket.Handle.self
        ) { sluice_peer_credentials($0, &uid, &gid, &pid) }
        guard result == 0 else { return }
        shared.logger.debug(
            "session opened",
            metadata: ["session": "\(state.session)", "uid": "\(uid)", "gid": "\(gid)", "pid": "\(pid)"])
    }
}

/// Tells a producer why it is not admitted, and closes.
final class RefusalHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let answer: String

    init(answer: String) { self.answer = answer }

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(
            Self.wrapOutboundOut(context.channel.allocator.buffer(string: answer + "\n")), promise: nil)
        context.close(promise: nil)
    }
}

extension SessionState.CloseReason {
    /// A bounded set, for logs.
    var name: String {
        switch self {
        case .ended: "ended"
        case .stopped: "stopped"
        case .outputFinished: "output_finished"
        case .partialLineTimeout: "partial_line_timeout"
        case .badControlLine: "bad_control_line"
        }
    }
}

extension Chunk {
    /// Memory that the chunk keeps alive, in bytes: what the stream between receive and validate weighs it by. A chunk
    /// that is a slice of a read buffer counts as all of the buffer, at most four times its lines.
    public var memory: Int { bytes.storageCapacity }
}
