import NIOCore
import Testing

@testable import ClickHouseNative

@Suite("Packets for a server")
struct ClientPacketTests {
    private let identity = ClientIdentity(name: "s", major: 1, minor: 2, patch: 3, hostName: "h", osUser: "u")

    private func query(_ query: Query, _ revision: Revision) throws -> String {
        var buffer = ByteBuffer()
        try ClientPacket.writeQuery(
            query, identity: identity, announced: .newest, revision: revision, to: &buffer)
        try ClientPacket.writeEndOfData(BlockEncoding(revision: revision, compression: query.compression), to: &buffer)
        return buffer.hex
    }

    @Test("The hello has the login and what we announce")
    func hello() {
        var buffer = ByteBuffer()
        ClientPacket.writeHello(
            Credentials(user: "u", password: "p", database: "d"), identity: identity, announcing: .oldest, to: &buffer)
        #expect(buffer.hex == "00" + "0173" + "0102" + "8ca903" + "0164" + "0175" + "0170")
    }

    @Test("An old server gets settings in binary, by their types, and the new fields not at all")
    func legacyQuery() throws {
        let settings = [
            QuerySetting("max_threads", "300"), QuerySetting("load_balancing", "random"),
            QuerySetting("async_insert", "0"), QuerySetting("insert_deduplicate", "true"),
        ]
        let info =
            "01" + "0000" + "09302e302e302e303a30" + "01" + "0175" + "0168" + "0173" + "0102" + "dba903" + "00" + "03"
        let hex = try query(Query("Q", id: "i", settings: settings), .oldest)
        let binary =
            "0b6d61785f74687265616473" + "ac02" + "0e6c6f61645f62616c616e63696e67" + "0672616e646f6d"
            + "12696e736572745f64656475706c6963617465" + "01" + "00"
        #expect(hex == "01" + "0169" + info + binary + "02" + "00" + "0151" + "0200" + "010002ffffffff00" + "0000")
    }

    @Test("A new server gets settings as text, and every field that its revision has")
    func modernQuery() throws {
        let settings = [QuerySetting("max_threads", "3"), QuerySetting("x", "y", isImportant: true)]
        let query = Query("Q", settings: settings, parameters: [QueryParameter("p", "a'\\")])
        let info =
            "01" + "0000" + "09302e302e302e303a30" + "0000000000000000" + "01" + "0175" + "0168" + "0173" + "0102"
            + "dba903" + "00" + "00" + "03" + "00" + "000000" + "0000" + "00" + "00" + "00" + "00"
        let text = "0b6d61785f74687265616473" + "00" + "0133" + "0178" + "01" + "0179" + "00"
        let parameters = "0170" + "02" + "07" + "27615c275c5c27" + "00"
        let hex = try self.query(query, .newest)
        #expect(
            hex == "01" + "00" + info + text + "00" + "00" + "02" + "00" + "0151" + parameters + "0200"
                + "010002ffffffff030000" + "0000")
    }

    @Test("What an old server cannot take is refused, not lost")
    func inexpressible() throws {
        let important = Query("Q", settings: [QuerySetting("async_insert", "0", isImportant: true)])
        #expect(throws: ProtocolError.self) { try query(important, .oldest) }
        #expect(throws: ProtocolError.self) {
            try query(Query("Q", settings: [QuerySetting("max_threads", "auto")]), .oldest)
        }
        #expect(throws: ProtocolError.self) {
            try query(Query("Q", parameters: [QueryParameter("a", "b")]), .oldest)
        }
    }

    @Test("A compressed query ends its external tables with a frame")
    func compressedQuery() throws {
        let hex = try query(Query("Q", compression: Compression.none), .oldest)
        #expect(
            hex.hasSuffix(
                "02010151" + "0200" + "bb9489a1c169e900ecaff168956a647402130000000a000000010002ffffffff000000"))
    }

    @Test("The addendum has what the revision asks for")
    func addendum() {
        func addendum(_ revision: UInt64) -> String {
            var buffer = ByteBuffer()
            ClientPacket.writeAddendum(identity: identity, revision: Revision(revision), to: &buffer)
            return buffer.hex
        }
        #expect(addendum(54457) == "")
        #expect(addendum(54458) == "00")
        #expect(addendum(54470) == "00" + "0a6e6f746368756e6b6564" + "0a6e6f746368756e6b6564")
        #expect(addendum(54491).hasSuffix("08"))
    }

    @Test("Passwords show nowhere")
    func secrets() {
        let credentials = Credentials(user: "u", password: "hunter2")
        #expect(!"\(credentials) \(String(reflecting: credentials))".contains("hunter2"))
        #expect(!String(reflecting: ConnectionConfiguration(credentials: credentials)).contains("hunter2"))
    }
}
