extension SettingsKeys {
    static let ship: [ConfigurationKey<Settings>] = [
        .choice(
            "ship.sink", \.ship.sink,
            "Where blocks go: a ClickHouse server, Native files, or nowhere (for measuring). A `database.clickhouse` block in the main file makes it `clickhouse`."
        ),
        .hosts(
            "ship.clickhouse.hosts", \.ship.clickhouse.hosts,
            "Servers, tried in order until one answers. The port is 9000 where none is given, 9440 with `secure`. IPv6 addresses stand in brackets."
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
        .count(
            "ship.clickhouse.connections", \.ship.clickhouse.connections, 1...1024,
            "Connections that ship at once, which is also the number of blocks in flight."),
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
            "ship.clickhouse.retry_delay_min", \.ship.clickhouse.retryDelayMin, .milliseconds(1) ... .seconds(3600),
            "Wait before the first retry; it doubles with each one."),
        .duration(
            "ship.clickhouse.retry_delay_max", \.ship.clickhouse.retryDelayMax, .milliseconds(1) ... .seconds(3600),
            "The longest wait between retries."),
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
