import NIOCore
import Testing

@testable import ClickHouseNative

@Suite("Dialogues with a server, without a socket")
struct ConnectionTranscriptTests {
    private let block = ByteBuffer(string: "block")

    private func expectReady(_ machine: borrowing ConnectionStateMachine) {
        let isReady = machine.isReady
        #expect(isReady)
    }

    /// A connection that is logged in to a recorded server.
    private func ready(_ server: CapturedServer) throws -> ConnectionStateMachine {
        var machine = ConnectionStateMachine(ConnectionConfiguration(revision: server.revision))
        #expect(machine.connected().line == "send")
        let login = machine.actions(on: try server.steps("select")[0]).map(\.line)
        #expect(login == ["succeedConnect \(server.revision)\(server == .modern ? " addendum" : "")"])
        expectReady(machine)
        return machine
    }

    @Test("A query gives its rows, and the next one too", arguments: CapturedServer.allCases)
    func select(server: CapturedServer) throws {
        let steps = try server.steps("select")
        var machine = try ready(server)
        #expect(machine.queryRequested(Query("…")).line == "send")
        #expect(machine.actions(on: steps[1]).map(\.line) == ["succeedQuery 1 rows"])
        #expect(machine.queryRequested(Query("…", compression: .lz4)).line == "send")
        #expect(machine.actions(on: steps[2]).map(\.line) == ["succeedQuery 3 rows"])
        #expect(machine.pingRequested().line == "send")
        #expect(machine.queryRequested(Query("…")).line == "refuseRequest notReady")
        #expect(machine.actions(on: steps[4]).map(\.line) == ["succeedPing"])
        #expect(machine.closeRequested().line == "close")
        #expect(machine.channelClosed().line == "wait")
    }

    @Test("Rows that a query reads go before the end of its tables", arguments: CapturedServer.allCases)
    func externalTable(server: CapturedServer) throws {
        var machine = try ready(server)
        guard case .send(let alone) = machine.queryRequested(Query("…")) else {
            Issue.record("not sent")
            return
        }
        _ = machine.actions(on: try server.steps("select")[1])
        let table = ExternalTable("t", BlockBody(block))
        guard case .sendBlock(let header, let body) = machine.queryRequested(Query("…"), reading: table)
        else {
            Issue.record("not sent")
            return
        }
        // What follows the query when there are no tables: a data packet without a name, and an empty block.
        var end = ByteBuffer()
        try ClientPacket.writeEndOfData(BlockEncoding(revision: server.revision, compression: nil), to: &end)
        let query = alone.hex.dropLast(end.hex.count)
        #expect(header.hex == query + "02" + "0174")
        #expect(body.joined.hex == block.hex + end.hex)
        #expect(machine.actions(on: try server.steps("select")[1]).map(\.line) == ["succeedQuery 1 rows"])
    }

    @Test("A refused query leaves the connection as good as before", arguments: CapturedServer.allCases)
    func refusedQuery(server: CapturedServer) throws {
        let steps = try server.steps("exception")
        var machine = try ready(server)
        _ = machine.queryRequested(Query("…"))
        #expect(machine.actions(on: steps[1]).map(\.line) == ["failQuery refusedByServer 60"])
        _ = machine.queryRequested(Query("…"))
        #expect(machine.actions(on: steps[2]).map(\.line) == ["succeedQuery 1 rows"])
    }

    @Test("A refused login is told with the server's code", arguments: CapturedServer.allCases)
    func refusedLogin(server: CapturedServer) throws {
        var machine = ConnectionStateMachine(ConnectionConfiguration(revision: server.revision))
        _ = machine.connected()
        let code = server == .legacy ? 192 : 516
        let actions = machine.actions(on: try server.steps("login_refused")[0])
        #expect(actions.map(\.line) == ["failConnect refusedByServer \(code)"])
        #expect(machine.channelClosed().line == "wait")
    }

    @Test("An insert asks for blocks and ends well", arguments: CapturedServer.allCases)
    func insert(server: CapturedServer) throws {
        let steps = try server.steps("insert")
        var machine = try ready(server)
        #expect(machine.insertRequested(Query("INSERT …")).line == "send")
        let header = machine.actions(on: steps[3])
        #expect(header.map(\.line) == ["askForBlocks k,s"])
        if case .askForBlocks(let header) = header[0] {
            #expect(header.encoding == BlockEncoding(revision: server.revision, compression: nil))
        }
        #expect(machine.blockEncoded(block).line == "sendBlock")
        #expect(machine.blockEncoded(block).line == "sendBlock")
        #expect(machine.blocksEnded().line == "send")
        #expect(machine.blockEncoded(block).line == "refuseRequest notReady")
        #expect(machine.actions(on: steps[4]).map(\.line) == ["succeedInsert 2 blocks"])
        // Into a table that is not there: nothing was applied, and the connection goes on.
        #expect(machine.insertRequested(Query("INSERT …")).line == "send")
        #expect(machine.actions(on: steps[5]).map(\.line) == ["failInsert notApplied: refusedByServer 60"])
        expectReady(machine)
    }

    @Test("A compressed insert of nothing ends well", arguments: CapturedServer.allCases)
    func emptyInsert(server: CapturedServer) throws {
        let steps = try server.steps("insert")
        var machine = try ready(server)
        _ = machine.insertRequested(Query("INSERT …", compression: .zstd(level: 1)))
        #expect(machine.actions(on: steps[7]).map(\.line) == ["askForBlocks k,s"])
        _ = machine.blocksEnded()
        #expect(machine.actions(on: steps[8]).map(\.line) == ["succeedInsert 0 blocks"])
    }

    @Test(
        "A block that the server refuses is told as refused, and the connection closed",
        arguments: CapturedServer.allCases)
    func refusedBlock(server: CapturedServer) throws {
        let steps = try server.steps("insert")
        for endIsSent in [false, true] {
            var machine = try ready(server)
            _ = machine.insertRequested(Query("INSERT …"))
            _ = machine.actions(on: steps[9])
            _ = machine.blockEncoded(block)
            if endIsSent { _ = machine.blocksEnded() }
            let code = server == .legacy ? 368 : 6
            #expect(machine.actions(on: steps[10]).map(\.line) == ["failInsert refused: refusedByServer \(code) close"])
            #expect(machine.channelClosed().line == "wait")
        }
    }

    /// How far an insert got before something ended it.
    enum Point: CaseIterable { case asked, headerCame, dataSent, endSent }

    private func inserting(_ point: Point) throws -> ConnectionStateMachine {
        var machine = try ready(.modern)
        _ = machine.insertRequested(Query("INSERT …"))
        guard point != .asked else { return machine }
        _ = machine.actions(on: try CapturedServer.modern.steps("insert")[3])
        guard point != .headerCame else { return machine }
        _ = machine.blockEncoded(block)
        guard point != .dataSent else { return machine }
        _ = machine.blocksEnded()
        return machine
    }

    @Test("An insert that is cut is not applied before its data, and unknown after", arguments: Point.allCases)
    func cutInsert(point: Point) throws {
        let outcome = point == .asked || point == .headerCame ? "notApplied" : "unknown"
        var machine = try inserting(point)
        #expect(machine.channelClosed().line == "failInsert \(outcome): connectionClosed close")
        machine = try inserting(point)
        #expect(machine.timedOut().line == "failInsert \(outcome): timedOut close")
        #expect(machine.timedOut().line == "wait")
        machine = try inserting(point)
        #expect(machine.closeRequested().line == "failInsert \(outcome): cancelled close")
        machine = try inserting(point)
        #expect(machine.packetReceived(.pong).line == "failInsert \(outcome): protocolViolation unexpectedPacket close")
        machine = try inserting(point)
        let garbage = machine.actions(on: ByteBuffer(hex: "7f")).map(\.line)
        #expect(garbage == ["failInsert \(outcome): protocolViolation unknownPacket close"])
    }

    @Test("An exception before any data means not applied, with data refused", arguments: Point.allCases)
    func exceptionInInsert(point: Point) throws {
        var machine = try inserting(point)
        let exception = ServerException(code: .tooManyParts, name: "DB::Exception", message: "", stackTrace: "")
        let line = machine.packetReceived(.exception(exception)).line
        switch point {
        case .asked: #expect(line == "failInsert notApplied: refusedByServer 252")
        case .headerCame: #expect(line == "failInsert notApplied: refusedByServer 252 close")
        case .dataSent, .endSent: #expect(line == "failInsert refused: refusedByServer 252 close")
        }
    }

    @Test(
        "An end of the stream that comes too early is never taken for success",
        arguments: [Point.asked, .headerCame, .dataSent])
    func earlyEnd(point: Point) throws {
        var machine = try inserting(point)
        let outcome = point == .headerCame ? "notApplied" : "unknown"
        let line = machine.packetReceived(.endOfStream).line
        #expect(line == "failInsert \(outcome): protocolViolation unexpectedPacket close")
    }

    @Test("A query that is cancelled fails when the server stopped, and the connection goes on")
    func cancelledQuery() throws {
        var machine = try ready(.modern)
        #expect(machine.queryCancelled().line == "wait")
        _ = machine.queryRequested(Query("…"))
        #expect(machine.queryCancelled().line == "send")
        #expect(machine.queryCancelled().line == "wait")
        let end = machine.actions(on: try CapturedServer.modern.steps("select")[1]).map(\.line)
        #expect(end == ["failQuery cancelled"])
        expectReady(machine)
    }

    @Test("A result beyond the limit fails instead of filling memory")
    func largeResult() throws {
        var configuration = ConnectionConfiguration(revision: CapturedServer.modern.revision)
        configuration.limits.resultRowsMax = 0
        let steps = try CapturedServer.modern.steps("select")
        var machine = ConnectionStateMachine(configuration)
        _ = machine.connected()
        _ = machine.actions(on: steps[0])
        _ = machine.queryRequested(Query("…"))
        #expect(machine.actions(on: steps[1]).map(\.line) == ["failQuery resultTooLarge close"])
    }

    @Test("Each state ends in its own way when the channel goes")
    func channelGone() throws {
        var machine = ConnectionStateMachine(ConnectionConfiguration())
        #expect(machine.channelClosed().line == "failConnect connectionClosed")
        #expect(machine.channelClosed().line == "wait")
        machine = ConnectionStateMachine(ConnectionConfiguration())
        _ = machine.connected()
        #expect(machine.timedOut().line == "failConnect timedOut")
        machine = try ready(.modern)
        #expect(machine.timedOut().line == "wait")
        #expect(machine.channelClosed().line == "close connectionClosed")
        machine = try ready(.modern)
        _ = machine.queryRequested(Query("…"))
        #expect(machine.channelClosed().line == "failQuery connectionClosed close")
        machine = try ready(.modern)
        _ = machine.pingRequested()
        #expect(machine.timedOut().line == "failPing timedOut")
    }

    @Test("A server that takes chunked framing only is refused at the login")
    func chunkedOnly() {
        var machine = ConnectionStateMachine(ConnectionConfiguration())
        _ = machine.connected()
        var hello = ServerHello()
        hello.sendFraming = "chunked"
        #expect(machine.packetReceived(.hello(hello)).line == "failConnect protocolViolation chunkedFramingRequired")
    }

    @Test("What an idle server says is heard: a reason to close, late news, or nonsense")
    func idleServer() throws {
        var machine = try ready(.legacy)
        #expect(machine.packetReceived(.progress(.init())).line == "wait")
        #expect(machine.packetReceived(.timeZoneUpdate("Asia/Tokyo")).line == "wait")
        let timeZone = machine.hello?.timeZone
        #expect(timeZone == "Asia/Tokyo")
        #expect(machine.packetReceived(.endOfStream).line == "close protocolViolation unexpectedPacket")
        machine = try ready(.legacy)
        let exception = ServerException(code: .networkError, name: "", message: "", stackTrace: "")
        #expect(machine.packetReceived(.exception(exception)).line == "close refusedByServer 210")
    }
}
