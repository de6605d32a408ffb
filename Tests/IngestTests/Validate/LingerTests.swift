import Pipeline
import Testing

@testable import Ingest

@Suite struct LingerTests {
    private let begin = StageClock.continuous.now

    @Test func waitsForMoreWhereRowsComeFast() {
        var linger = Linger(at: begin)
        linger.read(bytes: 1 << 20)
        let waits = linger.wait(.short, at: begin + .milliseconds(2))
        #expect(waits == .milliseconds(1))
    }

    @Test func rowsThatComeSlowlyWaitForNobody() {
        var linger = Linger(at: begin)
        linger.read(bytes: 1 << 20)
        let waits = linger.wait(.short, at: begin + .milliseconds(20))
        #expect(waits == nil)
    }

    @Test func aFewRowsWaitForNobodyHoweverFastTheyCame() {
        var linger = Linger(at: begin)
        linger.read(bytes: Linger.bytesMin - 1)
        let waits = linger.wait(.short, at: begin + .microseconds(1))
        #expect(waits == nil)
    }

    @Test func rowsWaitAFewTimesAtMost() {
        var linger = Linger(at: begin)
        linger.read(bytes: 1 << 30)
        var waits = 0
        while linger.wait(.short, at: begin + .milliseconds(1)) != nil { waits += 1 }
        #expect(waits == Linger.Patience.short.waitsMax)
        linger.passedOn(at: begin + .milliseconds(1))
        linger.read(bytes: 1 << 30)
        let waitsAgain = linger.wait(.short, at: begin + .milliseconds(2))
        #expect(waitsAgain != nil)
    }

    @Test func whatWasPassedOnDoesNotCount() {
        var linger = Linger(at: begin)
        linger.read(bytes: 1 << 20)
        linger.passedOn(at: begin + .milliseconds(1))
        let waits = linger.wait(.short, at: begin + .milliseconds(2))
        #expect(waits == nil)
    }

    @Test func aClockThatStandsStillIsNoReasonToWait() {
        var linger = Linger(at: begin)
        linger.read(bytes: 1 << 30)
        let waits = linger.wait(.short, at: begin)
        #expect(waits == nil)
    }

    @Test func rowsThatNobodyWaitsForWaitLonger() {
        var linger = Linger(at: begin)
        linger.read(bytes: 1 << 20)
        let short = linger.wait(.short, at: begin + .milliseconds(20))
        #expect(short == nil)
        let long = linger.wait(.long, at: begin + .milliseconds(20))
        #expect(long == .milliseconds(5))
        let atLast = linger.wait(.long, at: begin + .milliseconds(100))
        #expect(atLast == nil)
    }
}
