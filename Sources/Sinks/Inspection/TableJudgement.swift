import ClickHouseNative
import Pipeline

/// What the facts about a table mean for those who ship into it. Decides from values alone; asks nobody.
struct TableJudgement: Sendable {
    let host: String
    let table: TableFacts
    let server: ServerFacts
    let settings: ClickHouseSettings
    /// What the schema files say of the table; nil: nothing.
    let wanted: TableStructure?

    func findings() -> [Finding] { columns() + types() + deduplication() + views() + partitions() + replica() }

    func finding(_ level: Finding.Level, _ check: Finding.Check, _ message: String, _ advice: String? = nil) -> Finding
    {
        Finding(
            level: level, host: host, table: table.name.description, check: check, message: message, advice: advice)
    }

    /// `ALTER TABLE … `, to be typed; with semicolon.
    private func alter(_ change: String) -> String { "ALTER TABLE \(table.name.quoted) \(change);" }

    // MARK: Columns

    /// The schema files against the table.
    private func columns() -> [Finding] {
        guard let wanted else { return [] }
        var findings: [Finding] = []
        let live = Dictionary(table.columns.map { ($0.name, $0) }) { first, _ in first }
        for column in wanted.columns {
            let (name, type) = (column.definition.name, column.definition.type)
            let quoted = InsertStatement.quoted(name)
            guard let own = live[name] else {
                findings.append(
                    finding(
                        .fail, .columns, "column \(name) of the schema files is missing: rows that have it are refused",
                        alter("ADD COLUMN \(quoted) \(type)")))
                continue
            }
            if ["MATERIALIZED", "ALIAS"].contains(own.defaultKind) {
                findings.append(
                    finding(
                        .fail, .columns,
                        "column \(name) is \(own.defaultKind) here: it cannot be inserted, the schema files say it can",
                        "change the schema files, or the column"))
            } else if let ownType = try? DataType(parsing: own.type), ownType != type {
                findings.append(
                    finding(
                        .fail, .columns, "column \(name) has type \(own.type), the schema files say \(type)",
                        "change the schema files, or: " + alter("MODIFY COLUMN \(quoted) \(type)")))
            }
        }
        for name in wanted.computedColumns where live[name] == nil {
            findings.append(
                finding(.warn, .columns, "computed column \(name) of the schema files is missing", "sluice schema plan")
            )
        }
        return findings.isEmpty
            ? [finding(.ok, .columns, "has all columns of the schema files (\(wanted.columns.count))")] : findings
    }

    private func types() -> [Finding] {
        let refused = table.columns.filter { !["MATERIALIZED", "ALIAS", "EPHEMERAL"].contains($0.defaultKind) }
            .compactMap { column -> Finding? in
                do throws(DataTypeError) {
                    _ = try DataType(parsing: column.type)
                    return nil
                } catch {
                    return finding(
                        .fail, .types,
                        "column \(column.name) has type \(column.type), which sluice does not write: the whole table is refused",
                        "ship into a table without this column (with another type, or MATERIALIZED)")
                }
            }
        return refused.isEmpty ? [finding(.ok, .types, "all types are supported")] : refused
    }

    // MARK: Exactly once

    private func deduplication() -> [Finding] {
        if let findings = deduplicationIsOff() { return findings }
        if table.isReplicated { return replicatedDeduplication() }
        if table.isMergeTree { return windowDeduplication() }
        switch table.engine.name {
        case "Distributed": return distributed()
        case "Buffer":
            return [
                finding(
                    .fail, .deduplication,
                    "Buffer keeps rows in memory only: a row that is confirmed is lost when the server dies",
                    "ship into the table behind it")
            ]
        case "Null":
            return [finding(.warn, .deduplication, "Null throws rows away; views on it may keep them, at least once")]
        case "View", "MaterializedView", "LiveView", "WindowView":
            return [
                finding(
                    .fail, .deduplication, "is a view: what holds depends on what is behind it", "ship into a table")
            ]
        default:
            return [
                finding(
                    .warn, .deduplication,
                    "at least once: engine \(table.engine.name) does not know blocks again that are sent twice",
                    "use a MergeTree engine where that matters")
            ]
        }
    }

    private func deduplicationIsOff() -> [Finding]? {
        guard table.isMergeTree || table.engine.name == "Distributed" else { return nil }
        let own = settings.settings
        let isOff = { (name: String) in ["0", "false", "disable"].contains(own[name]?.lowercased() ?? "") }
        for name in ["insert_deduplicate", "deduplicate_insert"] where isOff(name) {
            return [
                finding(
                    .fail, .deduplication, "at least once: ship.clickhouse.settings turns \(name) off",
                    "remove \(name) from ship.clickhouse.settings")
            ]
        }
        if own["deduplicate_insert"] == nil, server.setting("deduplicate_insert") == "disable" {
            return [
                finding(
                    .fail, .deduplication,
                    "at least once: the user's profile on the server has deduplicate_insert = disable",
                    "add to ship.clickhouse.settings: deduplicate_insert: enable")
            ]
        }
        return nil
    }

    private func replicatedDeduplication() -> [Finding] {
        let window = table.setting("replicated_deduplication_window", of: server).flatMap(Int.init)
        let seconds = table.setting("replicated_deduplication_window_seconds", of: server).flatMap(Int.init)
        if window == 0 || seconds == 0 {
            return [
                finding(
                    .warn, .deduplication, "at least once: the table remembers no blocks",
                    alter("MODIFY SETTING replicated_deduplication_window = 1000"))
            ]
        }
        var span = window.map { "the last \($0) blocks" } ?? "its last blocks"
        if let seconds { span += ", for \(seconds) s" }
        var findings = known(by: "\(table.engine.name) knows \(span), on every replica")
        // An INSERT whose answer was lost is repeated once a host is back: that may take a night.
        if let seconds, seconds < 86_400 {
            findings.append(
                finding(
                    .warn, .deduplication,
                    "a block whose answer was lost, and which can be sent again only after \(seconds) s, may land twice",
                    alter("MODIFY SETTING replicated_deduplication_window_seconds = 604800")))
        }
        return findings
    }

    private func windowDeduplication() -> [Finding] {
        let window = table.setting("non_replicated_deduplication_window", of: server).flatMap(Int.init)
        guard let window else {
            if server.knowsTokens {
                return [
                    finding(
                        .warn, .deduplication,
                        "at least once, as far as can be told: the table sets no non_replicated_deduplication_window, and the "
                            + "server's own cannot be read",
                        alter("MODIFY SETTING non_replicated_deduplication_window = 1000"))
                ]
            }
            return [
                finding(
                    .warn, .deduplication,
                    "at least once: \(table.engine.name) of this server does not know blocks again that are sent twice",
                    "use the engine Replicated\(table.engine.name) (sluice schema apply --cluster), or a server from 22.2 on"
                )
            ]
        }
        guard window > 0 else {
            return [
                finding(
                    .warn, .deduplication, "at least once: non_replicated_deduplication_window is 0",
                    alter("MODIFY SETTING non_replicated_deduplication_window = 1000"))
            ]
        }
        guard settings.hosts.count == 1 else {
            return [
                finding(
                    .warn, .deduplication,
                    "at least once: \(settings.hosts.count) hosts are configured, and each has a table of its own: a block whose "
                        + "answer was lost at one may go to another one",
                    "use the engine Replicated\(table.engine.name) (sluice schema apply --cluster), or configure one host"
                )
            ]
        }
        return known(by: "\(table.engine.name) knows the last \(window) blocks (non_replicated_deduplication_window)")
    }

    /// By their tokens; on old servers by the hash of their rows, as they are after the server filled in what they lack.
    private func known(by memory: String) -> [Finding] {
        if server.knowsTokens { return [finding(.ok, .deduplication, "exactly once: \(memory)")] }
        let moving = table.columns.filter { $0.defaultKind == "DEFAULT" || $0.defaultKind == "MATERIALIZED" }
            .compactMap { column in
                CalledFunctions.names(in: column.defaultExpression).first { Self.changing.contains($0.lowercased()) }
                    .map { "\(column.name) (\($0)())" }
            }
        guard !moving.isEmpty else {
            return [finding(.ok, .deduplication, "exactly once: \(memory), by the hash of their rows")]
        }
        return [
            finding(
                .warn, .defaults,
                "at least once: a server before 22.2 knows blocks by the hash of their rows, and these columns are filled "
                    + "otherwise each time a block is sent: \(moving.joined(separator: ", "))",
                "send these columns, or give them no such DEFAULT; a server from 22.2 on does not mind")
        ]
    }

    /// Functions that say something else each time, in lower case (`isDeterministic` of ClickHouse's functions).
    static let changing: Set<String> = [
        "now", "now64", "nowinblock", "nowinblock64", "today", "curdate", "current_date", "yesterday",
        "current_timestamp",
        "utc_timestamp", "utctimestamp", "localtimestamp", "rand", "rand32", "rand64", "randconstant", "randcanonical",
        "randuniform", "randnormal", "randomstring", "randomprintableascii", "randomfixedstring", "randomstringutf8",
        "generateuuidv4", "generateuuidv7", "generateulid", "generatesnowflakeid", "rownumberinblock",
        "rownumberinallblocks", "blocknumber", "hostname", "fqdn", "serveruuid", "uptime", "queryid", "query_id",
    ]

    private func distributed() -> [Finding] {
        var findings: [Finding] = []
        let arguments = table.engine.arguments
        let target = arguments.count > 2 ? "\(arguments[1]).\(arguments[2]) on cluster \(arguments[0])" : "its cluster"
        let key = arguments.count > 3 ? arguments[3] : ""
        if CalledFunctions.names(in: key).contains(where: { Self.changing.contains($0.lowercased()) }) {
            findings.append(
                finding(
                    .fail, .deduplication,
                    "the sharding key \(key) puts rows elsewhere each time a block is sent: with one token, rows would be "
                        + "lost or land twice",
                    "use a sharding key that is computed from the row, as cityHash64(id)"))
        }
        let names = ["distributed_foreground_insert", "insert_distributed_sync"]
        let isForeground = names.contains { (settings.settings[$0] ?? server.setting($0)) == "1" }
        if !isForeground {
            let name = server.settings[names[0]] == nil ? names[1] : names[0]
            findings.append(
                finding(
                    .warn, .deduplication,
                    "rows are confirmed once this host has queued them on its disk, not once a shard has them",
                    "add to ship.clickhouse.settings: \(name): 1"))
        }
        findings.append(
            finding(
                .warn, .deduplication,
                "what holds is what holds for \(target); check it there, or ship to the shards themselves",
                "sluice check --online --table \(arguments.count > 2 ? "\(arguments[1]).\(arguments[2])" : "…"), with a shard's hosts"
            ))
        return findings
    }

    private func views() -> [Finding] {
        guard !table.views.isEmpty, table.isMergeTree else { return [] }
        let name = "deduplicate_blocks_in_dependent_materialized_views"
        let list = table.views.joined(separator: ", ")
        if (settings.settings[name] ?? server.setting(name)) == "1" {
            return [finding(.ok, .views, "fills \(list); their blocks are known again, too (\(name))")]
        }
        return [
            finding(
                .warn, .views,
                "fills \(list): when a block is sent again, a view that did not get it the first time is left without it, "
                    + "or gets it twice",
                server.settings[name] == nil ? nil : "add to ship.clickhouse.settings: \(name): 1")
        ]
    }

    // MARK: Partitions, parts, replicas

    private func partitions() -> [Finding] {
        guard table.isMergeTree else { return [] }
        let limit =
            settings.settings["max_partitions_per_insert_block"].flatMap(Int.init)
            ?? server.setting("max_partitions_per_insert_block").flatMap(Int.init)
        let findings = risk().map { [$0] } ?? existing(limit: limit)
        return findings + parts()
    }

    private func existing(limit: Int?) -> [Finding] {
        if table.partitionKey.isEmpty { return [finding(.ok, .partitions, "one partition: one part for each block")] }
        guard let parts = table.parts, let limit, limit > 0, parts.partitions > limit else {
            return [finding(.ok, .partitions, "partition key \(table.partitionKey)")]
        }
        return [
            finding(
                .ok, .partitions,
                "partition key \(table.partitionKey); \(parts.partitions) partitions exist, one INSERT may touch \(limit): "
                    + "a block of old rows (replay, import) is split")
        ]
    }

    /// nil: the key looks well.
    private func risk() -> Finding? {
        let key = table.partitionKey
        guard !key.isEmpty else { return nil }
        let coarser = "partition by month (toYYYYMM) or not at all; needs a new table"
        guard let parsed = PartitionKey(parsing: key) else {
            return finding(
                .warn, .partitions,
                "partition key \(key) is not understood: how many parts a block makes cannot be told, and a block of too many "
                    + "partitions is halved at most \(SplitProgress.blindLevelsMax) times",
                "keep the partitions of one block below max_partitions_per_insert_block")
        }
        for element in parsed.elements {
            if element.unit == .hour {
                return finding(.warn, .partitions, "partition key \(key): rows of many hours make many parts", coarser)
            }
            guard element.unit == nil, let column = table.columns.first(where: { $0.name == element.column }),
                let type = try? DataType(parsing: column.type)
            else { continue }
            switch type {
            case .float32, .float64:
                return finding(
                    .warn, .partitions,
                    "partition key \(key): \(element.column) is a Float, nearly each row is a partition",
                    coarser)
            case .nullable:
                return finding(
                    .warn, .partitions,
                    "partition key \(key): \(element.column) is Nullable, its nulls are one partition",
                    coarser)
            case .date, .date32, .bool, .enum8, .enum16, .int8, .uint8: continue
            default:
                let now = table.parts.map { " (\($0.partitions) partitions now)" } ?? ""
                return finding(
                    .warn, .partitions,
                    "partition key \(key): each value of \(element.column) (\(column.type)) is a partition, and each block "
                        + "makes a part for each\(now)", coarser)
            }
        }
        return nil
    }

    private func parts() -> [Finding] {
        guard let parts = table.parts,
            let slow = table.setting("parts_to_delay_insert", of: server).flatMap(Int.init), slow > 0,
            parts.inFullestPartition * 2 > slow
        else { return [] }
        return [
            finding(
                .warn, .parts,
                "\(parts.inFullestPartition) parts in the fullest partition; from \(slow) on inserts are slowed down",
                "larger blocks: raise rows_max and age_max of batch.tables.\(table.name.table)")
        ]
    }

    private func replica() -> [Finding] {
        guard let replica = table.replica else { return [] }
        if replica.isReadOnly || replica.isSessionExpired {
            return [
                finding(
                    .fail, .replica,
                    "the replica is read-only\(replica.isSessionExpired ? ", its session with Keeper has expired" : "")",
                    "look after Keeper; SYSTEM RESTORE REPLICA \(table.name.quoted); where its metadata is lost")
            ]
        }
        var findings: [Finding] = []
        if replica.delay > 300 {
            findings.append(
                finding(.warn, .replica, "the replica is \(replica.delay) s behind", "look at system.replication_queue")
            )
        }
        if replica.active < replica.total {
            findings.append(
                finding(
                    .warn, .replica, "\(replica.active) of \(replica.total) replicas are active",
                    "start the others again"))
        }
        return findings.isEmpty
            ? [finding(.ok, .replica, "\(replica.active) of \(replica.total) replicas are active")] : findings
    }
}
