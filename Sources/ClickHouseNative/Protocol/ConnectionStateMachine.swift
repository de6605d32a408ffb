import NIOCore

/// One connection to a server as a value: events go in, actions come out; it holds no socket and no clock.
///
/// Events are named for what happened, actions for what to do about it. One request is under way at a time.
///
///     connecting → helloSent → ready ⇄ querying
///                                    ⇄ inserting: waitingForHeader → readyForData → waitingForEnd
///                                    ⇄ pinging
///     and from everywhere: closing → closed
public struct ConnectionStateMachine: ~Copyable {
    enum State: ~Copyable {
        // Can transition to: helloSent when the channel is up, closed.
        case connecting(ConnectionConfiguration)
        // Can transition to: ready on the server's hello, closing.
        case helloSent(ConnectionConfiguration)
        // Can transition to: querying, inserting, pinging on request, closing.
        case ready(Session)
        // Can transition to: ready on the end of the stream or an exception, closing.
        case querying(Session, QueryProgress)
        // Can transition to: ready on the end of the stream or an exception before any data, closing.
        case inserting(Session, InsertProgress)
        // Can transition to: ready on a pong, closing.
        case pinging(Session)
        // The shell was told to close. Can transition to: closed.
        case closing
        case closed
    }

    /// What a login settles.
    struct Session {
        let configuration: ConnectionConfiguration
        var hello: ServerHello
        var revision: Revision { hello.revision }
    }

    struct QueryProgress {
        let isCompressed: Bool
        var result = QueryResult()
        var resultBytes = 0
        var isCancelled = false
    }

    struct InsertProgress {
        enum Phase {
            case waitingForHeader
            /// The server waits for us; `summary.blocks` says whether it has any data.
            case readyForData
            /// The empty block was sent that ends the data.
            case waitingForEnd
        }
        let compression: Compression?
        var phase = Phase.waitingForHeader
        var summary = InsertSummary()

        /// What a failure means now, when the server gives no reason.
        var outcomeWithoutAnswer: InsertFailure.Outcome { summary.blocks == 0 ? .notApplied : .unknown }
    }

    var state: State

    public init(_ configuration: ConnectionConfiguration) { self.init(.connecting(configuration)) }

    init(_ state: consuming State) { self.state = state }

    /// A request would be taken now.
    public var isReady: Bool {
        switch state {
        case .ready: true
        default: false
        }
    }

    /// What the server said of itself, once it did.
    public var hello: ServerHello? {
        switch state {
        case .ready(let session): session.hello
        case .querying(let session, _): session.hello
        case .inserting(let session, _): session.hello
        case .pinging(let session): session.hello
        default: nil
        }
    }

    // MARK: What the channel reports

    /// The channel is up.
    public mutating func connected() -> ConnectionAction {
        switch consume self.state {
        case .connecting(let configuration):
            var packet = ByteBuffer()
            ClientPacket.writeHello(
                configuration.credentials, identity: configuration.identity, announcing: configuration.revision,
                to: &packet)
            self = .init(.helloSent(configuration))
            return .send(packet)
        case let other:
            self = .init(other)
            return .wait
        }
    }

    /// Bytes came. Takes at most one packet off the buffer; call it again with what is left until it returns nil, which
    /// means that the next packet is not whole yet.
    public mutating func bytesReceived(_ buffer: inout ByteBuffer) -> ConnectionAction? {
        guard let context = readingContext else {
            // Nobody waits for these any more.
            buffer.clear()
            return nil
        }
        guard buffer.readableBytes > 0 else { return nil }
        do {
            guard let packet = try ServerPacket.read(&buffer, context: context) else { return nil }
            return packetReceived(packet)
        } catch {
            buffer.clear()
            return failed(ConnectionError(.protocolViolation, cause: error))
        }
    }

    /// A whole packet came.
    public mutating func packetReceived(_ packet: ServerPacket) -> ConnectionAction {
        // Each state stays what it is until the method for it decides.
        switch consume self.state {
        case .connecting(let configuration):
            self = .init(.connecting(configuration))
            return unexpected(packet)
        case .helloSent(let configuration):
            self = .init(.helloSent(configuration))
            return helloAnswered(by: packet, configuration)
        case .ready(let session):
            self = .init(.ready(session))
            return packetReceivedWhileIdle(packet, session)
        case .querying(let session, let progress):
            self = .init(.querying(session, progress))
            return packetReceived(packet, session, progress)
        case .inserting(let session, let progress):
            self = .init(.inserting(session, progress))
            return packetReceived(packet, session, progress)
        case .pinging(let session):
            self = .init(.pinging(session))
            return packetReceivedAfterPing(packet, session)
        case .closing:
            self = .init(.closing)
            return .wait
        case .closed:
            self = .init(.closed)
            return .wait
        }
    }

    /// The time for the login, or for the request under way, is over. The shell measures it.
    public mutating func timedOut() -> ConnectionAction {
        // A timer that fires late must not hurt a connection that has nothing to do.
        if isReady { return .wait }
        return failed(ConnectionError(.timedOut))
    }

    /// The channel is gone.
    public mutating func channelClosed(_ error: (any Error)? = nil) -> ConnectionAction {
        let action = failed(ConnectionError(.connectionClosed, cause: error))
        self = .init(.closed)
        return action
    }

    /// Writing to, or reading from the channel failed.
    public mutating func channelFailed(_ error: any Error) -> ConnectionAction {
        failed(ConnectionError(.connectionClosed, cause: error))
    }

    /// Whoever owns the connection is done with it. A request under way fails.
    public mutating func closeRequested() -> ConnectionAction {
        if isReady {
            self = .init(.closing)
            return .close(nil)
        }
        return failed(ConnectionError(.cancelled))
    }

    // MARK: Failing

    /// Ends whatever is under way, as each state has to, and the connection with it.
    mutating func failed(_ error: ConnectionError) -> ConnectionAction {
        switch consume self.state {
        case .connecting:
            self = .init(.closing)
            return .failConnect(error)
        case .helloSent:
            self = .init(.closing)
            return .failConnect(error)
        case .ready:
            self = .init(.closing)
            return .close(error)
        case .querying:
            self = .init(.closing)
            return .failQuery(error, close: true)
        case .inserting(_, let progress):
            self = .init(.closing)
            return .failInsert(InsertFailure(progress.outcomeWithoutAnswer, error), close: true)
        case .pinging:
            self = .init(.closing)
            return .failPing(error)
        case .closing:
            self = .init(.closing)
            return .wait
        case .closed:
            self = .init(.closed)
            return .wait
        }
    }

    mutating func unexpected(_ packet: ServerPacket) -> ConnectionAction {
        let error = ProtocolError(.unexpectedPacket, "a packet of kind \(packet.kind) has no place here")
        return failed(ConnectionError(.protocolViolation, cause: error))
    }

    /// How to read what comes in this state; nil: not at all.
    private var readingContext: ServerPacket.Context? {
        switch state {
        case .connecting(let configuration): configuration.readingContext
        case .helloSent(let configuration): configuration.readingContext
        case .ready(let session): session.readingContext(isCompressed: false)
        case .pinging(let session): session.readingContext(isCompressed: false)
        case .querying(let session, let progress): session.readingContext(isCompressed: progress.isCompressed)
        case .inserting(let session, let progress): session.readingContext(isCompressed: progress.compression != nil)
        case .closing: nil
        case .closed: nil
        }
    }
}

extension ConnectionConfiguration {
    fileprivate var readingContext: ServerPacket.Context { ServerPacket.Context(revision: revision, limits: limits) }
}

extension ConnectionStateMachine.Session {
    fileprivate func readingContext(isCompressed: Bool) -> ServerPacket.Context {
        ServerPacket.Context(revision: revision, isCompressed: isCompressed, limits: configuration.limits)
    }
}

extension ServerPacket {
    /// For messages: the name of the case.
    var kind: String {
        switch self {
        case .hello: "hello"
        case .data: "data"
        case .totals: "totals"
        case .extremes: "extremes"
        case .exception: "exception"
        case .progress: "progress"
        case .pong: "pong"
        case .endOfStream: "endOfStream"
        case .profileInfo: "profileInfo"
        case .log: "log"
        case .tableColumns: "tableColumns"
        case .profileEvents: "profileEvents"
        case .timeZoneUpdate: "timeZoneUpdate"
        }
    }
}
