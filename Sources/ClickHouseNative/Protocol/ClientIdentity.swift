/// Who the client says it is: shown in `system.processes` and `system.query_log`, and counted by quotas.
public struct ClientIdentity: Hashable, Sendable {
    public var name: String
    public var major: UInt64
    public var minor: UInt64
    public var patch: UInt64
    public var hostName: String
    public var osUser: String
    /// Groups queries for the server's quotas; empty: none.
    public var quotaKey: String

    public init(
        name: String = "sluice", major: UInt64 = 0, minor: UInt64 = 1, patch: UInt64 = 0, hostName: String = "",
        osUser: String = "", quotaKey: String = ""
    ) {
        self.name = name
        self.major = major
        self.minor = minor
        self.patch = patch
        self.hostName = hostName
        self.osUser = osUser
        self.quotaKey = quotaKey
    }
}

/// What a connection logs in with.
public struct Credentials: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    public var user: String
    public var password: String
    /// Where names without a database are looked up; empty: the user's default.
    public var database: String

    public init(user: String = "default", password: String = "", database: String = "") {
        self.user = user
        self.password = password
        self.database = database
    }

    /// Without the password.
    public var description: String { "\(user)@\(database.isEmpty ? "(default)" : database)" }
    public var debugDescription: String { description }
}
