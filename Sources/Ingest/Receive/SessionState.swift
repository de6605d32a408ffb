import NIOCore
import Pipeline
import ProducerProtocol

/// What a session decides, as a value: bytes and events come in, `nextAction()` says what to do, until it says nothing.
/// It never touches a channel, a stream, a producer or a clock.
///
/// What it holds, at most: half a line (`lineBytesMax`) or frame (`frameBytesMax`), what was read and not yet taken: one
/// read, for it asks for no more until that is gone; at a producer's end also what the kernel still held for it, which
/// arrives unasked; and the replies that wait (`unreadBytesMax`).
struct SessionState: Sendable {
    struct Limits: Sendable, Hashable {
        /// Longest line, without its newline.
        var lineBytesMax: Int
        /// What is kept of a line that is too long.
        var rowBytesMax: Int
        /// How long half a line or frame may wait for its end; nil: for ever.
        var partialLineTimeout: Duration?
        /// How long a session of frames may say nothing; nil: for ever.
        var idleTimeout: Duration?
        var frames = FrameReader.Limits()
        var replies = SessionReplies.Limits()
        /// Whether rows can be numbered; without it there are no acks.
        var hasProducers = false
        /// Whether `durable` can be granted.
        var hasSpool = false
    }

    enum Action: Sendable {
        case forward(Chunk)
        case reject(Rejection)
        /// Ask for a numbering; answer with `attached`, later with `newsReceived`.
        case attach(name: String?, epoch: UInt64)
        /// Claim these rows for the session; answer with `taken` before anything else.
        case take(RowRange)
        /// Answer with `written` when it is gone.
        case write(ByteBuffer)
        /// One read. Absent while something waits for room: that is the backpressure.
        case read
        /// Call `timerFired(at:)` then, and no more at the moment that was asked for before.
        case setTimer(ContinuousClock.Instant)
        /// All that was taken in is handed over; acks are still waited for. Once, and not by sessions without acks.
        case handedOver
        /// The last action.
        case close(CloseReason)
    }

    enum CloseReason: Hashable, Sendable {
        /// The producer ended it, and all of it was handed over, and acked if it wants acks.
        case ended
        /// The daemon stops.
        case stopped
        /// Nobody takes chunks any more.
        case outputFinished
        case failed(SessionError)
    }

    enum Phase: Sendable {
        /// `start`: what came of the line that may be a control line. Can transition to: lines, frames, ended.
        case firstLine(start: ByteBuffer, since: ContinuousClock.Instant?)
        /// Can transition to: ended.
        case lines
        /// Can transition to: ended.
        case frames
        /// No more input; what is left goes out, and is acked. The end.
        case ended(CloseReason)
    }

    /// Whether the session's rows have numbers, and where it has them from.
    enum Numbering: Sendable {
        /// They have none. Can transition to: wanted.
        case none
        /// Can transition to: waiting, or the session fails.
        case wanted(name: String?, epoch: UInt64, isAsked: Bool)
        /// For the rows of an earlier session. Can transition to: open.
        case waiting(Producer)
        case open(Producer)
    }

    /// What was taken in and the next stage did not take.
    enum Refused: Sendable {
        case chunk(Chunk)
        case rejection(Rejection)
    }

    let session: UInt64
    let limits: Limits
    var phase = Phase.firstLine(start: ByteBuffer(), since: nil)
    var splitter: SessionSplitter
    var frames: FrameReader
    var numbering = Numbering.none
    var replies: SessionReplies?
    /// How to say what is wrong.
    var answers = Answers.text
    var pieces = CircularBuffer<LineSplitter.Piece>(initialCapacity: 4)
    /// Is being claimed.
    var claiming: (piece: LineSplitter.Piece, numbers: RowRange)?
    /// Goes first when there is room: not taken by the next stage, or just claimed.
    var refused: Refused?
    /// Of the next line, where lines have numbers that no frame gave them.
    var nextNumber: UInt64 = 1
    /// The highest number that this session owes an ack for.
    var owed: UInt64 = 0
    /// All up to here is durable.
    var durable: UInt64 = 0
    /// Was handed on, unless that is said to have failed before the next action.
    var forwarded: UInt64?
    /// Rows that were there already, since they were last asked for.
    var duplicates = 0
    var table: TableName?
    /// As the chunks carry it, made once.
    var tableText: String?
    /// How rows are written; nil: as NDJSON.
    var format: SessionFormat?
    var chunks: UInt64 = 0
    var isBlocked = false
    /// Too much came too fast: nothing is read before.
    var heldUntil: ContinuousClock.Instant?
    var isReading = false
    var timer: ContinuousClock.Instant?
    /// Nobody reads what is written.
    var isGone = false
    var hasSaidHandedOver = false
    var isAnswered = false
    var isDone = false
    /// Of the last event.
    var now: ContinuousClock.Instant
    var lastHeard: ContinuousClock.Instant?
    /// The producer's software, for the log.
    var client: String?

    enum Answers: Sendable { case text, json, frames }

    init(session: UInt64, limits: Limits, at now: ContinuousClock.Instant) {
        self.session = session
        self.now = now
        self.limits = limits
        splitter = SessionSplitter(lineBytesMax: limits.lineBytesMax, headBytesMax: limits.rowBytesMax)
        frames = FrameReader(
            limits: limits.frames, lineBytesMax: limits.lineBytesMax, headBytesMax: limits.rowBytesMax)
    }

    /// Bytes of lines that wait to be taken, for the log of a session that is cut off.
    var bytesHeld: Int {
        var sum = 0
        if case .chunk(let chunk) = refused { sum += chunk.byteCount }
        for piece in pieces {
            switch piece {
            case .lines(let bytes, _, _), .rows(let bytes, _, _, _): sum += bytes.readableBytes
            case .tooLong, .incomplete: break
            }
        }
        return sum
    }

    mutating func takeFigures() -> (duplicates: Int, replies: SessionReplies.Figures) {
        defer { duplicates = 0 }
        return (duplicates, replies?.takeFigures() ?? SessionReplies.Figures())
    }

    // MARK: What to do

    mutating func nextAction() -> Action? {
        guard !isDone else { return nil }
        if let number = forwarded.take() {
            owed = max(owed, number)
            if replies?.level == .received { replies?.reached(number) }
        }
        if case .wanted(let name, let epoch, isAsked: false) = numbering {
            numbering = .wanted(name: name, epoch: epoch, isAsked: true)
            return .attach(name: name, epoch: epoch)
        }
        if !isBlocked, let output = nextOutput() { return output }
        if !isGone, let bytes = replies?.nextWrite(at: now) {
            frames.acked(upTo: replies?.acked ?? 0)
            return .write(bytes)
        }
        if case .ended(let reason) = phase, let action = nextEnding(reason) { return action }
        if let due = nextDeadline(), timer.map({ due < $0 }) ?? true {
            timer = due
            return .setTimer(due)
        }
        guard !isReading, mayRead() else { return nil }
        isReading = true
        return .read
    }

    private mutating func mayRead() -> Bool {
        if case .ended = phase { return false }
        if heldUntil != nil { return false }
        switch numbering {
        case .none, .open: return !isBlocked
        case .wanted, .waiting: return false
        }
    }

    mutating func nextOutput() -> Action? {
        if let first = refused.take() {
            switch first {
            case .chunk(let chunk):
                forwarded = chunk.numbering?.range.last
                return .forward(chunk)
            case .rejection(let rejection): return .reject(rejection)
            }
        }
        switch numbering {
        case .none: return nextPlainOutput()
        case .open: return nextClaim()
        case .wanted, .waiting: return nil
        }
    }

    mutating func nextPlainOutput() -> Action? {
        switch pieces.popFirst() {
        case nil: return nil
        case .lines(let bytes, let received, _):
            // A line that two reads brought lies apart from those behind it. They go on together: what a chunk costs, it costs once.
            guard bytes.readableBytes <= LineSplitter.joinBytesMax, case .lines(let rest, _, _)? = pieces.first else {
                return .forward(chunk(bytes, received))
            }
            pieces.removeFirst()
            return .forward(chunk(rest, received, head: bytes))
        case .rows(let bytes, let received, let window, _): return .forward(chunk(bytes, received, window: window))
        case .tooLong(let head, let length, _): return .reject(tooLong(head, length))
        case .incomplete(let head, let length):
            return .reject(
                rejection(.incompleteLine, "the rest of the line did not come", head, length))
        }
    }

    mutating func chunk(
        _ bytes: ByteBuffer, _ received: ContinuousClock.Instant, head: ByteBuffer? = nil,
        numbering: Chunk.Numbering? = nil, rejection: Rejection? = nil, window: RowWindow? = nil
    ) -> Chunk {
        defer { chunks += 1 }
        return Chunk(
            session: session, number: chunks, table: tableText, head: head, bytes: bytes, received: received,
            numbering: numbering, rejection: rejection, format: format, window: window)
    }

    func tooLong(_ head: ByteBuffer, _ length: Int) -> Rejection {
        rejection(.lineTooLong, "a line of \(length) bytes (limit \(limits.lineBytesMax))", head, length)
    }

    func rejection(_ reason: RejectReason, _ message: String, _ head: ByteBuffer, _ length: Int) -> Rejection {
        Rejection(
            table: table, reason: reason, message: message, session: session, bytes: head, length: length, form: format)
    }

    static func numbered(_ rejection: Rejection, _ number: UInt64) -> Rejection {
        var rejection = rejection
        rejection.number = number
        return rejection
    }

    // MARK: Time

    /// Mutating, as what it asks is: out of a method that mutates, one that does not gets a copy of the whole state.
    private mutating func nextDeadline() -> ContinuousClock.Instant? {
        func earlier(_ a: ContinuousClock.Instant?, _ b: ContinuousClock.Instant?) -> ContinuousClock.Instant? {
            guard let a, let b else { return a ?? b }
            return min(a, b)
        }
        var held: ContinuousClock.Instant?
        if case .ended = phase {} else { held = heldUntil }
        return earlier(held, earlier(earlier(partialDue(), idleDue()), isGone ? nil : replies?.heartbeatDue))
    }

    mutating func partialDue() -> ContinuousClock.Instant? {
        guard !isBlocked, let timeout = limits.partialLineTimeout else { return nil }
        let since: ContinuousClock.Instant? =
            switch phase {
            case .firstLine(_, let since): since
            case .lines: mayRead() ? splitter.partialSince : nil
            case .frames: mayRead() ? frames.partialSince : nil
            case .ended: nil
            }
        return since.map { $0 + timeout }
    }

    mutating func idleDue() -> ContinuousClock.Instant? {
        guard case .frames = phase, mayRead(), let timeout = limits.idleTimeout, let lastHeard else { return nil }
        return lastHeard + timeout
    }
}
