/// What an operator asks of the rows of one table (docs/specs/rules.md).
public struct TableRules: Sendable, Hashable {
    /// By the names of columns.
    public var fields: [String: FieldRules] = [:]
    public var unknownFields = UnknownFieldsRule()
    public var route = RouteRule()
    public var sample = SampleRule()
    /// Where a column's rules stand, by its name, and each of the other rules, by its key: for complaints about them.
    public var places: [String: ConfigurationPlace] = [:]

    public init() {}

    /// Where what is wrong stands.
    ///
    /// - Parameter name: a column, or a key such as `unknown_fields`.
    public func place(of name: String) -> ConfigurationPlace { places[name] ?? .defaults }

    /// Nothing is asked of rows once they are known to be for the table.
    public var areAboutRoutesOnly: Bool {
        fields.isEmpty && unknownFields.action == nil && sample.keepOneIn == nil
    }
}

/// What is asked of one column.
public struct FieldRules: Sendable, Hashable {
    /// Other names that rows may have for the column.
    public var aliases: [String] = []
    public var required = false
    /// Stored whatever the row says.
    public var constant: Literal?
    /// Stored where the row has no value.
    public var fallback: Literal?
    public var min: Literal?
    public var max: Literal?
    public var length = LengthRule()
    /// The only values that are taken; empty: any.
    public var oneOf: [Literal] = []
    public var regex: String?
    public var redaction = RedactionRule()

    public init() {}

    /// Some rule looks at the value.
    public var hasChecks: Bool { min != nil || max != nil || length.isSet || !oneOf.isEmpty || regex != nil }
}

/// A value as it stands in a file.
public struct Literal: Sendable, Hashable {
    public var text: String
    /// Written without quotes.
    public var isPlain: Bool

    public init(_ text: String, isPlain: Bool) {
        self.text = text
        self.isPlain = isPlain
    }
}

/// Inclusive bounds of a text.
public struct LengthRule: Sendable, Hashable {
    public var bytesMin: Int?
    public var bytesMax: Int?
    /// Unicode scalars.
    public var charactersMin: Int?
    public var charactersMax: Int?

    public init() {}

    public var isSet: Bool { bytesMin != nil || bytesMax != nil || countsCharacters }
    public var countsCharacters: Bool { charactersMin != nil || charactersMax != nil }
}

/// What is stored in place of a value that is not to be kept.
public struct RedactionRule: Sendable, Hashable {
    public enum Method: String, Sendable, CaseIterable { case drop, mask, hash, truncateIP = "truncate_ip" }

    public static let standardText = "***"
    public static let standardIPv4Prefix = 24
    public static let standardIPv6Prefix = 48
    /// Shortest key of a hash that is worth its name, in bytes.
    public static let keyBytesMin = 16

    /// nil: the value is stored.
    public var method: Method?
    /// Of masks; nil with `keepLast`: nothing but its signs.
    public var text: String?
    /// Of masks: characters at the end that stay.
    public var keepLast: Int?
    public var key = Secret("")
    public var ipv4Prefix: Int?
    public var ipv6Prefix: Int?

    public init() {}
}

/// What becomes of fields that the table does not have.
public struct UnknownFieldsRule: Sendable, Hashable {
    public enum Action: String, Sendable, CaseIterable { case reject, drop, collect }

    /// nil: as `input_format_skip_unknown_fields` says.
    public var action: Action?
    /// Takes what is collected.
    public var column: String?
    /// Of what is collected of one row, as a JSON object.
    public var bytesMax = 64 << 10

    public init() {}
}

/// Which table a row goes to, by a field of it.
public struct RouteRule: Sendable, Hashable {
    public enum Otherwise: String, Sendable, CaseIterable { case reject, keep }

    /// nil: rows stay.
    public var field: String?
    /// By the field's value.
    public var tables: [String: String] = [:]
    /// Tables that the field itself may name, with `*` and `?`.
    public var patterns: [String] = []
    public var otherwise: Otherwise = .reject
    /// Different tables that rows may name by `patterns`.
    public var tablesMax = 64

    public init() {}

    /// Whether a row may name the table itself.
    public func allows(_ table: String) -> Bool { patterns.contains { FilePath.matches(table, pattern: $0) } }
}

/// Which rows are kept.
public struct SampleRule: Sendable, Hashable {
    /// nil: all.
    public var keepOneIn: Int?
    /// The field whose value decides; nil: chance.
    public var by: String?

    public init() {}
}

extension ValidateSettings {
    /// What is asked of rows of a table: by its whole name, or by its name without a database.
    public func rules(of table: TableName) -> TableRules? { rules[table.description] ?? rules[table.table] }

    /// Whether every row that comes for a table goes to another one: it need not be there.
    public func isOnlyRouted(_ table: TableName) -> Bool {
        rules(of: table).map { $0.route.field != nil && $0.route.otherwise == .reject } ?? false
    }
}

/// Bounds of rules.
public enum RuleLimits {
    /// Columns of one table with rules.
    public static let fieldsMax = 4096
    public static let aliasesMax = 16
    public static let valuesMax = 10_000
    public static let routesMax = 1024
    public static let patternsMax = 64
    /// A constant, a bound or one of the values that are taken, in bytes.
    public static let literalBytesMax = 4096
    /// An expression, in bytes.
    public static let regexBytesMax = 1024
    public static let nameBytesMax = 256
}
