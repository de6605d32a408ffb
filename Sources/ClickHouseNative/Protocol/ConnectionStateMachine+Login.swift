import NIOCore

// From the hello to the first request, and while there is none.
extension ConnectionStateMachine {
    mutating func helloAnswered(
        by packet: ServerPacket, _ configuration: ConnectionConfiguration
    ) -> ConnectionAction {
        switch packet {
        case .hello(let hello):
            // A server may be told to speak nothing but chunked framing, which is for proxies of clusters.
            guard hello.sendFraming != "chunked", hello.receiveFraming != "chunked" else {
                self = .init(.closing)
                let error = ProtocolError(.chunkedFramingRequired, "the server accepts chunked framing only")
                return .failConnect(ConnectionError(.protocolViolation, cause: error))
            }
            var addendum = ByteBuffer()
            ClientPacket.writeAddendum(
                identity: configuration.identity, revision: hello.revision, to: &addendum)
            self = .init(.ready(Session(configuration: configuration, hello: hello)))
            return .succeedConnect(hello, addendum: addendum.readableBytes > 0 ? addendum : nil)
        case .exception(let exception):
            self = .init(.closing)
            return .failConnect(ConnectionError(exception))
        default:
            self = .init(.helloSent(configuration))
            return unexpected(packet)
        }
    }

    mutating func packetReceivedWhileIdle(_ packet: ServerPacket, _ session: Session) -> ConnectionAction {
        var session = session
        switch packet {
        // Late news of a request that is done.
        case .progress, .profileInfo, .profileEvents, .log:
            self = .init(.ready(session))
            return .wait
        case .timeZoneUpdate(let timeZone):
            session.hello.timeZone = timeZone
            self = .init(.ready(session))
            return .wait
        // The server says why it is about to close.
        case .exception(let exception):
            self = .init(.closing)
            return .close(ConnectionError(exception))
        default:
            self = .init(.ready(session))
            return unexpected(packet)
        }
    }

    /// Someone wants to know whether the server still answers.
    public mutating func pingRequested() -> ConnectionAction {
        switch consume self.state {
        case .ready(let session):
            var packet = ByteBuffer()
            ClientPacket.writePing(to: &packet)
            self = .init(.pinging(session))
            return .send(packet)
        case let other:
            self = .init(other)
            return .refuseRequest(ConnectionError(.notReady))
        }
    }

    mutating func packetReceivedAfterPing(_ packet: ServerPacket, _ session: Session) -> ConnectionAction {
        switch packet {
        case .pong:
            self = .init(.ready(session))
            return .succeedPing
        case .progress, .profileInfo, .profileEvents, .log, .timeZoneUpdate:
            self = .init(.pinging(session))
            return .wait
        case .exception(let exception):
            self = .init(.closing)
            return .failPing(ConnectionError(exception))
        default:
            self = .init(.pinging(session))
            return unexpected(packet)
        }
    }
}
