/// The configuration as it takes effect, with the source of every value.
public struct EffectiveConfiguration: Sendable {
    public let settings: Settings
    /// Path of the main file; nil: none was given.
    public let mainFile: String?
    /// Directory of the stage files, as given.
    public let stages: String
    /// Files that were read, in order.
    public let sources: [String]
    public internal(set) var warnings: [ConfigurationIssue]
    let provenance: [ValuePath: Provenance]
    /// The tables that `validate.schema` describes.
    public let schema: SchemaCatalog

    /// Where the value of a key comes from.
    ///
    /// - Parameters:
    ///   - key: the key's path, such as `ship.clickhouse.hosts`, or `batch.tables.rows_max` with a table.
    ///   - element: a table, or the name of a ClickHouse setting.
    public func provenance(of key: String, element: String? = nil) -> Provenance {
        provenance[ValuePath(key: key, element: element)] ?? .builtIn
    }

    /// All values as YAML, each with its source in a comment. Secrets are masked.
    public func render() -> String {
        var lines: [String] = []
        lines.append(line(0, "stages", YAMLText.quoted(stages), provenance(of: "stages")))
        var open: [Substring] = []
        for key in SettingsKeys.all {
            let parts = key.path.split(separator: ".")
            let groups = parts.dropLast()
            let shared = zip(open, groups).prefix { $0 == $1 }.count
            // `tables` stands at the end of the strategies, before the batch stage's other keys.
            if open == ["batch", "defaults"], groups != ["batch", "defaults"] {
                lines += tables(settings.batch.tables, SettingsKeys.strategy, "batch", of: "batch.defaults")
            }
            for (depth, group) in groups.enumerated().dropFirst(shared) { lines.append(indent(depth) + "\(group):") }
            open = Array(groups)
            lines += render(key, depth: groups.count)
            if groups == ["validate"], key.name == SettingsKeys.input.last?.name {
                lines += tables(
                    settings.validate.tables, SettingsKeys.input, "validate", of: "validate",
                    and: settings.validate.rules.mapValues(\.values))
            }
        }
        lines.append("# memory: what waits between the stages and in open blocks is bounded by these")
        lines += settings.memoryBounds.map { "#   \(ByteSize.format($0.bytes))  \($0.key)" }
        let sum = settings.memoryBounds.reduce(0) { $0 + $1.bytes }
        lines.append("#   \(ByteSize.format(sum))  together: an estimate of the ceiling, without the process itself")
        lines.append("# a running daemon takes over all but these, which need a restart:")
        lines += SettingsKeys.restartOnly.map { "#   \($0)" }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Files that have a part in it, those of the stages that are not there yet included: another version of one of them
    /// makes another configuration.
    public var watchedFiles: [String] {
        let clickhouse = settings.ship.clickhouse
        let named = [
            clickhouse.caCert, clickhouse.clientCert, clickhouse.clientKey, settings.admin.tlsCertificate,
            settings.admin.tlsKey,
        ].compactMap(\.self)
        let secrets = provenance.values.compactMap { origin in
            if case .secretFile(let path, _) = origin { path } else { nil }
        }
        var directory = stages
        if case .environment = provenance(of: "stages") {
        } else if let mainFile {
            directory = FilePath.resolve(stages, in: FilePath.directory(of: mainFile))
        }
        let stageFiles = SettingsKeys.stages.map { "\(directory)/\($0).yaml" }
        return Set(sources + named + secrets + stageFiles + [mainFile].compactMap(\.self)).sorted()
    }

    private func render(_ key: ConfigurationKey<Settings>, depth: Int) -> [String] {
        let name = String(key.name)
        guard case .settings(let values) = key.get(settings) else {
            return [line(depth, name, YAMLText.of(key.get(settings), key.type), provenance(of: key.path))]
        }
        if values.isEmpty { return [line(depth, name, "{}", .builtIn)] }
        return [indent(depth) + "\(name):"]
            + values.sorted { $0.key < $1.key }.map { setting, value in
                line(
                    depth + 1, YAMLText.name(setting), YAMLText.setting(setting, value),
                    provenance(of: key.path, element: setting))
            }
    }

    private func tables<Root>(
        _ tables: [String: Root], _ keys: [ConfigurationKey<Root>], _ stage: String, of defaults: String,
        and rules: [String: [RuleValue]] = [:]
    ) -> [String] {
        let names = Set(tables.keys).union(rules.keys).sorted()
        guard !names.isEmpty else { return [line(1, "tables", "{}", .builtIn)] }
        var lines = [indent(1) + "tables:"]
        for table in names {
            lines.append(indent(2) + YAMLText.quoted(table) + ":")
            if let values = rules[table] { lines += self.rules(of: table, values) }
            guard let values = tables[table] else { continue }
            for key in keys {
                let own = provenance[ValuePath(key: "\(stage).tables.\(key.path)", element: table)]
                let source = own ?? .derived(from: defaults)
                lines.append(line(3, key.path, YAMLText.of(key.get(values), key.type), source))
            }
        }
        return lines
    }

    /// What a table's rules set, as it nests in the file.
    private func rules(of table: String, _ values: [RuleValue]) -> [String] {
        var lines = [indent(3) + "rules:"]
        var open: [String] = []
        for value in values {
            let groups = Array(value.groups)
            let shared = zip(open, groups).prefix { $0 == $1 }.count
            for (depth, group) in groups.enumerated().dropFirst(shared) {
                lines.append(indent(4 + depth) + YAMLText.quoted(group) + ":")
            }
            open = groups
            let source = provenance[ValuePath(key: value.key, element: table, name: value.name)] ?? .builtIn
            lines.append(line(4 + groups.count, YAMLText.quoted(value.path.last ?? ""), value.text, source))
        }
        return lines
    }

    private func indent(_ depth: Int) -> String { String(repeating: "  ", count: depth) }

    private func line(_ depth: Int, _ name: String, _ value: String, _ source: Provenance) -> String {
        // A path with a line break in it must not end the comment.
        let comment = source.description.map { $0.isNewline ? "?" : $0 }
        return "\(indent(depth))\(name): \(value)  # \(String(comment))"
    }
}

extension EffectiveConfiguration: CustomStringConvertible {
    /// Short on purpose: `render()` is the long form.
    public var description: String {
        "configuration from \(sources.isEmpty ? "defaults" : sources.joined(separator: ", "))"
    }
}

extension Settings {
    /// What bounds the memory that rows take on their way through the daemon, in bytes.
    public var memoryBounds: [(key: String, bytes: Int)] {
        let blockBytesMax = ([batch.defaults] + batch.tables.values).map(\.bytesMax).max() ?? 0
        return [
            ("receive.read_memory_max", receive.readMemoryMax),
            ("receive.queue.bytes_max", receive.queue.bytesMax),
            (
                "3 x validate.row_batch.bytes_max for each of validate.workers (6 x for one), where rows of many tables come mixed",
                validate.gatherBytesMax * validate.workersOrDefault
            ),
            ("validate.queue.bytes_max", validate.queue.bytesMax),
            ("3 x validate.recycled_bytes_max", 3 * validate.recycledBytesMax),
            ("spool.queue.bytes_max", spool.queue.bytesMax),
            ("spool.memory_max", spool.enabled ? spool.memoryMax : 0),
            // Columns grow by half when they are full.
            ("batch.memory_max, and half of it for room to grow", batch.memoryMax + batch.memoryMax / 2),
            ("batch.queue.bytes_max", batch.queue.bytesMax),
            ("compress.queue.bytes_max", compress.queue.bytesMax),
            // A block as it was and as it becomes.
            ("2 x batch bytes_max for each of compress.workers", 2 * blockBytesMax * compress.workersOrDefault),
            ("batch bytes_max for each block in flight", blockBytesMax * ship.blocksInFlightMax),
        ]
    }

    /// The sum of `memoryBounds`: a ceiling of what rows take, whatever their sink does. Beside it the process takes what
    /// it needs to run (some 40 MiB), and each session up to a line (`receive.line_bytes_max`).
    public var memoryCeilingEstimate: Int { memoryBounds.reduce(0) { $0 + $1.bytes } }
}

extension ShipSettings {
    /// Blocks that the sink has in hand at once.
    fileprivate var blocksInFlightMax: Int { sink == .clickhouse ? clickhouse.connections : 1 }
}

/// Values as YAML that reads back as the same value.
enum YAMLText {
    static func of(_ value: ConfigurationValue, _ type: ValueType) -> String {
        switch value {
        case .flag(let on): return on ? "true" : "false"
        case .count(let number): return String(number)
        case .bytes(let size): return ByteSize.format(size)
        case .duration(let span): return TimeSpan.format(span)
        case .text(let text): return quoted(text)
        case .mode(let bits):
            let digits = String(bits, radix: 8)
            return "\"" + String(repeating: "0", count: max(1, 4 - digits.count)) + digits + "\""
        case .hosts(let hosts): return list(hosts.map { $0.port == 0 ? $0.name : $0.description })
        case .list(let items): return list(items)
        case .settings(let values):
            return "{" + values.sorted { $0.key < $1.key }.map { "\(name($0)): \(quoted($1))" }.joined(separator: ", ")
                + "}"
        case .literals(let values):
            let texts = values.map { $0.isPlain ? $0.text : "\"\(escaped($0.text))\"" }
            if case .literal = type { return texts.first ?? "null" }
            return "[" + texts.joined(separator: ", ") + "]"
        case .secret(let secret): return "\"\(secret)\""
        case .absent: if case .optional(let word, _) = type { return word } else { return "null" }
        }
    }

    /// A setting's value, masked where its name says that it is a secret.
    static func setting(_ name: String, _ value: String) -> String {
        let isSecret = ["password", "secret", "token", "access_key"].contains { name.lowercased().contains($0) }
        return isSecret ? "\"\(Secret(value))\"" : quoted(value)
    }

    /// The name of a map's element: plain where it is a word.
    static func name(_ name: String) -> String {
        let isWord = name.utf8.allSatisfy {
            (0x61...0x7A).contains($0) || (0x41...0x5A).contains($0) || (0x30...0x39).contains($0)
                || "_-./".utf8.contains($0)
        }
        return isWord && !name.isEmpty ? name : "\"\(escaped(name))\""
    }

    private static func list(_ items: [String]) -> String {
        "[" + items.map { "\"\(escaped($0))\"" }.joined(separator: ", ") + "]"
    }

    /// Plain where every YAML reader takes it for a text.
    static func quoted(_ text: String) -> String {
        let isPlain =
            text.utf8.allSatisfy {
                (0x61...0x7A).contains($0) || (0x41...0x5A).contains($0) || (0x30...0x39).contains($0)
                    || "_-./".utf8.contains($0)
            } && text.utf8.contains { (0x61...0x7A).contains($0) || (0x41...0x5A).contains($0) }
            && text.utf8.first.map { !(0x30...0x39).contains($0) && $0 != 0x2D && $0 != 0x2E } == true
            && !["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(text.lowercased())
        return isPlain ? text : "\"\(escaped(text))\""
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16)
                result += "\\x" + (digits.count < 2 ? "0" : "") + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
