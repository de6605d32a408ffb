import Foundation
import Pipeline
import TestSupport
import Testing

@testable import sluice

@Suite struct TopTests {
    // MARK: The answer

    private static let chunked =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        + "6\r\nhello \r\n5;ext=1\r\nworld\r\n0\r\n\r\n"

    /// However the bytes are cut, the same body comes out.
    @Test(arguments: Seeds.some(20))
    func anAnswerMayComeInAnyPieces(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for text in [Self.chunked, "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world"] {
            var answer = HTTPAnswer()
            var rest = Array(text.utf8)[...]
            var body: [UInt8] = []
            while !rest.isEmpty {
                let piece = rest.prefix(random.int(1...7))
                rest = rest.dropFirst(piece.count)
                let isTaken = answer.receive(piece)
                #expect(isTaken)
                body += answer.takeBody()
            }
            #expect(answer.status == 200 && answer.isComplete)
            #expect(String(decoding: body, as: UTF8.self) == "hello world")
        }
    }

    @Test(arguments: [
        "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/2 200\r\n\r\n",
    ])
    func whatIsNoHTTPIsRefused(text: String) {
        var answer = HTTPAnswer()
        let isTaken = answer.receive(Array(text.utf8)[...])
        #expect(!isTaken)
    }

    @Test func aHeadThatNeverEndsIsRefused() {
        var answer = HTTPAnswer()
        var isTaken = true
        for _ in 0..<20 where isTaken { isTaken = answer.receive([UInt8](repeating: 0x61, count: 8 << 10)[...]) }
        #expect(!isTaken)
    }

    // MARK: The address

    @Test func theSocketIsAskedBeforeThePort() throws {
        var settings = AdminSettings()
        #expect(try AdminAddress(settings) == .network(host: "127.0.0.1", port: 8090))
        settings.tlsCertificate = "c"
        #expect(throws: TopError.self) { try AdminAddress(settings) }
        settings.socketPath = "a.sock"
        #expect(try AdminAddress(settings) == .socket("a.sock"))
        settings.enabled = false
        #expect(throws: TopError.self) { try AdminAddress(settings) }
    }

    @Test(
        arguments: [
            ("http://127.0.0.1:8090", .network(host: "127.0.0.1", port: 8090)),
            ("[::1]:80/", .network(host: "::1", port: 80)), ("localhost:1", .network(host: "localhost", port: 1)),
            ("localhost", nil), (":80", nil), ("http://a/b:80", nil), ("a:0", nil), ("https://a:80", nil),
        ] as [(String, AdminAddress?)])
    func anAddressIsReadAsPeopleWriteIt(text: String, address: AdminAddress?) {
        #expect(AdminAddress(parsing: text) == address)
    }

    // MARK: The picture

    private func status(_ change: (inout TopStatus) -> Void = { _ in }) -> TopStatus {
        let latency = TopStatus.Latency(count: 3, average: 1.5, p50: 1, p99: 120, max: 130)
        var status = TopStatus(
            health: "healthy", intake: "open", version: "1.0", sink: "clickhouse", healthAgeSeconds: 17,
            uptimeSeconds: 7_200,
            rows: .init(
                received: 10, accepted: 9, rejected: 1, committed: 5, deadLettered: 0, discarded: 0, inFlight: 4),
            rates: .init(
                receivedBytes: 1_048_576, acceptedRows: 12_345, rejectedRows: 1, committedRows: 99, durableGroups: 3,
                sealedBlocks: 2,
                encodedBytes: 2048, cores: 0.5),
            backpressure: nil,
            stages: [
                .init(stage: "receive", rows: 0, queue: nil),
                .init(
                    stage: "ship", rows: 3,
                    queue: .init(elements: 4, elementsMax: 4, bytes: 1024, bytesMax: 4096, rows: 7)),
            ],
            connections: .init(producers: 2, sink: 1, producersRefused: 0), hosts: [], errors: ["timeout": 2],
            spool: nil,
            latencyMs: .init(
                accept: latency, durable: latency, seal: latency, encode: latency, insert: latency, endToEnd: latency),
            tables: [
                .init(
                    table: "mstore", acceptedRows: 9, committedRows: 5, committedBlocks: 2,
                    rejectedRows: ["type_mismatch": 1])
            ],
            rejections: [
                .init(reason: "type_mismatch", message: "\u{1B}[2Jno time", table: "mstore", column: "created_at")
            ],
            process: .init(residentBytes: 1 << 26, openFiles: 3, openFilesMax: 9, threads: 4))
        change(&status)
        return status
    }

    private func lines(_ status: TopStatus, width: Int = 120, height: Int = 60, isColored: Bool = false) -> [String] {
        TopScreen(status: status, width: width, height: height, isColored: isColored).lines()
    }

    @Test func whatMattersIsThere() {
        let text = lines(status()).joined(separator: "\n")
        #expect(text.contains("sluice 1.0  healthy for 17 s  sink clickhouse  up 2.0 h  cpu 50.0 %"))
        #expect(text.contains("no backpressure"))
        #expect(text.contains("####################  1.0 KiB of 4.0 KiB     4 of 4         10"))
        #expect(text.contains("rejected 1") && text.contains("errors: timeout 2"))
        #expect(text.contains("type_mismatch        1         mstore.created_at: "), "\(text)")
    }

    @Test func whatSlowsItDownIsSaid() {
        let text = lines(
            status {
                $0.backpressure = .init(
                    stage: "ship", message: "ship is what the rest waits for", waiting: ["compress"])
                $0.intake = "paused"
            }
        ).joined(separator: "\n")
        #expect(text.contains("backpressure: ship is what the rest waits for") && text.contains("intake paused"))
    }

    @Test func aTerminalDoesNotObeyWhatCameFromOutside() {
        #expect(!lines(status()).joined().contains("\u{1B}"))
    }

    @Test(arguments: [(80, 24), (40, 10), (200, 60), (1, 1)])
    func itFitsTheTerminal(width: Int, height: Int) {
        let lines = lines(status(), width: width, height: height, isColored: true)
        #expect(lines.count <= height)
        for line in lines { #expect(line.replacing(#/\u{1B}\[[0-9]*m/#, with: "").count <= width) }
    }

    @Test(arguments: [
        (0.0, "0"), (999, "999"), (1.25, "1.2"), (12_345, "12.3 k"), (1_234_567, "1.23 M"), (5e9, "5.00 G"),
    ])
    func figuresAreShort(value: Double, text: String) { #expect(Figure.count(value) == text) }
}
