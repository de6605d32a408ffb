import NIOCore
import Pipeline
import ProducerProtocol
import TestSupport
import Testing

@testable import Ingest

/// NDJSON with acks, as transcripts.
@Suite struct AckedLinesTests {
    private let hello = "{\"hello\":1,\"ack\":\"durable\",\"resume\":0,\"session\":1}"

    @Test func everyLineHasANumberBlankOnesToo() {
        let session = AckedSession()
        #expect(session.receive("#sluice ack=durable table=t\n") == [hello])
        #expect(session.receive("a\n\nb\n") == ["forward 1-3 t: a||b|"])
        #expect(session.receive("c\n") == ["forward 4-4 t: c|"])
        #expect(session.durable(1, 2) == ["{\"ack\":2}"])
        #expect(session.durable(4, 4) == [], "row 3 is missing")
        #expect(session.durable(3, 3) == ["{\"ack\":4}"])
    }

    @Test func linesMayFollowTheControlLineAtOnce() {
        let session = AckedSession()
        #expect(session.receive("#sluice ack=durable\na\nb") == ["forward 1-1 a|", hello])
        #expect(session.receive("\n") == ["forward 2-2 b|"])
    }

    @Test func aProducerThatIsDoneIsToldTheLastAckAndThenTheEnd() {
        let session = AckedSession()
        _ = session.receive("#sluice ack=durable\na\nb\n")
        #expect(session.close() == ["handed over"])
        #expect(session.durable(1, 1) == ["{\"ack\":1}"])
        #expect(session.durable(2, 2) == ["{\"ack\":2}", "close ended"])
    }

    @Test func whoSendsNothingLearnsWhereItStands() {
        let registry = ProducerRegistry(wallClock: { 0 })
        registry.restore(
            .init(
                identity: .init(name: "w", epoch: 3), lastUse: 0,
                durable: RowIntervals([RowRange(first: 1, last: 41)])))
        let session = AckedSession(registry)
        _ = session.receive("#sluice ack=durable producer=w epoch=3\n")
        #expect(String(buffer: session.answers).contains("\"resume\":41"))
        #expect(session.close() == ["close ended"])
    }

    @Test func rowsAreAckedAtTheLevelThatWasAskedFor() {
        let received = AckedSession()
        #expect(
            received.receive("#sluice ack=received\na\n") == [
                "forward 1-1 a|", "{\"hello\":1,\"ack\":\"received\",\"resume\":0,\"session\":1}", "{\"ack\":1}",
            ])
        #expect(received.close() == ["close ended"])

        let committed = AckedSession()
        _ = committed.receive("#sluice ack=committed\na\nb\n")
        #expect(committed.durable(1, 2) == [])
        #expect(committed.settled(1, 1) == ["{\"ack\":1}"])
        #expect(committed.settled(2, 2) == ["{\"ack\":2}"])
    }

    @Test func aChunkThatFindsNoRoomIsNotReceived() {
        let session = AckedSession()
        var isFull = true
        session.refuses = { isFull }
        _ = session.receive("#sluice ack=received\na\n")
        #expect(!String(buffer: session.answers).contains("{\"ack\":1}"))
        isFull = false
        session.state.spaceAvailable(at: AckedSession.start)
        #expect(session.act() == ["forward 1-1 a|", "{\"ack\":1}"])
    }

    // MARK: Rejected rows

    @Test func aNackComesBeforeTheAckThatCoversIt() {
        let session = AckedSession()
        _ = session.receive("#sluice ack=durable\na\nb\nc\n")
        #expect(
            session.durable(1, 3, refused: [2]) == [
                "{\"nack\":2,\"reason\":\"type_mismatch\",\"column\":\"id\",\"message\":\"no\"}", "{\"ack\":3}",
            ])
    }

    @Test func ofTooManyRejectedRowsTheNumberIsTold() {
        let session = AckedSession()
        _ = session.receive("#sluice ack=durable\n" + String(repeating: "x\n", count: 10))
        let told = session.durable(1, 8, refused: [1, 2, 3, 4, 5])
        #expect(told.count == 5)
        #expect(told.suffix(2) == ["{\"nacks_left_out\":2}", "{\"ack\":8}"])
        // The next ack may name as many again.
        #expect(session.durable(9, 10, refused: [9, 10]).count == 3)
    }

    @Test func aLineThatIsTooLongHasANumberAndIsRejectedOnTheWayOfAllOthers() {
        let session = AckedSession(limits: AckedSession.limits(lineBytesMax: 5))
        #expect(
            session.receive("#sluice ack=durable\na\nmuch too long\nb\n") == [
                "forward 1-1 a|", "forward 2-2 rejected line_too_long", "forward 3-3 b|", hello,
            ])
        #expect(session.rejections.isEmpty)
        #expect(session.chunks[1].rejection?.length == 13)
    }

    @Test func halfALineHasNoNumberAndStaysWithItsProducer() {
        let session = AckedSession()
        _ = session.receive("#sluice ack=durable\na\nhalf")
        #expect(session.close() == ["handed over"])
        #expect(
            session.durable(1, 1) == [
                "{\"ack\":1}",
                "{\"error\":\"incomplete\",\"message\":\"the last line lacks its newline and was not taken\"}",
                "close incomplete",
            ])
        #expect(session.chunks.count == 1 && session.rejections.isEmpty)

        let slow = AckedSession(limits: AckedSession.limits(timeout: .seconds(5)))
        _ = slow.receive("#sluice ack=durable\nhalf")
        slow.state.timerFired(at: AckedSession.start + .seconds(5))
        #expect(
            slow.act() == [
                "{\"error\":\"incomplete\",\"message\":\"the rest of a line did not come in time\"}",
                "close incomplete",
            ])
    }

    @Test func aProducerThatDoesNotReadIsCutOffOnlyForWhatCannotBeCoalesced() {
        let session = AckedSession(limits: AckedSession.limits(nacksMax: 1_000, unreadBytesMax: 4_096))
        _ = session.receive("#sluice ack=durable\n" + String(repeating: "x\n", count: 400))
        session.isRead = false
        #expect(session.durable(1, 1) == ["{\"ack\":1}"])
        for number: UInt64 in 2...300 { #expect(session.durable(number, number) == []) }
        session.state.written(at: AckedSession.start)
        #expect(session.act() == ["{\"ack\":300}"])
        let end = session.durable(301, 400, refused: Array(301...400)).last
        #expect(end == "close slow_reader")
    }

    // MARK: Names

    @Test func aProducerGoesOnWhereItWasAndRowsSentAgainAreDropped() {
        let registry = ProducerRegistry(wallClock: { 0 })
        let first = AckedSession(registry, id: 1)
        _ = first.receive("#sluice ack=durable producer=w epoch=7\na\nb\n")
        _ = first.durable(1, 2)
        first.state.channelGone(at: AckedSession.start)
        #expect(first.act() == ["close ended"])

        let second = AckedSession(registry, id: 2)
        #expect(
            second.receive("#sluice ack=durable producer=w epoch=7\n") == [
                "{\"hello\":1,\"ack\":\"durable\",\"resume\":2,\"session\":2}"
            ])
        #expect(second.receive("c\n") == ["forward 3-3 c|"])
    }

    @Test func theAnswerWaitsForTheRowsOfTheSessionBefore() {
        let registry = ProducerRegistry(wallClock: { 0 })
        let first = AckedSession(registry, id: 1)
        _ = first.receive("#sluice ack=durable producer=w\na\nb\n")
        let second = AckedSession(registry, id: 2)
        #expect(second.receive("#sluice ack=durable producer=w\nc\n") == [])
        #expect(
            first.hear() == [
                "{\"error\":\"taken_over\",\"message\":\"another session has this producer's name now\"}",
                "close taken_over",
            ])
        first.producer?.becameDurable(RowRange(first: 1, last: 2))
        #expect(
            second.hear() == [
                "forward 3-3 c|", "{\"hello\":1,\"ack\":\"durable\",\"resume\":2,\"session\":2}",
            ])
    }

    @Test func aTakenOverSessionHandsOverWhatItHadClaimed() {
        let registry = ProducerRegistry(wallClock: { 0 })
        let first = AckedSession(registry, id: 1)
        var isFull = true
        first.refuses = { isFull }
        _ = first.receive("#sluice ack=durable producer=w\na\n")
        let second = AckedSession(registry, id: 2)
        _ = second.receive("#sluice ack=durable producer=w\n")
        #expect(first.hear() == [])
        isFull = false
        first.state.spaceAvailable(at: AckedSession.start)
        #expect(first.act().first == "forward 1-1 a|")
        #expect(second.hear() == [])
        #expect(second.durable(1, 1).count == 1)
    }

    @Test func aSessionThatIsGoneBeforeItsTurnHasTakenNothing() {
        let registry = ProducerRegistry(wallClock: { 0 })
        let first = AckedSession(registry, id: 1)
        _ = first.receive("#sluice ack=durable producer=w\na\n")
        let second = AckedSession(registry, id: 2)
        _ = second.receive("#sluice ack=durable producer=w\nb\n")
        second.state.channelGone(at: AckedSession.start)
        #expect(second.act() == ["close ended"])
        #expect(second.chunks.isEmpty)
    }

    // MARK: Stop

    @Test func aStopMakesDurableWhatWasTakenAcksItAndSaysSo() {
        let session = AckedSession()
        _ = session.receive("#sluice ack=durable\na\nhalf")
        #expect(session.stop() == ["handed over"])
        #expect(
            session.durable(1, 1) == [
                "{\"ack\":1}", "{\"error\":\"stopping\",\"message\":\"the daemon stops\"}", "close stopped",
            ])
    }

    @Test func aStopWaitsForNoCommit() {
        let session = AckedSession()
        _ = session.receive("#sluice ack=committed\na\nb\n")
        _ = session.settled(1, 1)
        _ = session.close()
        #expect(session.stop() == [])
        #expect(
            session.durable(2, 2) == ["{\"error\":\"stopping\",\"message\":\"the daemon stops\"}", "close stopped"])

        let without = AckedSession(limits: AckedSession.limits(hasSpool: false))
        _ = without.receive("#sluice ack=committed\na\n")
        #expect(without.stop() == ["{\"error\":\"stopping\",\"message\":\"the daemon stops\"}", "close stopped"])
    }

    @Test func aSessionWithoutAcksHearsNothingOfAStop() {
        let session = AckedSession()
        _ = session.receive("a\n")
        #expect(session.stop() == ["close stopped"])
    }

    // MARK: Misuse

    @Test(arguments: [
        ("ack=durable", AckedSession.limits(hasSpool: false), "no_spool"),
        ("ack=received", AckedSession.limits(hasProducers: false), "not_allowed"),
        ("ack=durable producer=", AckedSession.limits(), "bad_hello"),
        ("ack=durable producer=\(String(repeating: "x", count: 129))", AckedSession.limits(), "bad_hello"),
        ("ack=durable epoch=1", AckedSession.limits(), "bad_hello"),
        ("ack=durable producer=w epoch=-1", AckedSession.limits(), "bad_hello"),
        ("ack=durable tabel=t", AckedSession.limits(), "bad_hello"),
        ("ack=sure", AckedSession.limits(), "bad_hello"),
    ])
    func aGreetingThatCannotBeIsAnsweredInJSON(_ keys: String, _ limits: SessionState.Limits, _ code: String) {
        let session = AckedSession(limits: limits)
        let told = session.receive("#sluice \(keys)\na\n")
        #expect(told.count == 2)
        #expect(told.first?.hasPrefix("{\"error\":\"\(code)\",\"message\":\"") == true)
        #expect(told.last == "close \(code)")
        #expect(session.chunks.isEmpty)
    }

    @Test func aNameNeedsAcks() {
        let session = AckedSession()
        #expect(
            session.receive("#sluice producer=w\n") == [
                "error: a producer with a name is told where to resume: it needs an ack other than none",
                "close bad_hello",
            ])
    }

    @Test func aLowerEpochIsRefused() {
        let registry = ProducerRegistry(wallClock: { 0 })
        _ = AckedSession(registry, id: 1).receive("#sluice ack=durable producer=w epoch=9\n")
        #expect(
            AckedSession(registry, id: 2).receive("#sluice ack=durable producer=w epoch=8\n") == [
                "{\"error\":\"stale_epoch\",\"message\":\"the name is known with a higher epoch\"}",
                "close stale_epoch",
            ])
    }
}
