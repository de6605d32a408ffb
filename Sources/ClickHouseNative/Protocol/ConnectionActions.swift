import NIOCore

/// What a connection is made with.
public struct ConnectionConfiguration: Hashable, Sendable {
    public var credentials: Credentials
    public var identity: ClientIdentity
    /// Announced to the server, `Revision.oldest` or later.
    public var revision: Revision
    public var limits: ProtocolLimits

    public init(
        credentials: Credentials = Credentials(), identity: ClientIdentity = ClientIdentity(),
        revision: Revision = .newest, limits: ProtocolLimits = ProtocolLimits()
    ) {
        self.credentials = credentials
        self.identity = identity
        self.revision = revision
        self.limits = limits
    }
}

/// The answer to a query.
public struct QueryResult: Sendable {
    /// The first has no rows, only names and types, where the query has a result at all.
    public internal(set) var blocks: [Block] = []
    /// Sum over the whole query.
    public internal(set) var progress = ServerPacket.Progress()
    public internal(set) var profile: ServerPacket.ProfileInfo?

    public init(blocks: [Block] = []) { self.blocks = blocks }

    public var rows: Int { blocks.reduce(0) { $0 + $1.rows } }
}

/// What a server says before it takes the data of an INSERT.
public struct InsertHeader: Sendable {
    /// Names and types that the table wants; no rows.
    public let block: Block
    /// How blocks must be encoded for this connection and this INSERT.
    public let encoding: BlockEncoding

    public init(block: Block, encoding: BlockEncoding) {
        self.block = block
        self.encoding = encoding
    }
}

/// What a connection that was asked for an INSERT did.
public struct InsertSummary: Hashable, Sendable {
    /// Data packets that were sent.
    public internal(set) var blocks = 0
    /// What the server says it wrote, views included; zeros from revisions that do not tell.
    public internal(set) var progress = ServerPacket.Progress()
    /// Parts that the server had already, in the order in which it says so; empty unless its log was asked for.
    public internal(set) var duplicates: [DuplicatePart] = []
    /// There were more of them than are remembered.
    public internal(set) var hasFurtherDuplicates = false

    public init(blocks: Int = 0) { self.blocks = blocks }
}

/// What the shell around a `ConnectionStateMachine` has to do, exactly once, in the order in which actions come.
public enum ConnectionAction: Sendable {
    /// Nothing for now.
    case wait
    case send(ByteBuffer)
    /// Both, one directly after the other.
    case sendBlock(header: ByteBuffer, block: BlockBody)
    /// The login is done. Send the addendum, where there is one, and tell who asked.
    case succeedConnect(ServerHello, addendum: ByteBuffer?)
    /// Tell who asked, and close.
    case failConnect(ConnectionError)
    case succeedQuery(QueryResult)
    /// `close`: the connection cannot be used any more.
    case failQuery(ConnectionError, close: Bool)
    /// The server waits for blocks: hand them over by `blockEncoded(_:)`, then `blocksEnded()`.
    case askForBlocks(InsertHeader)
    case succeedInsert(InsertSummary)
    case failInsert(InsertFailure, close: Bool)
    case succeedPing
    /// Tell who asked, and close.
    case failPing(ConnectionError)
    /// No request is under way: close. With an error, this came from the other side.
    case close(ConnectionError?)
    /// The request that was just made cannot be done now; whatever else is under way goes on.
    case refuseRequest(ConnectionError)
}

extension ServerPacket.Progress {
    mutating func add(_ other: Self) {
        rows &+= other.rows
        bytes &+= other.bytes
        totalRows &+= other.totalRows
        totalBytes &+= other.totalBytes
        writtenRows &+= other.writtenRows
        writtenBytes &+= other.writtenBytes
        elapsedNanoseconds &+= other.elapsedNanoseconds
    }
}
