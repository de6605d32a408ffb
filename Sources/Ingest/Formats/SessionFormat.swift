import ProducerProtocol

/// How the rows of a session are to be read, where they are no NDJSON. One object for all chunks of a session.
public final class SessionFormat: Sendable, Hashable {
    public let format: RowFormat
    /// Names of the rows' columns, where the session says them; nil: a header does, or they are the table's.
    public let columns: [String]?
    /// Names of their types.
    public let types: [String]?
    /// Of CSV.
    public let delimiter: UInt8

    public init(_ format: RowFormat, columns: [String]? = nil, types: [String]? = nil, delimiter: UInt8 = 0x2C) {
        self.format = format
        self.columns = columns
        self.types = types
        self.delimiter = delimiter
    }

    /// Finds the ends of its rows; nil for binary ones.
    var scanner: RowScanner? { format.isText ? RowScanner(delimiter: format.isCSV ? delimiter : nil) : nil }

    public static func == (a: SessionFormat, b: SessionFormat) -> Bool {
        a === b
            || (a.format == b.format && a.columns == b.columns && a.types == b.types && a.delimiter == b.delimiter)
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(format)
        hasher.combine(columns)
        hasher.combine(types)
        hasher.combine(delimiter)
    }
}

/// Which rows of a piece of bytes are meant: others were taken before, or come later.
public struct RowWindow: Hashable, Sendable {
    /// Rows that the bytes are said to have. Bytes of none stand for numbers without rows.
    public let total: Int
    public let range: Range<Int>

    public init(total: Int, range: Range<Int>) {
        self.total = total
        self.range = range
    }

    public init(all total: Int) { self.init(total: total, range: 0..<total) }
}

/// Bounds on what other formats than NDJSON may ask for.
public enum FormatLimits {
    /// Bytes that the values of one binary frame may take in memory: compressed blocks are more than the frame, and NULLs.
    public static let unpackedBytesMax = 16 << 20
    /// Columns that a header may name.
    public static let columnsMax = 10_000
    /// Headers of one worker that are remembered, each made ready for its table.
    static let plansMax = 64
}
