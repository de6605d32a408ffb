import ClickHouseNative
import Pipeline
import Sinks
import TestSupport
import Testing

/// Blocks that were made when the table was another one, against real servers.
@Suite(
    .enabled { await ClickHouseServer.isAvailable(.modern) }, .enabled { await ClickHouseServer.isAvailable(.legacy) },
    .endsEvenIfItHangs)
struct LiveStructureTests {
    private let table = TableName(table: "t")

    /// `n`, its square, and its text.
    private func block(_ range: Range<UInt64>) -> Block {
        let block = Block(
            layout: BlockLayout([
                ColumnDefinition(name: "n", type: .uint64), ColumnDefinition(name: "square", type: .uint64),
                ColumnDefinition(name: "text", type: .string),
            ]))
        for number in range {
            block.nodes[0].appendFixed(number)
            block.nodes[1].appendFixed(number * number)
            var text = String(number)
            text.withUTF8 { block.nodes[2].appendString($0.baseAddress!, count: $0.count, node: block.layout.nodes[2]) }
            block.commitRow()
        }
        return block
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func aBlockIsSentWithoutAColumnThatIsGone(kind: ClickHouseServer.Kind) async throws {
        let server = try await ClickHouseServer.of(kind)
        try await server.withDatabase { database in
            try await server.query(
                "CREATE TABLE t (n UInt64, text String, later UInt8 DEFAULT 7) ENGINE = MergeTree ORDER BY n",
                database: database)
            let fixture = try SinkFixture(SinkFixture.settings(port: server.nativePort, database: database))
            try await fixture.ship([SealedBlock(table, [block(0..<100)])])
            #expect(fixture.committed.values == [1])
            #expect(fixture.telemetry.snapshot().refittedBlocks == ["columns_dropped": 1])
            #expect(fixture.telemetry.snapshot().committedRows == 100)
            let stored = try await server.query(
                "SELECT count(), sum(n), sum(toUInt64(text) = n), sum(later) FROM t FORMAT TSV", database: database)
            #expect(stored == "100\t4950\t100\t700\n")
        }
    }

    /// The first attempt landed, its answer was lost, the table lost a column, and the block comes again.
    @Test func aBlockThatLandedBeforeTheChangeLandsOnce() async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.query(
                """
                CREATE TABLE t (n UInt64, square UInt64, text String) ENGINE = MergeTree ORDER BY n
                SETTINGS non_replicated_deduplication_window = 1000
                """, database: database)
            func ship(_ reason: SealedBlock.Reason) async throws -> SinkFixture {
                let fixture = try SinkFixture(SinkFixture.settings(port: server.nativePort, database: database))
                try await fixture.ship([SealedBlock(token: "spool-1", table, [block(0..<100)], reason: reason)])
                return fixture
            }
            _ = try await ship(.rows)
            try await server.query("ALTER TABLE t DROP COLUMN square", database: database)
            let again = try await ship(.restored)
            #expect(again.committed.values == [1])
            #expect(again.telemetry.snapshot().refittedBlocks == ["columns_dropped": 1])
            #expect(try await server.query("SELECT count() FROM t FORMAT TSV", database: database) == "100\n")
        }
    }

    /// 18.16 knows a block by its rows only, and those of other columns are others.
    @Test func aBlockInDoubtIsNotSentInOtherColumnsToAServerWithoutTokens() async throws {
        let server = try await ClickHouseServer.legacy()
        try await server.withDatabase { database in
            try await server.query(
                "CREATE TABLE t (n UInt64, text String) ENGINE = MergeTree ORDER BY n", database: database)
            let fixture = try SinkFixture(SinkFixture.settings(port: server.nativePort, database: database))
            try await fixture.ship([SealedBlock(token: "spool-1", table, [block(0..<100)], reason: .restored)])
            #expect(fixture.refused.values.map(\.refusal.reason) == [.outcomeUnknown])
            #expect(try await server.query("SELECT count() FROM t FORMAT TSV", database: database) == "0\n")
        }
    }
}
