import NIOCore

// An INSERT: the query, the server's header, our blocks, the empty block that ends them, the server's verdict.
//
// What a failure says of the table hangs on one thing, whether any data was handed to the connection. From then on only
// the server's own word settles it: the end of the stream (applied), or an exception (refused).
extension ConnectionStateMachine {
    /// Someone wants to insert: `INSERT INTO table (columns) VALUES`, in the words of the revision.
    public mutating func insertRequested(_ query: Query) -> ConnectionAction {
        switch consume self.state {
        case .ready(let session):
            do {
                let packet = try session.packet(for: query)
                self = .init(.inserting(session, InsertProgress(compression: query.compression)))
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

    /// A block is there to be sent, encoded as the header's `encoding` says.
    public mutating func blockEncoded(_ block: ByteBuffer) -> ConnectionAction { blockEncoded(BlockBody(block)) }

    public mutating func blockEncoded(_ block: BlockBody) -> ConnectionAction {
        switch consume self.state {
        case .inserting(let session, var progress) where progress.phase == .readyForData:
            progress.summary.blocks += 1
            var header = ByteBuffer()
            ClientPacket.writeDataHeader(to: &header)
            self = .init(.inserting(session, progress))
            return .sendBlock(header: header, block: block)
        case let other:
            self = .init(other)
            return .refuseRequest(ConnectionError(.notReady))
        }
    }

    /// There are no more blocks.
    public mutating func blocksEnded() -> ConnectionAction {
        switch consume self.state {
        case .inserting(let session, var progress) where progress.phase == .readyForData:
            var packet = ByteBuffer()
            do {
                try ClientPacket.writeEndOfData(progress.encoding(session.revision), to: &packet)
            } catch {
                self = .init(.inserting(session, progress))
                return failed(ConnectionError(.protocolViolation, cause: error))
            }
            progress.phase = .waitingForEnd
            self = .init(.inserting(session, progress))
            return .send(packet)
        case let other:
            self = .init(other)
            return .refuseRequest(ConnectionError(.notReady))
        }
    }

    mutating func packetReceived(
        _ packet: ServerPacket, _ session: Session, _ before: InsertProgress
    ) -> ConnectionAction {
        var session = session
        var progress = before
        switch (packet, progress.phase) {
        case (.data(let block), .waitingForHeader):
            progress.phase = .readyForData
            let header = InsertHeader(block: block, encoding: progress.encoding(session.revision))
            self = .init(.inserting(session, progress))
            return .askForBlocks(header)
        case (.exception(let exception), .waitingForHeader):
            // Refused before it began: the server has read all that we sent and waits for the next request.
            self = .init(.ready(session))
            return .failInsert(InsertFailure(.notApplied, ConnectionError(exception)), close: false)
        case (.exception(let exception), _):
            // The server may or may not skip what we sent, or are sending, after it threw: the next packet has no
            // certain meaning to it.
            self = .init(.closing)
            let outcome: InsertFailure.Outcome = progress.summary.blocks == 0 ? .notApplied : .refused
            return .failInsert(InsertFailure(outcome, ConnectionError(exception)), close: true)
        case (.endOfStream, .waitingForEnd):
            self = .init(.ready(session))
            return .succeedInsert(progress.summary)
        case (.progress(let made), _): progress.summary.progress.add(made)
        case (.timeZoneUpdate(let timeZone), _): session.hello.timeZone = timeZone
        // The empty block that some servers send at the end of every statement.
        case (.data(let block), .waitingForEnd) where block.rows == 0: break
        case (.log(let block), _): progress.summary.note(log: block)
        case (.profileInfo, _), (.profileEvents, _), (.tableColumns, _): break
        case (.endOfStream, .waitingForHeader):
            // It ran to its end without our data: no INSERT that takes any. It may have changed something.
            self = .init(.closing)
            let error = ProtocolError(.unexpectedPacket, "the statement ended without asking for data")
            return .failInsert(InsertFailure(.unknown, .init(.protocolViolation, cause: error)), close: true)
        case (.data, _), (.endOfStream, _), (.hello, _), (.pong, _), (.totals, _), (.extremes, _):
            self = .init(.inserting(session, progress))
            return unexpected(packet)
        }
        self = .init(.inserting(session, progress))
        return .wait
    }
}

extension ConnectionStateMachine.InsertProgress {
    func encoding(_ revision: Revision) -> BlockEncoding {
        BlockEncoding(revision: revision, compression: compression)
    }
}
