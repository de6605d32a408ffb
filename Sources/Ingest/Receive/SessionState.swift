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

    private enum Phase: Sendable {
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
    private enum Numbering: Sendable {
        /// They have none. Can transition to: wanted.
        case none
        /// Can transition to: waiting, or the session fails.
        case wanted(name: String?, epoch: UInt64, isAsked: Bool)
        /// For the rows of an earlier session. Can transition to: open.
        case waiting(Producer)
        case open(Producer)
    }

    /// What was taken in and the next stage did not take.
    private enum Refused: Sendable {
        case chunk(Chunk)
        case rejection(Rejection)
    }

    let session: UInt64
    private let limits: Limits
    private var phase = Phase.firstLine(start: ByteBuffer(), since: nil)
    private var splitter: LineSplitter
    private var frames: FrameReader
    private var numbering = Numbering.none
    private var replies: SessionReplies?
    /// How to say what is wrong.
    private var answers = Answers.text
    private var pieces = CircularBuffer<LineSplitter.Piece>(initialCapacity: 4)
    /// Is being claimed.
    private var claiming: (piece: LineSplitter.Piece, numbers: RowRange)?
    /// Goes first when there is room: not taken by the next stage, or just claimed.
    private var refused: Refused?
    /// Of the next line, where lines have numbers that no frame gave them.
    private var nextNumber: UInt64 = 1
    /// The highest number that this session owes an ack for.
    private var owed: UInt64 = 0
    /// All up to here is durable.
    private var durable: UInt64 = 0
    /// Was handed on, unless that is said to have failed before the next action.
    private var forwarded: UInt64?
    /// Rows that were there already, since they were last asked for.
    private(set) var duplicates = 0
    private var table: TableName?
    /// As the chunks carry it, made once.
    private var tableText: String?
    private var chunks: UInt64 = 0
    private var isBlocked = false
    private var isReading = false
    private var timer: ContinuousClock.Instant?
    /// Nobody reads what is written.
    private var isGone = false
    private var hasSaidHandedOver = false
    private var isAnswered = false
    private var isDone = false
    /// Of the last event.
    private var now: ContinuousClock.Instant
    private var lastHeard: ContinuousClock.Instant?
    /// The producer's software, for the log.
    private(set) var client: String?

    private enum Answers: Sendable { case text, json, frames }

    init(session: UInt64, limits: Limits, at now: ContinuousClock.Instant) {
        self.session = session
        self.now = now
        self.limits = limits
        splitter = LineSplitter(lineBytesMax: limits.lineBytesMax, headBytesMax: limits.rowBytesMax)
        frames = FrameReader(
            limits: limits.frames, lineBytesMax: limits.lineBytesMax, headBytesMax: limits.rowBytesMax)
    }

    /// Bytes of lines that wait to be taken, for the log of a session that is cut off.
    var bytesHeld: Int {
        var sum = 0
        if case .chunk(let chunk) = refused { sum += chunk.bytes.readableBytes }
        for case .lines(let bytes, _, _) in pieces { sum += bytes.readableBytes }
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
        if let due = nextDeadline, timer.map({ due < $0 }) ?? true {
            timer = due
            return .setTimer(due)
        }
        guard !isReading, mayRead else { return nil }
        isReading = true
        return .read
    }

    private var mayRead: Bool {
        if case .ended = phase { return false }
        switch numbering {
        case .none, .open: return !isBlocked
        case .wanted, .waiting: return false
        }
    }

    private mutating func nextOutput() -> Action? {
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

    private mutating func nextPlainOutput() -> Action? {
        switch pieces.popFirst() {
        case nil: return nil
        case .lines(let bytes, let received, _): return .forward(chunk(bytes, received))
        case .tooLong(let head, let length, _): return .reject(tooLong(head, length))
        case .incomplete(let head, let length):
            return .reject(
                rejection(.incompleteLine, "the rest of the line did not come", head, length))
        }
    }

    private mutating func chunk(
        _ bytes: ByteBuffer, _ received: ContinuousClock.Instant, numbering: Chunk.Numbering? = nil,
        rejection: Rejection? = nil
    ) -> Chunk {
        defer { chunks += 1 }
        return Chunk(
            session: session, number: chunks, table: tableText, bytes: bytes, received: received, numbering: numbering,
            rejection: rejection)
    }

    private func tooLong(_ head: ByteBuffer, _ length: Int) -> Rejection {
        rejection(.lineTooLong, "a line of \(length) bytes (limit \(limits.lineBytesMax))", head, length)
    }

    private func rejection(_ reason: RejectReason, _ message: String, _ head: ByteBuffer, _ length: Int) -> Rejection {
        Rejection(table: table, reason: reason, message: message, session: session, bytes: head, length: length)
    }

    private static func numbered(_ rejection: Rejection, _ number: UInt64) -> Rejection {
        var rejection = rejection
        rejection.number = number
        return rejection
    }

    // MARK: Claims

    private mutating func nextClaim() -> Action? {
        guard let piece = pieces.popFirst() else { return nil }
        let numbers: RowRange
        switch piece {
        case .lines(let bytes, _, let given):
            numbers =
                given ?? RowRange(first: nextNumber, last: nextNumber + UInt64(max(1, bytes.countNewlines())) - 1)
        case .tooLong(_, _, let given):
            let number = given ?? nextNumber
            numbers = RowRange(first: number, last: number)
        // Half a line has no number in a session with acks: its producer has it still.
        case .incomplete: return nextClaim()
        }
        nextNumber = numbers.last + 1
        claiming = (piece, numbers)
        return .take(numbers)
    }

    /// The answer to `take`.
    mutating func taken(_ taking: Producer.Taking, upTo: UInt64) {
        guard let (piece, numbers) = claiming.take(), case .open(let producer) = numbering else { return }
        switch taking {
        case .from(let first):
            duplicates += Int(clamping: first - numbers.first)
            let range = RowRange(first: first, last: min(upTo, numbers.last))
            let claimed = Chunk.Numbering(producer: producer, range: range)
            switch piece {
            case .lines(var bytes, let received, _):
                if first > numbers.first {
                    bytes.moveReaderIndex(forwardBy: bytes.length(ofLines: Int(first - numbers.first)))
                }
                if range.last < numbers.last,
                    let lines = bytes.readSlice(length: bytes.length(ofLines: Int(range.rows)))
                {
                    pieces.prepend(
                        .lines(
                            bytes, received: received,
                            numbers: RowRange(first: range.last + 1, last: numbers.last)))
                    bytes = lines
                }
                refused = .chunk(chunk(bytes, received, numbering: claimed))
            case .tooLong(let head, let length, _):
                refused = .chunk(
                    chunk(
                        ByteBuffer(), now, numbering: claimed,
                        rejection: Self.numbered(tooLong(head, length), range.first)))
            case .incomplete: break
            }
        case .nothing:
            duplicates += Int(clamping: numbers.rows)
            forwarded = numbers.last
        case .gap(let expected):
            fail(
                SessionError(.sequenceGap, "row \(numbers.first) came where row \(expected) was expected"),
                dropsRest: true)
        case .notOwner: fail(Self.takenOver, dropsRest: true)
        }
    }

    private static let takenOver = SessionError(.takenOver, "another session has this producer's name now")

    // MARK: The end

    /// What is left to do when no more comes; nil: to wait.
    private mutating func nextEnding(_ reason: CloseReason) -> Action? {
        guard refused == nil, pieces.isEmpty, claiming == nil else { return nil }
        switch numbering {
        // Who asks for acks and sends nothing is told at least where it stands.
        case .wanted, .waiting: guard isGone || reason != .ended else { return nil }
        case .none, .open: break
        }
        if case .open = numbering, !isGone, !isSettled(reason) {
            guard !hasSaidHandedOver else { return nil }
            hasSaidHandedOver = true
            return .handedOver
        }
        if !isAnswered, !isGone {
            isAnswered = true
            if let bytes = lastAnswer(reason) { return .write(bytes) }
        }
        isDone = true
        return .close(reason)
    }

    /// Whether nothing is waited for any more.
    private func isSettled(_ reason: CloseReason) -> Bool {
        guard let replies else { return true }
        switch reason {
        case .failed(let error) where error.code != .incomplete && error.code != .idleTimeout: return true
        case .outputFinished: return true
        case .ended, .failed: return replies.progress >= owed
        case .stopped:
            // What the daemon keeps over a stop; the rest is a matter of the next run.
            return replies.level == .received || !limits.hasSpool || max(durable, replies.progress) >= owed
        }
    }

    private mutating func lastAnswer(_ reason: CloseReason) -> ByteBuffer? {
        let error: SessionError? =
            switch reason {
            case .ended: nil
            case .stopped, .outputFinished: SessionError(.stopping, "the daemon stops")
            case .failed(let error): error
            }
        if replies != nil { return replies?.lastWrite(error, at: now) }
        guard let error else { return nil }
        var bytes = ByteBuffer()
        switch answers {
        // A stop is no error of a session that asked for nothing.
        case .text where error.code == .stopping: return nil
        case .text: bytes.writeString("error: \(error.message)\n")
        case .json: bytes.writeErrorLine(error)
        case .frames: bytes.writeErrorFrame(error)
        }
        return bytes
    }

    private mutating func fail(_ error: SessionError, dropsRest: Bool = false) {
        if dropsRest { pieces.removeAll() }
        if case .ended(.failed) = phase { return }
        phase = .ended(.failed(error))
    }

    // MARK: What happened

    mutating func bytesReceived(_ bytes: ByteBuffer, at now: ContinuousClock.Instant) {
        self.now = now
        isReading = false
        lastHeard = now
        switch phase {
        case .ended: break
        case .firstLine(let start, let since):
            if start.readableBytes == 0, bytes.readableBytesView.first == FrameHeader.preamble[0] {
                phase = .frames
                answers = .frames
                framesReceived(bytes)
            } else {
                firstLineReceived(start: start, since: since, bytes, at: now)
            }
        case .lines: splitter.bytesReceived(bytes, at: now, into: &pieces)
        case .frames: framesReceived(bytes)
        }
    }

    private mutating func framesReceived(_ bytes: ByteBuffer) {
        var findings = frames.bytesReceived(bytes, at: now, into: &pieces)
        if let hello = findings.hello.take() {
            switch Greeting.parse(hello.payload, epoch: hello.epoch) {
            case .success(let greeting):
                greeted(greeting, as: .frames)
            case .failure(let error): fail(error, dropsRest: true)
            }
            if case .ended = phase { return }
            if case .none = numbering, !frames.isAcked, !pieces.isEmpty || findings.isDone { recheckSequence() }
        }
        if let number = findings.ping { replies?.pinged(number) }
        if case .ended = phase { return }
        if let error = findings.error {
            fail(error)
        } else if findings.isDone {
            phase = .ended(.ended)
        }
    }

    /// Rows that came in one read with a HELLO that wants no acks: nobody looked at their numbers yet.
    private mutating func recheckSequence() {
        var expected: UInt64 = 1
        for piece in pieces {
            let numbers: RowRange
            switch piece {
            case .lines(_, _, let given?): numbers = given
            case .tooLong(_, _, let number?): numbers = RowRange(first: number, last: number)
            default: continue
            }
            guard numbers.first == expected else {
                fail(
                    SessionError(.sequenceGap, "row \(numbers.first) came where row \(expected) was expected"),
                    dropsRest: true)
                return
            }
            expected = numbers.last + 1
        }
    }

    /// The producer is done, or gone. What it wrote counts, an unfinished last line included unless it has a number. May be
    /// repeated.
    mutating func inputClosed(at now: ContinuousClock.Instant) {
        self.now = now
        switch phase {
        case .ended: return
        case .firstLine(let start, _):
            if Self.isControl(start) {
                guard controlLineReceived(start) else { return }
            } else {
                splitter.bytesReceived(start, at: now, into: &pieces)
            }
        case .frames:
            phase = .ended(.ended)
            if frames.partialSince != nil { fail(Self.incomplete("the stream ended within a frame")) }
            return
        case .lines: break
        }
        guard case .none = numbering else {
            let isWhole = splitter.partialSince == nil
            splitter.inputAbandoned(into: &pieces)
            phase = .ended(.ended)
            if !isWhole {
                phase = .ended(.failed(Self.incomplete("the last line lacks its newline and was not taken")))
            }
            return
        }
        splitter.inputEnded(at: now, into: &pieces)
        phase = .ended(.ended)
    }

    private static func incomplete(_ message: String) -> SessionError { SessionError(.incomplete, message) }

    /// The producer is gone: nobody reads answers.
    mutating func channelGone(at now: ContinuousClock.Instant) {
        inputClosed(at: now)
        isGone = true
        // What is not claimed is its producer's still, which cannot be told where to go on.
        switch numbering {
        case .wanted, .waiting: pieces.removeAll()
        case .none, .open: break
        }
    }

    /// The stream is full, and the chunk is the session's again.
    mutating func forwardRefused(_ chunk: Chunk) {
        refused = .chunk(chunk)
        forwarded = nil
        isBlocked = true
    }

    /// The dead letter is busy.
    mutating func rejectRefused(_ rejection: Rejection) {
        refused = .rejection(rejection)
        isBlocked = true
    }

    mutating func spaceAvailable(at now: ContinuousClock.Instant) {
        self.now = now
        isBlocked = false
        // The producer could not go on meanwhile.
        splitter.patienceRenewed(at: now)
        frames.patienceRenewed(at: now)
        lastHeard = now
    }

    mutating func attached(_ result: Result<Producer, ProducerRefusal>) {
        guard case .wanted = numbering else { return }
        switch result {
        case .success(let producer): numbering = .waiting(producer)
        case .failure(.staleEpoch):
            fail(SessionError(.staleEpoch, "the name is known with a higher epoch"), dropsRest: true)
        case .failure(.spoolFull):
            fail(SessionError(.spoolFull, "the spool is full; try again later"), dropsRest: true)
        case .failure(.tooManyProducers):
            fail(SessionError(.tooManyProducers, "too many producers with names"), dropsRest: true)
        }
    }

    mutating func newsReceived(_ news: ProducerNews, at now: ContinuousClock.Instant) {
        self.now = now
        if news.isTakenOver {
            fail(Self.takenOver, dropsRest: true)
            // What it had claimed goes on; of what becomes of it, the other session hears.
            return
        }
        if let reason = news.turnedAway {
            let code = SessionErrorCode(rawValue: reason) ?? .spoolFull
            fail(SessionError(code, "nothing more is taken for now; connect again later"), dropsRest: true)
            // What it had claimed goes on, as when it is taken over.
            return
        }
        if let resume = news.ready, case .waiting(let producer) = numbering {
            numbering = .open(producer)
            nextNumber = resume + 1
            let id = session
            replies?.welcome(resume: resume, session: id)
            frames.acked(upTo: resume)
            lastHeard = now
        }
        durable = max(durable, news.durable)
        for refusal in news.refusals { replies?.rejected(refusal) }
        replies?.leftOut(news.refusalsLeftOut)
        switch replies?.level {
        case .durable: replies?.reached(news.durable)
        case .committed: replies?.reached(news.committed)
        default: break
        }
        if replies?.isSlow == true {
            fail(
                SessionError(.slowReader, "more than \(limits.replies.unreadBytesMax) bytes of answers were not read"),
                dropsRest: true)
        }
    }

    /// What was to be written is gone.
    mutating func written(at now: ContinuousClock.Instant) {
        self.now = now
        replies?.written()
    }

    mutating func timerFired(at now: ContinuousClock.Instant) {
        self.now = now
        timer = nil
        replies?.heartbeat(at: now)
        if let due = idleDue, now >= due {
            frames.patienceRenewed(at: now)
            fail(SessionError(.idleTimeout, "nothing came for so long as receive.idle_timeout"))
            return
        }
        guard let due = partialDue, now >= due else { return }
        if case .frames = phase {
            fail(Self.incomplete("the rest of a frame did not come in time"))
        } else {
            abandonInput(.failed(Self.incomplete("the rest of a line did not come in time")), at: now)
        }
    }

    /// No more is read; whole lines go out, half a line cannot.
    mutating func stopRequested(at now: ContinuousClock.Instant) {
        self.now = now
        abandonInput(.stopped, at: now)
        switch numbering {
        case .wanted, .waiting: pieces.removeAll()
        case .none, .open: break
        }
    }

    /// The stream takes nothing more: what is held is lost to the session.
    mutating func outputFinished() {
        refused = nil
        claiming = nil
        forwarded = nil
        pieces.removeAll()
        isBlocked = false
        phase = .ended(.outputFinished)
    }

    private mutating func abandonInput(_ reason: CloseReason, at now: ContinuousClock.Instant) {
        switch phase {
        case .ended(.ended):
            // It only waits for acks: it need not wait longer than the daemon does.
            if reason == .stopped { phase = .ended(.stopped) }
            return
        case .ended: return
        case .firstLine(let start, _): splitter.bytesReceived(start, at: now, into: &pieces)
        case .lines, .frames: break
        }
        splitter.inputAbandoned(into: &pieces)
        phase = .ended(reason)
    }

    // MARK: Time

    private var nextDeadline: ContinuousClock.Instant? {
        func earlier(_ a: ContinuousClock.Instant?, _ b: ContinuousClock.Instant?) -> ContinuousClock.Instant? {
            guard let a, let b else { return a ?? b }
            return min(a, b)
        }
        return earlier(earlier(partialDue, idleDue), isGone ? nil : replies?.heartbeatDue)
    }

    private var partialDue: ContinuousClock.Instant? {
        guard !isBlocked, let timeout = limits.partialLineTimeout else { return nil }
        let since: ContinuousClock.Instant? =
            switch phase {
            case .firstLine(_, let since): since
            case .lines: mayRead ? splitter.partialSince : nil
            case .frames: mayRead ? frames.partialSince : nil
            case .ended: nil
            }
        return since.map { $0 + timeout }
    }

    private var idleDue: ContinuousClock.Instant? {
        guard case .frames = phase, mayRead, let timeout = limits.idleTimeout, let lastHeard else { return nil }
        return lastHeard + timeout
    }

    // MARK: The greeting

    private mutating func greeted(_ greeting: Greeting, as dialect: SessionReplies.Dialect) {
        table = greeting.table
        tableText = greeting.table?.description
        client = greeting.client
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
    }

    /// - Returns: Whether the session goes on.
    private mutating func controlLineReceived(_ line: ByteBuffer) -> Bool {
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

    private static func isControl(_ line: ByteBuffer) -> Bool {
        line.readableBytesView.starts(with: ControlLine.prefix)
    }

    private static func mayBeControl(_ line: ByteBuffer) -> Bool {
        ControlLine.prefix.starts(with: line.readableBytesView.prefix(ControlLine.prefix.count))
    }
}
