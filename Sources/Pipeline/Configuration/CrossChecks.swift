/// What must hold between values that are fine alone.
struct CrossChecks {
    var assembly: ConfigurationAssembly

    static func run(on assembly: inout ConfigurationAssembly) {
        var checks = CrossChecks(assembly: assembly)
        checks.compressionLevel()
        checks.adminIsProtected()
        checks.rowBatchFits()
        checks.pairsAreInOrder()
        checks.strategiesAreInOrder()
        checks.tablesAreNames()
        checks.promisesHold()
        assembly = checks.assembly
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

    /// ClickHouse answers before it has written the rows: an ack would promise what nobody keeps.
    private mutating func promisesHold() {
        let clickhouse = settings.ship.clickhouse
        guard settings.ship.sink == .clickhouse, clickhouse.settings["wait_for_async_insert"] == "0",
            (clickhouse.settings["async_insert"] ?? "0") != "0"
        else { return }
        let own = assembly.origin("ship.clickhouse.settings", element: "wait_for_async_insert").place
        assembly.warn(
            ConfigurationIssue(
                .weakenedPromise, at: own == .defaults ? assembly.origin("ship.clickhouse.profile").place : own,
                "wait_for_async_insert=0: the server confirms rows before it has written them, so that rows it loses later are lost; the delivery promise does not hold"
            ))
    }
}
