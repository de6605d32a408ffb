/// Keys of `rules`, below each table of `validate.tables`.
enum RuleKeys {
    static let prefix = "validate.tables.rules."
    static let fieldPrefix = prefix + "fields."
    static let routeTables = prefix + "route.tables"
    /// Names the file that has the key of a hash.
    static let keyFile = "redact.key_file"

    /// Of each column in `fields`.
    static let field: [ConfigurationKey<FieldRules>] = [
        ConfigurationKey.texts(
            "aliases", \.aliases, countMax: RuleLimits.aliasesMax, bytesMax: RuleLimits.nameBytesMax,
            "Other names that rows may have for the column."),
        .flag("required", \.required, "The row has the field, and not as null; otherwise it is rejected."),
        .optionalLiteral("constant", \.constant, "Stored whatever the row says."),
        .optionalLiteral("default", \.fallback, "Stored where the row has no value for the column."),
        .optionalLiteral(
            "range.min", \.min, "The least value that is taken: a number, or a time as the column reads it."),
        .optionalLiteral("range.max", \.max, "The largest value that is taken."),
        .optionalCount("length.min_bytes", \.length.bytesMin, 0...1 << 30, absent: "none", "Shortest text."),
        .optionalCount("length.max_bytes", \.length.bytesMax, 0...1 << 30, absent: "none", "Longest text."),
        .optionalCount(
            "length.min_characters", \.length.charactersMin, 0...1 << 30, absent: "none",
            "Shortest text, in Unicode characters."),
        .optionalCount(
            "length.max_characters", \.length.charactersMax, 0...1 << 30, absent: "none",
            "Longest text, in Unicode characters."),
        .literals("one_of", \.oneOf, "The only values that are taken."),
        .optionalText(
            "regex", \.regex, bytesMax: RuleLimits.regexBytesMax, absent: "none",
            "What a text has to match; a part of RE2's syntax, see [rules](specs/rules.md)."),
        .optionalChoice(
            "redact.method", \.redaction.method, absent: "none",
            "What is stored in place of the value, and of its text in dead letters."),
        .optionalText(
            "redact.text", \.redaction.text, absent: "none",
            "With `mask`: what is stored; `***` where `keep_last` is not set either."),
        .optionalCount(
            "redact.keep_last", \.redaction.keepLast, 1...1024, absent: "none",
            "With `mask`: so many characters at the end stay, each one before is a `*`."),
        .secret(
            "redact.key", \.redaction.key,
            "With `hash`: the key of HMAC-SHA256, at least \(RedactionRule.keyBytesMin) bytes."),
        .optionalCount(
            "redact.ipv4_prefix", \.redaction.ipv4Prefix, 0...32, absent: "none",
            "With `truncate_ip`: bits of an IPv4 address that stay; \(RedactionRule.standardIPv4Prefix) where it is not set."
        ),
        .optionalCount(
            "redact.ipv6_prefix", \.redaction.ipv6Prefix, 0...128, absent: "none",
            "With `truncate_ip`: bits of an IPv6 address that stay; \(RedactionRule.standardIPv6Prefix) where it is not set."
        ),
    ].map(\.reloadable)

    /// Of the table.
    static let table: [ConfigurationKey<TableRules>] = [
        ConfigurationKey.optionalChoice(
            "unknown_fields.action", \.unknownFields.action, absent: "none",
            "What becomes of fields that the table does not have; `none`: what `input_format_skip_unknown_fields` says."
        ),
        .optionalText(
            "unknown_fields.column", \.unknownFields.column, bytesMax: RuleLimits.nameBytesMax, absent: "none",
            "With `collect`: the column that takes them, a String, JSON or Map(String, String)."),
        .bytes(
            "unknown_fields.bytes_max", \.unknownFields.bytesMax, 2...1 << 30,
            "With `collect`: rows that have more of them are rejected."),
        .optionalText(
            "route.field", \.route.field, bytesMax: RuleLimits.nameBytesMax, absent: "none",
            "The field that says which table a row goes to."),
        .texts(
            "route.patterns", \.route.patterns, countMax: RuleLimits.patternsMax, bytesMax: 413,
            "The field itself may name tables that fit one of these; `*` and `?` match."),
        .choice("route.otherwise", \.route.otherwise, "What becomes of rows that the field leads nowhere."),
        .count(
            "route.tables_max", \.route.tablesMax, 1...10_000, "Different tables that rows may name by `patterns`."),
        .optionalCount(
            "sample.keep_one_in", \.sample.keepOneIn, 1...1_000_000_000, absent: "none",
            "About one row in so many is kept; the others are acked, and counted as discarded (`sampled`)."),
        .optionalText(
            "sample.by", \.sample.by, bytesMax: RuleLimits.nameBytesMax, absent: "none",
            "The field whose value decides which rows are kept; `none`: chance."),
    ].map(\.reloadable)

    private static let target = ValueType.text(bytesMax: 413)

    /// `rules` and all that is below.
    static let tree: KeyTree = {
        var columns = KeyTree(kind: .group([:]))
        for key in field { columns.insert(entry(fieldPrefix + key.path, key.type), at: key.path.split(separator: ".")) }
        columns.insert(
            .value(KeyTree.Entry(path: fieldPrefix + keyFile, target: fieldPrefix + "redact.key", type: .secretFile)),
            at: keyFile.split(separator: "."))
        var tree = KeyTree(kind: .group([:]))
        for key in table { tree.insert(entry(prefix + key.path, key.type), at: key.path.split(separator: ".")) }
        tree.insert(.named("column", columns), at: ["fields"])
        tree.insert(.named("value of the field", KeyTree(kind: entry(routeTables, target))), at: ["route", "tables"])
        return tree
    }()

    private static func entry(_ path: String, _ type: ValueType) -> KeyTree.Kind {
        .value(KeyTree.Entry(path: path, target: path, type: type))
    }

    static let fieldByPath = Dictionary(uniqueKeysWithValues: field.map { ($0.path, $0) })
    static let tableByPath = Dictionary(uniqueKeysWithValues: table.map { ($0.path, $0) })
}

extension ConfigurationKey {
    static func optionalLiteral(_ path: String, _ keyPath: WritableKeyPath<Root, Literal?> & Sendable, _ text: String)
        -> Self
    {
        key(
            path, .literal, keyPath, text, wrap: { $0.map { .literals([$0]) } ?? .absent },
            unwrap: { if case .literals(let values) = $0 { .some(values.first) } else { .some(nil) } })
    }

    static func literals(_ path: String, _ keyPath: WritableKeyPath<Root, [Literal]> & Sendable, _ text: String) -> Self
    {
        key(
            path, .literals, keyPath, text, wrap: { .literals($0) },
            unwrap: { if case .literals(let values) = $0 { values } else { nil } })
    }
}
