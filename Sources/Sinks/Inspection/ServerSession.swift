import ClickHouseNative
import Foundation
import Pipeline

/// A connection of one's own to one server, for questions and statements beside the data path. Opens no pool, tries no other
/// host, repeats nothing.
public struct ServerSession: Sendable {
    public let connection: NativeConnection
    public var hello: ServerHello { connection.hello }
    public var host: ClickHouseSettings.Host { connection.host }
    /// As people write it: `26.9.2`.
    public var version: String { "\(hello.major).\(hello.minor).\(hello.patch)" }

    /// Connects and logs in, with the settings' user, password, database and TLS.
    ///
    /// - Parameter timeout: for connecting; nil: `connectTimeout` of the settings.
    /// - Throws: `ConnectionError`, or `SecurityError` when the certificates cannot be used.
    public static func open(
        _ host: ClickHouseSettings.Host, _ settings: ClickHouseSettings, timeout: Duration? = nil
    ) async throws -> ServerSession {
        let configuration = ConnectionConfiguration(
            credentials: Credentials(
                user: settings.username, password: settings.password.revealed, database: settings.database),
            identity: ClientIdentity(hostName: ProcessInfo.processInfo.hostName))
        return ServerSession(
            connection: try await NativeConnection.connect(
                to: host, configuration, security: try TransportSecurity(settings),
                timeout: timeout ?? settings.connectTimeout))
    }

    /// The rows of a result whose columns are all `String`.
    ///
    /// - Parameter columns: those that are wanted, in the order wanted; nil: all.
    /// - Throws: `ConnectionError`; `BlockError` when a column is of another type.
    public func rows(_ sql: String, columns: [String]? = nil, timeout: Duration) async throws -> [[String]] {
        let result = try await connection.query(Query(sql), timeout: timeout)
        var rows: [[String]] = []
        for block in result.blocks where block.rows > 0 {
            var texts = [[String]](repeating: [], count: block.rows)
            for column in columns ?? block.layout.columns.map(\.name) {
                try block.readTexts(of: column) { texts[$0].append($1) }
            }
            rows += texts
        }
        return rows
    }

    /// Runs a statement; what it answers is dropped.
    ///
    /// - Throws: `ConnectionError`.
    public func run(_ sql: String, timeout: Duration) async throws {
        _ = try await connection.query(Query(sql), timeout: timeout)
    }

    public func close() async { await connection.close() }

    /// A text between quotes, with the two characters escaped that would end or change it.
    static func literal(_ text: String) -> String {
        "'" + text.replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'"
    }

    /// What to say of an error to whoever typed the command: with the server's own words, which here are about statements
    /// and never about rows. One line, at most 600 characters.
    public static func words(_ error: any Error) -> String {
        let text: String
        if let exception = (error as? ConnectionError)?.exception {
            text = "the server says (code \(exception.code.rawValue)): \(exception.message)"
        } else if let error = error as? ConnectionError {
            text = error.forLog
        } else {
            text = "\(error)"
        }
        let line = text.split(whereSeparator: \.isNewline).joined(separator: " ")
        return line.count > 600 ? line.prefix(600) + "…" : line
    }
}
