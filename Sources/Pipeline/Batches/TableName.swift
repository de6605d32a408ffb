/// A table as producers and operators name it: `mstore`, or `analytics.mstore`.
public struct TableName: Hashable, Sendable, CustomStringConvertible {
    /// `nil`: the database that the sink is configured with.
    public let database: String?
    public let table: String

    public init(database: String? = nil, table: String) {
        self.database = database
        self.table = table
    }

    /// `mstore` or `analytics.mstore`; nil when a part is empty, too long (206 bytes, what a file name of the
    /// server's can hold) or has a character that no identifier has.
    public init?(parsing text: some StringProtocol) {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard
            parts.allSatisfy({ part in
                !part.isEmpty && part.utf8.count <= 206
                    && part.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "`") && $0 != 0x5C }
            })
        else { return nil }
        switch parts.count {
        case 1: self.init(table: String(parts[0]))
        default: self.init(database: String(parts[0]), table: String(parts[1]))
        }
    }

    public var description: String { database.map { "\($0).\(table)" } ?? table }

    /// Quoted for SQL: `` `analytics`.`mstore` ``.
    public var quoted: String { database.map { "`\($0)`.`\(table)`" } ?? "`\(table)`" }
}
