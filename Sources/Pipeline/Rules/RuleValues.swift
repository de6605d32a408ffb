/// One key that a table's rules set.
struct RuleValue: Sendable {
    /// Below `rules`, names included: `fields`, `email`, `redact`, `method`.
    let path: [String]
    /// As provenance knows it.
    let key: String
    /// The column, or the value of the routing field.
    var name: String?
    let value: ConfigurationValue
    let type: ValueType

    var groups: ArraySlice<String> { path.dropLast() }
    /// As YAML; secrets masked.
    var text: String { YAMLText.of(value, type) }
}

extension TableRules {
    /// What is not as it is by default, in the order of the file.
    var values: [RuleValue] {
        let standard = FieldRules()
        var values: [RuleValue] = fields.sorted { $0.key < $1.key }.flatMap { column, rules in
            RuleKeys.field.filter { $0.get(rules) != $0.get(standard) }.map { key in
                RuleValue(
                    path: ["fields", column] + key.path.split(separator: ".").map(String.init),
                    key: RuleKeys.fieldPrefix + key.path, name: column, value: key.get(rules), type: key.type)
            }
        }
        let plain = TableRules()
        for key in RuleKeys.table where key.get(self) != key.get(plain) {
            values.append(
                RuleValue(
                    path: key.path.split(separator: ".").map(String.init), key: RuleKeys.prefix + key.path,
                    value: key.get(self), type: key.type))
            if key.path == "route.field" { values += routes }
        }
        return values
    }

    private var routes: [RuleValue] {
        route.tables.sorted { $0.key < $1.key }.map { value, table in
            RuleValue(
                path: ["route", "tables", value], key: RuleKeys.routeTables, name: value, value: .text(table),
                type: .text(bytesMax: 413))
        }
    }

    /// What differs between two configurations.
    static func differences(
        _ before: [String: TableRules], _ after: [String: TableRules]
    ) -> [ConfigurationDifference] {
        Set(before.keys).union(after.keys).sorted().flatMap { table in
            let old = (before[table]?.values ?? []).byPath
            let new = (after[table]?.values ?? []).byPath
            return Set(old.keys).union(new.keys).sorted().filter { old[$0]?.value != new[$0]?.value }.map { path in
                ConfigurationDifference(
                    path: "validate.tables.\(table).rules.\(path)", before: old[path]?.text ?? "none",
                    after: new[path]?.text ?? "none", change: .reload)
            }
        }
    }
}

extension [RuleValue] {
    fileprivate var byPath: [String: RuleValue] {
        Dictionary(map { ($0.path.joined(separator: "."), $0) }) { first, _ in first }
    }
}

/// Rules as they come together, key by key.
struct RuleAssembly {
    private(set) var tables: [String: TableRules] = [:]

    /// - Parameter name: the column, or the value of the routing field.
    mutating func apply(
        _ value: ConfigurationValue, to target: String, of table: String, _ name: String?, at place: ConfigurationPlace
    ) {
        if let name, target == RuleKeys.routeTables {
            if case .text(let other) = value { tables[table, default: TableRules()].route.tables[name] = other }
            note("route", table, place)
        } else if let name, target.hasPrefix(RuleKeys.fieldPrefix) {
            let key = RuleKeys.fieldByPath[String(target.dropFirst(RuleKeys.fieldPrefix.utf8.count))]
            key?.set(&tables[table, default: TableRules()].fields[name, default: FieldRules()], value)
            note(name, table, place)
        } else {
            let path = target.dropFirst(RuleKeys.prefix.utf8.count)
            RuleKeys.tableByPath[String(path)]?.set(&tables[table, default: TableRules()], value)
            note(String(path.prefix { $0 != "." }), table, place)
        }
    }

    private mutating func note(_ name: String, _ table: String, _ place: ConfigurationPlace) {
        let known = tables[table]?.places[name]
        if known == nil { tables[table]?.places[name] = place }
    }
}

extension ValueType {
    static func literals(_ items: [RawScalar]) throws(ValueProblem) -> ConfigurationValue {
        guard items.count <= RuleLimits.valuesMax else {
            throw ValueProblem(
                code: .outOfRange, message: "must be at most \(RuleLimits.valuesMax) values, got \(items.count)")
        }
        var values: [Literal] = []
        for item in items {
            guard !item.isNull else {
                throw ValueProblem(code: .wrongType, message: "expected a value, got nothing", place: item.place)
            }
            guard item.text.utf8.count <= RuleLimits.literalBytesMax else {
                throw ValueProblem(
                    code: .outOfRange, message: "must be at most \(RuleLimits.literalBytesMax) bytes", place: item.place
                )
            }
            values.append(Literal(item.text, isPlain: item.plain))
        }
        return .literals(values)
    }

    func texts(_ items: [RawScalar]) throws(ValueProblem) -> ConfigurationValue {
        guard case .texts(let countMax, let bytesMax) = self else { return .list([]) }
        guard items.count <= countMax else {
            throw ValueProblem(code: .outOfRange, message: "must be at most \(countMax) texts, got \(items.count)")
        }
        var texts: [String] = []
        for item in items {
            guard !item.isNull, !item.text.isEmpty, item.text.utf8.count <= bytesMax else {
                throw ValueProblem(
                    code: .wrongType, message: "expected texts of 1 to \(bytesMax) bytes, got \(item.shown)",
                    place: item.place)
            }
            texts.append(item.text)
        }
        return .list(texts)
    }
}
