/// One column of a table or block: a name and a meaning.
public struct ColumnDefinition: Hashable, Sendable {
    public let name: String
    public let type: DataType

    public init(name: String, type: DataType) {
        self.name = name
        self.type = type
    }
}

/// What a table is, as `DESCRIBE TABLE` tells: the columns a client may insert, in the table's order, and which of
/// them the server can compute when they are left out.
public struct TableStructure: Hashable, Sendable {
    /// How a column gets its value when an INSERT leaves it out.
    public enum Default: Hashable, Sendable {
        /// The type's own default: zero, empty, NULL.
        case type
        /// An expression that the server evaluates (`DEFAULT expr`), as text.
        case expression(String)
    }

    public struct Column: Hashable, Sendable {
        public let definition: ColumnDefinition
        public let defaultValue: Default

        public init(_ definition: ColumnDefinition, defaultValue: Default = .type) {
            self.definition = definition
            self.defaultValue = defaultValue
        }
    }

    /// Insertable columns only: MATERIALIZED and ALIAS columns are not here.
    public let columns: [Column]
    /// Names of MATERIALIZED and ALIAS columns: known to the table, never inserted.
    public let computedColumns: [String]
    /// The zone in which a `DateTime` without one of its own is read: the server's.
    public let timeZone: String

    public init(columns: [Column], computedColumns: [String] = [], timeZone: String = "UTC") {
        self.columns = columns
        self.computedColumns = computedColumns
        self.timeZone = timeZone
    }
}
