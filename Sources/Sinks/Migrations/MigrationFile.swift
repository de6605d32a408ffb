import ClickHouseNative
import Foundation
import Pipeline

/// A file of statements that change the schema: `0001_events.sql`. Its number says when its turn is.
public struct MigrationFile: Sendable, Hashable {
    public static let bytesMax = 1 << 20
    public static let filesMax = 10_000
    public static let statementsMax = 10_000

    /// Without the directory.
    public let name: String
    public let number: Int
    public let statements: [SQLStatement]
    /// Of the file's bytes as they are: any change shows, a comment's too.
    public let checksum: String

    /// - Throws: `MigrationError` when the name has no number, or the statements cannot be run as a migration.
    public init(name: String, bytes: [UInt8]) throws(MigrationError) {
        let digits = name.prefix { ("0"..."9").contains($0) }
        guard let number = Int(digits), name.dropFirst(digits.count).hasPrefix("_"), name.hasSuffix(".sql") else {
            throw MigrationError("\(name): expected a name such as 0001_events.sql: a number, _, and .sql at the end")
        }
        self.name = name
        self.number = number
        do { statements = try SQLStatement.split(bytes) } catch {
            throw MigrationError("\(name):\(error.line): \(error.message)")
        }
        guard !statements.isEmpty else { throw MigrationError("\(name): has no statement") }
        guard statements.count <= Self.statementsMax else {
            throw MigrationError("\(name): more than \(Self.statementsMax) statements")
        }
        for statement in statements {
            if let reason = Self.refusal(of: statement) { throw MigrationError("\(name):\(statement.line): \(reason)") }
        }
        checksum = Self.checksum(bytes)
    }

    /// The files `*.sql` of a directory, in their order.
    ///
    /// - Throws: `MigrationError` that names the file.
    public static func read(directory: String) throws(MigrationError) -> [MigrationFile] {
        let names: [String]
        do { names = try FileManager.default.contentsOfDirectory(atPath: directory) } catch {
            throw MigrationError("\(directory): cannot be read; where are the migrations?")
        }
        var files: [MigrationFile] = []
        for name in names where name.hasSuffix(".sql") && !name.hasPrefix(".") {
            guard files.count < filesMax else { throw MigrationError("\(directory): more than \(filesMax) files") }
            guard let data = FileManager.default.contents(atPath: directory + "/" + name) else {
                throw MigrationError("\(directory)/\(name): cannot be read")
            }
            guard data.count <= bytesMax else {
                throw MigrationError("\(directory)/\(name): larger than \(bytesMax) bytes")
            }
            files.append(try MigrationFile(name: name, bytes: Array(data)))
        }
        guard !files.isEmpty else { throw MigrationError("\(directory): has no file such as 0001_events.sql") }
        files.sort { ($0.number, $0.name) < ($1.number, $1.name) }
        for (one, next) in zip(files, files.dropFirst()) where one.number == next.number {
            throw MigrationError("\(directory): \(one.name) and \(next.name) have the same number")
        }
        return files
    }

    /// Not for secrets: two files that differ by accident never have the same.
    static func checksum(_ bytes: [UInt8]) -> String {
        let hash = bytes.withUnsafeBytes { CityHash128(hashing: $0) }
        return [hash.high, hash.low].map { word in
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }

    private static func refusal(of statement: SQLStatement) -> String? {
        switch statement.opening.first {
        case "USE": "USE does not outlive a run that is resumed; name the database in the statement"
        case "INSERT" where !statement.words.contains("SELECT"):
            "INSERT with rows cannot be run here; write INSERT INTO … SELECT …"
        case nil: "expected a statement"
        default: nil
        }
    }
}

extension SQLStatement {
    /// Settings of the session: they have no effect that lasts, so they are always run again.
    var isSessionSetting: Bool { opening.first == "SET" }

    /// Running it a second time changes nothing.
    var isRepeatable: Bool {
        let hasGuard = words.contains("IF") && words.contains("EXISTS")
        switch opening.first {
        case "SET", "SELECT", "SHOW", "DESCRIBE", "EXISTS", "OPTIMIZE": return true
        case "CREATE": return hasGuard || opening.prefix(3) == ["CREATE", "OR", "REPLACE"]
        case "DROP": return hasGuard
        case "ALTER":
            let moves: Set = ["ADD", "DROP", "RENAME", "UPDATE", "DELETE", "ATTACH", "DETACH", "MOVE", "FETCH"]
            return hasGuard || (words.contains("MODIFY") && words.isDisjoint(with: moves))
        default: return false
        }
    }
}

/// Why migrations were not applied, or not all of them.
public struct MigrationError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
    /// The server, or the way to it, is at fault; what was asked for is in order.
    public let isServerAway: Bool

    init(_ description: String, isServerAway: Bool = false) {
        self.description = description
        self.isServerAway = isServerAway
    }
}
