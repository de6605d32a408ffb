import NIOCore
import Pipeline
import ProducerProtocol

/// Cuts the bytes of a session of frames into pieces of rows, whatever the reads were, and says what else was in them. A
/// value; it knows nothing of acks but how much is not acked.
///
/// The rows of a large frame go out as a slice of the read buffer, uncopied. Small frames that follow each other in one
/// read are copied into one piece. Copied, too, is a frame of which a read brought only a part.
struct FrameReader: Sendable {
    struct Limits: Hashable, Sendable {
        /// Longest payload.
        var frameBytesMax = (1 << 20) + (64 << 10)
        /// Payload bytes that may be here beyond what is acked.
        var creditBytes = 16 << 20
    }

    /// What a read brought besides rows.
    struct Findings: Sendable {
        var hello: (epoch: UInt64, payload: ByteBuffer)?
        /// The number of the last PING.
        var ping: UInt64?
        /// BYE came: nothing may follow.
        var isDone = false
        /// Nothing more is read.
        var error: SessionError?
    }

    private enum Phase: Hashable, Sendable {
        /// Can transition to: hello, failed.
        case preamble
        /// Can transition to: open, failed.
        case hello
        /// Can transition to: done, failed.
        case open
        /// BYE was there. Can transition to: failed.
        case done
        case failed
    }

    /// Rows of frames that follow each other, to go out as one piece.
    private struct Run: Sendable {
        var bytes: ByteBuffer
        var numbers: RowRange
        /// `bytes` is no longer a slice of what was read.
        var isOwn = false
    }

    /// Payloads up to this size are copied into one piece with their neighbours.
    static let joinBytesMax = 16 << 10
    /// Size of such a piece.
    static let joinedBytesMax = 256 << 10

    private let limits: Limits
    private let splitter: LineSplitter
    private var phase = Phase.preamble
    /// A frame of which the end is missing, or the preamble.
    private var partial = ByteBuffer()
    private(set) var partialSince: ContinuousClock.Instant?
    private var credit: Credit
    /// Of the rows that came last.
    private var lastNumber: UInt64 = 0
    /// Without acks numbers only say that nothing is missing.
    var isAcked = true
    /// What HELLO said of it; nil: NDJSON.
    private var format: SessionFormat?

    init(limits: Limits, lineBytesMax: Int, headBytesMax: Int) {
        self.limits = limits
        splitter = LineSplitter(lineBytesMax: lineBytesMax, headBytesMax: headBytesMax)
        credit = Credit(bytesMax: limits.creditBytes)
    }

    /// The producer was told that all up to here is acked.
    mutating func acked(upTo number: UInt64) { credit.release(upTo: number) }

    mutating func patienceRenewed(at now: ContinuousClock.Instant) {
        if partialSince != nil { partialSince = now }
    }

    // MARK: Units

    mutating func bytesReceived(
        _ bytes: ByteBuffer, at now: ContinuousClock.Instant, into pieces: inout CircularBuffer<LineSplitter.Piece>
    ) -> Findings {
        var findings = Findings()
        guard phase != .failed else { return findings }
        var run: Run?
        do {
            try read(bytes, at: now, &run, &findings, into: &pieces)
        } catch {
            phase = .failed
            partial = ByteBuffer()
            partialSince = nil
            findings.error = error
        }
        // What came before an error is good.
        finish(&run, at: now, into: &pieces)
        return findings
    }

    private mutating func read(
        _ bytes: ByteBuffer, at now: ContinuousClock.Instant, _ run: inout Run?, _ findings: inout Findings,
        into pieces: inout CircularBuffer<LineSplitter.Piece>
    ) throws(SessionError) {
        var rest = bytes
        while partial.readableBytes > 0 {
            let missing = try unitLength(partial) - partial.readableBytes
            if missing == 0 {
                let unit = partial
                partial = ByteBuffer()
                partialSince = nil
                try consume(unit, at: now, &run, &findings, into: &pieces)
            } else if var more = rest.readSlice(length: min(missing, rest.readableBytes)), more.readableBytes > 0 {
                partial.writeBuffer(&more)
            } else {
                return
            }
        }
        while rest.readableBytes > 0 {
            let length = try unitLength(rest)
            guard let unit = rest.readSlice(length: length) else {
                partial = rest.compactPrefix()
                partialSince = now
                return
            }
            try consume(unit, at: now, &run, &findings, into: &pieces)
        }
    }

    /// Bytes of what the buffer begins with: the preamble, a frame, or as much of a frame as says how long it is. What is
    /// wrong already is not waited for.
    private func unitLength(_ buffer: ByteBuffer) throws(SessionError) -> Int {
        if phase == .preamble {
            let magic = FrameHeader.preamble.dropLast()
            guard magic.starts(with: buffer.readableBytesView.prefix(magic.count)) else {
                throw SessionError(.badMagic, "the preamble is not that of sluice's frames")
            }
            return FrameHeader.preamble.count
        }
        guard let header = FrameHeader(peeking: buffer) else { return FrameHeader.bytes }
        try check(header)
        return FrameHeader.bytes + Int(header.length)
    }

    private func check(_ header: FrameHeader) throws(SessionError) {
        guard header.length <= limits.frameBytesMax else {
            throw SessionError(
                .frameTooLong, "a frame of \(header.length) bytes (receive.frame_bytes_max is \(limits.frameBytesMax))")
        }
        if phase == .done { throw SessionError(.badFrame, "a frame after BYE") }
        guard let kind = FrameKind(rawValue: header.kind) else {
            guard header.kind >= FrameKind.skippableMin else {
                throw SessionError(.unknownKind, "a frame of kind \(header.kind)")
            }
            return
        }
        switch (phase, kind) {
        case (.hello, .hello), (.open, .data): break
        case (.open, .ping), (.open, .bye):
            guard header.length == 0 else {
                throw SessionError(.badFrame, "a PING or BYE with a payload of \(header.length) bytes")
            }
        case (.open, .hello): throw SessionError(.badHello, "a second HELLO")
        case (.hello, _): throw SessionError(.badHello, "the first frame is not HELLO")
        default: throw SessionError(.unknownKind, "a frame of kind \(header.kind), which only the daemon sends")
        }
    }

    private mutating func consume(
        _ unit: ByteBuffer, at now: ContinuousClock.Instant, _ run: inout Run?, _ findings: inout Findings,
        into pieces: inout CircularBuffer<LineSplitter.Piece>
    ) throws(SessionError) {
        if phase == .preamble {
            guard let version = unit.readableBytesView.last, version == FrameHeader.preamble.last else {
                throw SessionError(.badVersion, "this daemon speaks version 1 of the framed dialect")
            }
            phase = .hello
            return
        }
        var payload = unit
        guard let header = FrameHeader(peeking: unit) else { return }
        payload.moveReaderIndex(forwardBy: FrameHeader.bytes)
        guard payload.matches(header.checksum) else {
            throw SessionError(.badChecksum, "the checksum of a frame is not that of its payload")
        }
        switch FrameKind(rawValue: header.kind) {
        case .hello:
            findings.hello = (header.number, payload)
            format = try? Greeting.parse(payload, epoch: header.number).get().rows
            phase = .open
        case .data:
            let numbers = try numbers(of: header, payload)
            guard format == nil else {
                finish(&run, at: now, into: &pieces)
                pieces.append(
                    .rows(
                        payload.compactIfSparse(), received: now, window: RowWindow(all: Int(header.count)),
                        numbers: numbers))
                break
            }
            append(payload, numbers, to: &run, at: now, into: &pieces)
        case .ping: findings.ping = header.number
        case .bye:
            guard lastNumber == 0 || header.number == lastNumber else {
                throw SessionError(
                    .sequenceGap, "BYE says that row \(header.number) was the last, but it was row \(lastNumber)")
            }
            findings.isDone = true
            phase = .done
        default: break
        }
    }

    // MARK: Rows

    private mutating func numbers(of header: FrameHeader, _ payload: ByteBuffer) throws(SessionError) -> RowRange {
        if let format { try format.check(payload, rows: header.count) } else { try checkLines(payload, header) }
        let (last, overflows) = header.number.addingReportingOverflow(UInt64(header.count) - 1)
        guard header.number > 0, !overflows, last < .max else {
            throw SessionError(.badFrame, "a DATA frame that begins with row number \(header.number)")
        }
        if isAcked {
            credit.add(number: last, bytes: payload.readableBytes)
            guard !credit.isExceeded else {
                throw SessionError(.overCredit, "more than \(limits.creditBytes) bytes that are not acked")
            }
        } else if header.number != lastNumber + 1 {
            throw SessionError(.sequenceGap, "row \(header.number) came where row \(lastNumber + 1) was expected")
        }
        lastNumber = last
        return RowRange(first: header.number, last: last)
    }

    private func checkLines(_ payload: ByteBuffer, _ header: FrameHeader) throws(SessionError) {
        guard payload.readableBytesView.last == ByteBuffer.newline else {
            throw SessionError(.badFrame, "a DATA frame whose last row is not ended by LF")
        }
        let lines = payload.countNewlines()
        guard lines == header.count else {
            throw SessionError(.badFrame, "a DATA frame that says \(header.count) rows and has \(lines)")
        }
    }

    private func append(
        _ payload: ByteBuffer, _ numbers: RowRange, to run: inout Run?, at now: ContinuousClock.Instant,
        into pieces: inout CircularBuffer<LineSplitter.Piece>
    ) {
        guard payload.readableBytes <= splitter.lineBytesMax else {
            finish(&run, at: now, into: &pieces)
            split(payload, numbers, at: now, into: &pieces)
            return
        }
        if payload.readableBytes <= Self.joinBytesMax, var joined = run.take() {
            let bytes = joined.bytes.readableBytes + payload.readableBytes
            if joined.numbers.last + 1 == numbers.first, bytes <= Self.joinedBytesMax {
                if !joined.isOwn {
                    joined.bytes = joined.bytes.compactPrefix(growingBy: bytes)
                    joined.isOwn = true
                }
                joined.bytes.writeImmutableBuffer(payload)
                joined.numbers = RowRange(first: joined.numbers.first, last: numbers.last)
                run = joined
                return
            }
            run = joined
        }
        finish(&run, at: now, into: &pieces)
        run = Run(bytes: payload, numbers: numbers)
        if payload.readableBytes > Self.joinBytesMax { finish(&run, at: now, into: &pieces) }
    }

    private func finish(
        _ run: inout Run?, at now: ContinuousClock.Instant, into pieces: inout CircularBuffer<LineSplitter.Piece>
    ) {
        guard let rows = run.take() else { return }
        pieces.append(.lines(rows.bytes.compactIfSparse(), received: now, numbers: rows.numbers))
    }

    /// Rows among which one may be longer than a line may be.
    private func split(
        _ payload: ByteBuffer, _ numbers: RowRange, at now: ContinuousClock.Instant,
        into pieces: inout CircularBuffer<LineSplitter.Piece>
    ) {
        var parts = CircularBuffer<LineSplitter.Piece>()
        splitter.split(payload, at: now, into: &parts)
        var next = numbers.first
        for part in parts {
            switch part {
            case .lines(let bytes, let received, _):
                let lines = UInt64(bytes.countNewlines())
                pieces.append(
                    .lines(bytes, received: received, numbers: RowRange(first: next, last: next + lines - 1)))
                next += lines
            case .tooLong(let head, let length, _):
                pieces.append(.tooLong(head: head, length: length, number: next))
                next += 1
            case .incomplete, .rows: break
            }
        }
    }
}

/// Payload bytes of rows that are not acked yet. Kept in steps, so that small frames do not make it long; what that makes
/// it wrong by is allowed to a producer on top.
private struct Credit: Sendable {
    static let stepBytes = 64 << 10

    private struct Step: Sendable {
        var last: UInt64
        var bytes: Int
    }

    let bytesMax: Int
    private var steps = CircularBuffer<Step>()
    private var bytes = 0
    private var acked: UInt64 = 0

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    var isExceeded: Bool { bytes > bytesMax + Self.stepBytes }

    mutating func add(number: UInt64, bytes count: Int) {
        guard number > acked else { return }
        bytes += count
        if let last = steps.last, last.bytes + count <= Self.stepBytes {
            steps[steps.index(before: steps.endIndex)] = Step(last: max(last.last, number), bytes: last.bytes + count)
        } else {
            steps.append(Step(last: number, bytes: count))
        }
    }

    mutating func release(upTo number: UInt64) {
        acked = max(acked, number)
        while let first = steps.first, first.last <= acked { bytes -= steps.removeFirst().bytes }
    }
}

extension ByteBuffer {
    /// The readable bytes in memory of their own that has room for more.
    fileprivate func compactPrefix(growingBy more: Int) -> ByteBuffer {
        var copy = ByteBufferAllocator().buffer(capacity: readableBytes + more)
        copy.writeImmutableBuffer(self)
        return copy
    }
}
