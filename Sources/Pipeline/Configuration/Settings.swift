/// The whole configuration, as the stages use it: plain values with their defaults. `ConfigurationLoader` fills it from
/// `sluice.yaml`, the stage files and the environment.
public struct Settings: Sendable, Hashable {
    public var receive = ReceiveSettings()
    public var validate = ValidateSettings()
    public var spool = SpoolSettings()
    public var batch = BatchSettings()
    public var compress = CompressSettings()
    public var ship = ShipSettings()
    public var admin = AdminSettings()
    public var audit = AuditSettings()
    public var log = LogSettings()
    /// Accepted rows get this long to reach the sink after SIGTERM.
    public var shutdownTimeout: Duration = .seconds(30)
    /// How often files are looked at; nil: never.
    public var watchInterval: Duration? = .seconds(5)

    public init() {}
}

/// Bounds of the stream in front of a stage.
public struct QueueSettings: Sendable, Hashable {
    public var elementsMax: Int
    public var bytesMax: Int

    public init(elementsMax: Int, bytesMax: Int) {
        self.elementsMax = elementsMax
        self.bytesMax = bytesMax
    }
}

public struct LogSettings: Sendable, Hashable {
    public enum Format: String, Sendable, CaseIterable { case text, json }
    public enum Level: String, Sendable, CaseIterable { case trace, debug, info, notice, warning, error, critical }

    public var level: Level = .info
    public var format: Format = .text

    public init() {}
}

/// The HTTP endpoints: on a TCP address, on a Unix socket, or on both.
public struct AdminSettings: Sendable, Hashable {
    public var enabled = true
    /// nil: no TCP. Anything but loopback needs a token and TLS.
    public var host: String? = "127.0.0.1"
    public var port = 8090
    /// A Unix socket, which only its mode protects: who may open it may do everything. nil: none.
    public var socketPath: String?
    public var socketMode: UInt16 = 0o600
    /// What a client on TCP has to show; empty: nothing, and then nothing can be changed there either.
    public var token = Secret("")
    /// PEM files; both or none.
    public var tlsCertificate: String?
    public var tlsKey: String?
    /// Open connections; further ones wait until one is closed.
    public var connectionsMax = 64
    /// Of these, so many may be live streams of events.
    public var streamsMax = 8
    /// Of one peer, on average over ten seconds.
    public var requestsPerSecond = 50

    public init() {}

    /// Shortest token that is worth its name, in bytes.
    public static let tokenBytesMin = 16

    public var isLoopback: Bool { host.map(Self.isLoopback(host:)) ?? true }

    /// Whether a name or address can only mean this machine.
    public static func isLoopback(host: String) -> Bool {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        let isIPv4 = parts.count == 4 && parts.first == 127 && parts.allSatisfy { $0 != nil }
        return isIPv4 || host == "::1" || host == "localhost"
    }
}

/// Where it is written down who changed what.
public struct AuditSettings: Sendable, Hashable {
    /// nil: nothing is written down.
    public var path: String? = "audit.log"
    /// A file is closed and a new one begun at this size.
    public var fileBytesMax = 16 << 20
    /// Files that are kept, the one that is written to included.
    public var filesMax = 5

    public init() {}
}

public struct ReceiveSettings: Sendable, Hashable {
    /// Path of the Unix stream socket. A stale one is replaced, a live one refused.
    public var socketPath = "sluice.sock"
    /// Permission bits of the socket.
    public var socketMode: UInt16 = 0o660
    /// User and group that own the socket, by name or number; nil leaves them as they are.
    public var socketOwner: String?
    public var socketGroup: String?
    public var backlog = 1024
    public var connectionsMax = 4096
    /// Longest line; a longer one is skipped to its end and rejected.
    public var lineBytesMax = 1 << 20
    /// A session that holds half a line for longer is closed; nil: never.
    public var partialLineTimeout: Duration? = .seconds(60)
    /// Largest read from one session at once.
    public var readBytesMax = 256 << 10
    /// What reads of all sessions may take together; each gets an equal share, at least 16 KiB.
    public var readMemoryMax = 64 << 20
    /// Longest payload of a frame.
    public var frameBytesMax = (1 << 20) + (64 << 10)
    /// Payload bytes that a producer of frames may have sent beyond what is acked.
    public var creditBytes = 16 << 20
    /// Rejected rows that a producer is told of one by one, for each ack.
    public var nacksMax = 100
    /// Acks and nacks that may wait for a producer to read them.
    public var unreadBytesMax = 64 << 10
    /// A session of frames that says nothing for so long is ended; nil: never.
    public var idleTimeout: Duration?
    /// Event loop threads of the listener; 0: one for four cores, at least one.
    public var threads = 0
    /// Users and groups whose processes may connect, by name or number; both empty: whoever the socket's mode lets.
    public var allowedUsers: [String] = []
    public var allowedGroups: [String] = []
    /// Sessions of one user at once; nil: no bound but `connectionsMax`.
    public var connectionsPerUserMax: Int?
    public var rateLimit = RateLimitSettings()
    /// What waits for validation.
    public var queue = QueueSettings(elementsMax: 8192, bytesMax: 8 << 20)

    public init() {}
}

/// How fast rows may come, on average. Names are those that producers gave themselves, or those of tables; `*` stands for each
/// that is not named. Empty: no limit.
public struct RateLimitSettings: Sendable, Hashable {
    /// Stands for each name that has no limit of its own.
    public static let others = "*"

    /// Rows a second.
    public var producerRows: [String: Int] = [:]
    /// Bytes of lines a second.
    public var producerBytes: [String: Int] = [:]
    public var tableRows: [String: Int] = [:]
    public var tableBytes: [String: Int] = [:]
    /// What may come at once after a pause: as much as in so long a time.
    public var burst: Duration = .seconds(1)

    public init() {}

    public var isOff: Bool { producerRows.isEmpty && producerBytes.isEmpty && tableRows.isEmpty && tableBytes.isEmpty }
}

public struct ValidateSettings: Sendable, Hashable {
    public enum DateTimeFormat: String, Sendable, CaseIterable {
        case basic, bestEffort = "best_effort", bestEffortUS = "best_effort_us"
    }

    /// How a table's JSON is read, under ClickHouse's own setting names and with the defaults of 26.9.
    public struct Input: Sendable, Hashable {
        public var dateTimeInputFormat: DateTimeFormat = .bestEffort
        public var nullAsDefault = true
        public var skipUnknownFields = true
        public var defaultsForOmittedFields = true
        public var importNestedJSON = false
        public var readBoolsAsNumbers = true
        public var readBoolsAsStrings = true
        public var readNumbersAsStrings = true
        public var readObjectsAsStrings = true
        public var readArraysAsStrings = true
        public var namedTuplesAsObjects = true
        public var ignoreUnknownKeysInNamedTuple = true
        public var defaultsForMissingElementsInNamedTuple = true
        public var tryInferDates = true
        public var tryInferDatetimes = true
        public init() {}
    }

    /// Table for rows that name none; nil rejects them.
    public var defaultTable: String?
    /// The field that names the table of a row; it is not a column unless the table has one of that name.
    public var tableField = "table"
    /// Deepest nesting of a value that is read or skipped.
    public var depthMax = 64
    /// Tables that may be open at once.
    public var tablesMax = 1024
    /// Rows that are parsed for different sets of omitted DEFAULT columns, per table.
    public var variantsMax = 16
    /// Parallel parsers; 0: one for two cores, at least one.
    public var workers = 0
    /// A row batch goes on when it has so many rows or bytes, or when no input waits.
    public var rowBatchRowsMax = 16_384
    public var rowBatchBytesMax = 8 << 20
    /// What chunks with rows of many tables may hold that wait for being read table by table, in bytes, for each worker. The text of rows
    /// is about twice their columns, and lies in buffers that it does not fill. A worker that is alone has more: with a thousand tables a row
    /// costs the less the more there are of each.
    public var gatherBytesMax: Int { max(3, 6 / workersOrDefault) * rowBatchBytesMax }
    /// What rows of several tables, mixed, may take that were read and have not gone on. Their blocks are used again, and have room for more.
    public var mixedBytesMax: Int { rowBatchBytesMax + rowBatchBytesMax / 2 }
    /// Lines of a table, on average, that wait no longer.
    public var gatherRowsMax: Int { max(1, rowBatchRowsMax / 4) }
    /// Emptied blocks that are kept for reuse; as many bytes again of buffers that rows were compressed into, or read from the spool, and of copies of few rows.
    public var recycledBytesMax = 16 << 20
    /// So often the tables in use are asked for anew; nil: only when something points to a change.
    public var structureRefresh: Duration? = .seconds(10)
    /// Between two questions because of a field that a table lacks.
    public var structureRefreshMin: Duration = .seconds(1)
    public var input = Input()
    /// What tables have in place of `input`, by their names.
    public var tables: [String: Input] = [:]
    /// What is asked of rows beyond their types, by the names of tables.
    public var rules: [String: TableRules] = [:]
    /// Files with CREATE TABLE statements: the structures of tables for a sink without a server.
    public var schemaFiles: [String] = []
    public var deadLetter = DeadLetterSettings()
    /// What waits for batching: many row batches of few rows where there are many tables.
    public var queue = QueueSettings(elementsMax: 8192, bytesMax: 8 << 20)

    public init() {}

    /// How rows of a table are read: by its whole name, or by its name without a database.
    public func input(of table: TableName) -> Input { tables[table.description] ?? tables[table.table] ?? input }
}

/// Where rejected rows are kept.
public struct DeadLetterSettings: Sendable, Hashable {
    public var directory = "dead-letter"
    /// A file is closed and a new one begun at this size.
    public var fileBytesMax = 64 << 20
    /// All files together; when full, the oldest goes (counted).
    public var totalBytesMax = 1 << 30
    /// Original bytes kept of one rejected row; the rest is cut off and the cut is noted.
    public var rowBytesMax = 64 << 10

    public init() {}
}

/// When an open block is sealed.
public struct BatchStrategy: Sendable, Hashable {
    public enum Kind: String, Sendable, CaseIterable {
        /// Each row batch is sealed as it comes.
        case immediate
        /// By age alone.
        case time
        /// By rows or bytes alone.
        case size
        /// Rows, bytes or age, whichever is first.
        case hybrid
        /// By the share of `memoryMax` that the table's open block takes.
        case memory
        /// Hybrid, with the age following the table's rate so that blocks come out near `rowsMax`.
        case adaptive
    }

    public var kind: Kind = .hybrid
    public var rowsMax = 65_536
    public var bytesMax = 32 << 20
    /// Counted from the first row's arrival.
    public var ageMax: Duration = .seconds(1)
    /// Adaptive: the age is never below this.
    public var ageMin: Duration = .milliseconds(50)
    /// Higher goes first where several blocks are due.
    public var priority = 0

    public init() {}
}

public struct BatchSettings: Sendable, Hashable {
    public var defaults = BatchStrategy()
    public var tables: [String: BatchStrategy] = [:]
    /// All open blocks together; beyond it the largest is sealed.
    public var memoryMax = 48 << 20
    /// While the server has too many parts of a table, its blocks grow up to so many times their rows and age.
    public var growthMax = 8
    /// Sealed blocks that wait for compression.
    public var queue = QueueSettings(elementsMax: 256, bytesMax: 8 << 20)

    public init() {}
}

public struct CompressSettings: Sendable, Hashable {
    public enum Method: String, Sendable, CaseIterable { case lz4, lz4hc, zstd, none }

    public var method: Method = .lz4
    /// LZ4HC 1–12, ZSTD 1–22; nil takes the library's default.
    public var level: Int?
    /// Raw bytes of one compressed frame.
    public var frameBytes = 1 << 20
    /// Blocks compressed at once; 0: one for two cores, at least one.
    public var workers = 0
    /// Encoded blocks that wait for shipping.
    public var queue = QueueSettings(elementsMax: 256, bytesMax: 8 << 20)

    public init() {}
}

public struct ShipSettings: Sendable, Hashable {
    public enum Sink: String, Sendable, CaseIterable { case clickhouse, file, null }

    public var sink: Sink = .file
    public var clickhouse = ClickHouseSettings()
    public var file = FileSinkSettings()

    public init() {}
}

public struct ClickHouseSettings: Sendable, Hashable {
    public struct Host: Sendable, Hashable, CustomStringConvertible {
        public var name: String
        public var port: Int
        public init(name: String, port: Int) {
            self.name = name
            self.port = port
        }
        public var description: String { name.contains(":") ? "[\(name)]:\(port)" : "\(name):\(port)" }
    }

    public enum Profile: String, Sendable, CaseIterable {
        /// What the Go tracker sets: batching by the server, without waiting for it.
        case tracker

        public var settings: [String: String] {
            switch self {
            case .tracker:
                [
                    "async_insert": "1", "wait_for_async_insert": "0", "async_insert_max_data_size": "10000000",
                    "async_insert_busy_timeout_ms": "200", "max_block_size": "10000",
                    "max_insert_block_size": "1048576",
                ]
            }
        }
    }

    /// Which host a block goes to.
    public enum LoadBalancing: String, Sendable, CaseIterable {
        /// The first that is well; the others stand by.
        case inOrder = "in_order"
        case roundRobin = "round_robin"
        case random
        /// The one with the fewest blocks in flight.
        case leastInFlight = "least_in_flight"
    }

    /// What is done with a block after an error, in place of the built-in table (docs/specs/sinks.md).
    public enum ErrorTreatment: String, Sendable, CaseIterable {
        /// Again, as long as it takes.
        case retry
        /// Again, after longer waits: the server has too much to do.
        case backOff = "back_off"
        /// Rows are at fault: the block is halved until they are found.
        case split
        /// To the dead letter.
        case refuse
    }

    /// Settings that give up a promise, each by a value of its own; refused unless they are named.
    public enum UnsafeSetting: String, Sendable, CaseIterable {
        /// 0 with `async_insert`: rows are confirmed before they are written.
        case waitForAsyncInsert = "wait_for_async_insert"
        /// 0: a block that is sent again may land twice.
        case insertDeduplicate = "insert_deduplicate"
        /// 0 with `async_insert`: the same.
        case asyncInsertDeduplicate = "async_insert_deduplicate"
        /// `disable`: the same, in servers from 26.2 on.
        case deduplicateInsert = "deduplicate_insert"
    }

    /// Replicas of one another, as far as blocks must land once.
    public var hosts: [Host] = [Host(name: "localhost", port: 9000)]
    public var loadBalancing = LoadBalancing.inOrder
    public var database = "default"
    public var username = "default"
    public var password = Secret("")
    /// TLS; the server's certificate is verified against `caCert`, or the system's roots.
    public var secure = false
    public var caCert: String?
    /// Certificates and key with which we show the server who we are, both PEM; both or none.
    public var clientCert: String?
    public var clientKey: String?
    /// A password over plain TCP to another machine is refused otherwise.
    public var allowPlaintextPassword = false
    /// Blocks in flight; so many connections ship at once.
    public var connections = 4
    /// Connections open at once, with those that ask for structures and health.
    public var connectionsMax: Int { max(connections, 10) }
    /// Connections that are kept while nobody uses them.
    public var idleConnectionsMax: Int { connectionsMax / 2 }
    /// A connection that is older is not used again.
    public var connectionLifetime: Duration = .seconds(7200)
    /// Failures of a host, one after the other, after which it is left alone for `breakerOpenTime`.
    public var breakerFailuresMax = 5
    public var breakerOpenTime: Duration = .seconds(30)
    public var connectTimeout: Duration = .seconds(30)
    /// From the last byte of a block to the server's answer.
    public var insertTimeout: Duration = .seconds(30)
    /// For DESCRIBE and the like.
    public var queryTimeout: Duration = .seconds(5)
    /// For the answer to a ping while nothing is shipped.
    public var healthCheckTimeout: Duration = .seconds(5)
    public var retryDelayMin: Duration = .milliseconds(100)
    public var retryDelayMax: Duration = .seconds(10)
    /// By ClickHouse's error codes, in place of the built-in table.
    public var errors: [Int32: ErrorTreatment] = [:]
    /// Rows of one block that are refused one by one; the rest is then refused as a whole.
    public var splitRefusalsMax = 100
    /// Partitions in one INSERT, once the server found them too many.
    public var partitionsMax = 100
    /// Settings that give up a promise and are wanted all the same.
    public var unsafeSettings: [UnsafeSetting] = []
    /// A named set of settings, already contained in `settings`.
    public var profile: Profile?
    /// Settings of each INSERT, by ClickHouse's names. `async_insert` is 0 unless set here.
    public var settings: [String: String] = [:]

    public init() {}
}

public struct FileSinkSettings: Sendable, Hashable {
    public enum Compression: String, Sendable, CaseIterable { case none, lz4, zstd }

    public var directory = "data"
    public var compression: Compression = .none
    /// A file is closed and renamed to its final name at this size or age, whichever is first.
    public var rollBytes = 256 << 20
    public var rollAge: Duration = .seconds(60)

    public init() {}
}

/// A value that never prints itself.
public struct Secret: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The value; for the one place that sends it.
    public let revealed: String

    public init(_ value: String) { self.revealed = value }

    public var description: String { revealed.isEmpty ? "" : "********" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
