import NIOCore
import Pipeline
import ProducerProtocol

/// What a session with acks tells its producer, and when: a value. It gathers while what was written is not gone, so that
/// a producer that does not read costs no more than `unreadBytesMax` and the nacks of one ack.
struct SessionReplies: Sendable {
    enum Dialect: Hashable, Sendable { case lines, frames }

    struct Limits: Hashable, Sendable {
        /// Rejected rows that are told one by one, for each ack.
        var nacksMax = 100
        /// What may wait to be written or read.
        var unreadBytesMax = 64 << 10
        /// Told in WELCOME and acks.
        var creditBytes = 16 << 20
    }

    /// Text of ours in a nack; the dead letter has more of it.
    static let messageBytesMax = 256
    static let columnBytesMax = 128
    /// A session of frames that was told nothing for so long is told the last ack again.
    static let heartbeatInterval: Duration = .seconds(15)

    let level: AckLevel
    let dialect: Dialect
    private let limits: Limits

    /// All up to here was told.
    private(set) var acked: UInt64 = 0
    /// All up to here may be told.
    private var reached: UInt64 = 0
    private var nacks = ByteBuffer()
    /// Since the last ack.
    private var nacksTold = 0
    private var nacksLeftOut = 0
    private var greeting = ByteBuffer()
    private var pong: UInt64?
    private var isAckDue = false
    /// Handed over to be written, and not gone yet.
    private var bytesUnwritten = 0
    private(set) var lastWritten: ContinuousClock.Instant?

    /// Figures since they were last asked for.
    private(set) var figures = Figures()

    struct Figures: Hashable, Sendable {
        var nacks = 0
        var nacksLeftOut = 0
    }

    init(level: AckLevel, dialect: Dialect, limits: Limits) {
        self.level = level
        self.dialect = dialect
        self.limits = limits
    }

    /// Whether too much waits because what was written before is not read.
    var isSlow: Bool { bytesUnwritten > 0 && bytesUnwritten + nacks.readableBytes > limits.unreadBytesMax }

    mutating func takeFigures() -> Figures {
        defer { figures = Figures() }
        return figures
    }

    // MARK: What there is to tell

    mutating func welcome(resume: UInt64, session: UInt64) {
        acked = resume
        reached = max(reached, resume)
        switch dialect {
        case .lines:
            greeting.writeString(
                "{\"hello\":1,\"ack\":\"\(level.rawValue)\",\"resume\":\(resume),\"session\":\(session)}\n")
        case .frames:
            greeting.writeFrame(
                .welcome, number: resume, count: credit,
                fields: [("session", "\(session)"), ("ack", level.rawValue), ("version", "1")])
        }
    }

    mutating func reached(_ number: UInt64) { reached = max(reached, number) }

    /// What was reached, told or not.
    var progress: UInt64 { reached }

    mutating func rejected(_ refusal: RowRefusal) {
        guard nacksTold < limits.nacksMax else {
            leftOut(1)
            return
        }
        nacksTold += 1
        figures.nacks += 1
        let message = refusal.message.cut(toBytes: Self.messageBytesMax)
        let column = refusal.column?.cut(toBytes: Self.columnBytesMax)
        switch dialect {
        case .lines:
            nacks.writeString("{\"nack\":\(refusal.number),\"reason\":")
            nacks.writeJSONString(refusal.reason.utf8)
            if let column {
                nacks.writeStaticString(",\"column\":")
                nacks.writeJSONString(column.utf8)
            }
            nacks.writeStaticString(",\"message\":")
            nacks.writeJSONString(message.utf8)
            nacks.writeStaticString("}\n")
        case .frames:
            var fields = [(key: "reason", value: refusal.reason)]
            if let column { fields.append(("column", column)) }
            fields.append(("message", message))
            nacks.writeFrame(.nack, number: refusal.number, fields: fields)
        }
    }

    mutating func leftOut(_ count: Int) {
        nacksLeftOut += count
        figures.nacksLeftOut += count
    }

    mutating func pinged(_ number: UInt64) { pong = number }

    /// Time went by: says something if nothing was said for long.
    mutating func heartbeat(at now: ContinuousClock.Instant) {
        if let due = heartbeatDue, now >= due { isAckDue = true }
    }

    /// When the next heartbeat is due; nil: none is.
    var heartbeatDue: ContinuousClock.Instant? {
        guard dialect == .frames, level != .none, let lastWritten else { return nil }
        return lastWritten + Self.heartbeatInterval
    }

    // MARK: Telling it

    /// What to write now; nil: nothing, or the last is not gone yet.
    mutating func nextWrite(at now: ContinuousClock.Instant) -> ByteBuffer? {
        guard bytesUnwritten == 0 else { return nil }
        var bytes = greeting
        greeting = ByteBuffer()
        bytes.writeImmutableBuffer(nacks)
        nacks = ByteBuffer()
        if let pong = pong.take(), dialect == .frames { bytes.writeFrame(.pong, number: pong, count: credit) }
        if reached > acked || isAckDue { writeAck(to: &bytes) }
        guard bytes.readableBytes > 0 else { return nil }
        bytesUnwritten = bytes.readableBytes
        lastWritten = now
        return bytes
    }

    /// The end, after all that could be told.
    mutating func lastWrite(_ error: SessionError?, at now: ContinuousClock.Instant) -> ByteBuffer? {
        bytesUnwritten = 0
        var bytes = nextWrite(at: now) ?? ByteBuffer()
        if nacksLeftOut > 0 { writeLeftOut(to: &bytes) }
        if let error {
            switch dialect {
            case .lines: bytes.writeErrorLine(error, at: now)
            case .frames: bytes.writeErrorFrame(error, at: now)
            }
        }
        return bytes.readableBytes > 0 ? bytes : nil
    }

    mutating func written() { bytesUnwritten = 0 }

    private mutating func writeAck(to bytes: inout ByteBuffer) {
        if nacksLeftOut > 0 { writeLeftOut(to: &bytes) }
        acked = reached
        nacksTold = 0
        isAckDue = false
        switch dialect {
        case .lines: bytes.writeString("{\"ack\":\(acked)}\n")
        case .frames: bytes.writeFrame(.ack, number: acked, count: credit)
        }
    }

    private mutating func writeLeftOut(to bytes: inout ByteBuffer) {
        switch dialect {
        case .lines: bytes.writeString("{\"nacks_left_out\":\(nacksLeftOut)}\n")
        case .frames: bytes.writeFrame(.nack, number: 0, count: UInt32(clamping: nacksLeftOut))
        }
        nacksLeftOut = 0
    }

    private var credit: UInt32 { level == .none ? 0 : UInt32(clamping: limits.creditBytes) }
}

extension ByteBuffer {
    mutating func writeErrorLine(_ error: SessionError, at now: ContinuousClock.Instant) {
        writeString("{\"error\":\"\(error.code.rawValue)\",\"message\":")
        writeJSONString(error.message.utf8)
        if let wait = error.retryAfter(from: now) { writeString(",\"retry_after_ms\":\(wait)") }
        writeStaticString("}\n")
    }

    mutating func writeErrorFrame(_ error: SessionError, at now: ContinuousClock.Instant) {
        var fields = [(key: "code", value: error.code.rawValue), ("message", error.message)]
        if let wait = error.retryAfter(from: now) { fields.append(("retry_after_ms", "\(wait)")) }
        writeFrame(.error, fields: fields)
    }
}
