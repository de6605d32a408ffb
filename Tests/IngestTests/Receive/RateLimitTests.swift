import NIOCore
import Pipeline
import TestSupport
import Testing

@testable import Ingest

@Suite struct TokenBucketTests {
    private let start = ContinuousClock.now

    private func due(
        _ bucket: TokenBucket, at now: ContinuousClock.Instant, share: Double = 0
    ) -> ContinuousClock.Instant? {
        var bucket = bucket
        return bucket.due(at: now, share: share)
    }

    private func isFull(_ bucket: TokenBucket, at now: ContinuousClock.Instant) -> Bool {
        var bucket = bucket
        return bucket.isFull(at: now)
    }

    @Test func aBurstPassesAndWhatIsOwedIsPaidByTime() {
        var bucket = TokenBucket(rate: 100, burst: .seconds(2), at: start)
        bucket.take(200, at: start)
        #expect(due(bucket, at: start) == nil)
        bucket.take(50, at: start)
        #expect(due(bucket, at: start) == start + .milliseconds(500))
        #expect(due(bucket, at: start, share: 0.5) == start + .milliseconds(1500))
        #expect(due(bucket, at: start + .milliseconds(500)) == nil)
    }

    @Test func aPauseFillsItNoFurtherThanItsBurst() {
        var bucket = TokenBucket(rate: 100, burst: .seconds(1), at: start)
        bucket.take(100, at: start + .seconds(3600))
        #expect(!isFull(bucket, at: start + .seconds(3600)))
        bucket.take(1, at: start + .seconds(3600))
        #expect(due(bucket, at: start + .seconds(3600)) == start + .seconds(3600) + .milliseconds(10))
    }

    @Test func anEarlierTimeTakesNothingBack() {
        var bucket = TokenBucket(rate: 100, burst: .seconds(1), at: start)
        bucket.take(100, at: start + .seconds(1))
        bucket.take(50, at: start)
        #expect(bucket.level == -50)
    }

    @Test func anotherRateKeepsWhatIsOwed() {
        var bucket = TokenBucket(rate: 100, burst: .seconds(1), at: start)
        bucket.take(200, at: start)
        let faster = bucket.reconfigured(rate: 1000, burst: .seconds(1), at: start)
        #expect(due(faster, at: start) == start + .milliseconds(100))
        let rested = TokenBucket(rate: 100, burst: .seconds(10), at: start)
            .reconfigured(rate: 10, burst: .seconds(1), at: start)
        #expect(rested.level == 10 && isFull(rested, at: start))
    }

    /// Whatever is taken and when: over any time, no more passes than the burst, the rate and one piece.
    @Test(arguments: Seeds.some(20)) func overTimeNoMorePassesThanTheRate(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<20 {
            let rate = Int.random(in: 1...10_000, using: &random)
            let pieceMax = Int.random(in: 1...2_000, using: &random)
            var bucket = TokenBucket(rate: rate, burst: .seconds(1), at: start)
            var now = start
            var passed = 0
            for _ in 0..<200 {
                now += .milliseconds(Int.random(in: 0...50, using: &random))
                now = bucket.due(at: now) ?? now
                let piece = Int.random(in: 1...pieceMax, using: &random)
                bucket.take(piece, at: now)
                passed += piece
                let bound = Double(rate) * ((now - start).seconds + 1) + Double(pieceMax)
                #expect(Double(passed) <= bound + 1)
            }
        }
    }
}

@Suite struct RateLimitsTests {
    private let clock = ManualClock()
    private let telemetry = Telemetry()

    private func limits(_ configure: (inout RateLimitSettings) -> Void) -> RateLimits {
        var settings = RateLimitSettings()
        configure(&settings)
        return RateLimits(
            settings, telemetry: telemetry,
            clock: StageClock(now: { [clock] in clock.now }, sleep: { [clock] in try await clock.sleep(until: $0) }))
    }

    @Test func withoutLimitsNothingIsHeld() {
        let limits = limits { _ in }
        #expect(!limits.isActive && !limits.limitsTables)
        #expect(limits.passed(rows: 1 << 30, bytes: 1 << 40, by: .named("a"), session: 1) == nil)
    }

    @Test func aProducerHasItsOwnLimitOrThatOfAllOthers() {
        let limits = limits { $0.producerRows = ["*": 100, "batch": 10] }
        #expect(limits.passed(rows: 100, bytes: 1, by: .named("web"), session: 1) == nil)
        #expect(limits.passed(rows: 100, bytes: 1, by: .named("api"), session: 2) == nil)
        let hold = limits.passed(rows: 20, bytes: 1, by: .named("batch"), session: 3)
        #expect(hold?.reason == .producerRows && hold?.limit == 10)
        #expect(hold?.until == clock.now + .seconds(1))
        #expect(hold?.comeBack == clock.now + .milliseconds(1500))
    }

    @Test func anotherSessionOfTheSameProducerOwesTheSame() {
        let limits = limits { $0.producerBytes = ["*": 1000] }
        let process = RateLimits.Subject.process(user: 1000, process: 812)
        #expect(limits.passed(rows: 1, bytes: 3000, by: process, session: 1) != nil)
        #expect(limits.hold(of: process, session: 2)?.until == clock.now + .seconds(2))
        #expect(limits.hold(of: .process(user: 1000, process: 813), session: 3) == nil)
        clock.advance(by: .seconds(2))
        #expect(limits.hold(of: process, session: 2) == nil)
    }

    @Test func aTableHoldsTheSessionsThatFeedIt() {
        let limits = limits { $0.tableRows = ["mstore": 100] }
        #expect(limits.limitsTables)
        limits.reached(TableName(table: "mstore"), rows: 300, bytes: 1, session: 1)
        limits.reached(TableName(table: "other"), rows: 300, bytes: 1, session: 2)
        #expect(limits.hold(of: .session(1), session: 1)?.reason == .tableRows)
        #expect(limits.hold(of: .session(2), session: 2) == nil)
        limits.ended(session: 1)
        #expect(limits.hold(of: .session(1), session: 1) == nil)
    }

    @Test func otherLimitsCountFromThenOn() {
        let limits = limits { $0.producerRows = ["*": 10] }
        #expect(limits.passed(rows: 110, bytes: 1, by: .named("a"), session: 1)?.until == clock.now + .seconds(10))
        var settings = RateLimitSettings()
        settings.producerRows = ["*": 100]
        limits.reconfigure(settings)
        #expect(limits.hold(of: .named("a"), session: 1)?.until == clock.now + .seconds(1))
        limits.reconfigure(RateLimitSettings())
        #expect(limits.hold(of: .named("a"), session: 1) == nil)
        #expect(!limits.isActive)
    }

    @Test func whoComesTooLateForABucketSharesOne() {
        let limits = limits { $0.producerRows = ["*": 10] }
        for number in 0..<RateLimits.bucketsMax {
            _ = limits.passed(rows: 5, bytes: 1, by: .session(UInt64(number)), session: 1)
        }
        #expect(limits.passed(rows: 6, bytes: 1, by: .named("late"), session: 1) == nil)
        #expect(limits.passed(rows: 6, bytes: 1, by: .named("later"), session: 1) != nil)
        // Those that rested make room.
        clock.advance(by: .seconds(1))
        #expect(limits.passed(rows: 6, bytes: 1, by: .named("latest"), session: 1) == nil)
        #expect(limits.passed(rows: 5, bytes: 1, by: .named("last"), session: 1) == nil)
    }
}

@Suite struct HeldSessionTests {
    private let start = SessionState.origin

    private func hold(_ seconds: Int) -> RateLimits.Hold {
        RateLimits.Hold(
            reason: .producerRows, limit: 10, until: start + .seconds(seconds), comeBack: start + .seconds(2 * seconds))
    }

    @Test func aPlainSessionReadsNoMoreUntilItsTime() {
        var session = SessionState(
            session: 1,
            limits: SessionState.Limits(lineBytesMax: 100, rowBytesMax: 10, partialLineTimeout: .seconds(60)), at: start
        )
        session.bytesReceived(ByteBuffer(string: "a\nb\n{\"half"), at: start)
        guard case .forward = session.nextAction() else {
            Issue.record("nothing was handed on")
            return
        }
        // What keeps it already is not counted again.
        #expect(session.held(by: hold(40), at: start) == .seconds(40))
        #expect(session.held(by: hold(100), at: start) == .seconds(60))
        #expect(session.held(by: hold(90), at: start) == .zero)
        #expect(session.actions() == ["timer 100"])
        session.timerFired(at: start + .seconds(100))
        // The time that we let it wait is not held against it.
        #expect(session.actions() == ["timer 160", "read"])
        session.bytesReceived(ByteBuffer(string: "\":1}\n"), at: start + .seconds(101))
        #expect(session.actions() == ["forward 1 {\"half\":1}|", "read"])
    }

    @Test func aPlainSessionThatEndsWhileItIsHeldLosesNothing() {
        var session = SessionState(
            session: 1, limits: SessionState.Limits(lineBytesMax: 100, rowBytesMax: 10), at: start)
        #expect(session.receive("a\n") == ["forward 0 a|", "read"])
        session.bytesReceived(ByteBuffer(string: "b\n"), at: start)
        session.held(by: hold(100), at: start)
        session.inputClosed(at: start)
        #expect(session.actions() == ["forward 1 b|", "close ended"])
    }

    @Test func aSessionWithAcksHearsItsAcksAndThenHowLongToWait() {
        let session = AckedSession()
        let greeted = session.receive("#sluice ack=durable producer=web epoch=1\n")
        #expect(greeted.first?.hasPrefix("{\"hello\":1") == true)
        #expect(session.receive("a\nb\n") == ["forward 1-2 a|b|"])
        session.state.held(by: hold(3), at: start + .seconds(1))
        #expect(session.act() == ["handed over"])
        let told = session.durable(1, 2)
        #expect(told.contains("{\"ack\":2}"))
        #expect(
            told.contains {
                $0.hasPrefix("{\"error\":\"rate_limit\",\"message\":\"more than 10 rows a second")
                    && $0.hasSuffix(",\"retry_after_ms\":6000}")
            }, "\(told)")
        #expect(told.last == "close rate_limit")
    }

    @Test func framesCarryHowLongToWait() {
        let session = AckedSession()
        _ = session.receive(Frames.hello("ack=received"))
        _ = session.hear()
        _ = session.receive(Frames.data(1, "a|"))
        session.state.held(by: hold(2), at: start)
        let told = session.act()
        #expect(
            told.contains { $0.hasPrefix("ERROR code=rate_limit") && $0.hasSuffix("retry_after_ms=4000") }, "\(told)")
    }

    @Test func aSessionThatIsDoneIsNotToldToComeAgain() {
        let session = AckedSession()
        _ = session.receive("#sluice ack=durable\n")
        _ = session.hear()
        _ = session.receive("a\n")
        _ = session.close()
        session.state.held(by: hold(3), at: start)
        #expect(session.durable(1, 1).last == "close ended")
    }

    @Test func whoeverMayNotSendAnyMoreIsToldAfterHisWholeLines() {
        var session = SessionState(
            session: 1, limits: SessionState.Limits(lineBytesMax: 100, rowBytesMax: 10), at: start)
        session.bytesReceived(ByteBuffer(string: "a\nb"), at: start)
        session.dismissed(SessionError(.notAllowed, "user 7 may not send rows here"), at: start)
        #expect(
            session.actions() == [
                "forward 0 a|", "reject incomplete_line 1 b", "write error: user 7 may not send rows here|",
                "close not_allowed",
            ])
    }
}
