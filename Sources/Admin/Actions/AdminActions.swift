import Pipeline

/// What an operator can have the running daemon do. The daemon implements what it can; the rest answers by itself that it
/// cannot.
///
/// Each call returns when the thing is done (drain: begun), and may take as long as it takes: one is called at a time.
public protocol AdminActions: Sendable {
    /// Reads the configuration again and takes over what changed: all of it, or nothing.
    func reload() async throws(AdminActionError) -> AdminActionResult
    /// Begins to stop as on SIGTERM: takes no more rows, ships those it has, ends.
    func drain() async throws(AdminActionError) -> AdminActionResult
    /// Takes no more rows until `resume`; producers' writes block. What was accepted is shipped.
    func pause() async throws(AdminActionError) -> AdminActionResult
    func resume() async throws(AdminActionError) -> AdminActionResult
    /// Seals what is open of a table now, whatever its strategy says.
    func flush(_ table: TableName) async throws(AdminActionError) -> AdminActionResult
}

extension AdminActions {
    public func reload() async throws(AdminActionError) -> AdminActionResult { throw .notSupported("reload") }
    public func drain() async throws(AdminActionError) -> AdminActionResult { throw .notSupported("drain") }
    public func pause() async throws(AdminActionError) -> AdminActionResult { throw .notSupported("pause") }
    public func resume() async throws(AdminActionError) -> AdminActionResult { throw .notSupported("resume") }
    public func flush(_ table: TableName) async throws(AdminActionError) -> AdminActionResult {
        throw .notSupported("flush")
    }
}

/// None of them.
public struct NoAdminActions: AdminActions {
    public init() {}
}

public struct AdminActionResult: Sendable, Hashable {
    /// A sentence for people: `3 blocks sealed`.
    public var message: String
    /// Further lines: what a reload changed.
    public var details: [String]

    public init(_ message: String, details: [String] = []) {
        self.message = message
        self.details = details
    }
}

/// Why an action was not done. The description is shown to whoever asked, so it has no secrets in it.
public struct AdminActionError: Error, Sendable, Hashable, CustomStringConvertible {
    public enum Code: String, Sendable, CaseIterable {
        /// This daemon, or one with this configuration, has no such action. 501.
        case notSupported = "not_supported"
        /// It makes no sense now: already paused, another action is running. 409.
        case conflict
        /// There is no such table. 404.
        case notFound = "not_found"
        /// What was asked for cannot be taken: a configuration with errors. Nothing has changed. 422.
        case invalid
        /// It was tried and did not work. 500.
        case failed
    }

    public let code: Code
    public let description: String
    public let details: [String]

    public init(_ code: Code, _ description: String, details: [String] = []) {
        self.code = code
        self.description = description
        self.details = details
    }

    static func notSupported(_ action: String) -> AdminActionError {
        AdminActionError(.notSupported, "this daemon cannot \(action) while it runs")
    }
}

/// Lets one action run at a time: two reloads at once, or a pause within a drain, would be nobody's wish.
actor ActionGate {
    private var running: String?

    func run(
        _ name: String, _ body: @Sendable () async throws(AdminActionError) -> AdminActionResult
    ) async throws(AdminActionError) -> AdminActionResult {
        if let running { throw AdminActionError(.conflict, "\(running) is still running, try again when it is done") }
        running = name
        defer { running = nil }
        return try await body()
    }
}
