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
    private let settings = "SETTINGS non_replicated_deduplication_window = 1000"

    /// Ships a block, takes parts away from under the server while it is down, and ships the block again as one that an
    /// earlier run may have sent.
    @Test func rowsThatTheServerLostAreSentOnceMore() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-lost-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        var own = try await OwnServer.start(.modern, in: folder)
        defer { own.kill() }
        func query(_ sql: String) async throws -> String { try await own.server.query(sql, database: "default") }

        let definitions = ["plain": "", "monthly": "PARTITION BY n", "kept": "", "merged": ""]
        for (name, partition) in definitions {
            _ = try await query(
                "CREATE TABLE \(name) (n UInt64) ENGINE = MergeTree \(partition) ORDER BY n \(settings)")
        }
        let rows: [String: Block] = [
            // Three partitions, in the order 3, 1, 2, with rows of each in several places.
            "monthly": .numbers([3, 1, 3, 2, 1, 1]), "plain": .numbers(0..<1000), "kept": .numbers(0..<10),
            "merged": .numbers(0..<10),
        ]
        @discardableResult func ship(isAgain: Bool) async throws -> SinkFixture {
            let fixture = try SinkFixture(SinkFixture.settings(port: own.server.nativePort))
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
        _ = try await query("INSERT INTO merged VALUES (11)")
        _ = try await query("OPTIMIZE TABLE merged FINAL")
        let lost = try await query(
            """
            SELECT path FROM system.parts
            WHERE active AND database = 'default' AND (table = 'plain' OR table = 'monthly' AND partition_id = '1')
            """
        ).split(separator: "\n")
        #expect(lost.count == 2)
        own.kill()
        for path in lost { try FileManager.default.removeItem(atPath: String(path)) }
        own = try await own.startAgain()
        #expect(try await query("SELECT count() FROM plain") == "0\n")

        for _ in 0..<2 {
            let fixture = try await ship(isAgain: true)
            #expect(try await query("SELECT count(), uniqExact(n) FROM plain") == "1000\t1000\n")
            #expect(try await query("SELECT n, count() FROM monthly GROUP BY n ORDER BY n") == "1\t3\n2\t1\n3\t2\n")
            #expect(try await query("SELECT count() FROM kept") == "10\n")
            #expect(try await query("SELECT count() FROM merged") == "11\n")
            // Each loss is told of twice, since only the second time all partitions are; then it lands, or, sent by another
            // run, is a duplicate that is there.
            let findings = fixture.telemetry.snapshot().duplicateBlocks
            #expect(findings["lost"] == 4)
            #expect(findings["unclear"] == nil)
        }
    }
}
