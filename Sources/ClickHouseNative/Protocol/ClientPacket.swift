import NIOCore

/// What a client sends (ClickHouse's Core/Protocol.h, Client/Connection.cpp). Each function appends one whole packet.
enum ClientPacket {
    private enum Number: UInt64 {
        case hello = 0
        case query = 1
        case data = 2
        case cancel = 3
        case ping = 4
    }

    static func writeHello(
        _ credentials: Credentials, identity: ClientIdentity, announcing revision: Revision, to buffer: inout ByteBuffer
    ) {
        write(.hello, to: &buffer)
        buffer.writeText(identity.name)
        buffer.writeVarUInt(identity.major)
        buffer.writeVarUInt(identity.minor)
        buffer.writeVarUInt(revision.rawValue)
        buffer.writeText(credentials.database)
        buffer.writeText(credentials.user)
        buffer.writeText(credentials.password)
    }

    /// What follows the server's hello, without a packet number; nothing for revisions that have no addendum.
    static func writeAddendum(identity: ClientIdentity, revision: Revision, to buffer: inout ByteBuffer) {
        if revision.supports(.addendum) { buffer.writeText(identity.quotaKey) }
        if revision.supports(.chunkedFraming) {
            buffer.writeText("notchunked")
            buffer.writeText("notchunked")
        }
        // Means nothing to a client that takes no part in queries over replicas; servers want to see one they know.
        if revision.supports(.parallelReplicasNumber) { buffer.writeVarUInt(parallelReplicasNumber) }
    }

    /// The query alone; its external tables follow, and `writeEndOfData`.
    static func writeQuery(
        _ query: Query, identity: ClientIdentity, announced: Revision, revision: Revision, to buffer: inout ByteBuffer
    ) throws {
        write(.query, to: &buffer)
        buffer.writeText(query.id)
        writeClientInfo(identity, announced: announced, revision: revision, to: &buffer)
        try QuerySetting.write(query.settings, to: &buffer, revision: revision)
        if revision.supports(.externallyGrantedRoles) { buffer.writeText("") }
        if revision.supports(.interserverSecret) { buffer.writeText("") }
        buffer.writeVarUInt(stageComplete)
        buffer.writeVarUInt(query.compression == nil ? 0 : 1)
        buffer.writeText(query.text)
        if revision.supports(.parameters) {
            QuerySetting.write(parameters: query.parameters, to: &buffer)
        } else if !query.parameters.isEmpty {
            throw ProtocolError(.requestNotExpressible, "the server is too old for parameters of queries")
        }
    }

    /// The part of a data packet before its block.
    ///
    /// - Parameter table: an external one's name; an INSERT's own table has none here.
    static func writeDataHeader(of table: String = "", to buffer: inout ByteBuffer) {
        write(.data, to: &buffer)
        buffer.writeText(table)
    }

    /// A data packet with the empty block that ends external tables, and then the rows of an INSERT.
    static func writeEndOfData(_ encoding: BlockEncoding, to buffer: inout ByteBuffer) throws {
        writeDataHeader(to: &buffer)
        buffer.writeImmutableBuffer(try BlockEncoder.endOfData(as: encoding))
    }

    static func writeCancel(to buffer: inout ByteBuffer) { write(.cancel, to: &buffer) }

    static func writePing(to buffer: inout ByteBuffer) { write(.ping, to: &buffer) }

    /// ClickHouse's Interpreters/ClientInfo.cpp, for a query that a user began, over TCP.
    private static func writeClientInfo(
        _ identity: ClientIdentity, announced: Revision, revision: Revision, to buffer: inout ByteBuffer
    ) {
        buffer.writeInteger(initialQuery)
        // User, query id and address of who began it: the server fills them in by what it knows.
        buffer.writeText("")
        buffer.writeText("")
        buffer.writeText("0.0.0.0:0")
        if revision.supports(.queryStartTime) { buffer.writeInteger(Int64(0)) }
        buffer.writeInteger(interfaceTCP)
        buffer.writeText(identity.osUser)
        buffer.writeText(identity.hostName)
        buffer.writeText(identity.name)
        buffer.writeVarUInt(identity.major)
        buffer.writeVarUInt(identity.minor)
        buffer.writeVarUInt(announced.rawValue)
        if revision.supports(.quotaKeyInClientInfo) { buffer.writeText(identity.quotaKey) }
        if revision.supports(.distributedDepth) { buffer.writeVarUInt(0) }
        if revision.supports(.patchNumber) { buffer.writeVarUInt(identity.patch) }
        if revision.supports(.openTelemetry) { buffer.writeInteger(no) }
        if revision.supports(.parallelReplicas) {
            // Collaborates with an initiator, replicas in the query, number of this one.
            for _ in 0..<3 { buffer.writeVarUInt(0) }
        }
        if revision.supports(.queryAndLineNumbers) {
            for _ in 0..<2 { buffer.writeVarUInt(0) }
        }
        if revision.supports(.tokenInClientInfo) { buffer.writeInteger(no) }
        if revision.supports(.agentInClientInfo) { buffer.writeText("") }
        if revision.supports(.internalQueryFlag) { buffer.writeInteger(no) }
        if revision.supports(.currentRoles) { buffer.writeInteger(no) }
    }

    private static func write(_ number: Number, to buffer: inout ByteBuffer) { buffer.writeVarUInt(number.rawValue) }

    private static let stageComplete: UInt64 = 2
    private static let initialQuery: UInt8 = 1
    private static let interfaceTCP: UInt8 = 1
    private static let no: UInt8 = 0
    private static let parallelReplicasNumber: UInt64 = 8
}
