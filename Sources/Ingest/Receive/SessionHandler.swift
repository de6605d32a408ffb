import Logging
import NIOCore
import Pipeline
import ProducerProtocol

/// What sessions share.
struct SessionContext: Sendable {
    let limits: ReceiveLimits
    let output: BoundedStream<Chunk>
    let deadLetter: DeadLetter
    let registry: SessionRegistry
    /// nil: this daemon gives no acks.
    let producers: ProducerRegistry?
    let rates: RateLimits
    let telemetry: Telemetry
    let clock: StageClock
    let logger: Logger
    /// Whoever was turned away for who he is.
    let onRefusal: @Sendable (PeerRefusal) -> Void
}

/// Does what `SessionState` decides, on the event loop of its channel. It never waits: what the stream does not take
/// stays here, unread bytes stay in the kernel, and the producer's writes block.
final class SessionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// How long a producer may take to read the last that it is told.
    private static let lingerMax: TimeAmount = .seconds(5)

    private let shared: SessionContext
    private let eventLoop: any EventLoop
    /// nil: the system does not tell.
    private let peer: Peer?
    /// Whose limits count.
    private var subject: RateLimits.Subject
    private var state: SessionState
    /// nil before the channel is there and after it is gone; what is left is handed over even then.
    private var context: ChannelHandlerContext?
    private var timer: Scheduled<Void>?
    /// Where the session asked to be told of room.
    private var wait = Wait.none
    /// Called then. Made once; it keeps the session alive until that ends.
    private var spaceAvailable: (@Sendable () -> Void)?
    /// Whose rows these are, as far as that is known.
    private var producer: Producer?
    private var isActing = false
    /// Writes that are not gone yet.
    private var writes = 0
    /// Why the session ends, once that is only a matter of what it was told last.
    private var closing: SessionState.CloseReason?

    private enum Wait {
        case none
        case forOutput(WritableRegistration)
        case forDeadLetter(cancel: @Sendable () -> Void)
    }

    init(session: UInt64, peer: Peer?, shared: SessionContext, eventLoop: any EventLoop) {
        self.shared = shared
        self.eventLoop = eventLoop
        self.peer = peer
        if let peer, peer.process > 0 {
            subject = .process(user: peer.user, process: peer.process)
        } else {
            subject = .session(session)
        }
        state = SessionState(session: session, limits: shared.limits.current.session, at: shared.clock.now)
    }

    // MARK: Events

    func handlerAdded(context: ChannelHandlerContext) {
        shared.telemetry.sessionsOpened.add()
        shared.telemetry.producerConnections.add()
        // Kept until the session ends, for somebody has to hand over what is left when the channel is gone.
        let stop = onEventLoop { $0.state.stopRequested(at: $0.shared.clock.now) }
        let abandon = onEventLoop { $0.abandon() }
        let lookAgain = onEventLoop { $0.lookAgain() }
        spaceAvailable = onEventLoop {
            $0.wait = .none
            $0.state.spaceAvailable(at: $0.shared.clock.now)
        }
        shared.registry.began(state.session) { order in
            switch order {
            case .stop: stop()
            case .abandon: abandon()
            case .lookAgain: lookAgain()
            }
        }
        if context.channel.isActive { channelActive(context: context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        guard self.context == nil else { return }
        self.context = context
        if let peer {
            shared.logger.debug(
                "session opened",
                metadata: [
                    "session": "\(state.session)", "uid": "\(peer.user)", "gid": "\(peer.group)",
                    "pid": "\(peer.process)",
                ])
        }
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
        state.channelGone(at: shared.clock.now)
        act()
        if let closing { end(closing) }
    }

    // MARK: Actions

    private func act() {
        // What an action brings about at once (a write that succeeds) is seen by the loop that runs.
        guard !isActing else { return }
        isActing = true
        defer { isActing = false }
        while let action = state.nextAction() {
            switch action {
            case .forward(let chunk): forward(chunk)
            case .reject(let rejection): reject(rejection)
            case .attach(let name, let epoch): attach(name: name, epoch: epoch)
            case .take(let range): take(range)
            case .write(let bytes): write(bytes)
            case .read: context?.read()
            case .setTimer(let deadline): setTimer(deadline)
            case .handedOver: shared.registry.handedOver(state.session)
            case .close(let reason): close(reason)
            }
        }
    }

    private func attach(name: String?, epoch: UInt64) {
        // The state asks for this only if there is a registry.
        guard let producers = shared.producers else { return }
        if let name { subject = .named(name) }
        if shared.rates.isActive, let hold = shared.rates.hold(of: subject, session: state.session) {
            shared.rates.count(hold, for: hold.comeBack - shared.clock.now)
            state.attachRefused(hold.error)
            return
        }
        let wake = onEventLoop { handler in
            guard let news = handler.producer?.takeNews(session: handler.state.session) else { return }
            handler.state.newsReceived(news, at: handler.shared.clock.now)
        }
        let result = producers.attach(name: name, epoch: epoch, session: state.session, wake: wake)
        producer = try? result.get()
        if shared.logger.logLevel <= .debug {
            shared.logger.debug(
                "producer",
                metadata: [
                    "session": "\(state.session)", "producer": "\((name ?? "").quotedForAnswer)", "epoch": "\(epoch)",
                    "client": "\((state.client ?? "").quotedForAnswer)",
                    "refused": "\(result.refusal?.rawValue ?? "no")",
                ])
        }
        state.attached(result)
    }

    private func take(_ range: RowRange) {
        guard let producer else { return }
        let (taking, upTo) = producer.take(range, session: state.session)
        state.taken(taking, upTo: upTo)
        let figures = state.takeFigures()
        if figures.duplicates > 0 { shared.telemetry.duplicateRows.add(figures.duplicates) }
    }

    private func write(_ bytes: ByteBuffer) {
        guard let context else {
            state.written(at: shared.clock.now)
            return
        }
        let figures = state.takeFigures().replies
        if figures.nacks > 0 { shared.telemetry.nacks.add(figures.nacks) }
        if figures.nacksLeftOut > 0 { shared.telemetry.nacksLeftOut.add(figures.nacksLeftOut) }
        writes += 1
        let gone = context.eventLoop.makePromise(of: Void.self)
        // On this event loop; whether it went well or the channel is gone, nothing waits any more.
        gone.futureResult.assumeIsolated().whenComplete { [self] _ in
            writes -= 1
            guard writes == 0 else { return }
            state.written(at: shared.clock.now)
            act()
            if let closing { end(closing) }
        }
        context.writeAndFlush(Self.wrapOutboundOut(bytes), promise: gone)
    }

    private func forward(_ chunk: Chunk) {
        switch shared.output.trySend(chunk) {
        case .accepted:
            guard shared.rates.isActive else { break }
            let rows =
                chunk.numbering.map { Int(clamping: $0.range.rows) } ?? chunk.window?.range.count
                ?? chunk.bytes.countNewlines() + (chunk.head?.countNewlines() ?? 0)
            charge(rows: rows, bytes: chunk.byteCount)
        case .full(let chunk):
            state.forwardRefused(chunk)
            guard let spaceAvailable else { break }
            if let registration = shared.output.onWritable(for: chunk.memory, spaceAvailable) {
                wait = .forOutput(registration)
            }
        case .finished(let chunk):
            state.forwardRefused(chunk)
            abandon()
        }
    }

    private func charge(rows: Int, bytes: Int) {
        guard
            let hold = shared.rates.passed(rows: rows, bytes: bytes, by: subject, session: state.session)
        else { return }
        shared.rates.count(hold, for: state.held(by: hold, at: shared.clock.now))
    }

    private func waitNoMore() {
        switch wait {
        case .none: break
        case .forOutput(let registration): shared.output.cancelWritable(registration)
        case .forDeadLetter(let cancel): cancel()
        }
        wait = .none
    }

    /// Nobody takes what is here, or the daemon does not wait for it.
    private func abandon() {
        waitNoMore()
        if state.bytesHeld > 0 {
            shared.logger.error(
                "session cut off with bytes that nobody took",
                metadata: ["session": "\(state.session)", "bytes": "\(state.bytesHeld)"])
        }
        state.outputFinished()
    }

    /// Who may connect, and how fast rows may come, has changed.
    private func lookAgain() {
        guard closing == nil else { return }
        if shared.rates.hold(of: subject, session: state.session) == nil { state.released(at: shared.clock.now) }
        guard !shared.limits.current.rules.admit(peerWithGroups) else { return }
        shared.note(.notAllowed(peer), peer)
        state.dismissed(SessionError(.notAllowed, Refusal.message(peer)), at: shared.clock.now)
    }

    /// Groups are asked for when they are needed.
    private var peerWithGroups: Peer? {
        context.flatMap { Peer.of($0.channel, withGroups: true) } ?? peer
    }

    private func reject(_ rejection: Rejection) {
        guard shared.deadLetter.tryRecord(rejection) else {
            state.rejectRefused(rejection)
            if let spaceAvailable { wait = .forDeadLetter(cancel: shared.deadLetter.onWritable(spaceAvailable)) }
            return
        }
        if shared.rates.isActive { charge(rows: 1, bytes: rejection.length) }
        shared.telemetry.receivedRows.add()
        shared.telemetry.table(rejection.table ?? TableName(table: Telemetry.other)).rejectedRows.add(
            reason: rejection.reason.rawValue)
        shared.logger.debug(
            "line rejected", metadata: ["session": "\(state.session)", "reason": "\(rejection.reason.rawValue)"])
    }

    private func setTimer(_ deadline: ContinuousClock.Instant) {
        timer?.cancel()
        let delay = max(.zero, deadline - shared.clock.now)
        let fire = onEventLoop { $0.state.timerFired(at: $0.shared.clock.now) }
        timer = eventLoop.scheduleTask(in: TimeAmount(delay)) { fire() }
    }

    private func close(_ reason: SessionState.CloseReason) {
        timer?.cancel()
        timer = nil
        if let producer { shared.producers?.detach(producer, session: state.session) }
        producer = nil
        closing = reason
        guard writes > 0, context != nil else {
            end(reason)
            return
        }
        // A close would throw away what the kernel has not taken yet.
        let giveUp = onEventLoop { handler in
            if let closing = handler.closing { handler.end(closing) }
        }
        timer = eventLoop.scheduleTask(in: Self.lingerMax) { giveUp() }
    }

    private func end(_ reason: SessionState.CloseReason) {
        closing = nil
        spaceAvailable = nil
        timer?.cancel()
        timer = nil
        context?.close(promise: nil)
        context = nil
        if case .failed(let error) = reason { shared.telemetry.sessionErrors.add(reason: error.code.rawValue) }
        shared.telemetry.producerConnections.subtract()
        shared.logger.debug(
            "session closed", metadata: ["session": "\(state.session)", "reason": "\(reason.name)"])
        shared.rates.ended(session: state.session)
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
        case .failed(let error): error.code.rawValue
        }
    }
}

extension Result<Producer, ProducerRefusal> {
    fileprivate var refusal: ProducerRefusal? {
        if case .failure(let refusal) = self { refusal } else { nil }
    }
}

extension Chunk {
    /// Memory that the chunk keeps alive, in bytes: what the stream between receive and validate weighs it by. A chunk
    /// that is a slice of a read buffer counts as all of the buffer, at most four times its lines.
    public var memory: Int {
        bytes.storageCapacity + (head?.storageCapacity ?? 0) + (rejection?.bytes.storageCapacity ?? 0)
    }
}
