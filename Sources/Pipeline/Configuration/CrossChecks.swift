/// What must hold between values that are fine alone.
struct CrossChecks {
    var assembly: ConfigurationAssembly

    static func run(on assembly: inout ConfigurationAssembly) {
        var checks = CrossChecks(assembly: assembly)
        checks.compressionLevel()
        checks.adminIsProtected()
        checks.rowBatchFits()
        checks.pairsAreInOrder()
        checks.spoolHasSeveralFiles()
        checks.strategiesAreInOrder()
        checks.tablesAreNames()
        checks.promisesHold()
        checks.passwordIsNotShown()
        checks.certificatesArePairs()
        assembly = checks.assembly
        RuleChecks.run(on: &assembly)
    }

    private var settings: Settings { assembly.settings }

    /// Reports at the first of `keys`, unless one of them has an error of its own.
    private mutating func require(_ holds: Bool, _ keys: [String], _ message: @autoclosure () -> String) {
        guard !holds, !assembly.isBroken(keys) else { return }
        let place = keys.map { assembly.origin($0).place }.first { $0 != .defaults } ?? .defaults
        assembly.report(ConfigurationIssue(.conflict, at: place, message()))
    }

    private mutating func compressionLevel() {
        guard let level = settings.compress.level else { return }
        let keys = ["compress.level", "compress.method"]
        switch settings.compress.method {
        case .lz4, .none:
            let method = settings.compress.method.rawValue
            require(false, keys, "level: method \(method) has no levels; lz4hc takes 1 to 12, zstd 1 to 22")
        case .lz4hc: require(level <= 12, keys, "level: must be 1 to 12 with method lz4hc, got \(level)")
        case .zstd: require(level <= 22, keys, "level: must be 1 to 22 with method zstd, got \(level)")
        }
    }

    /// What other machines can see asks for a token, and is not sent in the clear.
    private mutating func adminIsProtected() {
        let admin = settings.admin
        let hasTLS = admin.tlsCertificate != nil
        require(
            hasTLS == (admin.tlsKey != nil), ["admin.tls.certificate", "admin.tls.key"],
            "tls: certificate and key go together, the \(hasTLS ? "key" : "certificate") is missing")
        let token = admin.token.revealed
        require(
            token.isEmpty || token.utf8.count >= AdminSettings.tokenBytesMin, ["admin.token"],
            "token: must be at least \(AdminSettings.tokenBytesMin) bytes; `openssl rand -hex 32` makes a good one")
        require(
            token.utf8.allSatisfy { (0x21...0x7E).contains($0) }, ["admin.token"],
            "token: may have letters, digits and signs of ASCII only, as it stands in a header")
        guard admin.enabled else { return }
        require(
            admin.host != nil || admin.socketPath != nil, ["admin.host", "admin.socket.path"],
            "host: with none, admin.socket.path has to be set; or set admin.enabled to false")
        guard let host = admin.host, !admin.isLoopback else { return }
        let missing = (token.isEmpty ? ["admin.token"] : []) + (hasTLS ? [] : ["admin.tls"])
        require(
            missing.isEmpty, ["admin.host", "admin.token", "admin.tls.certificate"],
            "host: \"\(host)\" can be reached from other machines, which needs \(missing.joined(separator: " and ")); or use a loopback address such as 127.0.0.1"
        )
    }

    /// A row batch is never split, so that one larger than a block's bounds would break them. Where only the bounds are
    /// given, the row batch follows.
    private mutating func rowBatchFits() {
        let defaults = settings.batch.defaults
        guard [.size, .hybrid, .adaptive].contains(defaults.kind) else { return }
        fit(
            \.validate.rowBatchRowsMax, "validate.row_batch.rows_max", below: defaults.rowsMax,
            "batch.defaults.rows_max"
        ) {
            String($0)
        }
        fit(
            \.validate.rowBatchBytesMax, "validate.row_batch.bytes_max", below: defaults.bytesMax,
            "batch.defaults.bytes_max", format: ByteSize.format)
        for (table, strategy) in settings.batch.tables.sorted(by: { $0.key < $1.key })
        where [.size, .hybrid, .adaptive].contains(strategy.kind) {
            let place = assembly.origin("batch.tables.rows_max", element: table).place
            if settings.validate.rowBatchRowsMax > strategy.rowsMax, place != .defaults {
                assembly.warn(
                    ConfigurationIssue(
                        .conflict, at: place,
                        "\(table): rows_max is \(strategy.rowsMax), but a row batch may bring \(settings.validate.rowBatchRowsMax) rows at once; lower row_batch.rows_max in validate.yaml to hold it"
                    ))
            }
        }
    }

    private mutating func fit(
        _ keyPath: WritableKeyPath<Settings, Int>, _ key: String, below bound: Int, _ boundKey: String,
        format: (Int) -> String
    ) {
        let value = settings[keyPath: keyPath]
        guard value > bound else { return }
        if assembly.origin(key) == .builtIn {
            assembly.settings[keyPath: keyPath] = bound
            assembly.setProvenance(.derived(from: boundKey), of: key)
        } else {
            let name = key.split(separator: ".").dropFirst().joined(separator: ".")
            require(
                false, [key, boundKey], "\(name): must be at most \(boundKey), \(format(bound)), got \(format(value))")
        }
    }

    /// Settled rows go with their whole file, so that a spool of one or two files is full of what nobody needs any more.
    private mutating func spoolHasSeveralFiles() {
        let spool = settings.spool
        let keys = ["spool.bytes_max", "spool.segment_bytes"]
        guard spool.enabled, spool.bytesMax / 4 < spool.segmentBytes, !assembly.isBroken(keys) else { return }
        let place = keys.map { assembly.origin($0).place }.first { $0 != .defaults } ?? .defaults
        assembly.warn(
            ConfigurationIssue(
                .conflict, at: place,
                "bytes_max: \(ByteSize.format(spool.bytesMax)) are fewer than four files of segment_bytes, \(ByteSize.format(spool.segmentBytes)); settled rows go with their whole file, so that this spool may be full though all is confirmed: take a segment_bytes of at most \(ByteSize.format(spool.bytesMax / 4))"
            ))
    }

    private mutating func pairsAreInOrder() {
        let settings = settings
        let clickhouse = settings.ship.clickhouse
        require(
            clickhouse.retryDelayMin <= clickhouse.retryDelayMax,
            ["ship.clickhouse.retry_delay_min", "ship.clickhouse.retry_delay_max"],
            "retry_delay_min: must be at most retry_delay_max, \(TimeSpan.format(clickhouse.retryDelayMax)), got \(TimeSpan.format(clickhouse.retryDelayMin))"
        )
        let letter = settings.validate.deadLetter
        require(
            letter.fileBytesMax <= letter.totalBytesMax,
            ["validate.dead_letter.file_bytes_max", "validate.dead_letter.total_bytes_max"],
            "dead_letter.file_bytes_max: must be at most dead_letter.total_bytes_max, \(ByteSize.format(letter.totalBytesMax)), got \(ByteSize.format(letter.fileBytesMax))"
        )
        let receive = settings.receive
        require(
            receive.lineBytesMax <= receive.queue.bytesMax, ["receive.line_bytes_max", "receive.queue.bytes_max"],
            "line_bytes_max: must be at most queue.bytes_max, \(ByteSize.format(receive.queue.bytesMax)), got \(ByteSize.format(receive.lineBytesMax))"
        )
        require(
            receive.frameBytesMax <= receive.creditBytes, ["receive.frame_bytes_max", "receive.credit_bytes"],
            "frame_bytes_max: must be at most credit_bytes, \(ByteSize.format(receive.creditBytes)), got \(ByteSize.format(receive.frameBytesMax))"
        )
        require(
            receive.frameBytesMax <= receive.queue.bytesMax, ["receive.frame_bytes_max", "receive.queue.bytes_max"],
            "frame_bytes_max: must be at most queue.bytes_max, \(ByteSize.format(receive.queue.bytesMax)), got \(ByteSize.format(receive.frameBytesMax))"
        )
        require(
            settings.validate.rowBatchBytesMax <= settings.batch.memoryMax,
            ["batch.memory_max", "validate.row_batch.bytes_max"],
            "memory_max: must be at least validate.row_batch.bytes_max, \(ByteSize.format(settings.validate.rowBatchBytesMax)), got \(ByteSize.format(settings.batch.memoryMax))"
        )
    }

    private mutating func strategiesAreInOrder() {
        let message: (BatchStrategy) -> String = {
            "age_min: must be at most age_max, \(TimeSpan.format($0.ageMax)), got \(TimeSpan.format($0.ageMin))"
        }
        let defaults = settings.batch.defaults
        require(
            defaults.ageMin <= defaults.ageMax || defaults.kind != .adaptive,
            ["batch.defaults.age_min", "batch.defaults.age_max"], message(defaults))
        for (table, strategy) in settings.batch.tables.sorted(by: { $0.key < $1.key })
        where strategy.kind == .adaptive && strategy.ageMin > strategy.ageMax {
            let places = ["age_min", "age_max", "strategy"].map {
                assembly.origin("batch.tables.\($0)", element: table).place
            }
            assembly.report(
                ConfigurationIssue(
                    .conflict, at: places.first { $0 != .defaults } ?? .defaults, "\(table): \(message(strategy))"))
        }
    }

    private mutating func tablesAreNames() {
        guard let table = settings.validate.defaultTable else { return }
        require(
            TableName(parsing: table) != nil, ["validate.default_table"],
            "default_table: cannot be the name of a table")
    }

    /// What gives up a promise is refused, unless the operator names it.
    private mutating func promisesHold() {
        let clickhouse = settings.ship.clickhouse
        guard settings.ship.sink == .clickhouse else { return }
        let values = clickhouse.settings
        let isAsync = Self.isOn(values["async_insert"]) == true
        let cases: [(ClickHouseSettings.UnsafeSetting, Bool, String)] = [
            (
                .waitForAsyncInsert, isAsync && Self.isOn(values["wait_for_async_insert"]) == false,
                "the server confirms rows before it has written them, so that rows it loses later are lost; the delivery promise does not hold"
            ),
            (
                .insertDeduplicate, Self.isOn(values["insert_deduplicate"]) == false,
                "a block that is sent again after its answer was lost lands twice"
            ),
            (
                .asyncInsertDeduplicate, isAsync && Self.isOn(values["async_insert_deduplicate"]) == false,
                "a block that is sent again after its answer was lost lands twice"
            ),
            (
                .deduplicateInsert, values["deduplicate_insert"] == "disable",
                "a block that is sent again after its answer was lost lands twice"
            ),
        ]
        for (setting, isUnsafe, consequence) in cases where isUnsafe {
            let name = setting.rawValue
            let message = "\(name)=\(values[name] ?? ""): \(consequence)"
            if clickhouse.unsafeSettings.contains(setting) {
                assembly.warn(ConfigurationIssue(.weakenedPromise, at: placeOfSetting(name), message))
            } else {
                assembly.report(
                    ConfigurationIssue(
                        .weakenedPromise, at: placeOfSetting(name),
                        "\(message). Set it otherwise, or insist by unsafe_settings: [\(name)]"))
            }
        }
        if values["insert_deduplication_token"] != nil {
            assembly.report(
                ConfigurationIssue(
                    .conflict, at: placeOfSetting("insert_deduplication_token"),
                    "insert_deduplication_token: each block has its own; with one for all the server would drop every block but the first"
                ))
        }
    }

    /// Where a setting comes from: its own line, or that of the profile.
    private func placeOfSetting(_ name: String) -> ConfigurationPlace {
        let own = assembly.origin("ship.clickhouse.settings", element: name).place
        return own == .defaults ? assembly.origin("ship.clickhouse.profile").place : own
    }

    /// As ClickHouse reads a switch; nil: not set.
    private static func isOn(_ value: String?) -> Bool? {
        value.map { !["0", "false"].contains($0.lowercased()) }
    }

    private mutating func passwordIsNotShown() {
        let clickhouse = settings.ship.clickhouse
        guard settings.ship.sink == .clickhouse, !clickhouse.secure, !clickhouse.allowPlaintextPassword,
            !clickhouse.password.revealed.isEmpty, let host = clickhouse.hosts.first(where: { !$0.isLoopback })
        else { return }
        let message =
            "password goes to \(host) in plain text, where whoever sees the network reads it. Set secure: true, or insist by allow_plaintext_password: true"
        let keys = ["ship.clickhouse.password", "ship.clickhouse.hosts", "ship.clickhouse.secure"]
        // The tracker's block is taken as it stands.
        if assembly.isOfBlock("ship.clickhouse.hosts"), assembly.isOfBlock("ship.clickhouse.password") {
            assembly.warn(
                ConfigurationIssue(.exposedSecret, at: assembly.origin("ship.clickhouse.password").place, message))
        } else {
            require(false, keys, message)
        }
    }

    private mutating func certificatesArePairs() {
        let clickhouse = settings.ship.clickhouse
        require(
            (clickhouse.clientCert == nil) == (clickhouse.clientKey == nil),
            ["ship.clickhouse.client_cert", "ship.clickhouse.client_key"],
            "client_cert and client_key: one needs the other")
        require(
            clickhouse.secure || clickhouse.clientCert == nil,
            ["ship.clickhouse.client_cert", "ship.clickhouse.secure"],
            "client_cert: is used with secure: true only")
    }
}

extension ClickHouseSettings.Host {
    /// What is sent to it does not leave this machine.
    var isLoopback: Bool {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        if parts.count == 4, parts.first == 127, parts.allSatisfy({ $0 != nil }) { return true }
        return name == "::1" || name.lowercased() == "localhost"
    }
}
