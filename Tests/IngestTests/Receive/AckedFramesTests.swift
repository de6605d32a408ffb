import NIOCore
import Pipeline
import ProducerProtocol
import TestSupport
import Testing

@testable import Ingest

/// The framed dialect, as transcripts.
@Suite struct AckedFramesTests {
    private let welcome = "WELCOME 0 session=1 ack=durable version=1"

    private func open(_ limits: SessionState.Limits = AckedSession.limits()) -> AckedSession {
        let session = AckedSession(limits: limits)
        #expect(session.receive(Frames.hello()) == [welcome, "timer 15"])
        return session
    }

    @Test func aSessionFromItsFirstByteToItsLast() {
        let session = open()
        #expect(session.receive(Frames.data(1, "a|b|")) == ["forward 1-2 a|b|"])
        #expect(session.receive(Frames.data(3, "c|")) == ["forward 3-3 c|"])
        #expect(session.durable(1, 3, refused: [2]) == ["NACK 2 reason=type_mismatch column=id message=no", "ACK 3"])
        #expect(session.receive(Frames.data(4, "d|")) == ["forward 4-4 d|"])
        #expect(session.receive(Frames.plain(.ping, 77)) == ["PONG 77"])
        #expect(session.receive(Frames.plain(.bye, 4)) == ["handed over"])
        #expect(session.durable(4, 4) == ["ACK 4", "close ended"])
    }

    @Test func allOfItInOneRead() {
        let session = AckedSession()
        let told = session.receive(
            Frames.joined(
                Frames.hello("ack=durable table=t client=test"), Frames.data(1, "a|"), Frames.data(2, "b|c|"),
                Frames.plain(.ping, 5), Frames.data(4, "d|"), Frames.plain(.bye, 4)))
        #expect(told == ["forward 1-4 t: a|b|c|d|", welcome, "PONG 5", "handed over", "timer 15"])
    }

    @Test func aProducerWithoutAcksIsToldOnlyWhatItAsks() {
        let session = AckedSession()
        #expect(session.receive(Frames.hello("ack=none")) == ["WELCOME 0 session=1 ack=none version=1"])
        #expect(session.receive(Frames.data(1, "a|")) == ["forward a|"])
        #expect(session.receive(Frames.plain(.ping, 1)) == ["PONG 1"])
        #expect(
            session.receive(Frames.data(3, "c|")) == [
                "ERROR code=sequence_gap message=row 3 came where row 2 was expected", "close sequence_gap",
            ])
    }

    @Test func aWholeFrameGoesOnUncopiedAndSmallOnesAsOneChunk() {
        let session = open(AckedSession.limits(lineBytesMax: 60_000, frameBytesMax: 64 << 10))
        let large = String(repeating: "x", count: 30_000) + "\n"
        let told = session.receive(
            Frames.joined(
                Frames.data(1, "a|"), Frames.data(2, "b|"), Frames.data(3, large), Frames.data(4, "c|"),
                Frames.data(4, "c|"), Frames.data(5, "d|")))
        #expect(
            told.map { $0.prefix(16) } == ["forward 1-2 a|b|", "forward 3-3 xxxx", "forward 4-4 c|", "forward 5-5 d|"])
        #expect(session.state.duplicates == 1)
    }

    @Test func rowsSentAgainAreDroppedWithinAFrame() {
        let session = open()
        _ = session.receive(Frames.data(1, "a|b|c|"))
        #expect(session.receive(Frames.data(2, "b|c|d|")) == ["forward 4-4 d|"])
        #expect(session.receive(Frames.data(1, "a|")) == [])
        #expect(session.state.duplicates == 3)
    }

    @Test func whatIsDurableBeyondAGapIsNotTakenAgain() {
        let registry = ProducerRegistry(wallClock: { 0 })
        registry.restore(
            .init(
                identity: .init(name: "w", epoch: 0), lastUse: 0,
                durable: RowIntervals([RowRange(first: 1, last: 2), RowRange(first: 5, last: 6)])))
        let session = AckedSession(registry)
        #expect(
            session.receive(Frames.hello("ack=durable producer=w")).first
                == "WELCOME 2 session=1 ack=durable version=1")
        #expect(session.receive(Frames.data(3, "c|d|e|f|g|")) == ["forward 3-4 c|d|", "forward 7-7 g|"])
    }

    @Test func aLineThatIsTooLongForALine() {
        let session = open(AckedSession.limits(lineBytesMax: 5))
        #expect(
            session.receive(Frames.data(1, "a|much too long|b|")) == [
                "forward 1-1 a|", "forward 2-2 rejected line_too_long", "forward 3-3 b|",
            ])
    }

    // MARK: Time

    @Test func heartbeatsRepeatTheLastAck() {
        let session = open()
        _ = session.receive(Frames.data(1, "a|"), at: .seconds(3))
        session.state.timerFired(at: AckedSession.start + .seconds(15))
        #expect(session.act() == ["ACK 0", "timer 30"])
    }

    @Test func aSilentSessionIsEndedIfThatWasAskedFor() {
        let session = AckedSession(limits: AckedSession.limits(idle: .seconds(10)))
        #expect(session.receive(Frames.hello()).last == "timer 10")
        #expect(session.receive(Frames.plain(.ping), at: .seconds(9)) == ["PONG 0"])
        session.state.timerFired(at: AckedSession.start + .seconds(10))
        #expect(session.act() == ["timer 19"])
        session.state.timerFired(at: AckedSession.start + .seconds(19))
        #expect(session.act().last == "close idle_timeout")
    }

    @Test func halfAFrameIsNotWaitedForForEver() {
        let session = open(AckedSession.limits(timeout: .seconds(5)))
        let frame = Frames.data(1, "a|b|c|")
        #expect(session.receive(frame.getSlice(at: 0, length: 26) ?? frame) == ["timer 5"])
        session.state.timerFired(at: AckedSession.start + .seconds(5))
        #expect(
            session.act() == [
                "ERROR code=incomplete message=the rest of a frame did not come in time", "close incomplete",
            ])
    }

    // MARK: Misuse

    private static func frame(_ kind: UInt8, length: UInt32 = 0) -> ByteBuffer {
        var header = FrameHeader(kind: .ping, number: 1, length: length)
        header.kind = kind
        var bytes = ByteBuffer()
        header.write(to: &bytes)
        return bytes
    }

    @Test(arguments: [
        ("bad_frame", Frames.data(1, "a|b|", count: 3)), ("bad_frame", Frames.data(1, "a|b")),
        ("bad_frame", Frames.data(1, "")), ("bad_frame", Frames.data(0, "a|")), ("bad_frame", Frames.data(.max, "a|")),
        ("bad_checksum", Frames.data(1, "a|", checksum: 1)), ("sequence_gap", Frames.data(2, "a|")),
        ("unknown_kind", frame(9)), ("unknown_kind", frame(127)), ("unknown_kind", frame(66)),
        ("frame_too_long", frame(2, length: 1 << 30)), ("bad_frame", frame(3, length: 1)),
        ("bad_hello", Frames.joined(Frames.hello().getSlice(at: 8, length: 24 + 12) ?? ByteBuffer())),
        ("sequence_gap", Frames.joined(Frames.data(1, "a|"), Frames.plain(.bye, 2))),
        ("bad_frame", Frames.joined(Frames.plain(.bye, 0), Frames.data(1, "a|"))),
    ])
    func everyMisuseHasItsError(_ code: String, _ bytes: ByteBuffer) {
        let session = open()
        let told = session.receive(bytes)
        #expect(told.contains { $0.hasPrefix("ERROR code=\(code) message=") })
        #expect(told.last == "close \(code)")
    }

    @Test(arguments: [
        ("bad_magic", ByteBuffer(bytes: [0xF5, 0x53, 0x4D])),
        ("bad_version", ByteBuffer(bytes: FrameHeader.preamble.dropLast() + [2])),
        ("bad_hello", Frames.joined(Frames.preamble, Frames.data(1, "a|"))),
        ("bad_hello", Frames.hello("ack=durable who=me")), ("bad_hello", Frames.hello("format=csv")),
        ("bad_hello", Frames.hello("ack=durable ack=durable")), ("bad_hello", Frames.hello("nothing")),
        ("bad_hello", Frames.hello("ack=none producer=w")), ("bad_hello", Frames.hello("table=a`b")),
    ])
    func everyBadBeginningHasItsError(_ code: String, _ bytes: ByteBuffer) {
        let session = AckedSession()
        let told = session.receive(bytes)
        #expect(told.first?.hasPrefix("ERROR code=\(code) message=") == true)
        #expect(told.last == "close \(code)")
    }

    @Test func unknownFramesThatMayBeSkippedAre() {
        let session = open()
        #expect(session.receive(Frames.joined(Self.frame(200), Frames.data(1, "a|"))) == ["forward 1-1 a|"])
    }

    @Test func whatCameBeforeAnErrorIsGood() {
        let session = open()
        #expect(
            session.receive(Frames.joined(Frames.data(1, "a|"), Frames.data(2, "b|", checksum: 0))) == [
                "forward 1-1 a|",
                "ERROR code=bad_checksum message=the checksum of a frame is not that of its payload",
                "close bad_checksum",
            ])
    }

    @Test func moreThanTheCreditIsNotTaken() {
        let session = open(AckedSession.limits(lineBytesMax: 1_000, frameBytesMax: 32 << 10, creditBytes: 64 << 10))
        let rows = String(repeating: String(repeating: "x", count: 99) + "\n", count: 300)
        var number: UInt64 = 1
        for _ in 0..<4 {
            #expect(session.receive(Frames.data(number, rows)).count == 1)
            number += 300
        }
        // What is acked is credit again.
        _ = session.durable(1, 600)
        for _ in 0..<2 {
            #expect(session.receive(Frames.data(number, rows)).count == 1)
            number += 300
        }
        var end: [String] = []
        for _ in 0..<3 where session.closed == nil {
            end = session.receive(Frames.data(number, rows))
            number += 300
        }
        #expect(end.last == "close over_credit")
    }
}
