import NIOCore
import Pipeline
import ProducerProtocol

// The first line, or HELLO: what kind of session it is.
extension SessionState {
    mutating func greeted(_ greeting: Greeting, as dialect: SessionReplies.Dialect) {
        table = greeting.table
        tableText = greeting.table?.description
        client = greeting.client
        format = greeting.rows
        if dialect == .lines, let format { splitter.read(format) }
        if dialect == .lines, greeting.ack != .none { answers = .json }
        guard greeting.ack != .none else {
            frames.isAcked = false
            guard dialect == .frames else { return }
            var welcome = SessionReplies(level: .none, dialect: .frames, limits: limits.replies)
            welcome.welcome(resume: 0, session: session)
            replies = welcome
            return
        }
        guard limits.hasProducers else {
            fail(SessionError(.notAllowed, "this daemon gives no acks"), dropsRest: true)
            return
        }
        guard greeting.ack != .durable || limits.hasSpool else {
            fail(
                SessionError(.noSpool, "this daemon has no spool: it grants the acks received and committed"),
                dropsRest: true)
            return
        }
        replies = SessionReplies(level: greeting.ack, dialect: dialect, limits: limits.replies)
        numbering = .wanted(name: greeting.producer, epoch: greeting.epoch, isAsked: false)
    }

    mutating func firstLineReceived(
        start: ByteBuffer, since: ContinuousClock.Instant?, _ bytes: ByteBuffer, at now: ContinuousClock.Instant
    ) {
        var bytes = bytes
        let end = bytes.firstNewline()
        var line = start
        line.writeBytes(bytes.readableBytesView.prefix(min(end ?? .max, ControlLine.bytesMax + 1)))
        guard Self.mayBeControl(line), end == nil || Self.isControl(line) else {
            phase = .lines
            if start.readableBytes > 0 { splitter.bytesReceived(start, at: now, into: &pieces) }
            splitter.bytesReceived(bytes, at: now, into: &pieces)
            return
        }
        guard line.readableBytes <= ControlLine.bytesMax else {
            fail(SessionError(.badHello, "the control line is longer than \(ControlLine.bytesMax) bytes"))
            return
        }
        guard let end else {
            phase = .firstLine(start: line, since: since ?? now)
            return
        }
        guard controlLineReceived(line) else { return }
        bytes.moveReaderIndex(forwardBy: end + 1)
        splitter.bytesReceived(bytes, at: now, into: &pieces)
        headerReceived()
    }

    /// Of rows with names: they are those of the session from here on.
    mutating func headerReceived() {
        if splitter.rows?.hasBadHeader == true {
            return fail(SessionError(.badHello, "the header is longer than receive.line_bytes_max"), dropsRest: true)
        }
        guard let header = splitter.takeHeader(), let format else { return }
        do throws(SessionError) {
            self.format = try format.naming(header)
        } catch {
            fail(error, dropsRest: true)
        }
    }

    /// - Returns: Whether the session goes on.
    mutating func controlLineReceived(_ line: ByteBuffer) -> Bool {
        switch ControlLine.parse(line) {
        case .success(let greeting):
            phase = .lines
            greeted(greeting, as: .lines)
            if case .ended = phase { return false }
            return true
        case .failure(let failure):
            if failure.wantsAcks { answers = .json }
            fail(failure.error)
            return false
        }
    }

    static func isControl(_ line: ByteBuffer) -> Bool {
        line.readableBytesView.starts(with: ControlLine.prefix)
    }

    static func mayBeControl(_ line: ByteBuffer) -> Bool {
        ControlLine.prefix.starts(with: line.readableBytesView.prefix(ControlLine.prefix.count))
    }
}
