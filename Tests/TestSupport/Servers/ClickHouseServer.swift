import Foundation

/// A real ClickHouse server on loopback, started by `scripts/clickhouse` on free ports.
///
/// One of each kind a test process, started when first asked for and shared by all tests; it ends when the process
/// does, however that happens. Tests keep apart by `withDatabase`.
public struct ClickHouseServer: Sendable {
    public enum Kind: String, Sendable, CaseIterable {
        /// 26.9: all that sluice speaks.
        case modern
        /// 18.16, of 2018: the oldest revision.
        case legacy
    }

    public let kind: Kind
    public let host: String
    /// Of the native protocol.
    public let nativePort: Int
    public let httpPort: Int

    /// A server that somebody else started.
    public init(kind: Kind, host: String, nativePort: Int, httpPort: Int) {
        self.kind = kind
        self.host = host
        self.nativePort = nativePort
        self.httpPort = httpPort
    }

    public static func modern() async throws -> ClickHouseServer { try await of(.modern) }
    public static func legacy() async throws -> ClickHouseServer { try await of(.legacy) }
    public static func of(_ kind: Kind) async throws -> ClickHouseServer { try await Servers.shared.server(kind) }

    /// For `.enabled(if:)` of tests that need this server. Where it cannot be started the tests are skipped with a
    /// loud word on stderr; with CI=true they run all the same, and fail.
    public static func isAvailable(_ kind: Kind) async -> Bool {
        do {
            _ = try await of(kind)
            return true
        } catch {
            let isRequired = ProcessInfo.processInfo.environment["CI"] == "true"
            let word = isRequired ? "FAILED" : "SKIPPED"
            let message = "\n*** \(word): tests against ClickHouse (\(kind.rawValue)): \(error)\n"
            FileHandle.standardError.write(Data(message.utf8))
            return isRequired
        }
    }

    /// Sends statements (one at a time) over HTTP; what the server prints, or its exception as an error.
    ///
    /// - Parameter input: goes behind the statement: the rows of an INSERT.
    @discardableResult
    public func query(
        _ sql: String, input: [UInt8] = [], database: String = "default", settings: [String: String] = [:]
    ) async throws -> String {
        var items = ["database=" + database.percentEncoded, "wait_end_of_query=1"]
        items += settings.map { $0.key.percentEncoded + "=" + $0.value.percentEncoded }
        var body = Array(sql.utf8)
        if !input.isEmpty {
            items.append("query=" + sql.percentEncoded)
            body = input
        }
        return try await HTTPExchange(host: host, port: httpPort).post(
            target: "/?" + items.joined(separator: "&"), body)
    }

    /// Runs the body with a new, empty database, which is dropped at the end.
    public func withDatabase<R: Sendable>(_ body: (_ database: String) async throws -> R) async throws -> R {
        let database = "t_" + String(UInt64.random(in: .min ... .max), radix: 16)
        try await query("CREATE DATABASE `\(database)`")
        do {
            let result = try await body(database)
            try await query("DROP DATABASE `\(database)`")
            return result
        } catch {
            _ = try? await query("DROP DATABASE `\(database)`")
            throw error
        }
    }

    /// Creates the tables of `schema/modern` or `schema/legacy`, and `types_all`, in a database.
    public func createTables(in database: String) async throws {
        let schema = ScriptRunner.root.appendingPathComponent("schema")
        let files = try FileManager.default.contentsOfDirectory(
            at: schema.appendingPathComponent(kind.rawValue), includingPropertiesForKeys: nil)
        let typesAll = schema.appendingPathComponent("test/types_all.\(kind.rawValue).sql")
        // Beta in 2018, a matter of course since; a server of today no longer knows the setting's name.
        let settings = kind == .legacy ? ["allow_experimental_low_cardinality_type": "1"] : [:]
        for file in files.filter({ $0.pathExtension == "sql" }).sorted(by: { $0.path < $1.path }) + [typesAll] {
            try await query(String(contentsOf: file, encoding: .utf8), database: database, settings: settings)
        }
    }
}

/// What ClickHouse 26.9 answers when it reads files by itself: the measure of what sluice should have stored.
public enum ClickHouseOracle {
    /// Runs SQL in the engine without a server (`scripts/chdb-query`); what the statements print.
    public static func query(_ sql: String) async throws -> String {
        try await ScriptRunner.run("scripts/chdb-query", ["-"], input: Array(sql.utf8))
    }
}

/// The servers of this process.
private actor Servers {
    static let shared = Servers()

    private var started: [ClickHouseServer.Kind: Task<ClickHouseServer, any Error>] = [:]

    func server(_ kind: ClickHouseServer.Kind) async throws -> ClickHouseServer {
        if let task = started[kind] { return try await task.value }
        let task = Task { try await ServerScript.start(kind).server }
        started[kind] = task
        return try await task.value
    }
}

extension String {
    /// For a URL's query: all but letters, digits and `-._~` encoded (RFC 3986).
    fileprivate var percentEncoded: String {
        utf8.map { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                return String(UnicodeScalar(byte))
            default: return "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }.joined()
    }
}
