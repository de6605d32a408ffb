import Yams

/// A value that a file or the environment gives to a key; not decoded yet.
struct Assignment {
    let entry: KeyTree.Entry
    /// Name of the table under `batch.tables`, or of the ClickHouse setting.
    var element: String?
    /// Name of the column, or of what else a table's rules have names for.
    var name: String?
    let raw: RawValue
    let place: ConfigurationPlace
    let variables: [String]
}

/// Reads one YAML file along the tree of known keys. Goes on after an error, so that one run finds them all.
struct YAMLReader {
    let file: String
    let substitution: VariableSubstitution
    private(set) var assignments: [Assignment] = []
    private(set) var errors: [ConfigurationIssue] = []

    init(file: String, substitution: VariableSubstitution) {
        self.file = file
        self.substitution = substitution
    }

    mutating func read(_ text: String, along tree: KeyTree) {
        do {
            guard let root = try compose(yaml: text) else { return }
            walk(root, tree, root: tree)
        } catch {
            errors.append(issue(for: error, in: text))
        }
    }

    // MARK: Walking

    private mutating func walk(_ node: Node, _ tree: KeyTree, root: KeyTree) {
        switch tree.kind {
        case .value(let entry): readValue(node, entry)
        case .group(let children):
            eachPair(of: node, known: children) { reader, name, key, value in
                if let child = children[name] {
                    reader.walk(value, child, root: root)
                } else {
                    reader.unknown(name, at: key, among: children, root: root)
                }
            }
        case .tables(let children):
            eachPair(of: node, known: children) { reader, name, key, value in
                guard TableName(parsing: name) != nil else {
                    reader.report(.wrongType, at: key, "\"\(name.prefix(60))\" cannot be the name of a table")
                    return
                }
                let start = reader.assignments.count
                reader.walk(value, KeyTree(kind: .group(children)), root: tree)
                for index in reader.assignments[start...].indices { reader.assignments[index].element = name }
            }
        case .named(let what, let child): walkNames(node, what, child, root: root)
        }
    }

    /// A map whose keys are names of something: columns, values of a field.
    private mutating func walkNames(_ node: Node, _ what: String, _ child: KeyTree, root: KeyTree) {
        guard node.mapping != nil || node.scalar.map({ raw($0).isNull }) == true else {
            report(.wrongType, at: node, "expected a map, each of its keys a \(what), got \(kind(of: node))")
            return
        }
        eachPair(of: node, known: [:]) { reader, name, key, value in
            guard !name.isEmpty, name.utf8.count <= RuleLimits.nameBytesMax else {
                reader.report(
                    .wrongType, at: key, "a \(what) must have 1 to \(RuleLimits.nameBytesMax) bytes")
                return
            }
            let start = reader.assignments.count
            reader.walk(value, child, root: root)
            for index in reader.assignments[start...].indices { reader.assignments[index].name = name }
        }
    }

    private mutating func eachPair(
        of node: Node, known children: [String: KeyTree],
        _ body: (inout YAMLReader, String, Node, Node) -> Void
    ) {
        guard let mapping = node.mapping else {
            // `socket:` with nothing below it is as good as no key.
            if let scalar = node.scalar, raw(scalar).isNull { return }
            let names = children.keys.sorted().joined(separator: ", ")
            report(.wrongType, at: node, "expected a map with the keys \(names), got \(kind(of: node))")
            return
        }
        var seen: [String: Node] = [:]
        for (key, value) in mapping {
            guard let name = key.scalar?.string else {
                report(.wrongType, at: key, "expected the name of a key, got \(kind(of: key))")
                continue
            }
            if let first = seen[name] {
                let line = first.mark.map { " on line \($0.line)" } ?? ""
                report(.duplicateKey, at: key, "key \"\(name)\" stands twice, first\(line)")
                continue
            }
            seen[name] = key
            body(&self, name, key, value)
        }
    }

    private mutating func unknown(_ name: String, at key: Node, among children: [String: KeyTree], root: KeyTree) {
        let shown = name.prefix(60)
        if SettingsKeys.stages.contains(name), children["stages"] != nil {
            report(.unknownKey, at: key, "unknown key \"\(shown)\": the stage has its own file, stages/\(name).yaml")
            return
        }
        let elsewhere = root.valuePaths.sorted().filter { $0.hasSuffix(".\(name)") }
        let hint: String
        if let near = Suggestion.nearest(to: name, among: children.keys.sorted()) ?? elsewhere.first {
            hint = ", did you mean \"\(near)\"?"
        } else {
            hint = "; known here: " + children.keys.sorted().joined(separator: ", ")
        }
        report(.unknownKey, at: key, "unknown key \"\(shown)\"\(hint)")
    }

    // MARK: Values

    private mutating func readValue(_ node: Node, _ entry: KeyTree.Entry) {
        if entry.type.isMap { return readSettings(node, entry) }
        switch node {
        case .scalar(let scalar):
            guard let value = substituted(scalar) else { return }
            add(entry, .scalar(value), variables: value.variables, at: place(node))
        case .sequence(let sequence):
            let items = sequence.compactMap { item -> RawScalar? in
                if let scalar = item.scalar { return substituted(scalar) }
                report(.wrongType, at: item, "expected a text, got \(kind(of: item))")
                return nil
            }
            // Items with an error are reported already; the rest would only give follow-up errors.
            guard items.count == sequence.count else { return }
            add(entry, .list(items), variables: items.flatMap(\.variables), at: place(node))
        case .mapping, .alias:
            report(.wrongType, at: node, "\(entry.name): expected \(entry.type.expectation), got \(kind(of: node))")
        }
    }

    private mutating func readSettings(_ node: Node, _ entry: KeyTree.Entry) {
        guard let mapping = node.mapping else {
            if let scalar = node.scalar, raw(scalar).isNull { return }
            report(.wrongType, at: node, "\(entry.name): expected \(entry.type.expectation), got \(kind(of: node))")
            return
        }
        guard mapping.count <= ConfigurationLimits.settingsMax else {
            report(.outOfRange, at: node, "\(entry.name): must be at most \(ConfigurationLimits.settingsMax) settings")
            return
        }
        eachPair(of: node, known: [:]) { reader, name, key, value in
            guard Self.isName(name, for: entry.type) else {
                reader.report(
                    .wrongType, at: key, "\"\(name.prefix(60))\" cannot be the name of a setting")
                return
            }
            guard let scalar = value.scalar else {
                reader.report(.wrongType, at: value, "\(name): expected a value, got \(reader.kind(of: value))")
                return
            }
            guard let raw = reader.substituted(scalar) else { return }
            reader.add(entry, .scalar(raw), element: name, variables: raw.variables, at: reader.place(value))
        }
    }

    /// Names of producers and tables are nearly free, those of settings are words.
    private static func isName(_ name: String, for type: ValueType) -> Bool {
        if case .rates = type {
            return (1...413).contains(name.utf8.count) && !name.utf8.contains { $0 < 0x20 || $0 == 0x7F }
        }
        return !name.isEmpty && name.utf8.allSatisfy { $0 == 0x5F || $0 == 0x2E || isWordByte($0) }
    }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }

    private mutating func add(
        _ entry: KeyTree.Entry, _ raw: RawValue, element: String? = nil, variables: [String],
        at place: ConfigurationPlace
    ) {
        assignments.append(Assignment(entry: entry, element: element, raw: raw, place: place, variables: variables))
    }

    private func raw(_ scalar: Node.Scalar) -> RawScalar {
        RawScalar(text: scalar.string, plain: scalar.style == .plain, place: place(.scalar(scalar)))
    }

    /// Nil after an error, which is reported.
    private mutating func substituted(_ scalar: Node.Scalar) -> RawScalar? {
        var value = raw(scalar)
        do {
            let outcome = try substitution.apply(to: scalar.string)
            value.text = outcome.text
            value.variables = outcome.variables
            if !outcome.variables.isEmpty { value.plain = false }
            return value
        } catch {
            switch error {
            case .unset(let name):
                report(
                    .unsetVariable, at: .scalar(scalar),
                    "environment variable \(name) is not set; set it, or give a default as ${\(name):-value}")
            case .malformed:
                report(
                    .syntax, at: .scalar(scalar),
                    "expected ${NAME} or ${NAME:-default} after \"${\"; a \"${\" that is meant as such is written $${")
            }
            return nil
        }
    }

    // MARK: Errors

    private func place(_ node: Node) -> ConfigurationPlace {
        node.mark.map { .position(file: file, line: $0.line, column: $0.column) } ?? .file(file)
    }

    private func kind(of node: Node) -> String {
        switch node {
        case .scalar(let scalar): raw(scalar).isNull ? "nothing" : "a single value"
        case .sequence: "a list"
        case .mapping: "a map"
        case .alias: "an alias"
        }
    }

    private mutating func report(_ code: ConfigurationIssue.Code, at node: Node, _ message: String) {
        errors.append(ConfigurationIssue(code, at: place(node), message))
    }

    /// Takes from Yams' error only what is no text of the file: its own description quotes the line, secrets included.
    private func issue(for error: any Error, in text: String) -> ConfigurationIssue {
        func at(_ mark: Mark) -> ConfigurationPlace { .position(file: file, line: mark.line, column: mark.column) }
        switch error as? YamlError {
        case .composer(.some, _, let mark, _):
            return ConfigurationIssue(.syntax, at: at(mark), "not valid here: a second YAML document")
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(nil, let problem, let mark, _):
            return ConfigurationIssue(.syntax, at: at(mark), "not valid YAML: \(problem)")
        case .duplicatedKeysInMapping(let names, let context):
            let name = names.first ?? ""
            let mark = context.mark
            let second = Self.repetition(of: name, after: mark, in: text)
            let place = ConfigurationPlace.position(file: file, line: second ?? mark.line, column: mark.column)
            let first = second == nil ? "" : ", first on line \(mark.line)"
            return ConfigurationIssue(.duplicateKey, at: place, "key \"\(name.prefix(60))\" stands twice\(first)")
        case .reader(let problem, _, _, _):
            return ConfigurationIssue(.syntax, at: .file(file), "not valid YAML: \(problem)")
        default:
            return ConfigurationIssue(.syntax, at: .file(file), "not valid YAML")
        }
    }

    /// Line of a doubled key: Yams tells where it stands first; this is the next line with it in the same column.
    private static func repetition(of name: String, after mark: Mark, in text: String) -> Int? {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let indent = String(repeating: " ", count: mark.column - 1)
        for (index, line) in lines.enumerated().dropFirst(mark.line) {
            guard line.hasPrefix(indent) else { continue }
            let rest = line.dropFirst(indent.count)
            if rest.hasPrefix("\(name):") || rest.hasPrefix("\"\(name)\":") {
                return index + 1
            }
        }
        return nil
    }
}
