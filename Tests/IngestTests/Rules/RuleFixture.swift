import Ingest
import Pipeline

/// Rules as an operator writes them.
enum RuleFixture {
    static let key = "0123456789abcdef0123456789abcdef"

    private struct Files: ConfigurationFiles {
        let text: String

        func read(_ path: String, bytesMax: Int) throws(ConfigurationFileError) -> [UInt8] { Array(text.utf8) }
        func isWorldReadable(_ path: String) -> Bool? { false }
        func list(_ directory: String) throws(ConfigurationFileError) -> [String] { ["validate.yaml"] }
    }

    /// - Parameter rules: what stands below `rules`, by tables; `$KEY` is a key.
    static func tables(_ rules: [String: String]) throws -> [String: TableRules] {
        var text = "tables:\n"
        for (table, rules) in rules {
            text += "  \(table):\n    rules:\n" + rules.split(separator: "\n").map { "      \($0)\n" }.joined()
        }
        let loader = ConfigurationLoader(files: Files(text: text), environment: ["KEY": key])
        return try loader.load(nil).settings.validate.rules
    }
}

extension RowFixture {
    /// The table has rules, as they stand below `rules`.
    init(_ columns: [(name: String, type: String, expression: String?)], rules: String) throws {
        try self.init(columns)
        settings.rules = try RuleFixture.tables(["t": rules])
    }

    /// One column, `v`, with rules as they stand below its name.
    init(type: String, rules: String) throws { try self.init([("v", type, nil)], rules: "fields: {v: \(rules)}") }
}
