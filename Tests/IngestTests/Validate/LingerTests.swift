import Pipeline
import Testing

@testable import Ingest

@Suite struct LingerTests {
    private let begin = StageClock.continuous.now

    @Test func waitsForMoreWhereRowsComeFast() {
        var linger = Linger(at: begin)
        linger.read(bytes: 1 << 20)
        #expect(linger.isWorthwhile(at: begin + .milliseconds(2)))
    }

    @Test func rowsThatComeSlowlyWaitForNobody() {
        var linger = Linger(at: begin)
        linger.read(bytes: 1 << 20)
        #expect(!linger.isWorthwhile(at: begin + .milliseconds(20)))
    }

    @Test func aFewRowsWaitForNobodyHoweverFastTheyCame() {
        var linger = Linger(at: begin)
        linger.read(bytes: Linger.bytesMin - 1)
        #expect(!linger.isWorthwhile(at: begin + .microseconds(1)))
    }

    @Test func rowsWaitAFewTimesAtMost() {
        var linger = Linger(at: begin)
        linger.read(bytes: 1 << 30)
        for _ in 0..<Linger.waitsMax { #expect(linger.isWorthwhile(at: begin + .milliseconds(1))) }
        #expect(!linger.isWorthwhile(at: begin + .milliseconds(1)))
        linger.passedOn(at: begin + .milliseconds(1))
        linger.read(bytes: 1 << 30)
        #expect(linger.isWorthwhile(at: begin + .milliseconds(2)))
    }

    @Test func whatWasPassedOnDoesNotCount() {
        var linger = Linger(at: begin)
        linger.read(bytes: 1 << 20)
        linger.passedOn(at: begin + .milliseconds(1))
        #expect(!linger.isWorthwhile(at: begin + .milliseconds(2)))
    }

    @Test func aClockThatStandsStillIsNoReasonToWait() {
        var linger = Linger(at: begin)
        linger.read(bytes: 1 << 30)
        #expect(!linger.isWorthwhile(at: begin))
    }
}
