import Foundation

/// Reads the configuration: built-in defaults, then the main file's `database.clickhouse` block, then the main file and
/// the stage files, then `SLUICE_…` environment variables. The later goes before the earlier.
public struct ConfigurationLoader: Sendable {
    /// Names of the main file, in the order in which they are looked for.
    public static let mainFileNames = ["sluice.yaml", "config.yaml"]
    /// `SLUICE_` variables that belong to other parts of the program.
    public static let foreignVariables: Set<String> = ["SLUICE_CONFIG"]

    let files: any ConfigurationFiles
    let environment: [String: String]

    public init(
        files: any ConfigurationFiles = LocalFiles(),
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) {
        self.files = files
        self.environment = environment
    }

    /// The main file of the working directory, if there is one.
    public func findMainFile() -> String? {
        let names = (try? files.list(".")) ?? []
        return Self.mainFileNames.first { names.contains($0) }
    }

    /// - Parameter mainFile: path of `sluice.yaml`; nil for none: then the stage files in `stages` count, if there are
    ///   any, and the built-in defaults.
    /// - Throws: everything that is wrong, not only the first.
    public func load(_ mainFile: String?) throws(ConfigurationFailure) -> EffectiveConfiguration {
        var run = Run(loader: self, mainFile: mainFile)
        run.readMainFile()
        run.readStageFiles()
        run.readEnvironment()
        run.assembly.complete()
        CrossChecks.run(on: &run.assembly)
        run.readNamedFiles()
        let assembly = run.assembly
        guard assembly.errors.isEmpty else {
            var errors = Array(assembly.errors.prefix(ConfigurationLimits.errorsMax))
            if assembly.errors.count > errors.count {
                let rest = assembly.errors.count - errors.count
                errors.append(ConfigurationIssue(.conflict, at: .defaults, "\(rest) more errors are not shown"))
            }
            throw ConfigurationFailure(errors: errors, warnings: assembly.warnings, sources: run.sources)
        }
        return EffectiveConfiguration(
            settings: assembly.settings, mainFile: mainFile, stages: run.stages, sources: run.sources,
            warnings: assembly.warnings, provenance: assembly.provenance, schema: run.schema)
    }
}

/// One load, in progress.
private struct Run {
    let loader: ConfigurationLoader
    let mainFile: String?
    var assembly: ConfigurationAssembly
    /// Directory of the stage files, as it is given.
    var stages = "stages"
    var sources: [String] = []
    var schema = SchemaCatalog()

    private var files: any ConfigurationFiles { loader.files }
    private var environment: [String: String] { loader.environment }

    init(loader: ConfigurationLoader, mainFile: String?) {
        self.loader = loader
        self.mainFile = mainFile
        self.assembly = ConfigurationAssembly(files: loader.files)
    }

    // MARK: Files

    mutating func readMainFile() {
        guard let mainFile else { return }
        let assignments = read(mainFile, along: .mainFile, isNeeded: true)
        for assignment in assignments where assignment.entry.path.hasPrefix("database.") {
            assembly.apply(assignment, layer: .block)
            // Somebody who names a server wants it to be used.
            assembly.settings.ship.sink = .clickhouse
            assembly.setProvenance(.derived(from: "database.clickhouse"), of: "ship.sink")
        }
        for assignment in assignments where !assignment.entry.path.hasPrefix("database.") {
            if assignment.entry.path == "stages" {
                setStages(assignment)
            } else {
                assembly.apply(assignment, layer: .file)
            }
        }
    }

    mutating func readStageFiles() {
        if let directory = environment["SLUICE_STAGES"] {
            stages = directory
            assembly.setProvenance(.environment("SLUICE_STAGES"), of: "stages")
        }
        let directory: String
        if case .environment = assembly.origin("stages") {
            directory = stages
        } else {
            directory = FilePath.resolve(stages, in: mainFile.map(FilePath.directory) ?? "")
        }
        var names: [String] = []
        do { names = try files.list(directory) } catch {
            // The default need not be there; a directory that somebody names must.
            if error.code == .notFound, assembly.origin("stages") == .builtIn { return }
            assembly.report(
                ConfigurationIssue(
                    .unreadableFile, at: assembly.origin("stages").place, "stages: cannot read \(directory): \(error)"))
            return
        }
        for stage in SettingsKeys.stages where names.contains("\(stage).yaml") {
            guard let tree = KeyTree.stageFiles[stage] else { continue }
            for assignment in read(FilePath.resolve("\(stage).yaml", in: directory), along: tree, isNeeded: true) {
                assembly.apply(assignment, layer: .file)
            }
        }
        warnAboutStrangers(names, in: directory)
    }

    /// `recieve.yaml` would be ignored in silence otherwise.
    private mutating func warnAboutStrangers(_ names: [String], in directory: String) {
        let known = SettingsKeys.stages.map { "\($0).yaml" }
        for name in names where !known.contains(name) && (name.hasSuffix(".yaml") || name.hasSuffix(".yml")) {
            let hint = Suggestion.nearest(to: name, among: known).map { ", did you mean \($0)?" } ?? ""
            assembly.warn(
                ConfigurationIssue(
                    .unknownKey, at: .file(FilePath.resolve(name, in: directory)),
                    "no stage has a file of this name, it is not read\(hint)"))
        }
    }

    private mutating func setStages(_ assignment: Assignment) {
        do {
            guard case .text(let path) = try assignment.entry.type.parse(assignment.raw) else { return }
            stages = path
            assembly.setProvenance(.file(assignment.place, variables: assignment.variables), of: "stages")
        } catch {
            assembly.fail("stages", ConfigurationIssue(error.code, at: assignment.place, "stages: \(error.message)"))
        }
    }

    private mutating func read(_ path: String, along tree: KeyTree, isNeeded: Bool) -> [Assignment] {
        do {
            let bytes = try files.read(path, bytesMax: ConfigurationLimits.fileBytesMax)
            sources.append(path)
            guard let text = String(validating: bytes, as: UTF8.self) else {
                assembly.report(ConfigurationIssue(.syntax, at: .file(path), "not valid UTF-8"))
                return []
            }
            var reader = YAMLReader(file: path, substitution: VariableSubstitution(environment: environment))
            reader.read(text, along: tree)
            reader.errors.forEach { assembly.report($0) }
            return reader.assignments
        } catch {
            assembly.report(ConfigurationIssue(.unreadableFile, at: .file(path), "cannot be read: \(error)"))
            return []
        }
    }

    // MARK: Environment

    mutating func readEnvironment() {
        let variables = EnvironmentVariables.byName
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) where name.hasPrefix("SLUICE_") {
            if name == EnvironmentVariables.stages || ConfigurationLoader.foreignVariables.contains(name) { continue }
            guard let entry = variables[name] else {
                let hint = EnvironmentVariables.suggestion(for: name).map { ", did you mean \($0)?" } ?? ""
                assembly.warn(
                    ConfigurationIssue(
                        .unknownVariable, at: .variable(name), "no key has this name, it is not used\(hint)"))
                continue
            }
            apply(entry, RawScalar(text: value, place: .variable(name)))
        }
    }

    private mutating func apply(_ entry: KeyTree.Entry, _ scalar: RawScalar) {
        guard entry.type.isMap else {
            assembly.apply(
                Assignment(entry: entry, raw: .scalar(scalar), place: scalar.place, variables: []), layer: .environment)
            return
        }
        for pair in scalar.text.split(separator: ",") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty else {
                assembly.fail(
                    entry.target,
                    ConfigurationIssue(
                        .wrongType, at: scalar.place,
                        "\(entry.name): expected name=value pairs with commas between them"))
                return
            }
            var value = scalar
            value.text = String(parts[1])
            assembly.apply(
                Assignment(
                    entry: entry, element: String(parts[0]), raw: .scalar(value), place: scalar.place, variables: []),
                layer: .environment)
        }
    }

    // MARK: Files that the settings name

    mutating func readNamedFiles() {
        var errors: [ConfigurationIssue] = []
        schema = SchemaCatalog(files: assembly.settings.validate.schemaFiles, from: files, errors: &errors)
        for error in errors {
            guard case .file(let path) = error.place else {
                assembly.report(error)
                continue
            }
            let place = assembly.origin("validate.schema").place
            assembly.report(ConfigurationIssue(error.code, at: place, "schema: \(path) \(error.message)"))
        }
        schema.unsupported.forEach { assembly.warn($0) }
        let admin = assembly.settings.admin
        if admin.enabled, admin.host != nil {
            for (key, path) in [("certificate", admin.tlsCertificate), ("key", admin.tlsKey)] {
                if let path { warnUnlessReadable(path, "admin.tls.\(key)", key) }
            }
            if let path = admin.tlsKey { refuseIfExposed(path, "admin.tls.key", "key") }
        }
        let clickhouse = assembly.settings.ship.clickhouse
        guard assembly.settings.ship.sink == .clickhouse, clickhouse.secure else { return }
        let named = [
            ("ca_cert", clickhouse.caCert), ("client_cert", clickhouse.clientCert),
            ("client_key", clickhouse.clientKey),
        ]
        for case (let name, let path?) in named {
            warnUnlessReadable(path, "ship.clickhouse.\(name)", name)
            if name == "client_key" { refuseIfExposed(path, "ship.clickhouse.client_key", "client_key") }
        }
    }

    private mutating func refuseIfExposed(_ path: String, _ key: String, _ name: String) {
        guard files.isWorldReadable(path) == true else { return }
        assembly.report(
            ConfigurationIssue(
                .exposedSecret, at: assembly.origin(key).place,
                "\(name): \(path) can be read by every user of this machine; chmod 600 takes that away"))
    }

    /// A warning, as the configuration may be checked on another machine than the one that it is for.
    private mutating func warnUnlessReadable(_ path: String, _ key: String, _ name: String) {
        do { _ = try files.read(path, bytesMax: ConfigurationLimits.fileBytesMax) } catch {
            assembly.warn(
                ConfigurationIssue(
                    .unreadableFile, at: assembly.origin(key).place, "\(name): cannot read \(path): \(error)"))
        }
    }
}

/// Environment variables that override keys: `SLUICE_` and the path, in capitals, with `_` for each dot.
enum EnvironmentVariables {
    static let stages = "SLUICE_STAGES"

    static func name(of path: String) -> String {
        "SLUICE_" + path.uppercased().map { $0 == "." ? "_" : String($0) }.joined()
    }

    static let byName: [String: KeyTree.Entry] = {
        let entries =
            SettingsKeys.all.map(KeyTree.Entry.init) + AliasKey.all.filter { !$0.isOfBlock }.map(KeyTree.Entry.init)
        return Dictionary(entries.map { (name(of: $0.path), $0) }) { first, _ in first }
    }()

    /// The first name that has all words of the given one, or else the nearest.
    static func suggestion(for name: String) -> String? {
        let names = byName.keys.sorted() + [stages]
        let words = Set(name.split(separator: "_"))
        return names.first { words.isSubset(of: $0.split(separator: "_")) }
            ?? Suggestion.nearest(to: name, among: names)
    }
}
