/// Where in the configuration something stands.
public enum ConfigurationPlace: Sendable, Hashable, CustomStringConvertible {
    /// Line and column count from 1, the column in Unicode scalars.
    case position(file: String, line: Int, column: Int)
    case file(String)
    /// An environment variable, by name.
    case variable(String)
    /// Nowhere: the combination of defaults.
    case defaults

    public var description: String {
        switch self {
        case .position(let file, let line, let column): "\(file):\(line):\(column)"
        case .file(let path): path
        case .variable(let name): "$\(name)"
        case .defaults: "configuration"
        }
    }

    /// Without the column: `stages/ship.yaml:12`.
    public var shortDescription: String {
        if case .position(let file, let line, _) = self { "\(file):\(line)" } else { description }
    }
}

/// One thing that is wrong, or doubtful, in the configuration. The message never holds a secret.
public struct ConfigurationIssue: Error, Sendable, Hashable, CustomStringConvertible {
    public enum Code: String, Sendable, CaseIterable {
        case syntax
        case unreadableFile = "unreadable_file"
        case unknownKey = "unknown_key"
        case duplicateKey = "duplicate_key"
        case wrongType = "wrong_type"
        case outOfRange = "out_of_range"
        /// A table has a column of a type that sluice does not know.
        case unsupportedType = "unsupported_type"
        case unsetVariable = "unset_variable"
        case unknownVariable = "unknown_variable"
        /// Values that are fine alone do not go together.
        case conflict
        /// A stage file and the `database.clickhouse` block set the same value.
        case overridden
        /// A secret is kept where others can read it.
        case exposedSecret = "exposed_secret"
        /// A setting gives up what sluice promises otherwise.
        case weakenedPromise = "weakened_promise"
    }

    public let code: Code
    public let place: ConfigurationPlace
    public let message: String

    public init(_ code: Code, at place: ConfigurationPlace, _ message: String) {
        self.code = code
        self.place = place
        self.message = message
    }

    /// `stages/ship.yaml:12:3: unknown key "host", did you mean "hosts"?`
    public var description: String { "\(place): \(message)" }
}

/// The configuration cannot be used; every error that was found, in the order of the files.
public struct ConfigurationFailure: Error, Sendable, Hashable, CustomStringConvertible {
    public let errors: [ConfigurationIssue]
    public let warnings: [ConfigurationIssue]
    /// Files that were read.
    public let sources: [String]

    public var description: String { errors.map(\.description).joined(separator: "\n") }
}

/// Where a value comes from.
public enum Provenance: Sendable, Hashable, CustomStringConvertible {
    case builtIn
    /// `variables`: names that the value takes from the environment by `${NAME}`.
    case file(ConfigurationPlace, variables: [String])
    case environment(String)
    /// The secret's own file, and where it is named.
    case secretFile(String, namedAt: ConfigurationPlace)
    /// Follows from another key: a profile, `batch.defaults`, the `database.clickhouse` block.
    case derived(from: String)

    public var description: String {
        switch self {
        case .builtIn: "default"
        case .file(let place, let variables):
            ([place.shortDescription] + variables.map { "$\($0)" }).joined(separator: " ")
        case .environment(let name): "$\(name)"
        case .secretFile(let path, let place): "secret file \(path), named by \(place.shortDescription)"
        case .derived(let source): "from \(source)"
        }
    }

    /// Where a complaint about the value points to.
    var place: ConfigurationPlace {
        switch self {
        case .builtIn, .derived: .defaults
        case .file(let place, _), .secretFile(_, let place): place
        case .environment(let name): .variable(name)
        }
    }
}
