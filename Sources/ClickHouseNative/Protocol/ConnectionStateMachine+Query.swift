import NIOCore

// A statement whose whole result is collected: SELECT, DESCRIBE, DDL.
extension ConnectionStateMachine {
    /// Someone wants the answer to a statement that is no INSERT of our own data.
    public mutating func queryRequested(_ query: Query) -> ConnectionAction {
        switch consume self.state {
        case .ready(let session):
            do {
                let packet = try session.packet(for: query)
                self = .init(.querying(session, QueryProgress(isCompressed: query.compression != nil)))
                return .send(packet)
            } catch {
                self = .init(.ready(session))
                return .refuseRequest(ConnectionError(.protocolViolation, cause: error))
            }
        case let other:
            self = .init(other)
            return .refuseRequest(ConnectionError(.notReady))
        }
    }

    /// Nobody waits for the query's answer any more. The server is asked to stop; the query fails when it did.
    public mutating func queryCancelled() -> ConnectionAction {
        switch consume self.state {
        case .querying(let session, var progress) where !progress.isCancelled:
            progress.isCancelled = true
            progress.result.blocks = []
            var packet = ByteBuffer()
            ClientPacket.writeCancel(to: &packet)
            self = .init(.querying(session, progress))
            return .send(packet)
        case let other:
            self = .init(other)
            return .wait
        }
    }

    mutating func packetReceived(
        _ packet: ServerPacket, _ session: Session, _ before: QueryProgress
    ) -> ConnectionAction {
        var session = session
        var progress = before
        switch packet {
        case .data(let block):
            // An empty block tells that the data is complete, before the last progress.
            if !block.layout.columns.isEmpty, !progress.isCancelled {
                progress.result.blocks.append(block)
                progress.resultBytes += block.byteCapacity
            }
            let limits = session.configuration.limits
            guard progress.resultBytes <= limits.resultBytesMax, progress.result.rows <= limits.resultRowsMax else {
                self = .init(.closing)
                return .failQuery(ConnectionError(.resultTooLarge), close: true)
            }
        case .progress(let made): progress.result.progress.add(made)
        case .profileInfo(let profile): progress.result.profile = profile
        case .timeZoneUpdate(let timeZone): session.hello.timeZone = timeZone
        case .totals, .extremes, .log, .profileEvents, .tableColumns: break
        case .exception(let exception):
            self = .init(.ready(session))
            return .failQuery(ConnectionError(exception), close: false)
        case .endOfStream:
            self = .init(.ready(session))
            if progress.isCancelled { return .failQuery(ConnectionError(.cancelled), close: false) }
            return .succeedQuery(progress.result)
        case .hello, .pong:
            self = .init(.querying(session, progress))
            return unexpected(packet)
        }
        self = .init(.querying(session, progress))
        return .wait
    }
}

extension ConnectionStateMachine.Session {
    func packet(for query: Query) throws -> ByteBuffer {
        var packet = ByteBuffer()
        try ClientPacket.writeQuery(
            query, identity: configuration.identity, announced: configuration.revision, revision: revision, to: &packet)
        return packet
    }
}
