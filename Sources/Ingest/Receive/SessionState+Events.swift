import NIOCore
import Pipeline
import ProducerProtocol

// What happened to a session, in the past tense. Each event is followed by `nextAction()` until that says nothing.
extension SessionState {
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
        case .lines:
            splitter.bytesReceived(bytes, at: now, into: &pieces)
            if format != nil { headerReceived() }
        case .frames: framesReceived(bytes)
        }
    }

    mutating func framesReceived(_ bytes: ByteBuffer) {
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
    mutating func recheckSequence() {
        var expected: UInt64 = 1
        for piece in pieces {
            let numbers: RowRange
            switch piece {
            case .lines(_, _, let given?): numbers = given
            case .tooLong(_, _, let number?): numbers = RowRange(first: number, last: number)
            case .rows(_, _, _, let given?): numbers = given
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

    static func incomplete(_ message: String) -> SessionError { SessionError(.incomplete, message) }

    /// The producer is gone: nobody reads answers.
    mutating func channelGone(at now: ContinuousClock.Instant) {
        inputClosed(at: now)
        isGone = true
        // It cannot be told where to go on.
        dropUnclaimed()
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
        renewPatience()
    }

    /// The producer could not go on meanwhile.
    private mutating func renewPatience() {
        splitter.patienceRenewed(at: now)
        frames.patienceRenewed(at: now)
        lastHeard = now
    }

    /// Too much came too fast. A producer that wants acks is told so, after those that it has a right to; another one waits
    /// in its `write`.
    ///
    /// - Returns: How long that keeps it, beyond what keeps it already.
    @discardableResult
    mutating func held(by hold: RateLimits.Hold, at now: ContinuousClock.Instant) -> Duration {
        self.now = now
        guard case .none = numbering else {
            // One that is done, or stopped, with all that came: there is nothing to slow.
            if case .ended(let reason) = phase, reason != .ended || pieces.isEmpty { return .zero }
            fail(hold.error, dropsRest: true)
            return hold.comeBack - now
        }
        let before = max(heldUntil ?? now, now)
        heldUntil = max(before, hold.until)
        return max(before, hold.until) - before
    }

    /// Nothing keeps the producer from going on any more.
    mutating func released(at now: ContinuousClock.Instant) {
        self.now = now
        guard heldUntil.take() != nil else { return }
        renewPatience()
    }

    /// Whoever is connected may not be any more.
    mutating func dismissed(_ error: SessionError, at now: ContinuousClock.Instant) {
        self.now = now
        abandonInput(.failed(error), at: now)
        dropUnclaimed()
    }

    /// What is not claimed is its producer's still.
    private mutating func dropUnclaimed() {
        switch numbering {
        case .wanted, .waiting: pieces.removeAll()
        case .none, .open: break
        }
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

    /// It may not send rows now.
    mutating func attachRefused(_ error: SessionError) { fail(error, dropsRest: true) }

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
        if let until = heldUntil, now >= until {
            heldUntil = nil
            renewPatience()
        }
        replies?.heartbeat(at: now)
        if let due = idleDue(), now >= due {
            frames.patienceRenewed(at: now)
            fail(SessionError(.idleTimeout, "nothing came for so long as receive.idle_timeout"))
            return
        }
        guard let due = partialDue(), now >= due else { return }
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
        dropUnclaimed()
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

    mutating func abandonInput(_ reason: CloseReason, at now: ContinuousClock.Instant) {
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
}

extension RateLimits.Hold {
    /// What a producer is told.
    var error: SessionError {
        let what =
            switch reason {
            case .producerRows: "more than \(limit) rows a second of this producer"
            case .producerBytes: "more than \(limit) bytes a second of this producer"
            case .tableRows: "more than \(limit) rows a second for a table"
            case .tableBytes: "more than \(limit) bytes a second for a table"
            }
        return SessionError(.rateLimit, "\(what); go on in a while", comeBack: comeBack)
    }
}
