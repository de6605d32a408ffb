/// The number of an error that a server reports (ClickHouse's Common/ErrorCodes.cpp), and what it means for a client
/// that inserts. Only those are named here that we treat in some way of their own.
public struct ErrorCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// What to do about an error.
    public enum Treatment: String, Sendable {
        /// The server or its surroundings are out of order for the moment: try again, here or at another replica.
        case retry
        /// The server has too much to do: try again later, with less or with larger blocks.
        case backOff
        /// The rows are at fault: the same block fails again, a part of it may not.
        case rejectRows
        /// The schema, the user or the settings are at fault: nothing helps until an operator changes something.
        case needsOperator
        /// Not in the table.
        case unclassified
    }

    /// ClickHouse's own name; nil for a code that is not in the table.
    public var name: String? { Self.table[rawValue]?.name }

    public var treatment: Treatment { Self.table[rawValue]?.treatment ?? .unclassified }

    /// The same request may succeed later, without anybody changing it.
    public var isTransient: Bool { treatment == .retry || treatment == .backOff }

    /// An INSERT that fails with it after its data was sent may have been applied all the same.
    public var leavesInsertInDoubt: Bool { Self.doubtful.contains(self) }

    public var description: String { name.map { "\(rawValue) (\($0))" } ?? "\(rawValue)" }

    public static let unknownTable = ErrorCode(rawValue: 60)
    public static let unknownDatabase = ErrorCode(rawValue: 81)
    public static let timeoutExceeded = ErrorCode(rawValue: 159)
    public static let tooManySimultaneousQueries = ErrorCode(rawValue: 202)
    public static let socketTimeout = ErrorCode(rawValue: 209)
    public static let networkError = ErrorCode(rawValue: 210)
    public static let memoryLimitExceeded = ErrorCode(rawValue: 241)
    public static let tableIsReadOnly = ErrorCode(rawValue: 242)
    public static let unexpectedZooKeeperError = ErrorCode(rawValue: 244)
    public static let tooManyParts = ErrorCode(rawValue: 252)
    public static let unsatisfiedQuorum = ErrorCode(rawValue: 286)
    public static let unknownStatusOfInsert = ErrorCode(rawValue: 319)
    public static let queryWasCancelled = ErrorCode(rawValue: 394)
    public static let authenticationFailed = ErrorCode(rawValue: 516)
    public static let keeperException = ErrorCode(rawValue: 999)

    /// The quorum or the coordination service did not answer in time, or a part of the path did not.
    private static let doubtful: Set<ErrorCode> = [
        .timeoutExceeded, .socketTimeout, .networkError, .unexpectedZooKeeperError, .unsatisfiedQuorum,
        .unknownStatusOfInsert, .queryWasCancelled, .keeperException,
    ]

    private struct Entry {
        let name: String
        let treatment: Treatment
    }

    private static let table: [Int32: Entry] = {
        var table: [Int32: Entry] = [:]
        func add(_ treatment: Treatment, _ entries: KeyValuePairs<Int32, String>) {
            for (code, name) in entries { table[code] = Entry(name: name, treatment: treatment) }
        }
        add(
            .retry,
            [
                3: "UNEXPECTED_END_OF_FILE", 32: "ATTEMPT_TO_READ_AFTER_EOF", 74: "CANNOT_READ_FROM_FILE_DESCRIPTOR",
                198: "DNS_ERROR", 203: "NO_FREE_CONNECTION", 209: "SOCKET_TIMEOUT", 210: "NETWORK_ERROR",
                225: "NO_ZOOKEEPER", 236: "ABORTED", 242: "TABLE_IS_READ_ONLY", 244: "UNEXPECTED_ZOOKEEPER_ERROR",
                254: "NO_ACTIVE_REPLICAS", 265: "NO_AVAILABLE_REPLICA", 279: "ALL_CONNECTION_TRIES_FAILED",
                285: "TOO_FEW_LIVE_REPLICAS", 286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
                289: "REPLICA_IS_NOT_IN_QUORUM", 319: "UNKNOWN_STATUS_OF_INSERT", 341: "UNFINISHED",
                384: "PART_IS_TEMPORARILY_LOCKED", 394: "QUERY_WAS_CANCELLED", 425: "SYSTEM_ERROR",
                473: "DEADLOCK_AVOIDED", 499: "S3_ERROR", 659: "UNKNOWN_STATUS_OF_TRANSACTION",
                722: "ASYNC_LOAD_WAIT_FAILED", 733: "TABLE_IS_BEING_RESTARTED", 999: "KEEPER_EXCEPTION",
                1000: "POCO_EXCEPTION",
            ])
        add(
            .backOff,
            [
                159: "TIMEOUT_EXCEEDED", 160: "TOO_SLOW", 173: "CANNOT_ALLOCATE_MEMORY", 201: "QUOTA_EXCEEDED",
                202: "TOO_MANY_SIMULTANEOUS_QUERIES", 241: "MEMORY_LIMIT_EXCEEDED", 243: "NOT_ENOUGH_SPACE",
                252: "TOO_MANY_PARTS", 373: "SESSION_IS_LOCKED", 439: "CANNOT_SCHEDULE_TASK",
                574: "DISTRIBUTED_TOO_MANY_PENDING_BYTES", 700: "USER_SESSION_LIMIT_EXCEEDED",
                745: "SERVER_OVERLOADED", 749: "TCP_CONNECTION_LIMIT_REACHED",
            ])
        add(
            .rejectRows,
            [
                6: "CANNOT_PARSE_TEXT", 27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED", 33: "CANNOT_READ_ALL_DATA",
                38: "CANNOT_PARSE_DATE", 41: "CANNOT_PARSE_DATETIME", 69: "ARGUMENT_OUT_OF_BOUND",
                70: "CANNOT_CONVERT_TYPE", 72: "CANNOT_PARSE_NUMBER", 117: "INCORRECT_DATA",
                128: "TOO_LARGE_ARRAY_SIZE", 131: "TOO_LARGE_STRING_SIZE", 321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
                349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", 395: "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
                469: "VIOLATED_CONSTRAINT",
            ])
        add(
            .needsOperator,
            [
                16: "NO_SUCH_COLUMN_IN_TABLE", 20: "NUMBER_OF_COLUMNS_DOESNT_MATCH", 36: "BAD_ARGUMENTS",
                43: "ILLEGAL_TYPE_OF_ARGUMENT", 44: "ILLEGAL_COLUMN", 46: "UNKNOWN_FUNCTION",
                47: "UNKNOWN_IDENTIFIER", 48: "NOT_IMPLEMENTED", 50: "UNKNOWN_TYPE", 53: "TYPE_MISMATCH",
                60: "UNKNOWN_TABLE", 62: "SYNTAX_ERROR", 81: "UNKNOWN_DATABASE", 115: "UNKNOWN_SETTING",
                164: "READONLY", 192: "UNKNOWN_USER", 193: "WRONG_PASSWORD", 194: "REQUIRED_PASSWORD",
                195: "IP_ADDRESS_NOT_ALLOWED", 497: "ACCESS_DENIED", 516: "AUTHENTICATION_FAILED",
                701: "CLUSTER_DOESNT_EXIST",
            ])
        return table
    }()
}
