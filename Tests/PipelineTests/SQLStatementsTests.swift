import Pipeline
import Testing

/// Cutting files of SQL into statements, and what a cluster makes of them.
@Suite struct SQLStatementsTests {
    private func split(_ text: String) throws -> [SQLStatement] { try SQLStatement.split(Array(text.utf8)) }

    @Test func semicolonsInStringsNamesAndCommentsEndNothing() throws {
        let statements = try split(
            """
            -- first; comment
            CREATE TABLE `a;b` (s String DEFAULT 'x;\\'y;''z') /* ; */ ENGINE = Log;;
            /* nothing; */ ;
            SELECT ";" -- the last; one
            """)

        #expect(statements.map(\.line) == [2, 4])
        #expect(statements.map(\.opening.first) == ["CREATE", "SELECT"])
        #expect(statements[0].text.hasSuffix("ENGINE = Log"))
        #expect(statements[1].text == "SELECT \";\"")
    }

    @Test func aStringWithoutAnEndIsNamedByItsLine() {
        #expect(throws: SQLFailure(line: 2, message: "the string has no end")) { try split("SELECT 1;\nSELECT 'a;") }
    }

    @Test(arguments: [
        (
            "CREATE TABLE t /*on_cluster*/ (n UInt8) ENGINE = /*replicated*/MergeTree ORDER BY n",
            "CREATE TABLE t ON CLUSTER 'm' (n UInt8) ENGINE = ReplicatedMergeTree('/p/{shard}/d/t', '{replica}') ORDER BY n"
        ),
        (
            "CREATE TABLE IF NOT EXISTS x.`t t` /* on_cluster */ (n UInt8) ENGINE = /*replicated*/ReplacingMergeTree(v, d)",
            "CREATE TABLE IF NOT EXISTS x.`t t` ON CLUSTER 'm' (n UInt8) ENGINE = "
                + "ReplicatedReplacingMergeTree('/p/{shard}/x/t t', '{replica}', v, d)"
        ),
        (
            "CREATE TABLE t (n UInt8) ENGINE = /*replicated*/ MergeTree()",
            "CREATE TABLE t (n UInt8) ENGINE = ReplicatedMergeTree('/p/{shard}/d/t', '{replica}')"
        ),
        (
            "ALTER TABLE t /*on_cluster*/ ADD COLUMN c String DEFAULT '/*on_cluster*/' -- /*on_cluster*/\n",
            "ALTER TABLE t ON CLUSTER 'm' ADD COLUMN c String DEFAULT '/*on_cluster*/' -- /*on_cluster*/\n"
        ),
        ("SELECT 1 /* other */", "SELECT 1 /* other */"),
    ])
    func commentsStandForWhatAClusterNeeds(written: String, sent: String) throws {
        let cluster = ClusterVariant(cluster: "m", replicaPath: "/p/{shard}/{database}/{table}")
        #expect(try cluster.statement(written, database: "d") == sent)
    }

    @Test func withoutAPathTheServerChoosesIt() throws {
        let cluster = ClusterVariant(cluster: "it's", replicaPath: "")
        let sent = try cluster.statement(
            "CREATE TABLE t /*on_cluster*/ (v UInt8) ENGINE = /*replicated*/ReplacingMergeTree(v)", database: "d")
        #expect(
            sent == "CREATE TABLE t ON CLUSTER 'it\\'s' (v UInt8) ENGINE = ReplicatedReplacingMergeTree(v)")
    }

    @Test func replicatedInFrontOfAnotherEngineIsRefused() {
        let cluster = ClusterVariant(cluster: "m")
        #expect(throws: SQLFailure.self) {
            try cluster.statement("CREATE TABLE t (n UInt8)\nENGINE = /*replicated*/Log", database: "d")
        }
    }

    @Test func anEngineClauseIsTakenApart() throws {
        let clause = try #require(
            EngineClause(
                parsing:
                    "ReplicatedMergeTree('/a, b/{shard}', '{replica}', f(x, y)) PARTITION BY toYYYYMM(d) ORDER BY (a, b) "
                    + "SETTINGS index_granularity = 8192, storage_policy = 'hot, cold'"))
        #expect(clause.name == "ReplicatedMergeTree")
        #expect(clause.arguments == ["/a, b/{shard}", "{replica}", "f(x, y)"])
        #expect(clause.settings == ["index_granularity": "8192", "storage_policy": "hot, cold"])
        let plain = try #require(EngineClause(parsing: "MergeTree() ORDER BY n"))
        #expect(plain.arguments.isEmpty && plain.settings.isEmpty)
        #expect(EngineClause(parsing: "MergeTree ORDER BY (n)")?.arguments == [])
    }
}
