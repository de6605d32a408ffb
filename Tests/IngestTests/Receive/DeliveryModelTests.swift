import NIOCore
import Pipeline
import ProducerProtocol
import TestSupport
import Testing

@testable import Ingest

/// Any interleaving of a producer, its sessions and the spool: whatever happens, every row number is taken exactly once
/// and with its row, no ack is ahead of what is durable, and a nack comes before the ack that covers it.
@Suite struct DeliveryModelTests {
    /// A row tells its number, so that a mix-up shows.
    private static func row(_ number: UInt64) -> String { "row \(number)" + (number % 7 == 0 ? " tail" : "") }

    /// What a producer believes, from what it was told.
    private struct Believer {
        var acked: UInt64 = 0
        var nacked: Set<UInt64> = []
        var resume: UInt64?
        var isEnded = false
        private var seen = 0

        mutating func read(_ session: AckedSession, isFramed: Bool) {
            let lines = SessionTranscript.lines(of: session.answers)
            for line in lines[seen...] {
                let words = line.split(separator: " ")
                if isFramed {
                    let number = words.count > 1 ? UInt64(words[1]) ?? 0 : 0
                    switch words[0] {
                    case "WELCOME": resume = number
                    case "ACK": acked = max(acked, number)
                    case "NACK" where words.count < 3 || words[2] != "left": check(nack: number)
                    case "ERROR": isEnded = true
                    default: break
                    }
                } else if line.hasPrefix("{\"hello\"") {
                    resume = line.split(separator: "\"resume\":").last.flatMap { UInt64($0.prefix { $0.isNumber }) }
                } else if line.hasPrefix("{\"ack\":") {
                    acked = max(acked, UInt64(line.dropFirst(7).dropLast()) ?? 0)
                } else if line.hasPrefix("{\"nack\":") {
                    check(nack: UInt64(line.dropFirst(8).prefix { $0.isNumber }) ?? 0)
                } else if line.hasPrefix("{\"error\"") {
                    isEnded = true
                }
            }
            seen = lines.count
        }

        private mutating func check(nack number: UInt64) {
            #expect(number > acked, "a nack after its ack")
            #expect(nacked.insert(number).inserted, "a nack twice")
        }
    }

    private struct Connection {
        var session: AckedSession
        var isFramed: Bool
        var believer = Believer()
        /// Bytes that were written and not read yet.
        var wire = ByteBuffer()
        var next: UInt64?
        var isGone = false
    }

    @Test(arguments: Seeds.some(60))
    func everyRowIsTakenOnce(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let total = UInt64(random.int(1...300))
        let registry = ProducerRegistry(wallClock: { 0 })
        let limits = AckedSession.limits(lineBytesMax: 20, nacksMax: 1_000, unreadBytesMax: 1 << 20)
        var connections: [Connection] = []
        var sessions: UInt64 = 0
        var taken: [UInt64: String] = [:]
        /// Handed over and not durable yet.
        var pending: [Chunk] = []
        var chunksSeen: [UInt64: Int] = [:]
        var durable = RowIntervals()
        var isFull = false

        func collect(_ session: AckedSession) {
            for chunk in session.chunks.dropFirst(chunksSeen[session.id, default: 0]) {
                guard let numbers = chunk.numbering?.range else {
                    Issue.record("a chunk without numbers")
                    continue
                }
                var rows = String(buffer: chunk.lines).split(separator: "\n", omittingEmptySubsequences: false)
                if chunk.rejection == nil { rows.removeLast() } else { rows = ["rejected"] }
                #expect(rows.count == Int(numbers.rows))
                for (number, row) in zip(numbers.first...numbers.last, rows) {
                    #expect(taken.updateValue(String(row), forKey: number) == nil, "row \(number) twice")
                }
                pending.append(chunk)
            }
            chunksSeen[session.id] = session.chunks.count
        }

        func act(_ index: Int) {
            let session = connections[index].session
            session.hearIfWoken()
            session.act()
            collect(session)
            let before = connections[index].believer.acked
            connections[index].believer.read(session, isFramed: connections[index].isFramed)
            let acked = connections[index].believer.acked
            if acked > before { #expect(acked <= durable.contiguous, "an ack ahead of what is durable") }
            if connections[index].next == nil, let resume = connections[index].believer.resume {
                connections[index].next = resume + 1
            }
        }

        func connect() {
            sessions += 1
            let session = AckedSession(registry, id: sessions, limits: limits)
            session.refuses = { isFull }
            var connection = Connection(session: session, isFramed: random.one(in: 2))
            connection.wire =
                connection.isFramed
                ? Frames.hello("producer=w ack=durable", epoch: 1)
                : ByteBuffer(string: "#sluice ack=durable producer=w epoch=1\n")
            connections.append(connection)
        }

        func send(_ index: Int) {
            guard let next = connections[index].next, next <= total else { return }
            let count = UInt64(random.int(1...20))
            // In frames rows may be sent again.
            let first = connections[index].isFramed && random.one(in: 5) ? UInt64(random.int(1...Int(next))) : next
            let last = min(total, first + count - 1)
            let text = (first...last).map { Self.row($0) + "\n" }.joined()
            if connections[index].isFramed {
                connections[index].wire.writeImmutableBuffer(Frames.data(first, text))
            } else {
                connections[index].wire.writeString(text)
            }
            connections[index].next = max(next, last + 1)
        }

        func deliver(_ index: Int, _ bytesMax: Int) {
            guard !connections[index].isGone,
                let bytes = connections[index].wire.readSlice(
                    length: min(connections[index].wire.readableBytes, bytesMax)), bytes.readableBytes > 0
            else { return }
            connections[index].session.state.bytesReceived(bytes, at: AckedSession.start)
            act(index)
        }

        func makeDurable() {
            guard !pending.isEmpty else { return }
            let chunk = pending.remove(at: random.int(0...pending.count - 1))
            guard let numbering = chunk.numbering else { return }
            durable.insert(numbering.range)
            let refused = (numbering.range.first...numbering.range.last).filter {
                chunk.rejection != nil || $0 % 11 == 0
            }
            numbering.producer.becameDurable(
                numbering.range,
                refusals: refused.map { RowRefusal(number: $0, reason: "r", column: nil, message: "") })
        }

        var steps = 0
        while durable.contiguous < total || (connections.last?.believer.acked ?? 0) < total {
            steps += 1
            guard steps < 200_000 else {
                Issue.record("no end: \(durable.contiguous) of \(total)")
                return
            }
            if connections.isEmpty || connections.last?.believer.isEnded == true || connections.last?.isGone == true
                || random.one(in: 400)
            {
                connect()
            }
            let index = connections.count - 1
            switch random.int(0...9) {
            case 0...2: send(random.one(in: 10) ? random.int(0...index) : index)
            case 3...5: deliver(random.one(in: 10) ? random.int(0...index) : index, random.int(1...200))
            case 6: makeDurable()
            case 7: for index in connections.indices where !connections[index].isGone { act(index) }
            case 8:
                isFull = random.one(in: 3)
                if !isFull {
                    for index in connections.indices {
                        connections[index].session.state.spaceAvailable(at: AckedSession.start)
                        act(index)
                    }
                }
            default:
                if random.one(in: 40) {
                    connections[index].isGone = true
                    connections[index].session.state.channelGone(at: AckedSession.start)
                    act(index)
                }
            }
            // All sent and nothing to hear: the last acks come from the resume of a new session.
            if connections[index].believer.resume == total { break }
        }
        #expect(taken.count == Int(total))
        for number in 1...total {
            let row = Self.row(number)
            #expect(taken[number] == (row.utf8.count > 20 ? "rejected" : row))
        }
    }

    /// Cut after every byte, a session says the same.
    @Test(arguments: [false, true])
    func readsMayFallAnywhere(isFramed: Bool) {
        let bytes =
            isFramed
            ? Frames.joined(
                Frames.hello("ack=durable table=t"), Frames.data(1, "a|b|"), Frames.plain(.ping, 1),
                Frames.data(3, "much too long for a line|d|"), Frames.plain(.bye, 4))
            : ByteBuffer(string: "#sluice ack=durable table=t\na\nb\nmuch too long for a line\nd\n")
        func run(_ cuts: [Int]) -> ([String], [String]) {
            let session = AckedSession(limits: AckedSession.limits(lineBytesMax: 10))
            var rest = bytes
            for cut in cuts {
                if let read = rest.readSlice(length: cut - (bytes.readableBytes - rest.readableBytes)) {
                    _ = session.receive(read)
                }
            }
            _ = session.receive(rest)
            _ = session.close()
            _ = session.durable(1, 4, refused: [3])
            let rows = session.chunks.flatMap { chunk in
                chunk.rejection == nil
                    ? String(buffer: chunk.lines).split(separator: "\n").map(String.init) : ["rejected"]
            }
            return (rows, SessionTranscript.lines(of: session.answers))
        }
        let whole = run([])
        #expect(whole.1.count == (isFramed ? 4 : 3))
        for first in 1..<bytes.readableBytes {
            let cut = run([first])
            #expect(cut.1 == whole.1, "cut at \(first)")
            #expect(cut.0 == whole.0, "cut at \(first)")
        }
        #expect(run(Array(1..<bytes.readableBytes)).1 == whole.1)
    }

    /// Damaged bytes: an error or rows that were refused later, never a crash, and nothing taken twice or out of order.
    @Test(arguments: Seeds.some(200))
    func garbageIsAnsweredWithAnError(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let session = AckedSession(limits: AckedSession.limits(lineBytesMax: 50))
        var bytes = Frames.joined(
            Frames.hello("ack=durable"), Frames.data(1, "a|b|"), Frames.plain(.ping, 1), Frames.data(3, "c|d|e|"),
            Frames.data(6, String(repeating: "x", count: 40) + "|f|"), Frames.plain(.bye, 7))
        for _ in 0..<random.int(1...4) {
            let at = random.int(0...bytes.readableBytes - 1)
            switch random.int(0...3) {
            case 0: bytes.setInteger(UInt8(random.int(0...255)), at: at)
            case 1:
                bytes.setInteger(
                    (bytes.getInteger(at: at, as: UInt8.self) ?? 0) ^ 1 << UInt8(random.int(0...7)), at: at)
            case 2: bytes = bytes.getSlice(at: 0, length: at + 1) ?? bytes
            default:
                var more = bytes.getSlice(at: 0, length: at) ?? ByteBuffer()
                more.writeBytes((0..<random.int(1...40)).map { _ in UInt8(random.int(0...255)) })
                if let rest = bytes.getSlice(at: at, length: bytes.readableBytes - at) {
                    more.writeImmutableBuffer(rest)
                }
                bytes = more
            }
        }
        while bytes.readableBytes > 0, session.closed == nil {
            guard let read = bytes.readSlice(length: random.int(1...bytes.readableBytes)) else { break }
            _ = session.receive(read)
        }
        session.state.inputClosed(at: AckedSession.start)
        session.act()
        var next: UInt64 = 1
        for chunk in session.chunks {
            guard let numbering = chunk.numbering else { continue }
            #expect(numbering.range.first == next)
            next = numbering.range.last + 1
            if chunk.rejection == nil { #expect(chunk.bytes.countNewlines() == Int(numbering.range.rows)) }
            numbering.producer.becameDurable(numbering.range)
        }
        _ = session.hear()
        #expect(session.closed != nil)
    }
}
