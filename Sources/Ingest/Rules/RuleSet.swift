// Unsafe by design. The invariant: what the pointers below point to is written in init, only read afterwards, and freed in deinit,
// after all plans that were made from the set: they hold it.

import ClickHouseNative
import Pipeline

/// A rule that does not fit its table.
public struct RuleProblem: Error, Hashable, Sendable, CustomStringConvertible {
    public let place: ConfigurationPlace
    /// Names the column and the rule.
    public let message: String

    public var description: String { "\(place): \(message)" }
}

/// The rules of a table that do not fit it.
public struct RuleProblems: Error, Hashable, Sendable, CustomStringConvertible {
    public let problems: [RuleProblem]

    public var description: String { problems.map(\.description).joined(separator: "; ") }
}

extension RuleProblems {
    /// What does not fit between the rules of tables and their structures, as far as schema files have them.
    public static func find(_ settings: ValidateSettings, _ schema: SchemaCatalog) -> [ConfigurationIssue] {
        settings.rules.sorted { $0.key < $1.key }.flatMap { name, rules -> [ConfigurationIssue] in
            guard let table = TableName(parsing: name), let structure = try? schema.structure(of: table) else {
                return []
            }
            let options = RowOptions(settings.input(of: table), depthMax: settings.depthMax).under(rules)
            do throws(RuleProblems) {
                _ = try RuleSet(rules, for: structure, options: options)
                return []
            } catch {
                return error.problems.map { ConfigurationIssue(.conflict, at: $0.place, "\(name).\($0.message)") }
            }
        }
    }
}

/// A table's rules made ready for its structure, once; plans are made from it.
final class RuleSet: @unchecked Sendable {
    let rules: TableRules
    /// What is asked of columns, by their place in the structure.
    private(set) var columns: [Int: ColumnRule] = [:]
    /// Keys beside the table's own, each with the column that it stands for; -1: for none, but it is looked at.
    private(set) var keys: [(name: String, column: Int)] = []
    private(set) var required: [Int] = []
    /// Columns that are never without a value: they have a constant or a default.
    private(set) var filled: [Int] = []
    /// Takes unknown fields; -1: none does.
    private(set) var collecting = -1
    /// Columns whose value the server is not asked for when a row has none.
    private(set) var owned: Set<Int> = []

    private var patterns: [TextPattern] = []
    private var names: [KeyIndex] = []
    private var sorted: [UnsafeMutablePointer<UInt128>] = []
    private var texts: [UnsafeMutablePointer<UInt8>] = []
    private var hashKeys: [PseudonymKey] = []

    /// - Parameter options: of the table.
    init(_ rules: TableRules, for structure: TableStructure, options: RowOptions) throws(RuleProblems) {
        self.rules = rules
        var problems: [RuleProblem] = []
        let places = Dictionary(
            structure.columns.enumerated().map { ($1.definition.name, $0) }, uniquingKeysWith: { first, _ in first })
        for (name, field) in rules.fields.sorted(by: { $0.key < $1.key }) {
            guard let place = places[name] else {
                problems.append(rules.problem(name, Self.isMissing(name, structure)))
                continue
            }
            let target = RuleTarget(structure.columns[place].definition.type)
            let reader = LiteralReader(structure: structure, options: options, target: target)
            do throws(RuleFault) {
                try add(field, at: place, target, reader)
            } catch {
                problems.append(rules.problem(name, "\(name): \(error.message)"))
            }
            for alias in field.aliases {
                if places[alias] != nil || structure.computedColumns.contains(alias) {
                    problems.append(rules.problem(name, "\(name): aliases: \"\(alias)\" is a column of the table"))
                }
                keys.append((alias, place))
            }
        }
        addTableRules(structure, places, options, &problems)
        guard problems.isEmpty else { throw RuleProblems(problems: problems) }
    }

    deinit {
        for names in names { names.deallocate() }
        for keys in sorted { keys.deallocate() }
        for text in texts { text.deallocate() }
    }

    private static func isMissing(_ name: String, _ structure: TableStructure) -> String {
        if structure.computedColumns.contains(name) {
            return "\(name): the column is computed by the server, rows have no values for it"
        }
        let known = structure.columns.map(\.definition.name)
        let hint = Suggestion.nearest(to: name, among: known).map { ", did you mean \"\($0)\"?" } ?? ""
        return "\(name): the table has no such column\(hint)"
    }

    // MARK: Columns

    private func add(
        _ field: FieldRules, at place: Int, _ target: RuleTarget, _ reader: LiteralReader
    ) throws(RuleFault) {
        var rule = ColumnRule(column: Int32(place))
        rule.isRequired = field.required
        if field.required { required.append(place) }
        if let literal = field.constant ?? field.fallback {
            let text = target.json(literal)
            guard reader.reads(text) else {
                throw RuleFault(
                    "\(field.constant == nil ? "default" : "constant"): is no value of \(target.type)")
            }
            (rule.fill, rule.fillEnd) = keep(text)
            filled.append(place)
            owned.insert(place)
            if field.constant != nil { rule.action = .constant }
        }
        try addChecks(field, target, reader, &rule)
        try addRedaction(field.redaction, target, &rule)
        if rule.action == .drop { owned.insert(place) }
        columns[place] = rule
    }

    private func addChecks(
        _ field: FieldRules, _ target: RuleTarget, _ reader: LiteralReader, _ rule: inout ColumnRule
    ) throws(RuleFault) {
        // What is hashed is a text, whatever the column is.
        let isText = target.isText || field.redaction.method == .hash
        if field.length.isSet {
            guard isText else { throw RuleFault("length: \(target.type) has none; it is for strings") }
            rule.hasLength = true
            rule.countsCharacters = field.length.countsCharacters
            rule.bytesMin = field.length.bytesMin ?? 0
            rule.bytesMax = field.length.bytesMax ?? .max
            rule.charactersMin = field.length.charactersMin ?? 0
            rule.charactersMax = field.length.charactersMax ?? .max
        }
        if let regex = field.regex {
            guard isText else { throw RuleFault("regex: is for strings, not for \(target.type)") }
            guard let pattern = try? TextPattern(regex) else { throw RuleFault("regex: cannot be used") }
            patterns.append(pattern)
            rule.pattern = Unmanaged.passUnretained(pattern)
        }
        if isText {
            guard field.min == nil, field.max == nil else {
                throw RuleFault("range: is for numbers and times, not for \(target.type); a regex may do")
            }
            if !field.oneOf.isEmpty {
                let known = KeyIndex(field.oneOf.map(\.text))
                names.append(known)
                rule.names = known
            }
        } else {
            try addOrder(field, target, reader, &rule)
        }
        if rule.hasTextChecks { rule.action = .text }
    }

    private func addOrder(
        _ field: FieldRules, _ target: RuleTarget, _ reader: LiteralReader, _ rule: inout ColumnRule
    ) throws(RuleFault) {
        guard field.min != nil || field.max != nil || !field.oneOf.isEmpty else { return }
        let hasRange = field.min != nil || field.max != nil
        switch target.form {
        case .ordered(let order): rule.order = order
        case .identity(let order) where !hasRange: rule.order = order
        default:
            let name = hasRange ? "range" : "one_of"
            throw RuleFault("\(name): values of \(target.type) cannot be compared here")
        }
        func key(_ literal: Literal, _ name: String) throws(RuleFault) -> UInt128 {
            guard let key = reader.key(target.json(literal), rule.order) else {
                throw RuleFault("\(name): \"\(literal.text.prefix(60))\" is no value of \(target.type)")
            }
            return key
        }
        rule.action = .fixed
        rule.hasRange = hasRange
        if let least = field.min { rule.keyMin = try key(least, "range.min") }
        if let most = field.max { rule.keyMax = try key(most, "range.max") }
        guard rule.keyMin <= rule.keyMax else { throw RuleFault("range.min: must be at most range.max") }
        var values: [UInt128] = []
        for literal in field.oneOf { values.append(try key(literal, "one_of")) }
        guard !values.isEmpty else { return }
        values.sort()
        let run = UnsafeMutablePointer<UInt128>.allocate(capacity: values.count)
        run.initialize(from: values, count: values.count)
        sorted.append(run)
        (rule.values, rule.valueCount) = (UnsafePointer(run), values.count)
    }

    private func addRedaction(
        _ redaction: RedactionRule, _ target: RuleTarget, _ rule: inout ColumnRule
    ) throws(RuleFault) {
        func refuse(_ needed: String) -> RuleFault {
            RuleFault("redact.method \(redaction.method?.rawValue ?? ""): needs \(needed), not \(target.type)")
        }
        switch redaction.method {
        case nil: return
        case .drop: rule.action = .drop
        case .mask:
            guard target.isString else { throw refuse("String or LowCardinality(String)") }
            rule.action = .text
            rule.keepLast = redaction.keepLast ?? 0
            let text = redaction.text ?? RedactionRule.standardText
            if redaction.keepLast == nil { (rule.mask, rule.maskEnd) = keep(text) }
            rule.redaction = redaction.keepLast == nil ? .maskAll : .maskStart
        case .hash:
            switch target.bare {
            case .string, .fixedString(length: 64): rule.redaction = .hashText
            case .fixedString(length: 32): rule.redaction = .hashBytes
            case .uint64 where !target.isDictionary: rule.redaction = .hashNumber
            default: throw refuse("String, LowCardinality(String), FixedString(64), FixedString(32) or UInt64")
            }
            if target.isDictionary, !target.isString { throw refuse("LowCardinality(String)") }
            rule.action = .text
            let key = PseudonymKey(redaction.key.revealed)
            hashKeys.append(key)
            rule.hashKey = Unmanaged.passUnretained(key)
        case .truncateIP:
            (rule.ipv4Prefix, rule.ipv6Prefix) = (
                redaction.ipv4Prefix ?? RedactionRule.standardIPv4Prefix,
                redaction.ipv6Prefix ?? RedactionRule.standardIPv6Prefix
            )
            switch target.bare {
            case .ipv4 where !target.isDictionary: (rule.action, rule.redaction) = (.fixed, .ipv4)
            case .ipv6 where !target.isDictionary: (rule.action, rule.redaction) = (.fixed, .ipv6)
            case .string: (rule.action, rule.redaction) = (.text, .address)
            default: throw refuse("IPv4, IPv6, String or LowCardinality(String)")
            }
        }
    }

    /// A text and the newline that a cursor needs.
    private func keep(_ text: String) -> (UnsafePointer<UInt8>, UnsafePointer<UInt8>) {
        let bytes = Array(text.utf8) + [0x0A]
        let run = UnsafeMutablePointer<UInt8>.allocate(capacity: bytes.count)
        run.initialize(from: bytes, count: bytes.count)
        texts.append(run)
        return (UnsafePointer(run), UnsafePointer(run + bytes.count))
    }

    // MARK: The table

    private func addTableRules(
        _ structure: TableStructure, _ places: [String: Int], _ options: RowOptions, _ problems: inout [RuleProblem]
    ) {
        if rules.unknownFields.action == .collect, let name = rules.unknownFields.column {
            if let place = places[name] {
                collecting = place
                owned.insert(place)
                let target = RuleTarget(structure.columns[place].definition.type)
                var settings = options
                settings.restrictions = []
                let reader = LiteralReader(structure: structure, options: settings, target: target)
                if !Self.collects(target) || !reader.reads("{\"a\":\"b\"}") {
                    problems.append(
                        rules.problem(
                            "unknown_fields",
                            "unknown_fields.column: \(name) must be a String, JSON or Map(String, String), not \(target.type)"
                        ))
                }
            } else {
                let message = Self.isMissing(name, structure)
                problems.append(rules.problem("unknown_fields", "unknown_fields.column: \(message)"))
            }
        }
        guard let field = rules.sample.by, rules.sample.keepOneIn != nil else { return }
        if let place = places[field] ?? keys.first(where: { $0.name == field })?.column {
            columns[place, default: ColumnRule(column: Int32(place))].isSampled = true
        } else {
            keys.append((field, -1))
        }
    }

    private static func collects(_ target: RuleTarget) -> Bool {
        switch target.bare {
        case .string, .json: true
        case .map(let key, let value):
            key.underlying == .string && RuleTarget(value).isString
        default: false
        }
    }
}

/// Why a rule does not fit its column.
private struct RuleFault: Error {
    let message: String
    init(_ message: String) { self.message = message }
}

extension TableRules {
    fileprivate func problem(_ name: String, _ message: String) -> RuleProblem {
        RuleProblem(place: place(of: name), message: message)
    }
}

/// Reads what stands in the configuration as a column would.
private struct LiteralReader {
    let structure: TableStructure
    let options: RowOptions
    let target: RuleTarget

    /// The block of a value, read as a type; nil: it is none.
    private func block(_ text: String, as type: DataType) -> Block? {
        let column = TableStructure(
            columns: [TableStructure.Column(ColumnDefinition(name: "v", type: type))], timeZone: structure.timeZone)
        guard let plan = try? FieldPlan(column, options: options) else { return nil }
        let names = KeyIndex([])
        let successors = UnsafeMutablePointer<Int32>.allocate(capacity: plan.keys.count + 2)
        successors.initialize(repeating: -1, count: plan.keys.count + 2)
        let block = Block(layout: plan.layout)
        var parser = RowParser(
            plan: plan, block: block, options: options, tableKey: names, tableName: names, successors: successors,
            scratch: ByteRun())
        defer {
            parser.scratch.deallocate()
            names.deallocate()
            successors.deallocate()
        }
        var line = text + "\n"
        let isRead = line.withUTF8 { bytes in
            guard let base = bytes.baseAddress, bytes.firstIndex(of: 0x0A) == bytes.count - 1 else { return false }
            var cursor = LineCursor(base, end: base + bytes.count)
            guard (try? parser.value(plan.operations, &cursor)) != nil else { return false }
            cursor.skipSpace()
            return cursor.p == base + bytes.count - 1
        }
        return isRead ? block : nil
    }

    func reads(_ text: String) -> Bool { block(text, as: target.type) != nil }

    func key(_ text: String, _ order: ValueOrder) -> UInt128? {
        guard let block = block(text, as: target.bare), let bytes = block.nodes[0].data.bytes.baseAddress else {
            return nil
        }
        return order.key(bytes, width: block.layout.nodes[0].width)
    }
}
