import Pipeline

/// What a server says of itself, as far as it bears on inserts.
struct ServerFacts: Sendable {
    struct Setting: Sendable, Hashable {
        var value: String
        /// The user may not change it.
        var isFixed = false
    }

    var major: UInt64
    var minor: UInt64
    /// Of the user's profile, by ClickHouse's names; those that the server has and we asked for.
    var settings: [String: Setting] = [:]
    /// What tables of MergeTree engines have that do not say otherwise.
    var mergeTreeSettings: [String: String] = [:]
    /// nil: it could not be asked.
    var replicatedMergeTreeSettings: [String: String] = [:]

    /// Tokens came with 22.2; before it, blocks are known by the hash of their rows.
    var knowsTokens: Bool { (major, minor) >= (22, 2) }

    func setting(_ name: String) -> String? { settings[name]?.value }

    /// Those that are asked for.
    static let settingNames = [
        "readonly", "async_insert", "wait_for_async_insert", "async_insert_deduplicate", "insert_deduplicate",
        "insert_deduplication_token", "deduplicate_insert", "deduplicate_blocks_in_dependent_materialized_views",
        "max_partitions_per_insert_block", "throw_on_max_partitions_per_insert_block", "insert_quorum",
        "distributed_foreground_insert", "insert_distributed_sync",
    ]
}

/// What a server says of one table.
struct TableFacts: Sendable {
    struct Column: Sendable, Hashable {
        var name: String
        var type: String
        /// `DEFAULT`, `MATERIALIZED`, …; empty: none.
        var defaultKind = ""
        var defaultExpression = ""
    }

    struct Parts: Sendable, Hashable {
        var partitions: Int
        var inFullestPartition: Int
    }

    struct Replica: Sendable, Hashable {
        var isReadOnly: Bool
        var isSessionExpired: Bool
        /// Seconds that it is behind.
        var delay: Int
        var total: Int
        var active: Int
        /// Where in Keeper the table is: the same for all replicas of it.
        var path = ""
    }

    /// With its database.
    var name: TableName
    var engine: EngineClause
    var partitionKey: String
    /// Views that are filled from it.
    var views: [String] = []
    var columns: [Column]
    /// nil: could not be asked, or the engine has none.
    var parts: Parts?
    var replica: Replica?

    var isMergeTree: Bool { engine.name.hasSuffix("MergeTree") }
    /// Its blocks are known to all replicas.
    var isReplicated: Bool { isMergeTree && (engine.name.hasPrefix("Replicated") || engine.name.hasPrefix("Shared")) }

    func setting(_ name: String, of server: ServerFacts) -> String? {
        engine.settings[name]
            ?? (isReplicated
                ? server.replicatedMergeTreeSettings[name] ?? server.mergeTreeSettings[name]
                : server.mergeTreeSettings[name])
    }
}
