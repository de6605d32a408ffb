/// The reference of all keys, written from their descriptions: `docs/configuration.md`.
public enum ConfigurationReference {
    /// The whole page. `sluice config reference` prints it; a test compares it with the file.
    public static func markdown() -> String {
        var sections = [introduction]
        sections.append("## The main file: `sluice.yaml`\n\n" + table(mainRows))
        sections.append(block)
        for stage in SettingsKeys.stages {
            let title = "## `stages/\(stage).yaml`\n\n"
            sections.append(title + table(rows(of: stage)) + (notes[stage].map { "\n" + $0 } ?? ""))
            if stage == "validate" { sections.append(rules) }
        }
        sections.append(environment)
        return sections.joined(separator: "\n")
    }

    private struct Row {
        let key: String
        let value: String
        let standard: String
        let change: String
        let text: String
    }

    private static let mainRows: [Row] =
        [
            Row(
                key: "stages", value: "text", standard: "`stages`", change: "restart",
                text: "Directory of the stage files, relative to the main file.")
        ] + rows(of: SettingsKeys.daemon, dropping: 0)

    private static func rows(of stage: String) -> [Row] {
        rows(of: SettingsKeys.all.filter { $0.path.hasPrefix("\(stage).") }, dropping: stage.utf8.count + 1)
    }

    private static func rows(of keys: [ConfigurationKey<Settings>], dropping prefix: Int) -> [Row] {
        keys.flatMap { key in
            [row(key, dropping: prefix)]
                + AliasKey.all.filter { $0.target == key.path && !$0.isOfBlock }.map { alias in
                    Row(
                        key: String(alias.path.dropFirst(prefix)), value: form(alias.type), standard: "none",
                        change: key.change.rawValue, text: alias.documentation)
                }
        }
    }

    private static func row(_ key: ConfigurationKey<Settings>, dropping prefix: Int) -> Row {
        let standard = YAMLText.of(key.get(Settings()), key.type)
        return Row(
            key: String(key.path.dropFirst(prefix)), value: form(key.type),
            standard: standard.isEmpty || standard == "\"\"" ? "empty" : "`\(standard)`", change: key.change.rawValue,
            text: key.documentation)
    }

    private static func form(_ type: ValueType) -> String {
        switch type {
        case .flag: "`true` or `false`"
        case .count(let range): "number, \(range.lowerBound) to \(range.upperBound)"
        case .bytes(let range): "size, \(ByteSize.format(range.lowerBound)) to \(ByteSize.format(range.upperBound))"
        case .duration(let range):
            "duration, \(TimeSpan.format(range.lowerBound)) to \(TimeSpan.format(range.upperBound))"
        case .milliseconds(let range):
            "milliseconds or duration, \(TimeSpan.format(range.lowerBound)) to \(TimeSpan.format(range.upperBound))"
        case .text(let bytesMax): "text, at most \(bytesMax) bytes"
        case .choice(let names): names.map { "`\($0)`" }.joined(separator: ", ")
        case .mode: "octal mode"
        case .hosts: "list of `host:port`, at most \(ConfigurationLimits.hostsMax)"
        case .files: "list of files, at most \(ConfigurationLimits.schemaFilesMax)"
        case .settings: "map of names to values, at most \(ConfigurationLimits.settingsMax)"
        case .treatments:
            "map of error codes to " + ValueType.treatmentWords.map { "`\($0)`" }.joined(separator: ", ")
        case .rates(_, let areBytes):
            "map of names to \(areBytes ? "sizes" : "numbers"), at most \(ConfigurationLimits.settingsMax)"
        case .names(let names): "list of " + names.map { "`\($0)`" }.joined(separator: ", ")
        case .secret: "secret"
        case .secretFile: "file"
        case .literal: "value of the column's type"
        case .literals: "list of values of the column's type, at most \(RuleLimits.valuesMax)"
        case .texts(let countMax, let bytesMax): "list of texts, at most \(countMax) of \(bytesMax) bytes"
        case .optional(let word, let inner): "\(form(inner)), or `\(word)`"
        }
    }

    private static func table(_ rows: [Row]) -> String {
        let head = "| key | value | default | change | |\n|---|---|---|---|---|\n"
        return head
            + rows.map { "| `\($0.key)` | \($0.value) | \($0.standard) | \($0.change) | \($0.text) |\n" }.joined()
    }

    private static let rules: String = {
        let columns = RuleKeys.field.map { row($0, FieldRules()) }
        let others = RuleKeys.table.map { row($0, TableRules()) }
        return """
            ### `rules` of a table in `validate.yaml`

            Below `tables`, beside the keys above: what is asked of a table's rows beyond their types, what is kept of them and where they
            go. [rules](specs/rules.md) says what each does, in which order.

            ```yaml
            tables:
              signups:
                rules:
                  fields:
                    user_id: {aliases: [uid], required: true, range: {min: 1}}
                    email: {redact: {method: hash, key_file: /etc/sluice/pseudonyms}}
                  unknown_fields: {action: reject}
            ```

            Of each column in `fields` (at most \(RuleLimits.fieldsMax) of a table):


            """ + table(columns)
                + "| `\(RuleKeys.keyFile)` | file | none | reload | File that holds `redact.key`, relative to the file that names it. |\n"
                + "\nOf the table; `route.tables` is a map of the field's values to tables, at most \(RuleLimits.routesMax):\n\n"
                + table(others)
    }()

    private static func row<Root>(_ key: ConfigurationKey<Root>, _ standard: Root) -> Row {
        let text = YAMLText.of(key.get(standard), key.type)
        return Row(
            key: key.path, value: form(key.type),
            standard: text.isEmpty || text == "\"\"" || text == "null" ? "none" : "`\(text)`",
            change: key.change.rawValue, text: key.documentation)
    }

    private static let introduction = """
        # Configuration

        <!-- Written by `sluice config reference`; do not edit. A test compares this page with the program. -->

        Sluice runs without any configuration: it then listens on `sluice.sock` and writes Native files to `data`. What is
        to be different stands in `sluice.yaml` and in one file per stage beside it:

        ```
        sluice.yaml
        stages/receive.yaml  stages/validate.yaml  stages/batch.yaml  stages/compress.yaml  stages/ship.yaml
        ```

        Each file may be missing, and so may each key. Unknown keys, wrong types and values out of range are refused with
        file, line and column, all of them at once. `sluice check` prints the configuration as it takes effect, with the source of each
        value, and exits with an error if there is one. Examples are in `deploy/examples`.

        Where a value is set in several places, the last of these counts:

        1. the built-in default,
        2. the block `database.clickhouse` in the main file,
        3. the main file and the stage files,
        4. an environment variable `SLUICE_…`.

        **Values.** Sizes are bytes or have a unit: `4096`, `64KiB`, `64MiB`, `10MB`. Durations have a unit: `250ms`, `5s`, `2m`,
        `1h`, `7d`. Modes are octal with a leading zero, best in quotes: `"0660"`. In each value `${NAME}` is replaced by an environment
        variable, `${NAME:-default}` has a default, and `$${` stands for `${`.

        **Paths** of sockets and data are relative to the working directory of the daemon. Schema files, `ca_cert`, `client_cert`, `client_key` and `password_file` are
        relative to the file that names them, and `stages` to the main file.

        **Secrets** are never printed. Take them from the environment, `password: "${CLICKHOUSE_PASSWORD}"`, or from a file,
        `password_file: /run/secrets/clickhouse`. A secret that stands in a configuration file, and a secret's file that every user can read, give a warning.

        **Change** says what it takes to change a value: `restart`, or `reload` for what a running daemon takes over: at SIGHUP (`systemctl reload
        sluice`), at `POST /reload`, and by itself when one of the files changed (`watch_interval`). All that changed is taken over, or nothing: a
        configuration with an error in it, a certificate that cannot be read, or a change that needs a restart leaves the running one as it is, and the log says
        why. The log has each difference; of secrets only that they differ. Nothing on its way is lost: blocks in flight land where they are,
        and new connections go where the new configuration says. A restart is needed for

        \(SettingsKeys.restartOnly.map { "`\($0)`" }.joined(separator: ", ")).

        Environment variables are those that the daemon was started with.

        """

    private static let block: String = {
        let rows = AliasKey.all.filter(\.isOfBlock).map { alias in
            let name = alias.path.split(separator: ".").last ?? ""
            return "| `\(name)` | \(form(alias.type)) | `\(alias.target.dropFirst(5))` | \(alias.documentation) |\n"
        }
        return """
            ### `database.clickhouse`

            The block of the tracker's `config.yaml` is taken as it stands, in `sluice.yaml` or in a file of that name. It sets keys of
            `stages/ship.yaml`, which go before it, with a warning that names both places. With this block the sink is `clickhouse`
            unless `ship.yaml` says otherwise.

            | key | value | sets in `ship.yaml` | |
            |---|---|---|---|

            """ + rows.joined()
    }()

    private static let notes: [String: String] = [
        "receive": """
        The keys of `rate_limit` are maps, with `*` for each name that is not in them. A producer is known by its name; one without a
        name by its process, or, where the system does not tell that, by its session.

        ```yaml
        rate_limit:
          producer_rows: {"*": 20000, batch-import: 5000}
          table_bytes: {mstore: 10MiB}
          burst: 2s
        ```

        A limit is an average over time: what was read at once is taken, and paid for afterwards. Producers that asked for acks are told
        `rate_limit` and how long to wait; others wait in their `write`. No row is dropped. For rows of a table the answer comes with
        what is read next, so that up to `queue.bytes_max` more may pass.

        """,
        "validate": """
        A row batch is never larger than the bounds of `batch.defaults`: where `row_batch` is not set it follows them, where it is set
        to more it is refused.

        The keys from `date_time_input_format` to `input_format_try_infer_datetimes` are ClickHouse's settings, with the defaults of 26.9
        ([fidelity](fidelity.md)). `tables` is a map of table names (`mstore`, `analytics.mstore`) to these keys; what a table does not set it
        has from the keys beside `tables`. At most \(ConfigurationLimits.tablesMax) tables.

        ```yaml
        date_time_input_format: best_effort
        tables:
          mstore: {date_time_input_format: basic, input_format_skip_unknown_fields: false}
        ```

        """,
        "batch": """
        `tables` is a map of table names (`mstore`, `analytics.mstore`) to the same keys as `defaults`; what a table does not set it has from
        `defaults`. At most \(ConfigurationLimits.tablesMax) tables.

        ```yaml
        defaults: {strategy: hybrid, rows_max: 65536, age_max: 1s}
        tables:
          mtriage: {strategy: time, age_max: 100ms, priority: 10}
        ```

        """,
        "ship": """
        `profile: tracker` stands for the settings of the Go tracker:
        \(profile). With `wait_for_async_insert=0` the server confirms rows that it has not written yet, so that a confirmation
        means nothing and rows are lost when the server fails. So the profile is refused as it is. Either keep the promise, or give it up by name:

        ```yaml
        clickhouse: {profile: tracker, settings: {wait_for_async_insert: 1}}
        clickhouse: {profile: tracker, unsafe_settings: [wait_for_async_insert]}
        ```

        `insert_deduplicate: 0`, `deduplicate_insert: disable` and, with `async_insert`, `async_insert_deduplicate: 0` are refused in
        the same way: a block that is sent again may then land twice. `insert_deduplication_token` is never taken: blocks have their own.

        A password needs TLS (`secure: true`), a server on this machine (`localhost`, `127.0.0.0/8`, `::1`), or `allow_plaintext_password: true`. The
        `database.clickhouse` block is taken as it stands, with a warning.

        """,
    ]

    private static let profile: String =
        ClickHouseSettings.Profile.tracker.settings.sorted { $0.key < $1.key }.map { "`\($0)=\($1)`" }
        .joined(separator: ", ")

    private static let environment = """
        ## Environment variables

        Each key but `tables` has a variable: `SLUICE_`, the stage, and the key, in capitals and with `_` for each dot: `SLUICE_RECEIVE_SOCKET_PATH`,
        `SLUICE_SHIP_CLICKHOUSE_DATABASE`, `SLUICE_LOG_LEVEL`, `SLUICE_STAGES`. Lists have commas between their items; `SLUICE_SHIP_CLICKHOUSE_SETTINGS` (and `…_ERRORS`) takes
        `name=value` pairs with commas between them. An unknown `SLUICE_` variable gives a warning.

        """
}
