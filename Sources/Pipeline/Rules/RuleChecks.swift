/// What must hold between the rules of a table, whatever its columns are.
struct RuleChecks {
    private var assembly: ConfigurationAssembly

    static func run(on assembly: inout ConfigurationAssembly) {
        var checks = RuleChecks(assembly: assembly)
        for (table, rules) in assembly.settings.validate.rules.sorted(by: { $0.key < $1.key }) {
            checks.check(table, rules)
        }
        assembly = checks.assembly
    }

    /// Complains at the first of the keys that is set.
    private mutating func refuse(
        _ table: String, _ keys: [String], _ column: String?, _ message: String,
        _ code: ConfigurationIssue.Code = .conflict
    ) {
        let prefix = column == nil ? RuleKeys.prefix : RuleKeys.fieldPrefix
        guard !assembly.isBroken(keys.map { prefix + $0 }) else { return }
        let places = keys.map { assembly.origin(ValuePath(key: prefix + $0, element: table, name: column)).place }
        let fallback = assembly.settings.validate.rules[table]?.place(of: column ?? "") ?? .defaults
        let subject = [table, column].compactMap { $0 }.joined(separator: ".")
        assembly.report(
            ConfigurationIssue(code, at: places.first { $0 != .defaults } ?? fallback, "\(subject): \(message)"))
    }

    private mutating func check(_ table: String, _ rules: TableRules) {
        if rules.fields.count > RuleLimits.fieldsMax {
            refuse(table, [], nil, "fields: must be at most \(RuleLimits.fieldsMax) columns", .outOfRange)
        }
        for (column, field) in rules.fields.sorted(by: { $0.key < $1.key }) {
            checkValues(table, column, field)
            checkTexts(table, column, field)
            checkRedaction(table, column, field)
        }
        checkAliases(table, rules)
        checkUnknownFields(table, rules)
        checkRoute(table, rules)
        if rules.sample.by != nil, rules.sample.keepOneIn == nil {
            refuse(table, ["sample.by"], nil, "sample.by: goes with sample.keep_one_in, which is not set")
        }
    }

    // MARK: Columns

    private mutating func checkValues(_ table: String, _ column: String, _ field: FieldRules) {
        if field.constant != nil, field.fallback != nil || field.required || field.hasChecks {
            refuse(
                table, ["constant"], column,
                "constant: is stored whatever the row says, so that default, required and checks say nothing beside it")
        }
        if field.fallback != nil, field.required {
            refuse(table, ["default"], column, "default and required exclude each other")
        }
    }

    private mutating func checkTexts(_ table: String, _ column: String, _ field: FieldRules) {
        let length = field.length
        if let least = length.bytesMin, let most = length.bytesMax, least > most {
            refuse(
                table, ["length.min_bytes"], column,
                "length.min_bytes: must be at most max_bytes, \(most), got \(least)")
        }
        if let least = length.charactersMin, let most = length.charactersMax, least > most {
            refuse(
                table, ["length.min_characters"], column,
                "length.min_characters: must be at most max_characters, \(most), got \(least)")
        }
        guard let regex = field.regex else { return }
        do throws(TextPatternError) {
            _ = try TextPattern(regex)
        } catch {
            refuse(table, ["regex"], column, "regex: \(error.message)", .wrongType)
        }
    }

    private mutating func checkRedaction(_ table: String, _ column: String, _ field: FieldRules) {
        let rule = field.redaction
        let belongs: [(key: String, isSet: Bool, method: RedactionRule.Method)] = [
            ("redact.text", rule.text != nil, .mask), ("redact.keep_last", rule.keepLast != nil, .mask),
            ("redact.key", !rule.key.revealed.isEmpty, .hash),
            ("redact.ipv4_prefix", rule.ipv4Prefix != nil, .truncateIP),
            ("redact.ipv6_prefix", rule.ipv6Prefix != nil, .truncateIP),
        ]
        for (key, isSet, method) in belongs where isSet && rule.method != method {
            refuse(table, [key], column, "\(key): goes with redact.method: \(method.rawValue)")
        }
        switch rule.method {
        case .drop where field.constant != nil || field.fallback != nil || field.required || field.hasChecks:
            refuse(
                table, ["redact.method"], column,
                "redact.method drop: the value is not looked at, so that no other rule goes with it but aliases")
        case .mask where rule.text != nil && rule.keepLast != nil:
            refuse(table, ["redact.text"], column, "redact.text and redact.keep_last exclude each other")
        case .hash where rule.key.revealed.utf8.count < RedactionRule.keyBytesMin:
            refuse(
                table, ["redact.key", "redact.method"], column,
                "redact.key: a hash needs a key of at least \(RedactionRule.keyBytesMin) bytes; `openssl rand -hex 32` makes a good one"
            )
        default: break
        }
        if rule.method != nil, field.constant != nil {
            refuse(table, ["redact.method"], column, "redact: a constant has nothing to hide")
        }
    }

    // MARK: Tables

    private mutating func checkAliases(_ table: String, _ rules: TableRules) {
        var owners: [String: String] = [:]
        for (column, field) in rules.fields.sorted(by: { $0.key < $1.key }) {
            for alias in field.aliases {
                if rules.fields[alias] != nil {
                    refuse(table, ["aliases"], column, "aliases: \"\(alias)\" has rules as a column of its own")
                } else if let other = owners[alias] {
                    let whose = other == column ? "stands twice" : "is an alias of \(other), too"
                    refuse(table, ["aliases"], column, "aliases: \"\(alias)\" \(whose)")
                }
                owners[alias] = column
            }
        }
    }

    private mutating func checkUnknownFields(_ table: String, _ rules: TableRules) {
        let rule = rules.unknownFields
        let keys = ["unknown_fields.column", "unknown_fields.action"]
        guard rule.action == .collect else {
            if rule.column != nil {
                refuse(table, keys, nil, "unknown_fields.column: goes with unknown_fields.action: collect")
            }
            return
        }
        guard let column = rule.column else {
            return refuse(
                table, keys, nil, "unknown_fields.action collect: needs unknown_fields.column, which takes them")
        }
        if let field = rules.fields[column],
            field.constant != nil || field.fallback != nil || field.hasChecks || field.redaction.method != nil
        {
            refuse(
                table, keys, nil,
                "unknown_fields.column: \(column) has rules for its values, which would hit what is collected")
        }
    }

    private mutating func checkRoute(_ table: String, _ rules: TableRules) {
        let route = rules.route
        guard route.field != nil else {
            if !route.tables.isEmpty || !route.patterns.isEmpty {
                refuse(table, ["route.patterns"], nil, "route: needs route.field, whose value decides")
            }
            return
        }
        if route.tables.isEmpty, route.patterns.isEmpty {
            refuse(table, ["route.field"], nil, "route: needs route.tables or route.patterns")
        }
        if route.tables.count > RuleLimits.routesMax {
            refuse(
                table, ["route.field"], nil, "route.tables: must be at most \(RuleLimits.routesMax) values", .outOfRange
            )
        }
        for (value, target) in route.tables.sorted(by: { $0.key < $1.key }) {
            let place = assembly.origin(ValuePath(key: RuleKeys.routeTables, element: table, name: value)).place
            guard let name = TableName(parsing: target) else {
                assembly.report(
                    ConfigurationIssue(
                        .wrongType, at: place, "\(table): route.tables.\(value): cannot be the name of a table"))
                continue
            }
            if assembly.settings.validate.rules(of: name)?.route.field != nil {
                assembly.report(
                    ConfigurationIssue(
                        .conflict, at: place,
                        "\(table): route.tables.\(value): \(target) has a route itself; a row is routed once"))
            }
        }
    }
}

extension ConfigurationAssembly {
    func origin(_ path: ValuePath) -> Provenance { provenance[path] ?? .builtIn }
}

extension EffectiveConfiguration {
    /// The configuration, with what does not fit between rules and the tables of the schema files. With a server as sink its own
    /// tables count, so that these are warnings.
    public func judged(by problems: (ValidateSettings, SchemaCatalog) -> [ConfigurationIssue])
        throws(ConfigurationFailure) -> EffectiveConfiguration
    {
        let issues = problems(settings.validate, schema)
        guard !issues.isEmpty else { return self }
        guard settings.ship.sink == .clickhouse else {
            throw ConfigurationFailure(
                errors: Array(issues.prefix(ConfigurationLimits.errorsMax)), warnings: warnings, sources: sources)
        }
        var copy = self
        copy.warnings += issues
        return copy
    }
}
