extension SettingsKeys {
    static let ship: [ConfigurationKey<Settings>] = [
        .choice(
            "ship.sink", \.ship.sink,
            "Where blocks go: a ClickHouse server, Native files, or nowhere (for measuring). A `database.clickhouse` block in the main file makes it `clickhouse`."
        ),
        .hosts(
            "ship.clickhouse.hosts", \.ship.clickhouse.hosts,
            "Servers; replicas of one another where blocks must land once. The port is 9000 where none is given, 9440 with `secure`. IPv6 addresses stand in brackets."
        ),
        .choice(
            "ship.clickhouse.load_balancing", \.ship.clickhouse.loadBalancing,
            "Which host a block goes to: the first that is well, each in turn, any, or the one with the fewest blocks in flight. A block that failed tries another host first."
        ),
        .text(
            "ship.clickhouse.database", \.ship.clickhouse.database, bytesMax: 206, "Database of tables that name none."),
        .text("ship.clickhouse.username", \.ship.clickhouse.username, bytesMax: 256, "The user."),
        .secret(
            "ship.clickhouse.password", \.ship.clickhouse.password,
            "The password; take it from the environment, `\"${CLICKHOUSE_PASSWORD}\"`, or use `password_file`."),
        .flag("ship.clickhouse.secure", \.ship.clickhouse.secure, "TLS; the server's certificate is verified."),
        .optionalText(
            "ship.clickhouse.ca_cert", \.ship.clickhouse.caCert, absent: "none",
            "PEM file of the authority that signed the server's certificate, relative to the file that names it. Without it the system's roots count."
        ),
        .optionalText(
            "ship.clickhouse.client_cert", \.ship.clickhouse.clientCert, absent: "none",
            "PEM file with the certificate, and those between it and the authority, that we show the server; relative to the file that names it. Needs `client_key`."
        ),
        .optionalText(
            "ship.clickhouse.client_key", \.ship.clickhouse.clientKey, absent: "none",
            "PEM file with the key of `client_cert`. Must not be open to others: mode 0600, or 0640 if root owns it."),
        .flag(
            "ship.clickhouse.allow_plaintext_password", \.ship.clickhouse.allowPlaintextPassword,
            "A password may go to another machine without TLS, where whoever sees the network reads it. Refused otherwise."
        ),
        .count(
            "ship.clickhouse.connections", \.ship.clickhouse.connections, 1...1024,
            "Blocks in flight. At most this many connections are open, or 10 if that is more; half of them stay open while idle."
        ),
        .duration(
            "ship.clickhouse.connection_lifetime", \.ship.clickhouse.connectionLifetime,
            .seconds(1) ... .seconds(604_800), "A connection that is older is not used again."),
        .count(
            "ship.clickhouse.breaker_failures_max", \.ship.clickhouse.breakerFailuresMax, 1...1000,
            "Failures of a host, one after the other, after which it is left alone for a while."),
        .duration(
            "ship.clickhouse.breaker_open_time", \.ship.clickhouse.breakerOpenTime,
            .milliseconds(1) ... .seconds(3600), "For so long; then one attempt shows whether it is well again."),
        .duration(
            "ship.clickhouse.connect_timeout", \.ship.clickhouse.connectTimeout, .milliseconds(1) ... .seconds(3600),
            "For connecting, TLS and the greeting."),
        .duration(
            "ship.clickhouse.insert_timeout", \.ship.clickhouse.insertTimeout, .milliseconds(1) ... .seconds(3600),
            "From the last byte of a block to the server's answer."),
        .duration(
            "ship.clickhouse.query_timeout", \.ship.clickhouse.queryTimeout, .milliseconds(1) ... .seconds(3600),
            "For DESCRIBE and the like."),
        .duration(
            "ship.clickhouse.health_check_timeout", \.ship.clickhouse.healthCheckTimeout,
            .milliseconds(1) ... .seconds(3600), "For the answer to a ping while nothing is shipped."),
        .duration(
            "ship.clickhouse.retry_delay_min", \.ship.clickhouse.retryDelayMin, .milliseconds(1) ... .seconds(3600),
            "Wait before the first retry; it doubles with each one."),
        .duration(
            "ship.clickhouse.retry_delay_max", \.ship.clickhouse.retryDelayMax, .milliseconds(1) ... .seconds(3600),
            "The longest wait between retries."),
        .treatments(
            "ship.clickhouse.errors", \.ship.clickhouse.errors,
            "What is done after an error of the server, by its code, in place of the built-in table: `{60: retry, 241: back_off}`. `retry` and `back_off`: as long as it takes; `split`: rows are at fault, they are looked for; `refuse`: to the dead letter."
        ),
        .count(
            "ship.clickhouse.split_refusals_max", \.ship.clickhouse.splitRefusalsMax, 0...1_000_000,
            "Rows of one block that are refused one by one, so that the others land. Beyond it the rest is refused as a whole. 0: blocks are not split for a row's sake."
        ),
        .count(
            "ship.clickhouse.partitions_max", \.ship.clickhouse.partitionsMax, 1...1_000_000,
            "Partitions in one INSERT. A block of which the server says that it has too many is split so."),
        .names(
            "ship.clickhouse.unsafe_settings", \.ship.clickhouse.unsafeSettings,
            "Settings that give up a promise and are wanted all the same; refused unless they are named here."),
        .optionalChoice(
            "ship.clickhouse.profile", \.ship.clickhouse.profile, absent: "none",
            "A named set of ClickHouse settings; `settings` go before it."),
        .settings(
            "ship.clickhouse.settings", \.ship.clickhouse.settings,
            "Settings of each INSERT, by ClickHouse's names. `async_insert` is 0 unless set here or by the profile."),
        .text(
            "ship.file.directory", \.ship.file.directory,
            "Where Native files are written, relative to the working directory."),
        .choice("ship.file.compression", \.ship.file.compression, "Compression of the files as a whole."),
        .bytes(
            "ship.file.roll_bytes", \.ship.file.rollBytes, 4096...1 << 40,
            "A file gets its final name when it has this size."),
        .duration(
            "ship.file.roll_age", \.ship.file.rollAge, .milliseconds(100) ... .seconds(86_400),
            "A file gets its final name at this age."),
    ]
}

/// Keys that fill another key: the block `database.clickhouse`, and files with secrets.
public struct AliasKey: Sendable {
    public let path: String
    /// Path of the key whose value this one sets.
    public let target: String
    public let type: ValueType
    public let documentation: String

    init(_ path: String, sets target: String, _ type: ValueType? = nil, _ documentation: String = "") {
        self.path = path
        self.target = target
        let own = SettingsKeys.all.first { $0.path == target }?.type
        self.type = type ?? own ?? .text(bytesMax: 4096)
        self.documentation = documentation
    }

    /// In the order of the block as it is known from the tracker's `config.yaml`.
    public static let all: [AliasKey] = [
        AliasKey("database.clickhouse.hosts", sets: "ship.clickhouse.hosts"),
        AliasKey("database.clickhouse.connections", sets: "ship.clickhouse.connections"),
        AliasKey(
            "database.clickhouse.timeout", sets: "ship.clickhouse.connect_timeout",
            .milliseconds(.milliseconds(1) ... .seconds(3600)), "Bare numbers are milliseconds."),
        AliasKey("database.clickhouse.context", sets: "ship.clickhouse.database"),
        AliasKey("database.clickhouse.username", sets: "ship.clickhouse.username"),
        AliasKey("database.clickhouse.password", sets: "ship.clickhouse.password"),
        AliasKey(
            "database.clickhouse.password_file", sets: "ship.clickhouse.password", .secretFile,
            "As `ship.clickhouse.password_file`."),
        AliasKey("database.clickhouse.secure", sets: "ship.clickhouse.secure"),
        AliasKey("database.clickhouse.ca_cert", sets: "ship.clickhouse.ca_cert"),
        AliasKey(
            "ship.clickhouse.password_file", sets: "ship.clickhouse.password", .secretFile,
            "File that holds the password, relative to the file that names it. Newlines at its end are cut off."),
        AliasKey(
            "admin.token_file", sets: "admin.token", .secretFile,
            "File that holds the token, relative to the file that names it. Newlines at its end are cut off."),
    ]

    /// Whether it belongs to the block that is taken from the tracker's configuration.
    var isOfBlock: Bool { path.hasPrefix("database.") }
}
