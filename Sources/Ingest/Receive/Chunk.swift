import NIOCore
import Pipeline

/// Whole lines of one session, as they came: the unit between receive and validate.
///
/// An object, as it is passed on several times before anybody reads it, and refers to much.
public final class Chunk: Sendable {
    /// Unique within one run of the daemon.
    public let session: UInt64
    /// Counts the session's chunks from 0.
    public let number: UInt64
    /// The table that the session's control line named; nil: each row's field, or the stage file's default.
    public let table: String?
    /// Rows of `format`. Of NDJSON, which that is nil for, one line or more, each ended by a newline but for the last, which may lack it
    /// at the end of a session.
    public let bytes: ByteBuffer
    /// NDJSON's first lines, where they lie apart from `bytes`: a line that two reads brought. Each is ended by a newline.
    public let head: ByteBuffer?
    public let received: ContinuousClock.Instant
    /// Whose rows these are, and their numbers, if the session wants acks: one number for each line, blank ones too.
    public let numbering: Numbering?
    /// A line that receive itself rejected, in the place of bytes, which are empty then. Only in sessions with acks: the
    /// line has a number (`numbering`, a range of one), which is settled where those of other rejected rows are.
    public let rejection: Rejection?
    /// How the rows are written; nil: as NDJSON.
    public let format: SessionFormat?
    /// Which rows of `bytes` the chunk is about; only with a format.
    public let window: RowWindow?

    public struct Numbering: Sendable {
        public let producer: Producer
        public let range: RowRange

        public init(producer: Producer, range: RowRange) {
            self.producer = producer
            self.range = range
        }
    }

    public init(
        session: UInt64, number: UInt64, table: String?, head: ByteBuffer? = nil, bytes: ByteBuffer,
        received: ContinuousClock.Instant, numbering: Numbering? = nil, rejection: Rejection? = nil,
        format: SessionFormat? = nil, window: RowWindow? = nil
    ) {
        self.session = session
        self.number = number
        self.table = table
        self.head = head
        self.bytes = bytes
        self.received = received
        self.numbering = numbering
        self.rejection = rejection
        self.format = format
        self.window = window
    }

    /// Of all rows.
    public var byteCount: Int { (head?.readableBytes ?? 0) + bytes.readableBytes }
}
