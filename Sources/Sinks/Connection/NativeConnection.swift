import ClickHouseNative
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Pipeline

/// One TCP connection to a server. One request at a time: whoever owns the connection waits for each answer.
///
/// A task that is cancelled while it waits closes the connection; its request then fails with code `.cancelled`.
public final class NativeConnection: Sendable {
    /// What the server said of itself when the connection began.
    public let hello: ServerHello
    public let host: ClickHouseSettings.Host

    private let channel: any Channel
    private let handler: NIOLoopBound<NativeChannelHandler>

    public var revision: Revision { hello.revision }
    /// No end of the connection was seen so far.
    public var isOpen: Bool { channel.isActive && !end.isSet }
    private let end: EndOfConnection

    private init(
        hello: ServerHello, host: ClickHouseSettings.Host, channel: any Channel,
        handler: NIOLoopBound<NativeChannelHandler>, end: EndOfConnection
    ) {
        self.end = end
        self.hello = hello
        self.host = host
        self.channel = channel
        self.handler = handler
    }

    // MARK: Connecting

    /// Connects and logs in.
    ///
    /// - Parameters:
    ///   - security: nil: no TLS.
    ///   - timeout: for the network, and again for the server's hello.
    /// - Throws: `ConnectionError`.
    public static func connect(
        to host: ClickHouseSettings.Host, _ configuration: ConnectionConfiguration,
        security: TransportSecurity? = nil, timeout: Duration = .seconds(30),
        on group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) async throws(ConnectionError) -> NativeConnection {
        let loop = group.next()
        let login = loop.makePromise(of: ServerHello.self)
        let attempt = ConnectAttempt()
        do {
            return try await withTaskCancellationHandler {
                let channel = try await bootstrap(on: loop)
                    .connectTimeout(TimeAmount(timeout))
                    .channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            if let security {
                                try channel.pipeline.syncOperations.addHandlers(
                                    security.handler(for: host.name), FaultKeeper(attempt))
                            }
                            attempt.began(channel)
                        }
                    }
                    .connect(host: host.name, port: host.port).get()
                return try await logIn(channel, host, configuration, login, TimeAmount(timeout))
            } onCancel: {
                attempt.cancel()
            }
        } catch {
            // Nobody may be left waiting for a login that will not be.
            login.fail(error)
            if Task.isCancelled { throw ConnectionError(.cancelled) }
            if let fault = attempt.fault, (error as? ConnectionError)?.code != .refusedByServer {
                throw ConnectionError(connecting: fault)
            }
            throw (error as? ConnectionError) ?? ConnectionError(connecting: error)
        }
    }

    /// All attempts of one connect (a name may have several addresses) stay on one loop, which the promise is of.
    private static func bootstrap(on loop: any EventLoop) -> ClientBootstrap {
        ClientBootstrap(group: loop)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
    }

    private static func logIn(
        _ channel: any Channel, _ host: ClickHouseSettings.Host, _ configuration: ConnectionConfiguration,
        _ login: EventLoopPromise<ServerHello>, _ timeout: TimeAmount
    ) async throws -> NativeConnection {
        let (handler, end) = try await channel.eventLoop.submit {
            let handler = NativeChannelHandler(configuration, login: login, timeout: timeout)
            try channel.pipeline.syncOperations.addHandler(handler)
            return (NIOLoopBound(handler, eventLoop: channel.eventLoop), handler.isEnded)
        }.get()
        do {
            let hello = try await login.futureResult.get()
            return NativeConnection(hello: hello, host: host, channel: channel, handler: handler, end: end)
        } catch {
            channel.close(promise: nil)
            throw error
        }
    }

    // MARK: Requests

    /// Runs a statement and collects its whole result.
    ///
    /// - Parameters:
    ///   - table: rows of ours that the statement reads.
    ///   - timeout: until the answer; of a statement with a table: from the last byte sent.
    /// - Throws: `ConnectionError`.
    public func query(
        _ query: Query, reading table: ExternalTable? = nil, timeout: Duration
    ) async throws -> QueryResult {
        let promise = channel.eventLoop.makePromise(of: QueryResult.self)
        return try await answer(to: .query(query, table, promise, TimeAmount(timeout)), promise)
    }

    /// Inserts one block.
    ///
    /// - Parameters:
    ///   - query: `INSERT INTO …`, with compression exactly if the body is in compressed frames.
    ///   - columns: what the body has; must be what the server asks for.
    ///   - bytes: one block, encoded for this connection's revision. It is sent as it lies, without a copy.
    ///   - timeout: from the last byte sent to the next answer.
    /// - Throws: `InsertFailure`, or `StructureChange` when the server wants other columns.
    public func insert(
        _ query: Query, columns: [ColumnDefinition], bytes: BlockBody, timeout: Duration
    ) async throws -> InsertSummary {
        let promise = channel.eventLoop.makePromise(of: InsertSummary.self)
        let insert = NativeInsert(
            query: query, columns: columns, bytes: bytes, timeout: TimeAmount(timeout), promise: promise)
        return try await answer(to: .insert(insert), promise)
    }

    /// The same of a block that lies in one buffer.
    public func insert(
        _ query: Query, columns: [ColumnDefinition], body: ByteBuffer, timeout: Duration
    ) async throws -> InsertSummary {
        try await insert(query, columns: columns, bytes: BlockBody(body), timeout: timeout)
    }

    /// - Throws: `ConnectionError` when the server does not answer.
    public func ping(timeout: Duration) async throws {
        let promise = channel.eventLoop.makePromise(of: Void.self)
        try await answer(to: .ping(promise, TimeAmount(timeout)), promise)
    }

    /// Ends the connection; a request that is under way fails.
    public func close() async {
        let handler = handler
        channel.eventLoop.execute { handler.value.close() }
        _ = try? await channel.closeFuture.get()
    }

    /// Calls back when the connection is gone, whoever ended it.
    func whenClosed(_ callback: @escaping @Sendable () -> Void) {
        channel.closeFuture.whenComplete { _ in callback() }
    }

    private func answer<Answer: Sendable>(
        to request: NativeRequest, _ promise: EventLoopPromise<Answer>
    ) async throws -> Answer {
        let handler = handler
        let loop = channel.eventLoop
        let request = UncheckedRequest(request)
        return try await withTaskCancellationHandler {
            loop.execute { handler.value.start(request.value) }
            return try await promise.futureResult.get()
        } onCancel: {
            loop.execute { handler.value.close() }
        }
    }
}

/// Promises and plain values only: it moves to the loop and is used there alone.
private struct UncheckedRequest: @unchecked Sendable {
    let value: NativeRequest
    init(_ value: NativeRequest) { self.value = value }
}

/// The channels of a connect that is under way, so that cancelling closes them; and what TLS said first.
private final class ConnectAttempt: Sendable {
    private let state = NIOLockedValueBox<(channels: [any Channel], isCancelled: Bool)>(([], false))
    private let firstFault = NIOLockedValueBox<(any Error)?>(nil)

    var fault: (any Error)? { firstFault.withLockedValue { $0 } }

    func failed(_ error: any Error) { firstFault.withLockedValue { $0 = $0 ?? error } }

    func began(_ channel: any Channel) {
        let isCancelled = state.withLockedValue { state in
            state.channels.append(channel)
            return state.isCancelled
        }
        if isCancelled { channel.close(promise: nil) }
    }

    func cancel() {
        let channels = state.withLockedValue { state in
            state.isCancelled = true
            defer { state.channels = [] }
            return state.channels
        }
        for channel in channels { channel.close(promise: nil) }
    }
}

/// Notes an error of the handshake, which may come before anybody else is there to hear it.
private final class FaultKeeper: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let attempt: ConnectAttempt

    init(_ attempt: ConnectAttempt) { self.attempt = attempt }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        attempt.failed(error)
        context.fireErrorCaught(error)
    }
}

extension ConnectionError {
    /// The network did not let us through, or not in time.
    fileprivate init(connecting error: any Error) {
        if case .connectTimeout? = error as? ChannelError {
            self.init(.timedOut, cause: error)
        } else {
            self.init(.connectionClosed, cause: error)
        }
    }
}
