/// Makes of a statement for one server the one for a cluster. Two comments in it stand for what differs, so that the file is
/// plain SQL to everybody else:
///
/// - `/*on_cluster*/` becomes `ON CLUSTER 'name'`;
/// - `/*replicated*/` in front of an engine makes it the Replicated one, with its path in Keeper and the replica's name as
///   first arguments: `/*replicated*/MergeTree` becomes `ReplicatedMergeTree('…', '{replica}')`.
///
/// In strings, quoted names and line comments they stand for nothing.
public struct ClusterVariant: Hashable, Sendable {
    public static let onCluster = "on_cluster"
    public static let replicated = "replicated"

    public let cluster: String
    /// Empty: none is given, and the server's own `default_replica_path` counts (ClickHouse 20.10 and later).
    public let replicaPath: String
    public let replicaName: String

    /// - Parameter replicaPath: `{shard}` and the like are the server's macros; `{database}` and `{table}` are filled in here,
    ///   as servers of 2018 do not know them.
    public init(
        cluster: String, replicaPath: String = "/clickhouse/tables/{shard}/{database}/{table}",
        replicaName: String = "{replica}"
    ) {
        self.cluster = cluster
        self.replicaPath = replicaPath
        self.replicaName = replicaName
    }

    /// - Parameter database: of tables that name none.
    /// - Throws: `SQLFailure` when a comment stands where it cannot mean anything.
    public func statement(_ text: String, database: String) throws(SQLFailure) -> String {
        let bytes = Array(text.utf8)
        let tokens: [SQLToken]
        do { tokens = try SQLTokenizer.tokens(of: bytes) } catch { throw SQLFailure(line: 1, message: error.message) }
        var result: [UInt8] = []
        var position = 0
        for (index, token) in tokens.enumerated() {
            let start = index == 0 ? 0 : tokens[index - 1].range.upperBound
            for comment in Self.comments(bytes, start..<token.range.lowerBound)
            where comment.range.lowerBound >= position {
                switch comment.text {
                case Self.onCluster:
                    result += bytes[position..<comment.range.lowerBound]
                    result += Array("ON CLUSTER \(Self.quoted(cluster))".utf8)
                    position = comment.range.upperBound
                case Self.replicated:
                    guard token.kind == .word, token.text.hasSuffix("MergeTree"), !token.text.hasPrefix("Replicated")
                    else {
                        let line = bytes.prefix(comment.range.lowerBound).count { $0 == 0x0A } + 1
                        throw SQLFailure(
                            line: line,
                            message: "/*replicated*/ stands in front of \(token.text), not of a MergeTree engine")
                    }
                    result += bytes[position..<comment.range.lowerBound]
                    result += Array("Replicated\(token.text)".utf8)
                    position = token.range.upperBound
                    result += Array(arguments(tokens, behind: index, database: database, &position).utf8)
                default: break
                }
            }
        }
        return String(decoding: result + bytes[position...], as: UTF8.self)
    }

    /// What stands behind the engine's name, up to the engine's own arguments.
    private func arguments(_ tokens: [SQLToken], behind engine: Int, database: String, _ position: inout Int) -> String
    {
        let hasList = engine + 1 < tokens.count && tokens[engine + 1].isSign("(")
        guard !replicaPath.isEmpty else { return "" }
        let table = Self.table(tokens, database: database)
        let path = replicaPath.replacing("{database}", with: table.database ?? database).replacing(
            "{table}", with: table.table)
        let own = "\(Self.quoted(path)), \(Self.quoted(replicaName))"
        guard hasList else { return "(\(own))" }
        position = tokens[engine + 1].range.upperBound
        return engine + 2 < tokens.count && tokens[engine + 2].isSign(")") ? "(\(own)" : "(\(own), "
    }

    /// Of `CREATE TABLE [IF NOT EXISTS] [database.]table`, or of a materialized view.
    private static func table(_ tokens: [SQLToken], database: String) -> TableName {
        guard var index = tokens.firstIndex(where: { $0.isWord("TABLE") || $0.isWord("VIEW") }) else {
            return TableName(database: database, table: "")
        }
        index += 1
        while index < tokens.count, ["IF", "NOT", "EXISTS"].contains(where: tokens[index].isWord) { index += 1 }
        guard index < tokens.count else { return TableName(database: database, table: "") }
        if index + 2 < tokens.count, tokens[index + 1].isSign(".") {
            return TableName(database: tokens[index].text, table: tokens[index + 2].text)
        }
        return TableName(database: database, table: tokens[index].text)
    }

    /// Block comments between two tokens, with what they say.
    private static func comments(_ bytes: [UInt8], _ gap: Range<Int>) -> [(text: String, range: Range<Int>)] {
        var comments: [(text: String, range: Range<Int>)] = []
        var position = gap.lowerBound
        while position + 1 < gap.upperBound {
            if bytes[position] == UInt8(ascii: "/"), bytes[position + 1] == UInt8(ascii: "*") {
                var end = position + 2
                while end + 1 < gap.upperBound,
                    !(bytes[end] == UInt8(ascii: "*") && bytes[end + 1] == UInt8(ascii: "/"))
                {
                    end += 1
                }
                let text = String(decoding: bytes[(position + 2)..<end], as: UTF8.self).filter { !$0.isWhitespace }
                comments.append((text, position..<(end + 2)))
                position = end + 2
            } else if bytes[position] == UInt8(ascii: "-") || bytes[position] == UInt8(ascii: "#") {
                // Nothing else begins so between tokens: the rest of the line is a comment.
                while position < gap.upperBound, bytes[position] != 0x0A { position += 1 }
            } else {
                position += 1
            }
        }
        return comments
    }

    private static func quoted(_ text: String) -> String {
        "'" + text.replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'"
    }
}
