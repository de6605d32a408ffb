import NIOCore
import Pipeline
import TestSupport
import Testing

@testable import Ingest

@Suite struct SessionStateTests {
    private let start = SessionState.origin

    private func session(lineBytesMax: Int = 100, rowBytesMax: Int = 10, timeout: Duration? = nil) -> SessionState {
        SessionState(
            session: 7,
            limits: SessionState.Limits(
                lineBytesMax: lineBytesMax, rowBytesMax: rowBytesMax, partialLineTimeout: timeout),
            at: start)
    }

    @Test func aSessionReadsOnceUntilBytesCome() {
        var session = session()
        #expect(session.actions() == ["read"])
        #expect(session.actions() == [])
        session.bytesReceived(ByteBuffer(string: "a\n"), at: start)
        #expect(session.actions() == ["forward 0 a|", "read"])
    }

    @Test func onlyWholeLinesGoOn() {
        var session = session()
        #expect(session.receive("{\"a\":1}\n{\"b") == ["forward 0 {\"a\":1}|", "read"])
        #expect(session.receive("\":2}") == ["read"])
        #expect(session.receive("\n\n{}\n") == ["forward 1 {\"b\":2}||{}|", "read"])
    }

    @Test func theLastLineMayLackItsNewline() {
        var session = session()
        #expect(session.receive("{}\n{\"a\":1}") == ["forward 0 {}|", "read"])
        session.inputClosed(at: start)
        session.inputClosed(at: start)
        #expect(session.actions() == ["forward 1 {\"a\":1}", "close ended"])
        #expect(session.actions() == [])
    }

    @Test func aSessionThatSaysNothingJustEnds() {
        var session = session()
        session.inputClosed(at: start)
        #expect(session.actions() == ["close ended"])
    }

    @Test func whileNobodyTakesItsLinesASessionReadsNoMore() {
        var session = session()
        #expect(session.receive("a\n", refusing: true) == ["forward 0 a|"])
        // What the kernel still held when the producer went away comes unasked.
        #expect(session.receive("b\nc") == [])
        session.inputClosed(at: start)
        #expect(session.actions() == [])
        #expect(session.bytesHeld == 5)
        session.spaceAvailable(at: start)
        #expect(session.actions(refusing: true) == ["forward 0 a|"])
        session.spaceAvailable(at: start)
        #expect(session.actions() == ["forward 0 a|", "forward 1 b|c", "close ended"])
    }

    @Test func aBusyDeadLetterHoldsASessionUpInOrder() {
        var session = session(lineBytesMax: 3)
        #expect(session.receive("toolong\nok\n", refusing: true) == ["reject line_too_long 7 toolong"])
        session.spaceAvailable(at: start)
        #expect(session.actions() == ["reject line_too_long 7 toolong", "forward 0 ok|", "read"])
    }

    @Test func anEndedStreamEndsTheSession() {
        var session = session()
        #expect(session.receive("a\n", refusing: true) == ["forward 0 a|"])
        session.outputFinished()
        #expect(session.actions() == ["close output_finished"])
    }

    // MARK: Long lines

    @Test func aLineThatIsTooLongIsRejectedOnceAndCostsItsNeighboursNothing() {
        var session = session(lineBytesMax: 5)
        let long = String(repeating: "x", count: 12)
        #expect(
            session.receive("a\n\(long)\nb\n") == [
                "forward 0 a|", "reject line_too_long 12 xxxxxxxxxx", "forward 1 b|", "read",
            ])
        #expect(session.receive("12345\n123456\n") == ["forward 2 12345|", "reject line_too_long 6 123456", "read"])
    }

    @Test func aLineWithoutEndIsSkippedWhateverItsReads() {
        var session = session(lineBytesMax: 5)
        #expect(session.receive("abc") == ["read"])
        #expect(session.receive("defg") == ["read"])
        for _ in 0..<1_000 { #expect(session.receive("hhhhhhhhhh") == ["read"]) }
        #expect(session.receive("i\nb\n") == ["reject line_too_long 10008 abcdefghhh", "forward 0 b|", "read"])
        #expect(session.receive("toolong") == ["read"])
        session.inputClosed(at: start)
        #expect(session.actions() == ["reject line_too_long 7 toolong", "close ended"])
    }

    // MARK: Time

    @Test func halfALineWaitsOnlySoLong() {
        var session = session(timeout: .seconds(60))
        #expect(session.receive("{\"a") == ["timer 60", "read"])
        session.timerFired(at: start + .seconds(60))
        #expect(
            session.actions() == [
                "reject incomplete_line 3 {\"a", "write error: the rest of a line did not come in time|",
                "close incomplete",
            ])
    }

    @Test func aLineThatBeginsLaterMayWaitLonger() {
        var session = session(timeout: .seconds(60))
        #expect(session.receive("{\"a") == ["timer 60", "read"])
        #expect(session.receive("\":1}\n{", at: .seconds(40)) == ["forward 0 {\"a\":1}|", "read"])
        session.timerFired(at: start + .seconds(60))
        #expect(session.actions() == ["timer 100"])
        #expect(session.receive("}\n", at: .seconds(99)) == ["forward 1 {}|", "read"])
        session.timerFired(at: start + .seconds(100))
        #expect(session.actions() == [])
    }

    @Test func timeThatWeLetAProducerWaitIsNotHeldAgainstIt() {
        var session = session(timeout: .seconds(60))
        #expect(session.receive("{}\n{", refusing: true) == ["forward 0 {}|"])
        session.spaceAvailable(at: start + .seconds(600))
        #expect(session.actions() == ["forward 0 {}|", "timer 660", "read"])
    }

    // MARK: Stop

    @Test func aStopHandsOverWholeLinesAndKeepsHalfALineForTheDeadLetter() {
        var session = session()
        #expect(session.receive("a\nb\nc", refusing: true) == ["forward 0 a|b|"])
        session.stopRequested(at: start)
        #expect(session.actions() == [])
        session.spaceAvailable(at: start)
        #expect(session.actions() == ["forward 0 a|b|", "reject incomplete_line 1 c", "close stopped"])
        #expect(session.receive("d\n") == [])
    }

    // MARK: The control line

    @Test func theFirstLineMayNameTheTable() {
        var session = session()
        #expect(session.receive("#slu") == ["read"])
        #expect(session.receive("ice table=analytics.mstore\r\n{}\n") == ["forward 0 analytics.mstore: {}|", "read"])
        // Elsewhere it is a row like any other, and for validate to reject.
        #expect(session.receive("#sluice table=x\n") == ["forward 1 analytics.mstore: #sluice table=x|", "read"])
    }

    @Test(arguments: ["#", "#slu", "#sluice", "# sluice", "#other\n", "\n#sluice table=x\n", "#sluice\ttable=x\n"])
    func whatOnlyLooksLikeAControlLineIsARow(_ text: String) {
        var session = session()
        session.bytesReceived(ByteBuffer(string: text), at: start)
        session.inputClosed(at: start)
        #expect(session.actions() == ["forward 0 \(text.replacing("\n", with: "|"))", "close ended"])
    }

    @Test(arguments: [
        (
            "#sluice tabel=x\n",
            "error: unknown key \"tabel\" in the control line (there are: table, ack, producer, epoch, format, columns, types, format_csv_delimiter)"
        ),
        ("#sluice table\n", "error: \"table\" in the control line is not key=value"),
        ("#sluice table=\n", "error: \"\" is not the name of a table"),
        ("#sluice table=a`b\n", "error: \"a`b\" is not the name of a table"),
        ("#sluice table=a table=b\n", "error: key \"table\" twice in the control line"),
    ])
    func aBadControlLineIsAnsweredAndEndsTheSession(_ text: String, _ answer: String) {
        var session = session()
        #expect(session.receive(text + "{}\n") == ["write \(answer)|", "close bad_hello"])
        #expect(session.actions() == [])
    }

    @Test func aControlLineWithoutEndIsNotWaitedFor() {
        var session = session()
        #expect(session.receive("#sluice table=") == ["read"])
        #expect(
            session.receive(String(repeating: "a", count: 2_000))
                == ["write error: the control line is longer than 1024 bytes|", "close bad_hello"])
    }

    // MARK: Any reads

    @Test(arguments: Seeds.some(60))
    func theSameLinesComeOutHoweverTheReadsFall(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let limit = random.one(in: 2) ? 40 : 100_000
        let (input, expected) = randomInput(&random, limit: limit)
        var session = session(lineBytesMax: limit, rowBytesMax: 8)
        var output: [String] = []
        var chunks: UInt64 = 0
        let readBytesMax = [1, 7, 60, 1_000, 40_000][random.int(0...4)]
        var rest = ByteBuffer(bytes: input)
        var isBlocked = false
        func act() {
            while let action = session.nextAction() {
                switch action {
                case .forward(let chunk):
                    if random.one(in: 4) {
                        session.forwardRefused(chunk)
                        isBlocked = true
                        continue
                    }
                    #expect(chunk.number == chunks)
                    #expect(chunk.memory <= max(64, 5 * chunk.byteCount))
                    chunks += 1
                    output += chunk.lines.readableBytesView.split(separator: 0x0A).map {
                        String(decoding: $0, as: UTF8.self)
                    }
                case .reject(let rejection):
                    #expect(rejection.bytes.readableBytes == min(8, rejection.length))
                    output.append("too long: \(rejection.length)")
                default: break
                }
            }
        }
        while rest.readableBytes > 0 {
            // As a read does it: a buffer of its own, larger than what came.
            let length = random.int(1...min(readBytesMax, rest.readableBytes))
            var read = ByteBufferAllocator().buffer(capacity: max(2_048, readBytesMax))
            if var part = rest.readSlice(length: length) { read.writeBuffer(&part) }
            session.bytesReceived(read, at: start)
            act()
            if isBlocked, random.one(in: 2) {
                isBlocked = false
                session.spaceAvailable(at: start)
                act()
            }
        }
        session.inputClosed(at: start)
        act()
        while isBlocked {
            isBlocked = false
            session.spaceAvailable(at: start)
            act()
        }
        #expect(output == expected)
    }

    /// Lines of all lengths, some empty, some too long, the last perhaps without its newline.
    private func randomInput(_ random: inout SeededRandom, limit: Int) -> ([UInt8], [String]) {
        var input: [UInt8] = []
        var expected: [String] = []
        for _ in 0..<random.int(0...60) {
            let length = random.int(0...(random.one(in: 3) ? 3 : 3 * min(limit, 600)))
            let line = (0..<length).map { _ in UInt8(random.int(0x20...0x7E)) }
            input += line + [0x0A]
            if length > limit {
                expected.append("too long: \(length)")
            } else if length > 0 {
                expected.append(String(decoding: line, as: UTF8.self))
            }
        }
        if random.one(in: 2), input.last == 0x0A { input.removeLast() }
        return (input, expected)
    }
}

extension SessionState {
    /// All that is to be done now, as text; optionally as if the next stage took nothing.
    mutating func actions(refusing: Bool = false) -> [String] {
        var actions: [String] = []
        while let action = nextAction() {
            switch action {
            case .forward(let chunk):
                let text = String(buffer: chunk.lines).replacing("\n", with: "|")
                let table = chunk.table.map { "\($0): " } ?? ""
                let numbers = chunk.numbering.map { "(\($0.range.first)-\($0.range.last)) " } ?? ""
                let rejected = chunk.rejection.map { "rejected \($0.reason.rawValue)" } ?? ""
                actions.append("forward \(chunk.number) \(numbers)\(table)\(text)\(rejected)")
                if refusing { forwardRefused(chunk) }
            case .reject(let rejection):
                actions.append(
                    "reject \(rejection.reason.rawValue) \(rejection.length) \(String(buffer: rejection.bytes))")
                if refusing { rejectRefused(rejection) }
            case .read: actions.append("read")
            case .attach(let name, let epoch): actions.append("attach \(name ?? "-") \(epoch)")
            case .take(let range): actions.append("take \(range.first)-\(range.last)")
            case .write(let bytes):
                actions.append("write \(SessionTranscript.text(of: bytes))")
                written(at: SessionState.origin)
            case .handedOver: actions.append("handed over")
            case .setTimer(let deadline): actions.append("timer \(SessionState.seconds(deadline))")
            case .close(let reason): actions.append("close \(reason.name)")
            }
        }
        return actions
    }

    mutating func receive(_ text: String, at elapsed: Duration = .zero, refusing: Bool = false) -> [String] {
        bytesReceived(ByteBuffer(string: text), at: SessionState.origin + elapsed)
        return actions(refusing: refusing)
    }

    static let origin = ContinuousClock.now

    private static func seconds(_ instant: ContinuousClock.Instant) -> Int64 {
        (instant - origin + .milliseconds(500)).components.seconds
    }
}
