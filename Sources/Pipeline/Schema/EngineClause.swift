/// A table's engine as `system.tables.engine_full` has it: its name, its arguments, and the table's own settings.
public struct EngineClause: Hashable, Sendable {
    public let name: String
    /// As written, without quotes where the whole argument is a string or a quoted name.
    public let arguments: [String]
    /// Of the clause SETTINGS; values as written, without quotes.
    public let settings: [String: String]

    /// nil: it is no such clause.
    public init?(parsing text: String) {
        let bytes = Array(text.utf8)
        guard let tokens = try? SQLTokenizer.tokens(of: bytes), let first = tokens.first, first.kind == .word else {
            return nil
        }
        name = first.text
        var arguments: [[SQLToken]] = []
        var settings: [String: String] = [:]
        var depth = 0
        var isInArguments = tokens.count > 1 && tokens[1].isSign("(")
        var settingsStart: Int?
        for (index, token) in tokens.enumerated().dropFirst() {
            if token.isSign("(") { depth += 1 }
            if token.isSign(")") {
                depth -= 1
                if depth == 0 { isInArguments = false }
            }
            if depth == 0, token.isWord("SETTINGS") { settingsStart = index + 1 }
            guard isInArguments, depth > 0, !(depth == 1 && token.isSign("(")) else { continue }
            if depth == 1, token.isSign(",") {
                arguments.append([])
            } else {
                if arguments.isEmpty { arguments.append([]) }
                arguments[arguments.count - 1].append(token)
            }
        }
        self.arguments = arguments.map { argument in
            if argument.count == 1 { return argument[0].text }
            guard let first = argument.first, let last = argument.last else { return "" }
            return String(decoding: bytes[first.range.lowerBound..<last.range.upperBound], as: UTF8.self)
        }
        if let start = settingsStart {
            for setting in tokens[start...].split(whereSeparator: { $0.isSign(",") }) {
                let parts = Array(setting)
                guard parts.count >= 3, parts[1].isSign("=") else { continue }
                settings[parts[0].text] = parts[2...].map(\.text).joined()
            }
        }
        self.settings = settings
    }
}
