import ClickHouseNative
import Pipeline
import Synchronization

/// The last stage: takes encoded blocks and sees them confirmed.
///
/// Its contract is in docs/specs/sinks.md. In short: a block that was taken from the input ends in exactly one of three
/// ways, and each is counted: committed, refused (handed over, dead-lettered), or still held when the stage was cancelled.
public protocol Sink: Stage {
    /// What the next blocks should be encoded as. A block that turns out to be encoded otherwise is converted by the
    /// sink, at some cost.
    func encoding(with compression: Compression) async -> BlockEncoding
}

/// Who is told what became of blocks.
public struct BlockHandlers: Sendable {
    /// The sink confirmed a block: it is where it belongs, durably. Acks and checkpoints hang on it.
    public var committed: @Sendable (EncodedBlock) async -> Void
    /// The sink refused a block for good; whoever takes it keeps it. Until this returns the block is held, and when it
    /// throws, the block is tried again after a while: it is never dropped.
    public var refused: RefusedBlockHandler
    /// A block is to be sent in pieces, of the rows named, in this order; all its rows are in one of them. Returns what the pieces
    /// are known by, once that is durable; only then may the first of them be sent. From then on the block does
    /// not exist any more: each piece is committed or refused, or split further.
    public var split: SplitBlockHandler
    /// Takes blocks whose table takes none for now, so that those of other tables go past them. nil: nobody does, and they are held.
    public var setAside: SetAside?
    /// Reads values of columns whose types the table has changed as the new types. nil: nobody can, and such blocks are refused.
    public var convert: ColumnConverter?

    public init(
        committed: @escaping @Sendable (EncodedBlock) async -> Void = { _ in },
        split: SplitBlockHandler? = nil, setAside: SetAside? = nil, convert: ColumnConverter? = nil,
        refused: @escaping RefusedBlockHandler
    ) {
        self.committed = committed
        self.refused = refused
        self.convert = convert
        self.setAside = setAside
        self.split = split ?? { _, pieces in pieces.map { _ in Self.nextIdentity() } }
    }

    /// Without a spool nobody remembers pieces, but each has a number that no other block of this run has: what keeps
    /// refused blocks goes by it.
    private static func nextIdentity() -> BlockIdentity {
        BlockIdentity(id: lastPiece.wrappingAdd(1, ordering: .relaxed).newValue)
    }

    /// Sealed blocks count from 1.
    private static let lastPiece = Atomic<UInt64>(1 << 63)
}

/// Rows of a block that make a piece of it: runs in ascending order, with none in common.
public typealias RowSelection = [Range<Int>]

public typealias SplitBlockHandler = @Sendable (EncodedBlock, [RowSelection]) async throws -> [BlockIdentity]

/// Rows, a type for each of their columns, and the zone of times without one; gives the same rows in the same order, or those that
/// cannot be converted without loss, ascending.
public typealias ColumnConverter = @Sendable (Block, [DataType], String) throws -> ColumnConverterResult

public enum ColumnConverterResult: Sendable {
    case converted(Block)
    case impossible([Int])
}

public typealias RefusedBlockHandler = @Sendable (EncodedBlock, BlockRefusal) async throws -> Void

/// Why a block will not be accepted, however often it is sent.
public struct BlockRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Reason: String, Sendable, CaseIterable {
        /// Values of some row are not what the server takes.
        case rows = "rows_refused"
        /// The block has rows of more partitions than the server takes in one INSERT.
        case tooManyPartitions = "too_many_partitions"
        /// The table, the user or the settings are at fault.
        case table = "table_refused"
        /// The table's columns are no longer those of the block.
        case structureChanged = "structure_changed"
        /// It would be refused for another reason, but an attempt before may have written a part of it.
        case outcomeUnknown = "outcome_unknown"
        /// An error that is not known here came back on every attempt.
        case unknownError = "unknown_error"
    }

    public let reason: Reason
    /// The server's code, where it was the server that refused.
    public let code: ErrorCode?
    /// What the server said, cut to `messageBytesMax`. May quote values of rows: for the dead letter, not for logs.
    public let message: String

    public static let messageBytesMax = 4096

    public init(_ reason: Reason, code: ErrorCode? = nil, message: String) {
        self.reason = reason
        self.code = code
        self.message = String(decoding: message.utf8.prefix(Self.messageBytesMax), as: UTF8.self)
    }

    /// Without the message.
    public var description: String { code.map { "\(reason.rawValue): ClickHouse error \($0)" } ?? reason.rawValue }
}
