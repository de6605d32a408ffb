import ProducerProtocol

/// When the daemon shall say that rows are taken care of (docs/specs/delivery.md).
public enum SluiceAck: String, Sendable, CaseIterable {
    /// The daemon has the row in memory. It does not survive the daemon.
    case received
    /// The row is in the daemon's spool, synced.
    case durable
    /// The row is in ClickHouse, or settled in another way.
    case committed
}

/// How a producer reaches the daemon, and what it keeps.
public struct SluiceProducerConfiguration: Sendable {
    /// The daemon's Unix socket, `receive.socket.path`.
    public var socketPath: String
    /// Under this name, 1 to 128 bytes, the daemon remembers which rows it has: rows that are sent again after a broken
    /// connection, or by the next run of the same program, are not taken twice. Without a name they may be. One producer at
    /// a time has a name; a second one takes it over.
    public var name: String?
    /// Which numbering of rows this is; only with a name. A program that keeps its rows over a restart keeps the epoch, and
    /// goes on from the number that `connect()` returns. One that begins anew takes a higher one, such as the time.
    public var epoch: UInt64
    /// When rows count as taken care of, and are kept here no longer.
    public var ack: SluiceAck
    /// The table of rows that name none themselves: `mstore`, `analytics.mstore`.
    public var table: String?
    /// How rows are written; NDJSON without it. Rows of other formats go by `send(_:rows:)` (docs/specs/formats.md).
    public var format: SluiceFormat = .ndjson
    /// Bytes of rows that are kept until they are acked, default 16 MiB. `send` waits while there is no room.
    public var bufferBytesMax = 16 << 20
    /// Payload of one frame, at least the longest row; default 256 KiB. A longer row makes a frame of its own, up to
    /// `rowBytesMax`.
    public var frameBytesMax = 256 << 10
    /// Longest row with its newline, default 1 MiB: what the daemon takes as it comes (`receive.line_bytes_max`).
    public var rowBytesMax = 1 << 20
    /// Whether frames carry a CRC-32. It guards against bugs rather than against the socket, and costs little.
    public var checksums = true
    /// Wait before the first new attempt to connect; it doubles up to `retryDelayMax`, each between half of it and all.
    public var retryDelayMin: Duration = .milliseconds(50)
    public var retryDelayMax: Duration = .seconds(5)
    /// A daemon that says how long to stay away is heeded up to this.
    public var retryAfterMax: Duration = .seconds(300)
    /// How long to try again; nil, the default: for ever. What is not acked then is reported by the error.
    public var giveUpAfter: Duration?
    /// A PING is sent when nothing else was for so long.
    public var heartbeatInterval: Duration = .seconds(15)
    /// A connection on which nothing was heard for so long is given up and made anew.
    public var silenceMax: Duration = .seconds(45)
    /// Name and version of the program, for the daemon's log.
    public var client = "swift"

    public init(
        socketPath: String, name: String? = nil, epoch: UInt64 = 0, ack: SluiceAck = .durable, table: String? = nil
    ) {
        self.socketPath = socketPath
        self.name = name
        self.epoch = epoch
        self.ack = ack
        self.table = table
    }
}

/// How rows are written, and what their columns are.
public struct SluiceFormat: Hashable, Sendable {
    /// ClickHouse's name of it: `CSV`, `TSV`, `RowBinary`, `Native`, `RowBinaryWithNamesAndTypes`, …
    public let name: String
    /// Names of the columns; nil: each frame has them, or they are the table's, in its order. Only for `CSV`, `TSV` and `RowBinary`.
    public var columns: [String]?
    /// Names of their types, as many.
    public var types: [String]?
    /// Of CSV; nil: a comma.
    public var delimiter: Character?

    public init(_ name: String, columns: [String]? = nil, types: [String]? = nil, delimiter: Character? = nil) {
        self.name = name
        self.columns = columns
        self.types = types
        self.delimiter = delimiter
    }

    /// Lines of JSON, which have numbers each, and can be cut where a line ends.
    public static let ndjson = SluiceFormat("ndjson")

    var isNDJSON: Bool { RowFormat(name: name) == .ndjson }

    /// As HELLO has it.
    var fields: [(key: String, value: String)] {
        var fields = [("format", name)]
        if let columns { fields.append(("columns", NameList.text(columns))) }
        if let types { fields.append(("types", NameList.text(types))) }
        if let delimiter { fields.append(("format_csv_delimiter", delimiter == "\t" ? "\\t" : String(delimiter))) }
        return fields
    }
}

/// What a producer hears between its calls.
public enum SluiceEvent: Hashable, Sendable {
    /// A session is open; the daemon has all rows up to `resume`.
    case connected(resume: UInt64)
    /// The session ended; there will be another. The text is for a log.
    case disconnected(String)
    /// All rows up to this number are taken care of.
    case acked(UInt64)
    /// A row was rejected; the daemon's dead letter has it.
    case rejected(SluiceRejection)
    /// More rows were rejected than the daemon tells one by one.
    case rejectionsLeftOut(Int)
    /// The daemon knows less than it had acked: with `received` after a crash, or because its spool is gone or has forgotten
    /// the name. Rows up to `acked` that it did not keep are lost, if it had not shipped them. The producer goes on, with a
    /// higher epoch where that is needed.
    case daemonForgot(acked: UInt64, daemonHas: UInt64, epoch: UInt64)
}

/// A row that the daemon did not take, and why.
public struct SluiceRejection: Hashable, Sendable {
    /// The number that `send` returned for it.
    public let row: UInt64
    /// One of the dead letter's words (docs/specs/ndjson.md).
    public let reason: String
    public let column: String?
    public let message: String
}

/// Why a producer cannot go on.
public struct SluiceClientError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: Hashable, Sendable {
        /// The daemon refused: its error code.
        case refused(String)
        /// No session within `giveUpAfter`, or at the first attempt if only one was wanted.
        case notConnected
        /// A row is longer than `rowBytesMax`.
        case rowTooLong
        /// Nothing to send.
        case noRows
        /// The call is for another format.
        case wrongCall
        /// The daemon has rows under this name and epoch that this producer did not send.
        case numberingInUse
        /// What the daemon sent is not the protocol.
        case badAnswer
        /// The producer was closed.
        case closed
    }

    public let code: Code
    /// One line, for people. Nothing of rows.
    public let message: String

    public var description: String { message }
}
