import Pipeline
import Testing

@testable import Ingest

@Suite struct LingerTests {
    private let begin = StageClock.continuous.now

    @Test func waitsForMoreWhereRowsComeFast() {
        var linger = Linger(at: begin)
        linger.read(bytes: 1 << 20)
        let waits = linger.isWorthwhile(at: begin + .milliseconds(2))
        #expect(waits)
    }

    @Test func rowsThatComeSlowlyWaitForNobody() {
        var linger = Linger(at: begin)
        linger.read(bytes: 1 << 20)
        let waits = linger.isWorthwhile(at: begin + .milliseconds(20))
        #expect(!waits)
    }

    @Test func aFewRowsWaitForNobodyHoweverFastTheyCame() {
        var linger = Linger(at: begin)
        linger.read(bytes: Linger.bytesMin - 1)
        let waits = linger.isWorthwhile(at: begin + .microseconds(1))
        #expect(!waits)
    }

    @Test func rowsWaitAFewTimesAtMost() {
        var linger = Linger(at: begin)
        linger.read(bytes: 1 << 30)
        var waits = 0
        while linger.isWorthwhile(at: begin + .milliseconds(1)) { waits += 1 }
        #expect(waits == Linger.waitsMax)
        linger.passedOn(at: begin + .milliseconds(1))
        linger.read(bytes: 1 << 30)
        let waitsAgain = linger.isWorthwhile(at: begin + .milliseconds(2))
        #expect(waitsAgain)
    }

    @Test func whatWasPassedOnDoesNotCount() {
        var linger = Linger(at: begin)
        linger.read(bytes: 1 << 20)
        linger.passedOn(at: begin + .milliseconds(1))
        let waits = linger.isWorthwhile(at: begin + .milliseconds(2))
        #expect(!waits)
    }

    @Test func aClockThatStandsStillIsNoReasonToWait() {
        var linger = Linger(at: begin)
        linger.read(bytes: 1 << 30)
        let waits = linger.isWorthwhile(at: begin)
        #expect(!waits)
    }
}
