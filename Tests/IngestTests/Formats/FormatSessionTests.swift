import NIOCore
import Pipeline
import ProducerProtocol
import TestSupport
import Testing

@testable import Ingest

/// Sessions of other formats than NDJSON, as transcripts: which rows there are, and which numbers they have.
@Suite struct FormatSessionTests {
    private func hello(_ session: AckedSession, _ fields: String) -> String? {
        session.receive(Frames.hello("ack=durable \(fields)")).first
    }

    @Test func theHeaderOfAPlainSessionIsNoRow() {
        let session = AckedSession()
        _ = session.receive("#sluice format=CSVWithNames ack=received table=t\nid,te")
        #expect(session.receive("xt\n1,a\n2,").contains("forward 1-1 t: 1,a|"))
        #expect(session.receive("b\n").contains("forward 2-2 t: 2,b|"))
        let formats = session.chunks.compactMap(\.format)
        #expect(
            formats == [SessionFormat(.csv, columns: ["id", "text"]), SessionFormat(.csv, columns: ["id", "text"])])
    }

    @Test func aRowOfCSVGoesOnOverLinesBetweenQuotes() {
        let session = AckedSession()
        _ = session.receive("#sluice format=CSV ack=received\n")
        #expect(session.receive("1,\"a\nb\"\n2,x\"y\n3,\"").contains("forward 1-2 1,\"a|b\"|2,x\"y|"))
        #expect(session.receive("\"\"\n\"\n").contains("forward 3-3 3,\"\"\"|\"|"))
        let counts = session.chunks.compactMap { $0.window?.range.count }
        #expect(counts == [2, 1])
    }

    @Test func aRowThatIsTooLongCostsItself() {
        let session = AckedSession(limits: AckedSession.limits(lineBytesMax: 8))
        _ = session.receive("#sluice format=TSV ack=received\n")
        #expect(
            session.receive("a\tb\nmuch too long\t1\nc\td\n").filter { $0.hasPrefix("forward") } == [
                "forward 1-1 a\tb|", "forward 2-2 rejected line_too_long", "forward 3-3 c\td|",
            ])
        #expect(session.chunks[1].rejection?.form?.format == .tsv)
    }

    @Test func aFrameHasTheRowsThatItSays() {
        let session = AckedSession()
        _ = hello(session, "format=CSV")
        #expect(session.receive(Frames.data(1, "1,\"a|b\"|2,c|", count: 2)) == ["forward 1-2 1,\"a|b\"|2,c|"])
        #expect(session.receive(Frames.data(3, "1,\"a|b\"|2,c|", count: 3)).last == "close bad_frame")
    }

    @Test func everyFrameHasItsHeader() {
        let session = AckedSession()
        _ = hello(session, "format=TSVWithNames")
        #expect(session.receive(Frames.data(1, "a\tb|1\t2|", count: 1)) == ["forward 1-1 a\tb|1\t2|"])
        #expect(session.receive(Frames.data(2, "b|1|2|", count: 2)) == ["forward 2-3 b|1|2|"])
    }

    @Test func rowsThatAreThereAlreadyAreLeftOutOfAFrame() {
        let session = AckedSession()
        _ = hello(session, "format=RowBinary")
        #expect(session.receive(Frames.data(1, "abc", count: 3)) == ["forward 1-3 abc"])
        #expect(session.receive(Frames.data(2, "bcde", count: 4)) == ["forward 4-5 bcde"])
        #expect(session.chunks.last?.window == RowWindow(total: 4, range: 2..<4))
        #expect(session.state.duplicates == 2)
    }

    @Test func aFrameWithoutBytesHasNumbersWithoutRows() {
        let session = AckedSession()
        _ = hello(session, "format=Native")
        #expect(session.receive(Frames.data(1, "", count: 5)) == ["forward 1-5 "])
        #expect(session.durable(1, 5) == ["ACK 5"])
        #expect(session.receive(Frames.data(6, "", count: 0)).last == "close bad_frame")
    }

    @Test(arguments: [
        "format=XML", "format=Native columns=a", "format=CSVWithNames columns=a", "format=CSV columns=a,a",
        "format=CSV columns=a,,b", "format=CSV columns=a,b types=String", "format=CSV types=String",
        "format=TSV format_csv_delimiter=;", "format=CSV format_csv_delimiter=12", "format=CSV format_csv_delimiter=\"",
        #"format=CSV columns=a\b"#, "columns=a",
    ])
    func whatCannotBeIsRefused(_ fields: String) {
        let session = AckedSession()
        #expect(hello(session, fields)?.hasPrefix("ERROR code=bad_hello") == true)
    }

    @Test(arguments: ["RowBinary", "RowBinaryWithNamesAndTypes", "Native"])
    func binaryRowsNeedFrames(_ format: String) {
        let session = AckedSession()
        #expect(
            session.receive("#sluice format=\(format) ack=durable\n").first?.contains("it needs the framed dialect")
                == true)
    }

    @Test func namesMayHaveAnyCharacter() {
        let names = ["a", "b c", "d,e", #"f\g"#, "h\ti", "é"]
        #expect(NameList.parse(NameList.text(names)) == names)
        let session = AckedSession()
        _ = session.receive(
            "#sluice format=CSV ack=received format_csv_delimiter=\\t columns=\(NameList.text(names))\n")
        _ = session.receive("1\n")
        #expect(session.chunks.first?.format?.columns == names)
        #expect(session.chunks.first?.format?.delimiter == 9)
    }

    @Test func whereRowsEndDoesNotDependOnTheReads() {
        for seed in Seeds.some(50) {
            var random = SeededRandom(seed: seed)
            var text = ""
            var rows: [String] = []
            for _ in 0..<random.int(1...6) {
                let cells = (0..<random.int(1...3)).map { _ in
                    ["", "a", "\"\"", "\"x\ny\"", "\"p\"\"q\n\"", " \"z\n\" ", "a\"b"].randomElement(using: &random)!
                }
                rows.append(cells.joined(separator: ","))
                text += rows[rows.count - 1] + "\n"
            }
            let session = AckedSession()
            _ = session.receive("#sluice format=CSV\n")
            var rest = text[...]
            while !rest.isEmpty {
                let piece = rest.prefix(random.int(1...5))
                _ = session.receive(String(piece))
                rest = rest.dropFirst(piece.count)
            }
            let found: String = session.chunks.map { String(buffer: $0.bytes) }.joined()
            #expect(found == text, "seed \(seed)")
            let count: Int = session.chunks.compactMap { $0.window?.range.count }.reduce(0, +)
            #expect(count == rows.count, "seed \(seed)")
        }
    }
}
