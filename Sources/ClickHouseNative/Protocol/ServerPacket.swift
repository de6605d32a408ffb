import NIOCore

/// What a server sends (ClickHouse's Core/Protocol.h).
public enum ServerPacket: Sendable {
    case hello(ServerHello)
    case data(Block)
    case totals(Block)
    case extremes(Block)
    case exception(ServerException)
    case progress(Progress)
    case pong
    case endOfStream
    case profileInfo(ProfileInfo)
    case log(Block)
    /// How the table's columns get their defaults, in ClickHouse's own text form; comes before the header of an INSERT.
    case tableColumns(description: String)
    case profileEvents(Block)
    case timeZoneUpdate(String)

    /// What was done since the packet of this kind before.
    public struct Progress: Hashable, Sendable {
        public var rows: UInt64 = 0
        public var bytes: UInt64 = 0
        public var totalRows: UInt64 = 0
        public var totalBytes: UInt64 = 0
        public var writtenRows: UInt64 = 0
        public var writtenBytes: UInt64 = 0
        public var elapsedNanoseconds: UInt64 = 0

        public init() {}
    }

    /// What a query's result was, told at its end.
    public struct ProfileInfo: Hashable, Sendable {
        public var rows: UInt64 = 0
        public var blocks: UInt64 = 0
        public var bytes: UInt64 = 0
        public var hasLimit = false
        public var rowsBeforeLimit: UInt64 = 0
        public var knowsRowsBeforeLimit = false
        public var hasAggregation = false
        public var rowsBeforeAggregation: UInt64 = 0

        public init() {}
    }

    /// What packets are read by.
    public struct Context: Hashable, Sendable {
        /// Before the server's hello, what the client announced.
        public var revision: Revision
        /// The query asked for compressed frames.
        public var isCompressed: Bool
        public var limits: ProtocolLimits

        public init(revision: Revision, isCompressed: Bool = false, limits: ProtocolLimits = ProtocolLimits()) {
            self.revision = revision
            self.isCompressed = isCompressed
            self.limits = limits
        }
    }

    /// The next packet; nil when it has not arrived whole (the buffer is untouched then).
    ///
    /// - Throws: `ProtocolError`. Where the next packet would begin cannot be told any more: the connection is lost.
    public static func read(_ buffer: inout ByteBuffer, context: Context) throws(ProtocolError) -> ServerPacket? {
        var reader = PacketReader(buffer: buffer, limits: context.limits)
        do {
            let packet = try reader.packet(context)
            buffer = reader.buffer
            return packet
        } catch let error as ProtocolError {
            throw error
        } catch {
            guard buffer.readableBytes <= context.limits.packetBytesMax else {
                throw ProtocolError(.limit, "a packet of more than \(context.limits.packetBytesMax) bytes")
            }
            return nil
        }
    }
}

extension PacketReader {
    fileprivate mutating func packet(_ context: ServerPacket.Context) throws -> ServerPacket {
        let revision = context.revision
        let newsIsCompressed = context.isCompressed && revision.supports(.compressedNews)
        let number = try varUInt()
        switch number {
        case 0: return .hello(try hello(announced: revision))
        case 1: return .data(try namedBlock(revision, context.isCompressed))
        case 2: return .exception(try exception())
        case 3: return .progress(try progress(revision))
        case 4: return .pong
        case 5: return .endOfStream
        case 6: return .profileInfo(try profileInfo(revision))
        case 7: return .totals(try namedBlock(revision, context.isCompressed))
        case 8: return .extremes(try namedBlock(revision, context.isCompressed))
        case 10: return .log(try namedBlock(revision, newsIsCompressed))
        case 11: return .tableColumns(description: try tableColumns(compressed: newsIsCompressed))
        case 14: return .profileEvents(try namedBlock(revision, newsIsCompressed))
        case 17: return .timeZoneUpdate(try text(max: limits.helloTextBytesMax, "time zone"))
        // Status of tables, part UUIDs, tasks and ranges for reading in parallel, challenges of SSH logins.
        case 9, 12, 13, 15, 16, 18:
            throw ProtocolError(.packetNotSpoken, "packet \(number) is for servers of a cluster or other logins")
        default: throw ProtocolError(.unknownPacket, "packet \(number) is not known")
        }
    }

    private mutating func namedBlock(_ revision: Revision, _ isCompressed: Bool) throws -> Block {
        _ = try text(max: limits.nameBytesMax, "name of a table")
        return try block(revision: revision, compressed: isCompressed)
    }

    private mutating func tableColumns(compressed: Bool) throws -> String {
        try content(compressed: compressed) { reader in
            _ = try reader.text(max: reader.limits.nameBytesMax, "name of a table")
            return try reader.text(max: reader.limits.textBytesMax, "description of a table")
        }
    }

    /// ClickHouse's IO/Progress.cpp.
    private mutating func progress(_ revision: Revision) throws -> ServerPacket.Progress {
        var progress = ServerPacket.Progress()
        progress.rows = try varUInt()
        progress.bytes = try varUInt()
        progress.totalRows = try varUInt()
        if revision.supports(.totalBytesInProgress) { progress.totalBytes = try varUInt() }
        if revision.supports(.writtenRowsInProgress) {
            progress.writtenRows = try varUInt()
            progress.writtenBytes = try varUInt()
        }
        if revision.supports(.elapsedInProgress) { progress.elapsedNanoseconds = try varUInt() }
        return progress
    }

    /// ClickHouse's QueryPipeline/ProfileInfo.cpp.
    private mutating func profileInfo(_ revision: Revision) throws -> ServerPacket.ProfileInfo {
        var info = ServerPacket.ProfileInfo()
        info.rows = try varUInt()
        info.blocks = try varUInt()
        info.bytes = try varUInt()
        info.hasLimit = try flag()
        info.rowsBeforeLimit = try varUInt()
        info.knowsRowsBeforeLimit = try flag()
        if revision.supports(.rowsBeforeAggregation) {
            info.hasAggregation = try flag()
            info.rowsBeforeAggregation = try varUInt()
        }
        return info
    }
}
