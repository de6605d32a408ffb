/// The keys as they nest in a file: what the reader walks along.
struct KeyTree: Sendable {
    /// A key that takes a value.
    struct Entry: Sendable {
        /// As written, with dots: `database.clickhouse.context`.
        let path: String
        /// Path of the key that gets the value; another one than `path` for an `AliasKey`.
        let target: String
        let type: ValueType

        /// Secret texts and the settings map go by their own rules.
        var name: String { path.split(separator: ".").last.map(String.init) ?? path }
    }

    enum Kind: Sendable {
        case group([String: KeyTree])
        case value(Entry)
        /// Any table's name, with the keys of a batch strategy, or of how rows are read, below it.
        case tables([String: KeyTree])
        /// Any name of something, with what is below each.
        indirect case named(String, KeyTree)
    }

    var kind: Kind

    /// The key of the main file that names the directory with the stage files.
    static let stagesKey = Entry(path: "stages", target: "stages", type: .text(bytesMax: 4096))

    /// What the main file takes: everything but the stages' own keys.
    static let mainFile: KeyTree = {
        var tree = KeyTree(kind: .group([:]))
        let entries =
            [stagesKey] + SettingsKeys.daemon.map(Entry.init) + AliasKey.all.map(Entry.init).filter { !$0.isOfStage }
        for entry in entries { tree.insert(.value(entry), at: entry.path.split(separator: ".")) }
        return tree
    }()

    /// What the file of each stage takes, without the stage's name.
    static let stageFiles: [String: KeyTree] = {
        var tree = KeyTree(kind: .group([:]))
        let keys = SettingsKeys.all.map(Entry.init) + AliasKey.all.map(Entry.init)
        for entry in keys where entry.isOfStage { tree.insert(.value(entry), at: entry.path.split(separator: ".")) }
        var strategy: [String: KeyTree] = [:]
        for key in SettingsKeys.strategy {
            let path = "batch.tables.\(key.path)"
            strategy[key.path] = KeyTree(kind: .value(Entry(path: path, target: path, type: key.type)))
        }
        tree.insert(.tables(strategy), at: ["batch", "tables"])
        var input: [String: KeyTree] = [:]
        for key in SettingsKeys.input {
            let path = "validate.tables.\(key.path)"
            input[key.path] = KeyTree(kind: .value(Entry(path: path, target: path, type: key.type)))
        }
        input["rules"] = RuleKeys.tree
        tree.insert(.tables(input), at: ["validate", "tables"])
        guard case .group(let stages) = tree.kind else { return [:] }
        return stages
    }()

    mutating func insert(_ kind: Kind, at path: [Substring]) {
        guard let first = path.first else {
            self.kind = kind
            return
        }
        guard case .group(var children) = self.kind else { return }
        children[String(first), default: KeyTree(kind: .group([:]))].insert(kind, at: Array(path.dropFirst()))
        self.kind = .group(children)
    }

    /// Paths of all values below, relative to this node: where a misplaced key may belong.
    var valuePaths: [String] {
        switch kind {
        case .value: [""]
        case .group(let children), .tables(let children):
            children.flatMap { name, child in child.valuePaths.map { $0.isEmpty ? name : "\(name).\($0)" } }
        case .named(let what, let child): child.valuePaths.map { $0.isEmpty ? "<\(what)>" : "<\(what)>.\($0)" }
        }
    }
}

extension KeyTree.Entry {
    init(_ key: ConfigurationKey<Settings>) {
        self.init(path: key.path, target: key.path, type: key.type)
    }

    init(_ alias: AliasKey) {
        self.init(path: alias.path, target: alias.target, type: alias.type)
    }

    var isOfStage: Bool { path.split(separator: ".").first.map { SettingsKeys.stages.contains(String($0)) } ?? false }
}
