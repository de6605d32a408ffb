import NIOCore
import TestSupport
import Testing

@testable import ClickHouseNative

@Suite("Packets that ClickHouse sent")
struct CapturedPacketTests {
    static let dialogues = ["login_refused", "select", "exception", "insert"]

    /// Every step of every dialogue, and how it is to be read.
    static func steps(_ server: CapturedServer) throws -> [(ByteBuffer, ServerPacket.Context)] {
        try dialogues.flatMap { dialogue in
            try server.steps(dialogue).enumerated().map { place, bytes in
                let isCompressed = dialogue == "select" && place == 2 || dialogue == "insert" && [7, 8].contains(place)
                return (bytes, server.context(isCompressed: isCompressed))
            }
        }
    }

    @Test("The hello tells the server's number, revision and time zone")
    func hello() throws {
        for (server, number, revision) in [(CapturedServer.legacy, [18, 16, 1], 54412), (.modern, [26, 9, 2], 54492)] {
            var bytes = try server.steps("select")[0]
            guard case .hello(let hello)? = try ServerPacket.read(&bytes, context: server.context()) else {
                Issue.record("no hello")
                continue
            }
            #expect(hello.name == "ClickHouse")
            #expect([hello.major, hello.minor, hello.patch] == number.map(UInt64.init))
            #expect(hello.serverRevision == Revision(UInt64(revision)))
            #expect(hello.revision == server.revision)
            #expect(hello.timeZone == "Etc/UTC")
            #expect(hello.sendFraming == "notchunked")
            #expect(hello.settings.isEmpty == (server == .legacy))
            #expect(bytes.readableBytes == 0)
        }
    }

    @Test("A SELECT gives its header, rows, totals and end", arguments: CapturedServer.allCases)
    func select(server: CapturedServer) throws {
        let steps = try server.steps("select")
        let plain = try ServerPacket.essentials(steps[1], server.context())
        #expect(plain.prefix(2) == ["data one UInt8, s String: 0", "data one UInt8, s String: 1"])
        #expect(plain.last == "endOfStream")
        let compressed = try ServerPacket.essentials(steps[2], server.context(isCompressed: true))
        #expect(compressed.prefix(2) == ["data s String: 0", "data s String: 3"])
        #expect(compressed.last == "endOfStream")
        let totals = try ServerPacket.essentials(steps[3], server.context())
        #expect(totals.contains { $0.hasPrefix("totals k ") && $0.hasSuffix(": 1") })
        #expect(try ServerPacket.summaries(steps[4], server.context()) == ["pong"])
    }

    @Test("An exception has its code, message and no bytes left over", arguments: CapturedServer.allCases)
    func exception(server: CapturedServer) throws {
        var bytes = try server.steps("exception")[1]
        guard case .exception(let exception)? = try ServerPacket.read(&bytes, context: server.context()) else {
            Issue.record("no exception")
            return
        }
        #expect(exception.code == .unknownTable)
        #expect(exception.code.treatment == .needsOperator)
        #expect(exception.message.contains("no_such_table"))
        #expect(!exception.message.hasPrefix("DB::Exception"))
        #expect(!exception.description.contains("no_such_table"))
        #expect(!exception.stackTrace.isEmpty)
        #expect(bytes.readableBytes == 0)
    }

    @Test("Byte by byte gives the packets that all at once gives", arguments: CapturedServer.allCases)
    func byteByByte(server: CapturedServer) throws {
        for (bytes, context) in try Self.steps(server) {
            let expected = try ServerPacket.summaries(bytes, context)
            var arrived = ByteBuffer()
            var summaries: [String] = []
            for byte in bytes.readableBytesView {
                arrived.writeInteger(byte)
                let before = arrived
                if let packet = try ServerPacket.read(&arrived, context: context) {
                    summaries.append(packet.summary)
                } else {
                    #expect(arrived == before)
                }
            }
            #expect(summaries == expected)
            #expect(arrived.readableBytes == 0)
        }
    }

    @Test(
        "Damaged bytes are refused or read as something, never worse", arguments: CapturedServer.allCases, Seeds.some(4)
    )
    func damage(server: CapturedServer, seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for (bytes, context) in try Self.steps(server) where bytes.readableBytes > 0 {
            for _ in 0..<60 {
                var damaged = bytes
                for _ in 0..<random.int(1...3) {
                    // Nine in ten hit the first hundred bytes, where the lengths and counts are.
                    let reach = random.one(in: 10) ? bytes.readableBytes : 100
                    let place = random.int(0...min(reach, bytes.readableBytes) - 1)
                    damaged.setInteger(UInt8.random(in: 0...255, using: &random), at: place)
                }
                // Reaching the end of this loop is the test; what comes out may be anything that is no crash.
                do {
                    while damaged.readableBytes > 0, try ServerPacket.read(&damaged, context: context) != nil {}
                } catch {
                    #expect(!error.description.isEmpty)
                }
            }
        }
    }
}
