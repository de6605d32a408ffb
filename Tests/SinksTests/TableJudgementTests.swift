import ClickHouseNative
import Pipeline
import Testing

@testable import Sinks

/// What facts about a table mean, without a server.
@Suite struct TableJudgementTests {
    private static func judge(
        _ engine: String, version: (UInt64, UInt64) = (26, 9), partitionKey: String = "",
        columns: [TableFacts.Column] = [.init(name: "n", type: "UInt64")], parts: TableFacts.Parts? = nil,
        replica: TableFacts.Replica? = nil, views: [String] = [], profile: [String: String] = [:],
        settings: [String: String] = [:], hosts: Int = 1
    ) throws -> [Finding] {
        var server = ServerFacts(major: version.0, minor: version.1)
        server.settings = profile.mapValues { .init(value: $0) }
        server.mergeTreeSettings = ["replicated_deduplication_window": "100", "parts_to_delay_insert": "150"]
        if version >= (22, 2) {
            server.mergeTreeSettings["non_replicated_deduplication_window"] = "0"
            server.mergeTreeSettings["replicated_deduplication_window_seconds"] = "604800"
        }
        var own = ClickHouseSettings()
        own.settings = settings
        own.hosts = (0..<hosts).map { .init(name: "h\($0)", port: 9000) }
        let table = TableFacts(
            name: TableName(database: "d", table: "t"), engine: try #require(EngineClause(parsing: engine)),
            partitionKey: partitionKey, views: views, columns: columns, parts: parts, replica: replica)
        return TableJudgement(host: "h0:9000", table: table, server: server, settings: own, wanted: nil).findings()
    }

    private static func only(_ check: Finding.Check, _ findings: [Finding]) throws -> Finding {
        let those = findings.filter { $0.check == check }
        #expect(those.count == 1)
        return try #require(those.first)
    }

    @Test func aWindowOfAMergeTreeMakesItExactlyOnceAndItsAbsenceSaysWhatToType() throws {
        let without = try Self.only(.deduplication, Self.judge("MergeTree ORDER BY n"))
        #expect(without.level == .warn && without.message.hasPrefix("at least once"))
        #expect(
            without.advice == "ALTER TABLE `d`.`t` MODIFY SETTING non_replicated_deduplication_window = 1000;")
        let with = try Self.only(
            .deduplication, Self.judge("MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 7"))
        #expect(with.level == .ok && with.message.contains("exactly once"))
    }

    @Test func aWindowOnOneOfSeveralHostsIsNoPromise() throws {
        let engine = "MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 7"
        #expect(try Self.only(.deduplication, Self.judge(engine, hosts: 2)).level == .warn)
        #expect(try Self.only(.deduplication, Self.judge("ReplicatedMergeTree('/a', 'r')", hosts: 2)).level == .ok)
    }

    @Test func aReplicatedTableThatForgetsSoonIsWarnedOf() throws {
        let findings = try Self.judge(
            "ReplicatedMergeTree('/a', 'r') ORDER BY n SETTINGS replicated_deduplication_window_seconds = 3600")
        #expect(findings.filter { $0.check == .deduplication }.map(\.level) == [.ok, .warn])
        #expect(findings.last { $0.check == .deduplication }?.advice?.contains("= 604800;") == true)
    }

    @Test func oldServersKnowBlocksByTheirHashSoDefaultsThatChangeBreakThePromise() throws {
        let columns: [TableFacts.Column] = [
            .init(name: "n", type: "UInt64"),
            .init(name: "at", type: "DateTime", defaultKind: "DEFAULT", defaultExpression: "CAST(now(), 'DateTime')"),
        ]
        let old = try Self.judge("ReplicatedMergeTree('/a', 'r')", version: (18, 16), columns: columns)
        #expect(old.contains { $0.check == .defaults && $0.level == .warn && $0.message.contains("at (now())") })
        #expect(!old.contains { $0.message.hasPrefix("exactly once") })
        let new = try Self.judge("ReplicatedMergeTree('/a', 'r')", columns: columns)
        #expect(new.allSatisfy { $0.level == .ok })
        let legacy = try Self.only(.deduplication, Self.judge("MergeTree()", version: (18, 16)))
        #expect(legacy.advice?.contains("ReplicatedMergeTree") == true)
    }

    @Test func aDistributedTableIsJudgedByItsKeyAndItsConfirmation() throws {
        let random = try Self.judge(
            "Distributed('c', 'd', 'local', rand())", profile: ["distributed_foreground_insert": "0"])
        #expect(random.filter { $0.check == .deduplication }.map(\.level) == [.fail, .warn, .warn])
        let sound = try Self.judge(
            "Distributed('c', 'd', 'local', cityHash64(id))", settings: ["distributed_foreground_insert": "1"])
        #expect(sound.filter { $0.check == .deduplication }.map(\.level) == [.warn])
        #expect(sound.contains { $0.message.contains("d.local on cluster c") })
    }

    @Test func settingsThatSwitchDeduplicationOffAreFoundInTheProfileToo() throws {
        let engine = "ReplicatedMergeTree('/a', 'r')"
        #expect(
            try Self.only(.deduplication, Self.judge(engine, profile: ["deduplicate_insert": "disable"])).level == .fail
        )
        #expect(try Self.only(.deduplication, Self.judge(engine, settings: ["insert_deduplicate": "0"])).level == .fail)
        #expect(
            try Self.only(
                .deduplication,
                Self.judge(
                    engine, profile: ["deduplicate_insert": "disable"], settings: ["deduplicate_insert": "enable"])
            ).level == .ok)
    }

    @Test(arguments: [
        ("", "UInt64", Finding.Level.ok), ("toYYYYMM(n)", "DateTime", .ok), ("toDate(n)", "DateTime", .ok),
        ("n", "Date", .ok), ("n", "UInt64", .warn), ("n", "Float64", .warn), ("n", "Nullable(UInt8)", .warn),
        ("n", "LowCardinality(String)", .warn), ("toStartOfHour(n)", "DateTime", .warn),
        ("cityHash64(n) % 9", "UInt64", .warn),
    ])
    func partitionKeysThatMakeManyPartsAreWarnedOf(key: String, type: String, level: Finding.Level) throws {
        let findings = try Self.judge(
            "MergeTree ORDER BY tuple()", partitionKey: key, columns: [.init(name: "n", type: type)])
        #expect(try Self.only(.partitions, findings).level == level)
    }

    @Test func partsThatPileUpAreWarnedOf() throws {
        let few = try Self.judge("MergeTree", parts: .init(partitions: 1, inFullestPartition: 10))
        #expect(!few.contains { $0.check == .parts })
        let many = try Self.judge("MergeTree", parts: .init(partitions: 1, inFullestPartition: 100))
        #expect(try Self.only(.parts, many).level == .warn)
    }

    @Test func aReplicaThatCannotWriteIsAFailureAndOneThatIsBehindAWarning() throws {
        var replica = TableFacts.Replica(isReadOnly: true, isSessionExpired: false, delay: 0, total: 2, active: 2)
        let engine = "ReplicatedMergeTree('/a', 'r')"
        #expect(try Self.only(.replica, Self.judge(engine, replica: replica)).level == .fail)
        (replica.isReadOnly, replica.delay) = (false, 301)
        #expect(try Self.only(.replica, Self.judge(engine, replica: replica)).level == .warn)
        (replica.delay, replica.active) = (0, 1)
        #expect(try Self.only(.replica, Self.judge(engine, replica: replica)).message == "1 of 2 replicas are active")
    }

    @Test(arguments: [
        (["GRANT SELECT ON *.* TO u"], false), (["GRANT SELECT, INSERT ON d.* TO u"], true),
        (["GRANT INSERT ON `d`.`t` TO u"], true), (["GRANT INSERT ON d.other TO u"], false),
        (["GRANT ALL ON *.* TO u WITH GRANT OPTION"], true), (["GRANT writer TO u"], nil),
        (["GRANT INSERT(a, b) ON d.t TO u"], nil),
    ])
    func grantsAreReadAsTheServerWritesThem(lines: [String], isAllowed: Bool?) {
        #expect(GrantLines(lines: lines).allow("INSERT", database: "d", table: "t") == isAllowed)
    }
}
