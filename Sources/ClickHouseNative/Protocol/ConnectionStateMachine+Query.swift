import NIOCore

// A statement whose whole result is collected: SELECT, DESCRIBE, DDL.
extension ConnectionStateMachine {
    /// Someone wants the answer to a statement that is no INSERT of our own data.
    ///
    /// - Parameter table: rows of ours that it reads.
    public mutating func queryRequested(_ query: Query, reading table: ExternalTable? = nil) -> ConnectionAction {
        switch consume self.state {
        case .ready(let session):
            do {
                let action: ConnectionAction
                if let table {
                    action = try session.packets(for: query, table)
                } else {
                    action = .send(try session.packet(for: query))
                }
                self = .init(.querying(session, QueryProgress(isCompressed: query.compression != nil)))
                return action
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
    /// The query and the end of its external tables, of which there are none.
    func packet(for query: Query) throws -> ByteBuffer {
        var packet = try start(of: query)
        try ClientPacket.writeEndOfData(encoding(query), to: &packet)
        return packet
    }

    /// The query, an external table, and the end of those.
    fileprivate func packets(for query: Query, _ table: ExternalTable) throws -> ConnectionAction {
        var header = try start(of: query)
        ClientPacket.writeDataHeader(of: table.name, to: &header)
        var end = ByteBuffer()
        try ClientPacket.writeEndOfData(encoding(query), to: &end)
        var body = table.block
        body.append(end)
        return .sendBlock(header: header, block: body)
    }

    private func start(of query: Query) throws -> ByteBuffer {
        var packet = ByteBuffer()
        try ClientPacket.writeQuery(
            query, identity: configuration.identity, announced: configuration.revision, revision: revision, to: &packet)
        return packet
    }

    private func encoding(_ query: Query) -> BlockEncoding {
        BlockEncoding(revision: revision, compression: query.compression)
    }
}
