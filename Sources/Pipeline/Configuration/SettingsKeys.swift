/// Every key of the configuration, in the order of the reference.
public enum SettingsKeys {
    public static let all: [ConfigurationKey<Settings>] =
        (daemon + receive + validate + spool + batch + compress + ship).map {
            isReloadable($0.path) ? $0.reloadable : $0
        }

    private static func isReloadable(_ path: String) -> Bool {
        // Rows that wait are for the database that their tables were looked up in.
        if path.hasPrefix("ship.clickhouse.") { return path != "ship.clickhouse.database" }
        return reloadable.contains(path)
    }

    /// Keys that need a restart, in short: where all below a name do, the name.
    public static let restartOnly: [String] = {
        var short: [String] = []
        for key in all where key.change == .restart {
            let parts = key.path.split(separator: ".")
            let name = (1...parts.count).map { parts.prefix($0).joined(separator: ".") }.first { prefix in
                all.allSatisfy { $0.change == .restart || !($0.path == prefix || $0.path.hasPrefix(prefix + ".")) }
            }
            let entry = name ?? key.path
            if short.last != entry { short.append(entry) }
        }
        return ["stages"] + short
    }()

    /// What a running daemon takes over, beside what is marked where it is declared.
    private static let reloadable: Set<String> = [
        "watch_interval", "admin.token", "admin.tls.certificate", "admin.tls.key",
        "receive.connections_max", "receive.connections_per_user_max", "receive.line_bytes_max",
        "receive.partial_line_timeout", "receive.frame_bytes_max", "receive.credit_bytes", "receive.nacks_max",
        "receive.unread_bytes_max", "receive.idle_timeout", "receive.allowed_users", "receive.allowed_groups",
        "receive.rate_limit.producer_rows", "receive.rate_limit.producer_bytes", "receive.rate_limit.table_rows",
        "receive.rate_limit.table_bytes", "receive.rate_limit.burst",
        "spool.bytes_max", "spool.free_bytes_min", "spool.reserve_bytes", "spool.full_policy", "spool.age_max",
        "spool.memory_max",
        "spool.group_bytes", "spool.sync_interval",
        "validate.default_table", "validate.table_field", "validate.depth_max", "validate.tables_max",
        "validate.variants_max", "validate.row_batch.rows_max", "validate.row_batch.bytes_max",
        "batch.memory_max", "batch.growth_max", "compress.method",
        "compress.level", "compress.frame_bytes",
    ]

    static let byPath = Dictionary(uniqueKeysWithValues: all.map { ($0.path, $0) })

    /// Names of the stages, which are also the names of their files.
    public static let stages = ["receive", "validate", "spool", "batch", "compress", "ship"]

    static let validate: [ConfigurationKey<Settings>] =
        [
            .optionalText(
                "validate.default_table", \.validate.defaultTable, bytesMax: 413, absent: "none",
                "Table for rows that name none. Without it they are rejected."),
            .text(
                "validate.table_field", \.validate.tableField, bytesMax: 256,
                "The field that names the table of a row. It is a column only if the table has one of that name."),
            .count("validate.depth_max", \.validate.depthMax, 1...1024, "Deepest nesting of a value."),
            .count("validate.tables_max", \.validate.tablesMax, 1...100_000, "Tables that may be open at once."),
            .count(
                "validate.variants_max", \.validate.variantsMax, 1...1024,
                "Sets of omitted DEFAULT columns that one table may have open at once."),
            .count(
                "validate.workers", \.validate.workers, 0...256,
                "Parsers at work at once. 0: one for two cores, at least one."),
            .count(
                "validate.row_batch.rows_max", \.validate.rowBatchRowsMax, 1...1 << 20,
                "A row batch goes on when it has so many rows, or when no input waits."),
            .bytes(
                "validate.row_batch.bytes_max", \.validate.rowBatchBytesMax, 64 << 10...1 << 30,
                "A row batch goes on when it has so many bytes, or when no input waits."),
            .bytes(
                "validate.recycled_bytes_max", \.validate.recycledBytesMax, 0...1 << 34,
                "Emptied blocks that are kept for reuse; as many bytes again of buffers that rows were compressed into, or read from the spool, and of copies of few rows."
            ),
            ConfigurationKey.optionalDuration(
                "validate.structure_refresh", \.validate.structureRefresh, .seconds(1) ... .seconds(86_400),
                absent: "never",
                "So often the server is asked what the tables in use look like. It is asked at once, too, when it refuses a block for its columns, and at a reload."
            ).reloadable,
            ConfigurationKey.duration(
                "validate.structure_refresh_min", \.validate.structureRefreshMin, .milliseconds(10) ... .seconds(3600),
                "Also when a row has a field that the table lacks and was not asked for yet, but not again for so long."
            ).reloadable,
        ] + input.map { $0.lifted(into: \Settings.validate.input, under: "validate") } + [
            .files(
                "validate.schema", \.validate.schemaFiles,
                "Files with CREATE TABLE statements, for a sink without a server. Relative to the file that names them; `*` and `?` match within a file name."
            ),
            .text(
                "validate.dead_letter.directory", \.validate.deadLetter.directory,
                "Where rejected rows are kept, relative to the working directory."),
            .bytes(
                "validate.dead_letter.file_bytes_max", \.validate.deadLetter.fileBytesMax, 4096...1 << 40,
                "A file is closed and a new one begun at this size."),
            .bytes(
                "validate.dead_letter.total_bytes_max", \.validate.deadLetter.totalBytesMax, 4096...1 << 50,
                "All files together. When full, the oldest goes, and is counted."),
            .bytes(
                "validate.dead_letter.row_bytes_max", \.validate.deadLetter.rowBytesMax, 0...1 << 30,
                "Original bytes that are kept of one rejected row; the cut is noted."),
        ] + ConfigurationKey.queue("validate.queue", \.validate.queue, of: "row batches for the batch stage")

    /// How rows are read, under ClickHouse's names: keys of `validate`, and of each entry of `validate.tables`.
    static let input: [ConfigurationKey<ValidateSettings.Input>] = [
        ConfigurationKey.choice(
            "date_time_input_format", \.dateTimeInputFormat,
            "How a text becomes a DateTime. `best_effort_us`: 02/03/2024 is in February."),
        .flag(
            "input_format_null_as_default", \.nullAsDefault,
            "A null for a column that is not Nullable takes the column's default; otherwise the row is rejected."),
        .flag(
            "input_format_skip_unknown_fields", \.skipUnknownFields,
            "Fields that the table lacks are skipped; otherwise the row is rejected."),
        .flag(
            "input_format_defaults_for_omitted_fields", \.defaultsForOmittedFields,
            "A field that a row leaves out takes the column's `DEFAULT` expression; otherwise the type's default."),
        .flag(
            "input_format_import_nested_json", \.importNestedJSON,
            "The fields of an object `a` go to the columns `a.b` of a Nested."),
        .flag(
            "input_format_json_read_bools_as_numbers", \.readBoolsAsNumbers,
            "`true` and `false` are 1 and 0 for numbers. UInt8 and Int8 take them always."),
        .flag("input_format_json_read_bools_as_strings", \.readBoolsAsStrings, "Strings take `true` and `false`."),
        .flag("input_format_json_read_numbers_as_strings", \.readNumbersAsStrings, "Strings take numbers."),
        .flag("input_format_json_read_objects_as_strings", \.readObjectsAsStrings, "Strings take objects."),
        .flag("input_format_json_read_arrays_as_strings", \.readArraysAsStrings, "Strings take arrays."),
        .flag(
            "input_format_json_named_tuples_as_objects", \.namedTuplesAsObjects,
            "Tuples whose elements have names are objects; otherwise arrays."),
        .flag(
            "input_format_json_ignore_unknown_keys_in_named_tuple", \.ignoreUnknownKeysInNamedTuple,
            "Elements that a tuple lacks are skipped; otherwise the row is rejected."),
        .flag(
            "input_format_json_defaults_for_missing_elements_in_named_tuple", \.defaultsForMissingElementsInNamedTuple,
            "Elements of a tuple that are left out take their type's default; otherwise the row is rejected."),
        .flag(
            "input_format_try_infer_dates", \.tryInferDates, "Texts for Dynamic that look like dates are dates."),
        .flag(
            "input_format_try_infer_datetimes", \.tryInferDatetimes,
            "Texts for Dynamic that look like times are times."),
    ].map(\.reloadable)

    /// Keys of one batch strategy: `batch.defaults`, and each entry of `batch.tables`.
    static let strategy: [ConfigurationKey<BatchStrategy>] = [
        .choice(
            "strategy", \.kind,
            "When a block is sealed. `immediate`: each row batch; `time`: by age; `size`: by rows or bytes; `hybrid`: whichever is first; `memory`: by the share of `memory_max`; `adaptive`: hybrid, with an age that follows the table's rate."
        ).reloadable,
        .count("rows_max", \.rowsMax, 1...1 << 24, "Rows of a block.").reloadable,
        .bytes("bytes_max", \.bytesMax, 64 << 10...1 << 32, "Bytes of a block before compression.").reloadable,
        .duration(
            "age_max", \.ageMax, .milliseconds(1) ... .seconds(86_400), "Age of a block, counted from its first row."
        ).reloadable,
        .duration(
            "age_min", \.ageMin, .milliseconds(1) ... .seconds(86_400), "`adaptive`: the age never falls below this."
        ).reloadable,
        .count("priority", \.priority, -1000...1000, "Higher goes first where several blocks are due.").reloadable,
    ]

    static let batch: [ConfigurationKey<Settings>] =
        strategy.map { $0.lifted(into: \Settings.batch.defaults, under: "batch.defaults") } + [
            .bytes(
                "batch.memory_max", \.batch.memoryMax, 1 << 20...1 << 40,
                "All open blocks together. Beyond it the largest is sealed."),
            .count(
                "batch.growth_max", \.batch.growthMax, 1...64,
                "While the server complains of too many parts, a table's blocks grow up to so many times `rows_max` and `age_max`, never beyond `bytes_max`. 1: never."
            ),
        ] + ConfigurationKey.queue("batch.queue", \.batch.queue, of: "sealed blocks for compression")

    static let compress: [ConfigurationKey<Settings>] =
        [
            .choice(
                "compress.method", \.compress.method,
                "How blocks are compressed on their way to ClickHouse."),
            .optionalCount(
                "compress.level", \.compress.level, 1...22, absent: "default",
                "`lz4hc`: 1 to 12, `zstd`: 1 to 22. The other methods have none."),
            .bytes(
                "compress.frame_bytes", \.compress.frameBytes, 4096...1 << 30,
                "Bytes of one compressed frame before compression."),
            .count(
                "compress.workers", \.compress.workers, 0...256,
                "Blocks compressed at once. 0: one for two cores, at least one."),
        ] + ConfigurationKey.queue("compress.queue", \.compress.queue, of: "encoded blocks for shipping")

    static let daemon: [ConfigurationKey<Settings>] =
        admin + [
            ConfigurationKey.choice("log.level", \.log.level, "Least severe message that is logged.").reloadable,
            .choice("log.format", \.log.format, "Lines for people, or JSON for machines."),
            .duration(
                "shutdown_timeout", \.shutdownTimeout, .seconds(1) ... .seconds(3600),
                "After SIGTERM accepted rows get this long to reach the sink."),
            .optionalDuration(
                "watch_interval", \.watchInterval, .milliseconds(100) ... .seconds(86_400), absent: "never",
                "How often it is looked whether one of the configuration's files changed, secrets and certificates included; then it is read again as SIGHUP does."
            ),
        ]
}
