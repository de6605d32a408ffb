/// One statement of a file of SQL, and where it stands.
public struct SQLStatement: Hashable, Sendable {
    /// As written, without the semicolon and without what stands before and behind; comments within are kept.
    public let text: String
    /// Of its first word, from 1 on.
    public let line: Int
    /// Its first words, in upper case: at most four. `CREATE TABLE IF NOT`.
    public let opening: [String]
    /// The words of the whole statement that are no names in quotes, in upper case, each once.
    public let words: Set<String>
}

/// What is wrong with a file of SQL.
public struct SQLFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public let line: Int
    public let message: String

    public init(line: Int, message: String) {
        self.line = line
        self.message = message
    }

    public var description: String { "line \(line): \(message)" }
}

extension SQLStatement {
    /// Cuts a file at its semicolons; those in strings, quoted names and comments are none. Empty statements fall away.
    public static func split(_ bytes: [UInt8]) throws(SQLFailure) -> [SQLStatement] {
        let tokens: [SQLToken]
        do { tokens = try SQLTokenizer.tokens(of: bytes) } catch {
            throw SQLFailure(line: line(of: error.offset, bytes), message: error.message)
        }
        return tokens.split(whereSeparator: { $0.isSign(";") }).map { tokens in
            let range = tokens[tokens.startIndex].range.lowerBound..<tokens[tokens.endIndex - 1].range.upperBound
            let words = tokens.filter { $0.kind == .word }.map { $0.text.uppercased() }
            return SQLStatement(
                text: String(decoding: bytes[range], as: UTF8.self), line: line(of: range.lowerBound, bytes),
                opening: Array(words.prefix(4)), words: Set(words))
        }
    }

    private static func line(of offset: Int, _ bytes: [UInt8]) -> Int { bytes.prefix(offset).count { $0 == 0x0A } + 1 }
}
