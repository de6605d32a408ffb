/// A value that a new configuration has otherwise than the one that is running.
public struct ConfigurationDifference: Hashable, Sendable, CustomStringConvertible {
    public let path: String
    /// As YAML; secrets masked.
    public let before: String
    public let after: String
    public let change: ConfigurationChange

    public var description: String { "\(path): \(before) → \(after)" }
}

extension Settings {
    /// What differs in a new configuration, in the order of the reference.
    public func differences(to new: Settings) -> [ConfigurationDifference] {
        var differences: [ConfigurationDifference] = []
        for key in SettingsKeys.all {
            let (before, after) = (key.get(self), key.get(new))
            guard before != after else { continue }
            differences.append(
                ConfigurationDifference(
                    path: key.path, before: YAMLText.of(before, key.type), after: YAMLText.of(after, key.type),
                    change: key.change))
        }
        return differences + TableRules.differences(validate.rules, new.validate.rules)
            + Self.differences(
                validate.tables, validate.input, new.validate.tables, new.validate.input, SettingsKeys.input,
                "validate")
            + Self.differences(
                batch.tables, batch.defaults, new.batch.tables, new.batch.defaults, SettingsKeys.strategy, "batch")
    }

    /// Of `tables`; one without values of its own has the defaults.
    private static func differences<Root>(
        _ before: [String: Root], _ defaults: Root, _ after: [String: Root], _ newDefaults: Root,
        _ keys: [ConfigurationKey<Root>], _ stage: String
    ) -> [ConfigurationDifference] {
        Set(before.keys).union(after.keys).sorted().flatMap { table in
            let (before, after) = (before[table] ?? defaults, after[table] ?? newDefaults)
            return keys.filter { $0.get(before) != $0.get(after) }.map { key in
                ConfigurationDifference(
                    path: "\(stage).tables.\(table).\(key.path)", before: YAMLText.of(key.get(before), key.type),
                    after: YAMLText.of(key.get(after), key.type), change: key.change)
            }
        }
    }
}
