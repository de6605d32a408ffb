import NIOCore
import Pipeline

/// What a session decides, as a value: bytes and events come in, `nextAction()` says what to do, until it says nothing.
/// It never touches a channel, a stream or a clock.
///
/// What it holds, at most: half a line (`lineBytesMax`), and what was read and not yet taken: one read, for it asks for
/// no more until that is gone; at a producer's end also what the kernel still held for it, which arrives unasked.
struct SessionState: Sendable {
    struct Limits: Sendable, Hashable {
        /// Longest line, without its newline.
        var lineBytesMax: Int
        /// What is kept of a line that is too long.
        var rowBytesMax: Int
        /// How long half a line may wait for its end; nil: for ever.
        var partialLineTimeout: Duration?
    }

    enum Action: Sendable {
        case forward(Chunk)
        case reject(Rejection)
        /// One read. Absent while something waits for room: that is the backpressure.
        case read
        /// Call `timerFired(at:)` then. There is one timer at most.
        case setTimer(ContinuousClock.Instant)
        /// The last action.
        case close(CloseReason)
    }

    enum CloseReason: Hashable, Sendable {
        /// The producer ended it, and all of it was handed over.
        case ended
        /// The daemon stops.
        case stopped
        /// Nobody takes chunks any more.
        case outputFinished
        case partialLineTimeout
        case badControlLine(ControlLineError)

        /// One line for the producer, without its newline; nil: nothing to say.
        var answer: String? {
            switch self {
            case .ended, .stopped, .outputFinished: nil
            case .partialLineTimeout: "error: the rest of a line did not come in time"
            case .badControlLine(let error): "error: \(error)"
            }
        }
    }

    private enum Phase: Sendable {
        /// `start`: what came of the line that may be a control line. Can transition to: lines, closed.
        case firstLine(start: ByteBuffer, since: ContinuousClock.Instant?)
        /// Can transition to: closed.
        case lines
        /// No more input; what is left goes out. The end.
        case closed(CloseReason)
    }

    /// What the next stage did not take.
    private enum Refused: Sendable {
        case chunk(Chunk)
        case rejection(Rejection)
    }

    let session: UInt64
    private let limits: Limits
    private var phase = Phase.firstLine(start: ByteBuffer(), since: nil)
    private var splitter: LineSplitter
    private var pieces = CircularBuffer<LineSplitter.Piece>(initialCapacity: 4)
    /// Goes first when there is room.
    private var refused: Refused?
    private var table: TableName?
    /// As the chunks carry it, made once.
    private var tableText: String?
    private var chunks: UInt64 = 0
    private var isBlocked = false
    private var isReading = false
    private var isTimerSet = false
    private var isDone = false

    init(session: UInt64, limits: Limits) {
        self.session = session
        self.limits = limits
        splitter = LineSplitter(lineBytesMax: limits.lineBytesMax, headBytesMax: limits.rowBytesMax)
    }

    /// Bytes of lines that wait to be taken, for the log of a session that is cut off.
    var bytesHeld: Int {
        var sum = 0
        if case .chunk(let chunk) = refused { sum += chunk.bytes.readableBytes }
        for case .lines(let bytes, _) in pieces { sum += bytes.readableBytes }
        return sum
    }

    // MARK: What to do

    mutating func nextAction() -> Action? {
        guard !isDone else { return nil }
        if !isBlocked, let output = nextOutput() { return output }
        if case .closed(let reason) = phase {
            guard refused == nil, pieces.isEmpty else { return nil }
            isDone = true
            return .close(reason)
        }
        guard !isBlocked else { return nil }
        if let since = partialSince, let timeout = limits.partialLineTimeout, !isTimerSet {
            isTimerSet = true
            return .setTimer(since + timeout)
        }
        guard !isReading else { return nil }
        isReading = true
        return .read
    }

    private mutating func nextOutput() -> Action? {
        if let first = refused {
            refused = nil
            switch first {
            case .chunk(let chunk): return .forward(chunk)
            case .rejection(let rejection): return .reject(rejection)
            }
        }
        switch pieces.popFirst() {
        case nil: return nil
        case .lines(let bytes, let received):
            defer { chunks += 1 }
            return .forward(
                Chunk(session: session, number: chunks, table: tableText, bytes: bytes, received: received))
        case .tooLong(let head, let length):
            return reject(.lineTooLong, "a line of \(length) bytes (limit \(limits.lineBytesMax))", head, length)
        case .incomplete(let head, let length):
            return reject(.incompleteLine, "the rest of the line did not come", head, length)
        }
    }

    private func reject(_ reason: RejectReason, _ message: String, _ head: ByteBuffer, _ length: Int) -> Action {
        .reject(
            Rejection(table: table, reason: reason, message: message, session: session, bytes: head, length: length))
    }

    // MARK: What happened

    mutating func bytesReceived(_ bytes: ByteBuffer, at now: ContinuousClock.Instant) {
        isReading = false
        switch phase {
        case .closed: break
        case .firstLine(let start, let since):
            firstLineReceived(start: start, since: since, bytes, at: now)
        case .lines: splitter.bytesReceived(bytes, at: now, into: &pieces)
        }
    }

    /// The producer is done, or gone. What it wrote counts, an unfinished last line included. May be repeated.
    mutating func inputClosed(at now: ContinuousClock.Instant) {
        switch phase {
        case .closed: return
        case .firstLine(let start, _):
            if Self.isControl(start) {
                guard controlLineReceived(start) else { return }
            } else {
                splitter.bytesReceived(start, at: now, into: &pieces)
            }
        case .lines: break
        }
        splitter.inputEnded(at: now, into: &pieces)
        phase = .closed(.ended)
    }

    /// The stream is full, and the chunk is the session's again.
    mutating func forwardRefused(_ chunk: Chunk) {
        refused = .chunk(chunk)
        isBlocked = true
    }

    /// The dead letter is busy.
    mutating func rejectRefused(_ rejection: Rejection) {
        refused = .rejection(rejection)
        isBlocked = true
    }

    mutating func spaceAvailable(at now: ContinuousClock.Instant) {
        isBlocked = false
        // The producer could not go on meanwhile.
        splitter.patienceRenewed(at: now)
    }

    mutating func timerFired(at now: ContinuousClock.Instant) {
        isTimerSet = false
        guard !isBlocked, let since = partialSince, let timeout = limits.partialLineTimeout, now - since >= timeout
        else { return }
        abandonInput(.partialLineTimeout, at: now)
    }

    /// No more is read; whole lines go out, half a line cannot.
    mutating func stopRequested(at now: ContinuousClock.Instant) { abandonInput(.stopped, at: now) }

    /// The stream takes nothing more: what is held is lost to the session.
    mutating func outputFinished() {
        refused = nil
        pieces.removeAll()
        isBlocked = false
        phase = .closed(.outputFinished)
    }

    private mutating func abandonInput(_ reason: CloseReason, at now: ContinuousClock.Instant) {
        switch phase {
        case .closed: return
        case .firstLine(let start, _): splitter.bytesReceived(start, at: now, into: &pieces)
        case .lines: break
        }
        splitter.inputAbandoned(into: &pieces)
        phase = .closed(reason)
    }

    private var partialSince: ContinuousClock.Instant? {
        switch phase {
        case .firstLine(_, let since): since
        case .lines: splitter.partialSince
        case .closed: nil
        }
    }

    // MARK: The first line

    private mutating func firstLineReceived(
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
            let error = ControlLineError("the control line is longer than \(ControlLine.bytesMax) bytes")
            phase = .closed(.badControlLine(error))
            return
        }
        guard let end else {
            phase = .firstLine(start: line, since: since ?? now)
            return
        }
        guard controlLineReceived(line) else { return }
        bytes.moveReaderIndex(forwardBy: end + 1)
        splitter.bytesReceived(bytes, at: now, into: &pieces)
    }

    /// - Returns: Whether the session goes on.
    private mutating func controlLineReceived(_ line: ByteBuffer) -> Bool {
        switch ControlLine.parse(line) {
        case .success(let control):
            table = control.table
            tableText = control.table?.description
            phase = .lines
            return true
        case .failure(let error):
            phase = .closed(.badControlLine(error))
            return false
        }
    }

    private static func isControl(_ line: ByteBuffer) -> Bool {
        line.readableBytesView.starts(with: ControlLine.prefix)
    }

    private static func mayBeControl(_ line: ByteBuffer) -> Bool {
        ControlLine.prefix.starts(with: line.readableBytesView.prefix(ControlLine.prefix.count))
    }
}
