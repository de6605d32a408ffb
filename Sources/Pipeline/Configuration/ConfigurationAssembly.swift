/// A value's place in the settings: the key, and under `batch.tables` or `settings` the table or setting.
struct ValuePath: Hashable, Sendable {
    let key: String
    var element: String?
    /// Below a table's rules: the column, or what else they have names for.
    var name: String?
}

/// Settings as they come together: one assignment after the other, from the weakest source to the strongest.
struct ConfigurationAssembly {
    /// Sources by strength; the later goes before the earlier.
    enum Layer: Int, Comparable {
        case block, file, environment
        static func < (left: Layer, right: Layer) -> Bool { left.rawValue < right.rawValue }
    }

    let files: any ConfigurationFiles
    var settings = Settings()
    /// What has another source than the built-in defaults.
    private(set) var provenance: [ValuePath: Provenance] = [:]
    private(set) var errors: [ConfigurationIssue] = []
    private(set) var warnings: [ConfigurationIssue] = []
    private var layers: [ValuePath: Layer] = [:]
    /// Paths as written, for messages about aliases.
    private var writtenAs: [ValuePath: String] = [:]
    /// Keys whose value could not be read: checks that need them would only give follow-up errors.
    private var failed: Set<String> = []
    private typealias TableValues = [String: [(key: String, value: ConfigurationValue)]]
    private var strategies: TableValues = [:]
    private var inputs: TableValues = [:]
    private var rules = RuleAssembly()
    private var namedSettings: [String: String] = [:]
    private var treatments: [Int32: ClickHouseSettings.ErrorTreatment] = [:]
    /// By key.
    private var rates: [String: [String: String]] = [:]

    init(files: any ConfigurationFiles) {
        self.files = files
    }

    mutating func report(_ error: ConfigurationIssue) { errors.append(error) }
    mutating func warn(_ warning: ConfigurationIssue) { warnings.append(warning) }

    func origin(_ key: String, element: String? = nil) -> Provenance {
        provenance[ValuePath(key: key, element: element)] ?? .builtIn
    }

    /// Whether a value comes from the `database.clickhouse` block.
    func isOfBlock(_ key: String) -> Bool { layers[ValuePath(key: key)] == .block }

    func isBroken(_ keys: [String]) -> Bool { keys.contains { failed.contains($0) } }

    mutating func setProvenance(_ origin: Provenance, of key: String, element: String? = nil) {
        provenance[ValuePath(key: key, element: element)] = origin
    }

    mutating func fail(_ key: String, _ issue: ConfigurationIssue) {
        failed.insert(key)
        errors.append(issue)
    }

    // MARK: Assignments

    mutating func apply(_ assignment: Assignment, layer: Layer) {
        let entry = assignment.entry
        let path = ValuePath(key: entry.target, element: assignment.element, name: assignment.name)
        guard let (value, origin) = decode(assignment) else { return }
        if let earlier = layers[path], !settle(assignment, path, earlier: earlier, layer) { return }
        layers[path] = layer
        writtenAs[path] = entry.path
        provenance[path] = origin
        if let table = assignment.element, entry.target.hasPrefix("batch.tables.") {
            strategies[table, default: []].append((String(entry.name), value))
        } else if let table = assignment.element, entry.target.hasPrefix(RuleKeys.prefix) {
            rules.apply(value, to: entry.target, of: table, assignment.name, at: assignment.place)
        } else if let table = assignment.element, entry.target.hasPrefix("validate.tables.") {
            inputs[table, default: []].append((String(entry.name), value))
        } else if let name = assignment.element, let rate = value.rate {
            rates[entry.target, default: [:]][name] = rate
        } else if let name = assignment.element, case .text(let text) = value {
            if case .treatments = entry.type {
                treatments[Int32(name) ?? 0] = ClickHouseSettings.ErrorTreatment(rawValue: text)
            } else {
                namedSettings[name] = text
            }
        } else {
            SettingsKeys.byPath[entry.target]?.set(&settings, value)
        }
    }

    /// The value and where it comes from; nil after an error, which is reported.
    private mutating func decode(_ assignment: Assignment) -> (ConfigurationValue, Provenance)? {
        let entry = assignment.entry
        let origin: Provenance =
            if case .variable(let name) = assignment.place { .environment(name) } else {
                .file(assignment.place, variables: assignment.variables)
            }
        if case .settings = entry.type { return settingValue(assignment.raw).map { ($0, origin) } }
        if case .treatments = entry.type, !isErrorCode(assignment) { return nil }
        do {
            let value = try entry.type.parse(assignment.raw)
            switch (entry.type, value) {
            case (.secretFile, .text(let path)):
                return secret(path, assignment).map {
                    ($0, .secretFile(resolved(path, assignment.place), namedAt: assignment.place))
                }
            case (.secret, .secret(let secret)):
                warnAboutLiteral(secret, assignment)
                return (value, origin)
            default: return (rebased(value, assignment), origin)
            }
        } catch {
            let subject = [assignment.element, assignment.name].compactMap { $0 }.joined(separator: ".")
            let name = subject.isEmpty ? entry.name : "\(subject): \(entry.name)"
            fail(
                entry.target,
                ConfigurationIssue(error.code, at: error.place ?? assignment.place, "\(name): \(error.message)"))
            return nil
        }
    }

    private mutating func isErrorCode(_ assignment: Assignment) -> Bool {
        let name = assignment.element ?? ""
        if let code = Int32(name), code > 0, "\(code)" == name { return true }
        fail(
            assignment.entry.target,
            ConfigurationIssue(
                .wrongType, at: assignment.place,
                "\(assignment.entry.name): expected a number of ClickHouse's such as 241, got \"\(name.prefix(60))\""))
        return false
    }

    /// What stands twice: within one source an error, across files a warning. The environment is meant to override.
    private mutating func settle(_ assignment: Assignment, _ path: ValuePath, earlier: Layer, _ layer: Layer) -> Bool {
        let name = assignment.element ?? assignment.entry.path
        let other = writtenAs[path] ?? path.key
        let place = provenance[path]?.place ?? .defaults
        if earlier == layer {
            fail(
                path.key,
                ConfigurationIssue(
                    .conflict, at: assignment.place, "\(name) and \(other) exclude each other; the other is at \(place)"
                ))
            return false
        }
        if layer == .file {
            warn(ConfigurationIssue(.overridden, at: assignment.place, "\(name) overrides \(other) at \(place)"))
        }
        return true
    }

    /// ClickHouse reads 1 and 0 for a switch in every version; a YAML `true` becomes that.
    private func settingValue(_ raw: RawValue) -> ConfigurationValue? {
        guard case .scalar(let scalar) = raw else { return nil }
        switch scalar.text {
        case "true" where scalar.plain: return .text("1")
        case "false" where scalar.plain: return .text("0")
        default: return .text(scalar.isNull ? "" : scalar.text)
        }
    }

    // MARK: Files

    private func resolved(_ path: String, _ place: ConfigurationPlace) -> String {
        if case .position(let file, _, _) = place {
            FilePath.resolve(path, in: FilePath.directory(of: file))
        } else {
            path
        }
    }

    /// Paths that are relative to the file that names them.
    private func rebased(_ value: ConfigurationValue, _ assignment: Assignment) -> ConfigurationValue {
        switch (assignment.entry.target, value) {
        case ("ship.clickhouse.ca_cert", .text(let path)), ("ship.clickhouse.client_cert", .text(let path)),
            ("ship.clickhouse.client_key", .text(let path)), ("admin.tls.certificate", .text(let path)),
            ("admin.tls.key", .text(let path)):
            .text(resolved(path, assignment.place))
        case ("validate.schema", .list(let paths)): .list(paths.map { resolved($0, assignment.place) })
        default: value
        }
    }

    private mutating func secret(_ path: String, _ assignment: Assignment) -> ConfigurationValue? {
        let path = resolved(path, assignment.place)
        do {
            var bytes = try files.read(path, bytesMax: ConfigurationLimits.secretBytesMax)[...]
            while let last = bytes.last, last == 0x0A || last == 0x0D { bytes.removeLast() }
            guard let text = String(validating: bytes, as: UTF8.self) else {
                fail(
                    assignment.entry.target,
                    ConfigurationIssue(.unreadableFile, at: assignment.place, "secret file \(path) is not valid UTF-8"))
                return nil
            }
            if files.isWorldReadable(path) == true {
                warn(
                    ConfigurationIssue(
                        .exposedSecret, at: assignment.place,
                        "secret file \(path) can be read by every user of this machine; chmod o-r takes that away"))
            }
            return .secret(Secret(text))
        } catch {
            fail(
                assignment.entry.target,
                ConfigurationIssue(.unreadableFile, at: assignment.place, "cannot read secret file \(path): \(error)"))
            return nil
        }
    }

    private mutating func warnAboutLiteral(_ secret: Secret, _ assignment: Assignment) {
        guard case .position = assignment.place, assignment.variables.isEmpty, !secret.revealed.isEmpty else { return }
        warn(
            ConfigurationIssue(
                .exposedSecret, at: assignment.place,
                "\(assignment.entry.name) stands in the file; take it from the environment, \"${NAME}\", or from a file, \(assignment.entry.name)_file"
            ))
    }

    // MARK: Completion

    /// What follows from several values together.
    mutating func complete() {
        completeTables()
        completeSettings()
        completeHosts()
        expandSchemaFiles()
    }

    private mutating func completeTables() {
        settings.batch.tables = tables(strategies, SettingsKeys.strategy, above: settings.batch.defaults, "batch")
        settings.validate.tables = tables(inputs, SettingsKeys.input, above: settings.validate.input, "validate")
        settings.validate.rules = rules.tables
    }

    /// A table has what the defaults end up with, and its own values above that.
    private mutating func tables<Root>(
        _ named: TableValues, _ known: [ConfigurationKey<Root>], above defaults: Root, _ stage: String
    ) -> [String: Root] {
        if named.count > ConfigurationLimits.tablesMax {
            report(
                ConfigurationIssue(
                    .outOfRange, at: .defaults,
                    "\(stage).tables: must be at most \(ConfigurationLimits.tablesMax) tables"))
        }
        let keys = Dictionary(uniqueKeysWithValues: known.map { ($0.path, $0) })
        return named.mapValues { values in
            var settings = defaults
            for (name, value) in values { keys[name]?.set(&settings, value) }
            return settings
        }
    }

    private mutating func completeSettings() {
        var merged = settings.ship.clickhouse.profile?.settings ?? [:]
        for name in merged.keys {
            let profile = settings.ship.clickhouse.profile?.rawValue ?? ""
            if namedSettings[name] == nil {
                setProvenance(.derived(from: "profile \(profile)"), of: "ship.clickhouse.settings", element: name)
            }
        }
        merged.merge(namedSettings) { _, named in named }
        settings.ship.clickhouse.settings = merged
        settings.ship.clickhouse.errors = treatments
        for (key, values) in rates { SettingsKeys.byPath[key]?.set(&settings, .settings(values)) }
    }

    private mutating func completeHosts() {
        let port = settings.ship.clickhouse.secure ? 9440 : 9000
        let isDefault = origin("ship.clickhouse.hosts") == .builtIn
        for index in settings.ship.clickhouse.hosts.indices
        where isDefault || settings.ship.clickhouse.hosts[index].port == 0 {
            settings.ship.clickhouse.hosts[index].port = port
        }
    }

    private mutating func expandSchemaFiles() {
        var expanded: [String] = []
        for path in settings.validate.schemaFiles {
            let name = path.split(separator: "/").last.map(String.init) ?? path
            guard name.contains("*") || name.contains("?") else {
                expanded.append(path)
                continue
            }
            let directory = FilePath.directory(of: path)
            do {
                let names = try files.list(directory.isEmpty ? "." : directory)
                let found = names.filter { FilePath.matches($0, pattern: name) }
                if found.isEmpty { failSchema("no file matches \(path)") }
                expanded += found.map { FilePath.resolve($0, in: directory) }
            } catch {
                failSchema("cannot list \(directory.isEmpty ? "." : directory) for \(path): \(error)")
            }
        }
        if expanded.count > ConfigurationLimits.schemaFilesMax {
            failSchema("must be at most \(ConfigurationLimits.schemaFilesMax) files, got \(expanded.count)")
        }
        settings.validate.schemaFiles = expanded
    }

    private mutating func failSchema(_ message: String) {
        fail(
            "validate.schema",
            ConfigurationIssue(.unreadableFile, at: origin("validate.schema").place, "schema: \(message)"))
    }
}

extension ConfigurationValue {
    /// One element of a map of rates, as such a map has it.
    fileprivate var rate: String? {
        switch self {
        case .count(let number): String(number)
        case .bytes(let size): ByteSize.format(size)
        default: nil
        }
    }
}
