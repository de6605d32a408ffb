import NIOCore
import Pipeline

/// Why a row was not taken; a bounded set, for metrics and for whoever sorts a dead letter.
public enum RejectReason: String, Hashable, Sendable, CaseIterable {
    /// Not JSON, or not an object.
    case malformedJSON = "malformed_json"
    case duplicateKey = "duplicate_key"
    /// Nested deeper than `depth_max`.
    case tooDeep = "too_deep"
    /// Longer than `line_bytes_max`.
    case lineTooLong = "line_too_long"
    /// The rest of the line never came: the session held half a line for too long, or the daemon stopped.
    case incompleteLine = "incomplete_line"
    /// Nothing says which table the row is for.
    case noTable = "no_table"
    /// A table's name that none can have.
    case invalidTable = "invalid_table"
    case unknownTable = "unknown_table"
    /// The sink's user may not write to the table.
    case accessDenied = "access_denied"
    /// The table has a column of a type that sluice does not know.
    case unsupportedType = "unsupported_type"
    case tooManyTables = "too_many_tables"
    /// More different sets of omitted DEFAULT columns than `variants_max`.
    case tooManyVariants = "too_many_variants"
    case unknownField = "unknown_field"
    case typeMismatch = "type_mismatch"
    case outOfRange = "out_of_range"
    case nullNotAllowed = "null_not_allowed"
    case unknownEnumValue = "unknown_enum_value"
    // What an operator asks of rows (docs/specs/rules.md):
    case ruleRequired = "rule_required"
    case ruleRange = "rule_range"
    case ruleLength = "rule_length"
    case ruleOneOf = "rule_one_of"
    case ruleRegex = "rule_regex"
    case ruleUnknownFields = "rule_unknown_fields"
    case ruleRoute = "rule_route"
    /// The table's rules do not fit its columns.
    case ruleInvalid = "rule_invalid"
    // Of other formats than NDJSON (docs/specs/formats.md):
    /// Not a row of its format.
    case malformedRow = "malformed_row"
    /// It lies behind a row that cannot be read, and where it begins cannot be told.
    case unreadableRest = "unreadable_rest"
    /// A frame does not have the rows that it says.
    case rowCountMismatch = "row_count_mismatch"
    /// The table's rows cannot be read in this format.
    case unsupportedFormat = "unsupported_format"
    /// The server refused the row's block for good.
    case refusedByServer = "refused_by_server"
}

/// A row that was not taken, and all that its dead letter tells.
public struct Rejection: Sendable {
    /// nil when it is not known which table the row was for.
    public var table: TableName?
    public var column: String?
    public var reason: RejectReason
    /// For people. Nothing of the row but names of fields and tables.
    public var message: String
    public var session: UInt64
    /// The row as it came, without its newline; a slice is fine. Of a very long row only the beginning.
    public var bytes: ByteBuffer
    /// Length of the whole row, in bytes.
    public var length: Int
    /// The row's number, if its producer numbers them: then somebody waits to hear that the row is kept.
    public var number: UInt64?
    /// Whose number it is.
    public var producer: Producer.Identity?
    /// Values of it are not here, as they are not to be kept.
    public var isRedacted = false
    /// What it takes to read the row again; nil: it is NDJSON.
    public var form: SessionFormat?
    /// Rows that `bytes` are, where they could not be told apart: 0 for those whose bytes another one has.
    public var undividedRows: Int?

    /// - Parameter length: nil: `bytes` is the whole row.
    public init(
        table: TableName?, column: String? = nil, reason: RejectReason, message: String, session: UInt64,
        bytes: ByteBuffer, length: Int? = nil, number: UInt64? = nil,
        producer: Producer.Identity? = nil, form: SessionFormat? = nil
    ) {
        self.table = table
        self.column = column
        self.reason = reason
        self.message = message
        self.session = session
        self.bytes = bytes
        self.length = length ?? bytes.readableBytes
        self.number = number
        self.producer = producer
        self.form = form
    }
}

extension Rejection: CustomStringConvertible {
    /// Without the row: it is a producer's data.
    public var description: String {
        "row of session \(session) rejected: \(reason.rawValue)\(column.map { ", column \($0)" } ?? "")"
    }
}
