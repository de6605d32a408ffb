import ClickHouseNative
import NIOCore
import Synchronization

/// Whether a connection is about to close: it takes a while after the decision, with TLS the other side's answer.
final class EndOfConnection: Sendable {
    private let flag = Atomic(false)

    var isSet: Bool { flag.load(ordering: .acquiring) }
    func set() { flag.store(true, ordering: .releasing) }
}

/// Does to a channel what a `ConnectionStateMachine` says, and measures the time that requests take. Decides nothing.
///
/// Lives on its channel's event loop.
final class NativeChannelHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// So many bytes of a body are watched on their way, so that a slow network is told apart from a dead one.
    private static let pieceBytes = 1 << 20

    private var machine: ConnectionStateMachine
    private var received = ByteBuffer()
    private var request: NativeRequest?
    private var deadline: Scheduled<Void>?
    private var context: ChannelHandlerContext?
    /// Known to everybody before a request's failure is: nobody comes back with another one.
    let isEnded = EndOfConnection()

    /// - Parameter login: is told when the server answered the hello.
    init(_ configuration: ConnectionConfiguration, login: EventLoopPromise<ServerHello>, timeout: TimeAmount) {
        machine = ConnectionStateMachine(configuration)
        request = .login(login, timeout)
    }

    // MARK: Requests

    func start(_ new: NativeRequest) {
        guard request == nil, let context else { return new.fail(ConnectionError(.notReady)) }
        let action: ConnectionAction
        switch new {
        case .login: return new.fail(ConnectionError(.notReady))
        case .query(let query, let table, _, _): action = machine.queryRequested(query, reading: table)
        case .insert(let insert): action = machine.insertRequested(insert.query)
        case .ping: action = machine.pingRequested()
        }
        if case .refuseRequest(let error) = action { return new.fail(error) }
        request = new
        startTimer(context)
        run(action, context)
        // What follows an INSERT's block takes it along; a query's is the last there is.
        if case .sendBlock = action { context.flush() }
    }

    /// Nobody waits for the answer any more. What the server makes of the request is not known, and it may take long:
    /// the connection goes.
    func close() {
        guard let context else { return }
        run(machine.closeRequested(), context)
    }

    // MARK: The channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { begin(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        let action = machine.connected()
        if case .send = action { startTimer(context) }
        run(action, context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        received.writeBuffer(&bytes)
        while let action = machine.bytesReceived(&received) { run(action, context) }
        received.discardReadBytes()
    }

    func channelInactive(context: ChannelHandlerContext) {
        run(machine.channelClosed(), context)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        run(machine.channelFailed(error), context)
        end(context)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        // A channel that fails while it comes up never becomes inactive: whoever waits for the login is told here.
        run(machine.channelClosed(), context)
        settle()?.fail(ConnectionError(.connectionClosed))
        self.context = nil
    }

    // MARK: Actions

    private func run(_ action: ConnectionAction, _ context: ChannelHandlerContext) {
        switch action {
        case .wait: break
        case .send(let bytes): context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
        case .sendBlock(let header, let block): write(header: header, block: block, context)
        case .succeedConnect(let hello, let addendum):
            if let addendum { context.writeAndFlush(wrapOutboundOut(addendum), promise: nil) }
            if case .login(let promise, _)? = settle() { promise.succeed(hello) }
        case .succeedQuery(let result):
            if case .query(_, _, let promise, _)? = settle() { promise.succeed(result) }
        case .askForBlocks(let header): sendBlocks(header, context)
        case .succeedInsert(let summary): succeedInsert(summary)
        case .succeedPing:
            if case .ping(let promise, _)? = settle() { promise.succeed(()) }
        case .failConnect(let error), .failPing(let error): fail(error, close: true, context)
        case .failQuery(let error, let close): fail(error, close: close, context)
        case .failInsert(let failure, let close): fail(failure, close: close, context)
        case .close: end(context)
        case .refuseRequest(let error): fail(error, close: false, context)
        }
    }

    private func sendBlocks(_ header: InsertHeader, _ context: ChannelHandlerContext) {
        guard case .insert(var insert)? = request else { return }
        if let change = StructureChange(sent: insert.columns, wanted: header.block.layout.columns) {
            // Nothing was sent yet: an INSERT of no rows ends well, and the connection stays.
            insert.change = change
            request = .insert(insert)
        } else {
            run(machine.blockEncoded(insert.bytes), context)
        }
        run(machine.blocksEnded(), context)
        startTimer(context)
    }

    /// The bytes are handed on as they lie; each piece that went out gives the rest new time.
    private func write(header: ByteBuffer, block: BlockBody, _ context: ChannelHandlerContext) {
        context.write(wrapOutboundOut(header), promise: nil)
        // Since the last piece whose way is watched.
        var unwatched = 0
        var left = block.readableBytes
        for piece in block.pieces {
            var rest = piece
            while let part = rest.readSlice(length: min(rest.readableBytes, Self.pieceBytes)), part.readableBytes > 0 {
                unwatched += part.readableBytes
                left -= part.readableBytes
                guard unwatched >= Self.pieceBytes || left == 0 else {
                    context.write(wrapOutboundOut(part), promise: nil)
                    continue
                }
                unwatched = 0
                context.write(wrapOutboundOut(part), promise: timerStart(context))
            }
        }
    }

    /// Gives the request new time when it is kept.
    private func timerStart(_ context: ChannelHandlerContext) -> EventLoopPromise<Void> {
        let written = context.eventLoop.makePromise(of: Void.self)
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        written.futureResult.whenSuccess {
            if let context = handler.value.context { handler.value.startTimer(context) }
        }
        return written
    }

    private func succeedInsert(_ summary: InsertSummary) {
        guard case .insert(let insert)? = settle() else { return }
        if let change = insert.change {
            insert.promise.fail(change)
        } else {
            insert.promise.succeed(summary)
        }
    }

    private func fail(_ error: any Error, close: Bool, _ context: ChannelHandlerContext) {
        let request = settle()
        if close { end(context) }
        request?.fail(error)
    }

    private func end(_ context: ChannelHandlerContext) {
        isEnded.set()
        context.close(promise: nil)
    }

    // MARK: Time

    private func settle() -> NativeRequest? {
        deadline?.cancel()
        deadline = nil
        defer { request = nil }
        return request
    }

    private func startTimer(_ context: ChannelHandlerContext) {
        deadline?.cancel()
        guard let request else { return }
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: request.timeout) { handler.value.timePassed() }
    }

    private func timePassed() {
        guard let context else { return }
        run(machine.timedOut(), context)
    }
}
