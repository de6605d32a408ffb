/// The names in an SQL expression that are called as functions.
public enum CalledFunctions {
    /// - Returns: Names as written, in their order; empty when the expression cannot be cut into words.
    public static func names(in expression: String) -> [String] {
        guard let tokens = try? SQLTokenizer.tokens(of: Array(expression.utf8)) else { return [] }
        return zip(tokens, tokens.dropFirst()).compactMap { name, next in
            name.kind == .word && next.isSign("(") ? name.text : nil
        }
    }
}
