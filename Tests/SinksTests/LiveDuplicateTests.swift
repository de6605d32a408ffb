import ClickHouseNative
import Foundation
import Pipeline
import TestSupport
import Testing

@testable import Sinks

/// A server that died after it noted a block's token, and before the rows were in the table: it calls the block a duplicate
/// from then on.
@Suite(.enabled { await ClickHouseServer.isAvailable(.modern) }, .endsEvenIfItHangs)
struct LiveDuplicateTests {
    /// A server of the test's own, which may die.
    private final class MortalServer {
        private let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "sluice-duplicates-\(UUID().uuidString)")
        private var own: OwnServer
        var nativePort: Int { own.server.nativePort }

        init() async throws { own = try await OwnServer.start(.modern, in: folder) }

        deinit {
            own.kill()
            try? FileManager.default.removeItem(at: folder)
        }

        func query(_ sql: String) async throws -> String { try await own.server.query(sql, database: "default") }

        /// - Parameter paths: what is not there any more.
        func dieAndComeBack(without paths: [String]) async throws {
            own.kill()
            for path in paths { try FileManager.default.removeItem(atPath: path) }
            own = try await own.startAgain()
        }
    }

    private let settings = "SETTINGS non_replicated_deduplication_window = 1000"

    /// Ships a block, takes parts away from under the server while it is down, and ships the block again as one that an
    /// earlier run may have sent.
    @Test func rowsThatTheServerLostAreSentOnceMore() async throws {
        let own = try await MortalServer()

        let definitions = ["plain": "", "monthly": "PARTITION BY n", "kept": "", "merged": ""]
        for (name, partition) in definitions {
            _ = try await own.query(
                "CREATE TABLE \(name) (n UInt64) ENGINE = MergeTree \(partition) ORDER BY n \(settings)")
        }
        let rows: [String: Block] = [
            // Three partitions, in the order 3, 1, 2, with rows of each in several places.
            "monthly": .numbers([3, 1, 3, 2, 1, 1]), "plain": .numbers(0..<1000), "kept": .numbers(0..<10),
            "merged": .numbers(0..<10),
        ]
        @discardableResult func ship(isAgain: Bool) async throws -> SinkFixture {
            let fixture = try SinkFixture(SinkFixture.settings(port: own.nativePort))
            let blocks = rows.sorted { $0.key < $1.key }.map { name, block in
                SealedBlock(
                    token: "spool-\(name)", TableName(table: name), [block], reason: isAgain ? .restored : .rows)
            }
            try await fixture.ship(blocks)
            #expect(fixture.committed.values.count == rows.count)
            #expect(fixture.refused.values.isEmpty)
            return fixture
        }
        try await ship(isAgain: false)
        _ = try await own.query("INSERT INTO merged VALUES (11)")
        _ = try await own.query("OPTIMIZE TABLE merged FINAL")
        let lost = try await own.query(
            """
            SELECT path FROM system.parts
            WHERE active AND database = 'default' AND (table = 'plain' OR table = 'monthly' AND partition_id = '1')
            """
        ).split(separator: "\n")
        #expect(lost.count == 2)
        try await own.dieAndComeBack(without: lost.map(String.init))
        #expect(try await own.query("SELECT count() FROM plain") == "0\n")

        for _ in 0..<2 {
            let fixture = try await ship(isAgain: true)
            #expect(try await own.query("SELECT count(), uniqExact(n) FROM plain") == "1000\t1000\n")
            #expect(try await own.query("SELECT n, count() FROM monthly GROUP BY n ORDER BY n") == "1\t3\n2\t1\n3\t2\n")
            #expect(try await own.query("SELECT count() FROM kept") == "10\n")
            #expect(try await own.query("SELECT count() FROM merged") == "11\n")
            // Each loss is told of twice, since only the second time all partitions are; then it lands, or, sent by another
            // run, is a duplicate that is there.
            let findings = fixture.telemetry.snapshot().duplicateBlocks
            #expect(findings["lost"] == 4)
            #expect(findings["unclear"] == nil)
        }
    }

    /// What became of a table between a block's first attempt and the next one.
    private struct Case {
        var name: String
        var definition: String
        /// Of the block.
        var rows: [(n: UInt64, v: String?)]
        /// The server died before it gave the part its name; nil: it did not.
        var losing: String?
        /// After the server was started again.
        var then: [String] = []
        /// What `SELECT count(), sum(n), count(v), uniqExact(v)` finds in the end.
        var expected: String
    }

    private static func block(_ rows: [(n: UInt64, v: String?)]) -> Block {
        let block = Block(
            layout: BlockLayout([
                ColumnDefinition(name: "n", type: .uint64), ColumnDefinition(name: "v", type: .nullable(.string)),
            ]))
        let (n, v) = (block.layout.roots[0], block.layout.roots[1])
        let text = block.layout.nodes[v].child
        for row in rows {
            block.nodes[n].appendFixed(row.n)
            if var value = row.v {
                block.nodes[v].appendFixed(UInt8(0))
                value.withUTF8 {
                    block.nodes[text].appendString($0.baseAddress!, count: $0.count, node: block.layout.nodes[text])
                }
            } else {
                block.appendNull(v)
            }
            block.commitRow()
        }
        return block
    }

    /// Values are compared as they were sent and as they lie in the table, where both are the same.
    @Test func valuesOfAllComparedTypesAreFoundAgain() async throws {
        let server = try await ClickHouseServer.modern()
        let scalars = [
            "toInt8(number)", "toInt16(number)", "toInt32(number)", "toInt64(number)", "toUInt8(number)",
            "toUInt16(number)", "toUInt32(number)", "toUInt64(number)", "toFloat32(number / 3)",
            "number % 5 ? toFloat64(number / 7) : nan", "number % 2 = 1", "toString(number)",
            "toFixedString(toString(number % 10), 3)", "generateUUIDv4(number)", "toDate(number)", "toDate32(number)",
            "toDateTime(number)", "toDateTime64(number / 8, 3)",
            "CAST(number % 3, 'Enum8(\\'a\\' = 0, \\'b\\' = 1, \\'c\\' = 2)')",
            "CAST(number % 3, 'Enum16(\\'a\\' = 0, \\'b\\' = 1, \\'c\\' = 2)')", "toDecimal32(number / 4, 2)",
            "toDecimal64(number / 4, 3)",
        ]
        try await server.withDatabase { database in
            let tables: [(name: String, expression: (String) -> String)] = [
                ("plain", { $0 }), ("nullable", { "if(number % 4 = 0, NULL, \($0))" }),
                ("low", { "toLowCardinality(toString(\($0)))" }),
                ("low_nullable", { "toLowCardinality(if(number % 4 = 0, NULL, toString(\($0))))" }),
            ]
            for (name, expression) in tables {
                let columns = scalars.enumerated().map { "\(expression($1)) AS c\($0)" }.joined(separator: ", ")
                let table = TableName(database: database, table: name)
                let selection = "SELECT \(columns) FROM numbers(200)"
                _ = try await server.query(
                    "CREATE TABLE \(table.quoted) ENGINE = MergeTree ORDER BY tuple() \(settings) AS \(selection) LIMIT 0"
                )
                let connection = try await NativeConnection.connect(
                    to: .init(name: "127.0.0.1", port: server.nativePort), ConnectionConfiguration())
                let rows = try await connection.query(Query(selection), timeout: .seconds(60)).blocks.first {
                    $0.rows > 0
                }
                await connection.close()
                let block = try #require(rows)
                func ship(_ reason: SealedBlock.Reason) async throws -> [String: UInt64] {
                    let fixture = try SinkFixture(SinkFixture.settings(port: server.nativePort, database: database))
                    try await fixture.ship([SealedBlock(token: "spool-1", table, [block], reason: reason)])
                    return fixture.telemetry.snapshot().duplicateBlocks
                }
                #expect(try await ship(.rows) == [:])
                #expect(try await ship(.restored) == ["there": 1], "\(name)")
                _ = try await server.query("INSERT INTO \(table.quoted) SELECT * FROM \(table.quoted) LIMIT 1")
                _ = try await server.query("OPTIMIZE TABLE \(table.quoted) FINAL")
                #expect(try await ship(.restored) == ["there": 1], "\(name), merged")
                #expect(try await server.query("SELECT count() FROM \(table.quoted)") == "201\n", "\(name)")
            }
        }
    }

    /// A user who may only insert gets what the server says, and the metric says that nobody looked.
    @Test func aUserWhoMayNotLookIsNotHeldUp() async throws {
        let own = try await MortalServer()
        _ = try await own.query(
            "CREATE TABLE plain (n UInt64) ENGINE = MergeTree ORDER BY n \(self.settings)")
        for (user, finding) in [("writer", "unclear"), ("pw", "there")] {
            var settings = SinkFixture.settings(port: own.nativePort)
            (settings.username, settings.password) = (user, Secret("\(user)-secret"))
            let fixture = try SinkFixture(settings)
            try await fixture.ship(
                [.rows, .restored].map {
                    SealedBlock(token: "spool-\(user)", TableName(table: "plain"), [.numbers(0..<10)], reason: $0)
                })
            #expect(fixture.committed.values.count == 2)
            #expect(fixture.telemetry.snapshot().duplicateBlocks == [finding: 1])
        }
        #expect(try await own.query("SELECT count() FROM plain") == "20\n")
    }

    /// The number of a part that never got its name is given away again, to whoever inserts next.
    @Test func aPartOfOtherRowsIsNotTakenForTheBlocks() async throws {
        let own = try await MortalServer()

        let few: [(n: UInt64, v: String?)] = [(1, "a"), (2, nil), (3, "c"), (4, "d")]
        let cases = [
            // Other rows have the block's number; some are equal, which says nothing.
            Case(
                name: "given", definition: "ENGINE = MergeTree ORDER BY tuple()", rows: few, losing: "all",
                then: [
                    "SYSTEM STOP MERGES given", "INSERT INTO given VALUES (1, 'a'), (12, 'x'), (13, 'y')",
                ], expected: "7\t36\t6\t5"),
            Case(
                name: "merged", definition: "ENGINE = MergeTree ORDER BY n", rows: few, losing: "all",
                then: [
                    "INSERT INTO merged VALUES (1, 'a'), (12, 'x')", "INSERT INTO merged VALUES (13, 'y')",
                    "OPTIMIZE TABLE merged FINAL",
                ], expected: "7\t36\t6\t5"),
            // The same keys, with other values.
            Case(
                name: "replacing", definition: "ENGINE = ReplacingMergeTree ORDER BY n", rows: few, losing: "all",
                then: [
                    "SYSTEM STOP MERGES replacing",
                    "INSERT INTO replacing VALUES (1, 'x'), (2, 'y'), (3, 'z'), (4, 'w')",
                ],
                expected: "8\t20\t7\t7"),
            Case(
                name: "replaced", definition: "ENGINE = ReplacingMergeTree ORDER BY (n, intDiv(n, 10))", rows: few,
                losing: "all",
                then: [
                    "INSERT INTO replaced VALUES (1, 'x')", "INSERT INTO replaced VALUES (12, 'y')",
                    "OPTIMIZE TABLE replaced FINAL", "SYSTEM STOP MERGES replaced",
                ], expected: "6\t23\t5\t5"),
            Case(
                name: "summing", definition: "ENGINE = SummingMergeTree ORDER BY v SETTINGS allow_nullable_key = 1",
                rows: [(5, "a"), (6, "b"), (7, "b")], losing: "all",
                then: [
                    "SYSTEM STOP MERGES summing", "INSERT INTO summing VALUES (1, 'x'), (2, 'a'), (3, 'y')",
                ],
                expected: "5\t24\t5\t4"),
            Case(
                name: "monthly", definition: "ENGINE = MergeTree PARTITION BY n ORDER BY n",
                rows: [(3, "a"), (1, "b"), (3, "c"), (2, "d"), (1, "e")], losing: "2",
                then: ["INSERT INTO monthly VALUES (2, 'x')"], expected: "6\t12\t6\t6"),
            // These are all there, whatever was done to them.
            Case(
                name: "kept", definition: "ENGINE = MergeTree ORDER BY n", rows: few,
                then: ["INSERT INTO kept VALUES (9, 'x')"],
                expected: "5\t19\t4\t4"),
            Case(
                name: "kept_merged", definition: "ENGINE = MergeTree ORDER BY n", rows: few,
                then: ["INSERT INTO kept_merged VALUES (9, 'x')", "OPTIMIZE TABLE kept_merged FINAL"],
                expected: "5\t19\t4\t4"),
            Case(
                name: "kept_replaced", definition: "ENGINE = ReplacingMergeTree ORDER BY intDiv(n, 10)",
                rows: [(1, "a"), (2, "b"), (11, "c"), (12, nil)],
                then: ["INSERT INTO kept_replaced VALUES (3, 'x'), (13, 'y')", "OPTIMIZE TABLE kept_replaced FINAL"],
                expected: "2\t16\t2\t2"),
            Case(
                name: "kept_summed", definition: "ENGINE = SummingMergeTree ORDER BY v SETTINGS allow_nullable_key = 1",
                rows: [(5, "a"), (6, "b"), (7, "b")],
                then: ["INSERT INTO kept_summed VALUES (1, 'x'), (2, 'a')", "OPTIMIZE TABLE kept_summed FINAL"],
                expected: "3\t21\t3\t3"),
            Case(
                name: "kept_null", definition: "ENGINE = SummingMergeTree ORDER BY v SETTINGS allow_nullable_key = 1",
                rows: [(5, nil), (6, nil)], expected: "1\t11\t0\t0"),
            Case(
                name: "kept_collapsed", definition: "ENGINE = CollapsingMergeTree(sign) ORDER BY n", rows: few,
                then: [
                    "INSERT INTO kept_collapsed (n, sign) VALUES (1, -1), (2, -1), (3, -1)",
                    "OPTIMIZE TABLE kept_collapsed FINAL",
                ], expected: "1\t4\t1\t1"),
            Case(
                name: "kept_changed", definition: "ENGINE = MergeTree ORDER BY n", rows: few,
                then: ["ALTER TABLE kept_changed UPDATE v = 'z' WHERE 1 SETTINGS mutations_sync = 1"],
                expected: "4\t10\t4\t1"),
            Case(
                name: "kept_deleted", definition: "ENGINE = MergeTree ORDER BY n", rows: few,
                then: ["DELETE FROM kept_deleted WHERE n > 1"], expected: "1\t1\t1\t1"),
            Case(
                name: "kept_monthly", definition: "ENGINE = MergeTree PARTITION BY n ORDER BY n",
                rows: [(3, "a"), (1, "b"), (3, "c"), (2, "d"), (1, "e")],
                then: ["INSERT INTO kept_monthly VALUES (1, 'x')", "OPTIMIZE TABLE kept_monthly FINAL"],
                expected: "6\t11\t6\t6"),
        ]
        for table in cases {
            let sign = table.definition.contains("(sign)") ? ", sign Int8 DEFAULT 1" : ""
            let window = "non_replicated_deduplication_window = 1000"
            let definition =
                table.definition.contains("SETTINGS")
                ? "\(table.definition), \(window)" : "\(table.definition) SETTINGS \(window)"
            _ = try await own.query("CREATE TABLE \(table.name) (n UInt64, v Nullable(String)\(sign)) \(definition)")
        }
        @discardableResult func ship(isAgain: Bool) async throws -> [String: UInt64] {
            let fixture = try SinkFixture(SinkFixture.settings(port: own.nativePort))
            try await fixture.ship(
                cases.map {
                    SealedBlock(
                        token: "spool-\($0.name)", TableName(table: $0.name), [Self.block($0.rows)],
                        reason: isAgain ? .restored : .rows)
                })
            #expect(fixture.committed.values.count == cases.count)
            #expect(fixture.refused.values.isEmpty)
            return fixture.telemetry.snapshot().duplicateBlocks
        }
        try await ship(isAgain: false)
        var lost: [String] = []
        for table in cases {
            guard let partition = table.losing else { continue }
            let paths = try await own.query(
                "SELECT path FROM system.parts WHERE active AND table = '\(table.name)' AND partition_id = '\(partition)'"
            )
            lost += paths.split(separator: "\n").map(String.init)
        }
        #expect(lost.count == cases.filter { $0.losing != nil }.count)
        try await own.dieAndComeBack(without: lost)
        for table in cases {
            for statement in table.then { _ = try await own.query(statement) }
        }

        for round in 0..<2 {
            let findings = try await ship(isAgain: true)
            for table in cases {
                let found = try await own.query(
                    "SELECT count(), sum(n), count(v), uniqExact(v) FROM \(table.name)")
                #expect(found == table.expected + "\n", "\(table.name), round \(round)")
            }
            // Of each that is lost twice, see above. What was changed, or may have cancelled one another, is not looked at.
            #expect(findings["lost"] == UInt64(2 * lost.count))
            #expect(findings["unclear"] == 3)
        }
    }
}
