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
        for table in Set(batch.tables.keys).union(new.batch.tables.keys).sorted() {
            // A table without a strategy of its own has the defaults.
            let before = batch.tables[table] ?? batch.defaults
            let after = new.batch.tables[table] ?? new.batch.defaults
            for key in SettingsKeys.strategy where key.get(before) != key.get(after) {
                differences.append(
                    ConfigurationDifference(
                        path: "batch.tables.\(table).\(key.path)", before: YAMLText.of(key.get(before), key.type),
                        after: YAMLText.of(key.get(after), key.type), change: key.change))
            }
        }
        return differences
    }
}
