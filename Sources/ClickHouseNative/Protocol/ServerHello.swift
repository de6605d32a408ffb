/// What a server says about itself when a connection begins.
public struct ServerHello: Hashable, Sendable {
    public var name = ""
    public var major: UInt64 = 0
    public var minor: UInt64 = 0
    public var patch: UInt64 = 0
    /// The server's own number, which may be beyond ours.
    public var serverRevision = Revision.oldest
    /// What both sides speak from here on.
    public var revision = Revision.oldest
    /// The zone of `DateTime` columns that name none.
    public var timeZone = ""
    public var displayName = ""
    /// The framing that the server wants to send and to receive: `notchunked`, `chunked_optional`, …
    public var sendFraming = "notchunked"
    public var receiveFraming = "notchunked"
    public var passwordRules: [PasswordRule] = []
    /// What the user's profile sets apart from the defaults.
    public var settings: [QuerySetting] = []

    public struct PasswordRule: Hashable, Sendable {
        public let pattern: String
        public let message: String
    }

    public init() {}
}

extension PacketReader {
    /// The hello after its packet number (ClickHouse's Client/Connection.cpp, receiveHello).
    ///
    /// - Parameter announced: what the client's hello said; the server leaves out what came later.
    mutating func hello(announced: Revision) throws -> ServerHello {
        var hello = ServerHello()
        hello.name = try helloText("server's name")
        hello.major = try varUInt()
        hello.minor = try varUInt()
        hello.serverRevision = Revision(try varUInt())
        hello.revision = min(announced, hello.serverRevision)
        let revision = hello.revision
        guard revision >= .oldest else {
            throw ProtocolError(.revisionTooOld, "revision \(revision), the oldest spoken is \(Revision.oldest)")
        }
        // The order is the server's, not that of the numbers.
        if revision.supports(.parallelReplicasNumber) { _ = try varUInt() }
        if revision.supports(.serverTimeZone) { hello.timeZone = try helloText("time zone") }
        if revision.supports(.serverDisplayName) { hello.displayName = try helloText("display name") }
        if revision.supports(.patchNumber) { hello.patch = try varUInt() }
        if revision.supports(.chunkedFraming) {
            hello.sendFraming = try helloText("framing")
            hello.receiveFraming = try helloText("framing")
        }
        if revision.supports(.passwordRules) {
            for _ in 0..<(try count(max: limits.passwordRulesMax, of: "password rules")) {
                let pattern = try helloText("pattern of a password rule")
                hello.passwordRules.append(.init(pattern: pattern, message: try helloText("text of a password rule")))
            }
        }
        if revision.supports(.nonce) { _ = try integer(UInt64.self) }
        if revision.supports(.serverSettings) { hello.settings = try helloSettings() }
        if revision.supports(.queryPlanNumber) { _ = try varUInt() }
        if revision.supports(.clusterFunctionNumber) { _ = try varUInt() }
        return hello
    }

    /// Names, flags and values; an empty name ends them.
    private mutating func helloSettings() throws -> [QuerySetting] {
        var settings: [QuerySetting] = []
        while true {
            let name = try helloText("name of a setting")
            guard !name.isEmpty else { return settings }
            guard settings.count < limits.helloSettingsMax else {
                throw ProtocolError(.limit, "more than \(limits.helloSettingsMax) settings in the hello")
            }
            let flags = try varUInt()
            let value = try text(max: limits.nameBytesMax, "value of a setting")
            settings.append(QuerySetting(name, value, isImportant: flags & QuerySetting.importantFlag != 0))
        }
    }

    private mutating func helloText(_ field: StaticString) throws -> String {
        try text(max: limits.helloTextBytesMax, field)
    }
}
