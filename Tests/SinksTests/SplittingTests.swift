import ClickHouseNative
import Pipeline
import TestSupport
import Testing

@testable import Sinks

/// Blocks that the server takes in pieces only.
@Suite(.endsEvenIfItHangs) struct SplittingTests {
    private let table = TableName(table: "numbers")

    private func block(_ rows: UInt64, reason: SealedBlock.Reason = .rows) -> SealedBlock {
        SealedBlock(id: 1, token: "spool-1", table, [.numbers(0..<rows)], reason: reason)
    }

    /// A server that refuses a block if it has one of these rows.
    private func server(
        refusing bad: Set<UInt64>, _ script: [FakeServer.Behaviour] = []
    ) async throws -> FakeServer {
        try await FakeServer.start(script, isModern: true) { rows in
            rows.contains { bad.contains($0) } ? (469, "constraint") : nil
        }
    }

    @Test(arguments: Seeds.some(8))
    func onlyTheRowsAtFaultAreRefused(seed: UInt64) async throws {
        var random = SeededRandom(seed: seed)
        let rows = UInt64(random.int(1...300))
        let bad = Set((0..<random.int(1...5)).map { _ in UInt64(random.int(0...Int(rows) - 1)) })
        let server = try await server(refusing: bad)
        let fixture = try SinkFixture(SinkFixture.settings(port: server.port))
        try await fixture.ship([block(rows)])

        #expect(fixture.refusedRows.values == bad.map { _ in 1 }, "seed \(seed)")
        #expect(fixture.refused.values.allSatisfy { $0.refusal.reason == .rows && $0.refusal.code?.rawValue == 469 })
        let landed = server.landed.values.flatMap { $0 }
        #expect(landed == (0..<rows).filter { !bad.contains($0) }, "seed \(seed)")
        // No identity twice, and each token only with its own rows.
        let identities = fixture.splits.values.flatMap { $0.identities.map(\.token) }
        #expect(Set(identities).count == identities.count)
        #expect(Set(fixture.tokens.values).count == fixture.tokens.values.count)
        // Each row is looked for in as many steps as it takes to halve the block down to it.
        let levels = 64 - (rows - 1).leadingZeroBitCount
        #expect(fixture.splits.values.count <= bad.count * max(levels, 1), "seed \(seed)")
        let snapshot = fixture.telemetry.snapshot()
        #expect(snapshot.committedRows == UInt64(landed.count) && snapshot.deadLetteredRows == UInt64(bad.count))
        #expect(snapshot.splitBlocks["rows", default: 0] == UInt64(fixture.splits.values.count))
        #expect(fixture.sink.rowsHeld == 0)
        await server.stop()
    }

    @Test func eachPieceIsSentUnderItsOwnToken() async throws {
        let server = try await server(refusing: [3])
        let fixture = try SinkFixture(SinkFixture.settings(port: server.port))
        try await fixture.ship([block(4)])
        let tokens = server.packets.values.map { packet in
            packet.firstRange(of: "spool-").map {
                packet[$0.lowerBound...].prefix { $0.isLetter || $0.isNumber || $0 == "-" }
            }
        }
        #expect(tokens == ["spool-1", "spool-1000001", "spool-1000002", "spool-1000003", "spool-1000004"])
        #expect(fixture.splits.values.map(\.pieces) == [[[0..<2], [2..<4]], [[0..<1], [1..<2]]])
        await server.stop()
    }

    @Test func beyondTheLimitTheRestIsRefusedAsAWhole() async throws {
        let server = try await server(refusing: Set(0..<64))
        var settings = SinkFixture.settings(port: server.port)
        settings.splitRefusalsMax = 3
        let fixture = try SinkFixture(settings)
        try await fixture.ship([block(100)])

        #expect(fixture.refusedRows.values.prefix(3) == [1, 1, 1])
        #expect(fixture.refusedRows.values.reduce(0, +) + server.landed.values.joined().count == 100)
        #expect(server.packets.values.count < 20)
        let last = try #require(fixture.refused.values.last)
        #expect(last.refusal.reason == .rows && last.refusal.message.hasPrefix("some of the rows"))
        await server.stop()
    }

    @Test func splittingCanBeSwitchedOff() async throws {
        let server = try await server(refusing: [5])
        var settings = SinkFixture.settings(port: server.port)
        settings.splitRefusalsMax = 0
        let fixture = try SinkFixture(settings)
        try await fixture.ship([block(10)])
        #expect(fixture.refusedRows.values == [10])
        #expect(fixture.splits.values.isEmpty)
        await server.stop()
    }

    @Test(arguments: [
        FakeServer.Behaviour.cutBeforeAnswer, .cutInData, .refuseData(319), .refuseData(241),
        .refuseData(6, "Cannot parse: while pushing to view default.v"),
    ])
    func aBlockThatMayBeThereInPartIsNeverSplit(before: FakeServer.Behaviour) async throws {
        let server = try await server(refusing: [3], [before])
        let fixture = try SinkFixture(SinkFixture.settings(port: server.port))
        try await fixture.ship([block(10)])
        #expect(fixture.splits.values.isEmpty)
        #expect(fixture.refusedRows.values == [10])
        #expect(fixture.refused.values.map(\.refusal.reason) == [.outcomeUnknown])
        await server.stop()
    }

    @Test func neitherIsOneOfAnEarlierRun() async throws {
        let server = try await server(refusing: [3])
        let fixture = try SinkFixture(SinkFixture.settings(port: server.port))
        try await fixture.ship([block(10, reason: .restored)])
        #expect(fixture.splits.values.isEmpty)
        #expect(fixture.refused.values.map(\.refusal.reason) == [.outcomeUnknown])
        #expect(fixture.refused.values.first?.refusal.message.contains("rows_refused") == true)
        await server.stop()
    }

    @Test(arguments: [FakeServer.Behaviour.refuseInsert(319), .refuseInsert(241), .refuseData(252), .refuseInsert(210)])
    func anAttemptThatCertainlyDidNothingLeavesNoDoubt(before: FakeServer.Behaviour) async throws {
        let server = try await server(refusing: [3], [before])
        let fixture = try SinkFixture(SinkFixture.settings(port: server.port))
        try await fixture.ship([block(10)])
        #expect(fixture.refusedRows.values == [1])
        #expect(server.landed.values.joined().count == 9)
        await server.stop()
    }

    @Test func withoutASpoolPiecesHaveNumbersOfTheirOwn() async throws {
        let handlers = BlockHandlers(refused: { _, _ in })
        let encoded = try EncodedBlock(block(10), BlockEncoding(revision: .newest, compression: .lz4))
        let first = try await handlers.split(encoded, BlockSplitting.halves(10))
        let second = try await handlers.split(encoded, BlockSplitting.halves(10))
        let identities = first + second
        #expect(Set(identities.map(\.id)).count == 4 && identities.allSatisfy { $0.id > 1 << 62 && $0.token == nil })
    }

    @Test func aSplitThatCannotBeWrittenDownIsTriedAgain() async throws {
        let server = try await server(refusing: [3])
        let fixture = try SinkFixture(SinkFixture.settings(port: server.port))
        fixture.ledger.failuresLeft.withLock { $0 = 3 }
        try await fixture.ship([block(4)])
        #expect(fixture.splits.values.count == 2)
        #expect(fixture.refusedRows.values == [1])
        await server.stop()
    }

    @Test func aBlockWithTooManyPartitionsOfAnUnknownKeyIsHalvedAFewTimes() async throws {
        let server = try await FakeServer.start(isModern: true) { rows in
            rows.count > 4 ? (252, "Too many partitions: max_partitions_per_insert_block") : nil
        }
        let fixture = try SinkFixture(SinkFixture.settings(port: server.port))
        try await fixture.ship([block(256)])
        #expect(server.landed.values.joined().sorted() == Array(0..<256))
        #expect(fixture.telemetry.snapshot().splitBlocks == ["partitions": 63])

        let narrow = try SinkFixture(SinkFixture.settings(port: server.port))
        try await narrow.ship([block(1024)])
        #expect(narrow.refusedRows.values == Array(repeating: 16, count: 64))
        #expect(narrow.refused.values.allSatisfy { $0.refusal.reason == .tooManyPartitions })
        await server.stop()
    }
}

@Suite struct PartitionKeyTests {
    @Test(arguments: [
        ("toYYYYMM(ts)", [PartitionKey.Element(column: "ts", unit: .month)]),
        ("tenant", [.init(column: "tenant")]),
        ("`a column`", [.init(column: "a column")]),
        (
            "(toMonday(ts), tenant)",
            [.init(column: "ts", unit: .weekFromMonday), .init(column: "tenant")]
        ),
        (
            "tuple(toDate(ts, 'Europe/Berlin'), `te\\`nant`)",
            [.init(column: "ts", unit: .day, timeZone: "Europe/Berlin"), .init(column: "te`nant")]
        ),
    ])
    func theUsualKeysAreUnderstood(text: String, elements: [PartitionKey.Element]) {
        #expect(PartitionKey(parsing: text)?.elements == elements)
    }

    @Test(arguments: [
        "", "tuple()", "cityHash64(id) % 16", "intDiv(id, 1000)", "toYYYYMM(toDate(ts))", "(a, b", "(a b)", "toDate(ts",
        "toStartOfWeek(ts, 1)", "toDate(ts, 'UTC", "1", "id + 1",
    ])
    func othersAreNot(text: String) {
        #expect(PartitionKey(parsing: text) == nil)
    }

    @Test func rowsOfOnePartitionBelongTogether() throws {
        let block = Block(
            layout: BlockLayout([
                ColumnDefinition(name: "ts", type: .dateTime(timeZone: nil)),
                ColumnDefinition(name: "c", type: .lowCardinality(.string)),
                ColumnDefinition(name: "n", type: .nullable(.uint8)),
            ]))
        // 2024-01-31 23:30 UTC, two hours later, and a month later.
        let rows: [(UInt32, String, UInt8?)] = [
            (1_706_743_800, "a", 1), (1_706_751_000, "a", nil), (1_709_000_000, "b", 1), (1_706_743_801, "b", nil),
        ]
        for (time, text, number) in rows {
            block.nodes[0].appendFixed(time)
            text.utf8.withContiguousStorageIfAvailable {
                block.appendLowCardinality(1, UnsafeRawPointer($0.baseAddress!), count: $0.count)
            }
            block.nodes[3].appendFixed(UInt8(number == nil ? 1 : 0))
            block.nodes[4].appendFixed(number ?? 0)
            block.commitRow()
        }
        func partitions(_ key: String, _ zone: String = "UTC") -> [Int]? {
            PartitionKey(parsing: key)?.partitions(of: block, timeZone: zone)
        }
        #expect(partitions("toYYYYMM(ts)") == [0, 1, 1, 0])
        #expect(partitions("toYYYYMM(ts)", "Europe/Berlin") == [0, 0, 0, 0])
        #expect(partitions("toYYYYMM(ts, 'America/New_York')") == [0, 0, 1, 0])
        #expect(partitions("toStartOfYear(ts)") == [0, 0, 0, 0])
        #expect(partitions("toDate(ts)") == [0, 1, 2, 0])
        #expect(partitions("toStartOfHour(ts)") == [0, 1, 2, 0])
        #expect(partitions("c") == [0, 0, 1, 1])
        #expect(partitions("n") == [0, 1, 0, 1])
        #expect(partitions("(toYYYYMM(ts), c)") == [0, 1, 2, 3])
        #expect(partitions("other") == nil)
        #expect(partitions("toDate(c)") == nil)
    }

    @Test func piecesHaveAtMostSoManyPartitionsAndAllRows() {
        #expect(BlockSplitting.pieces([0, 0, 0], partitionsMax: 100) == nil)
        #expect(BlockSplitting.pieces([0, 1, 0, 2, 2], partitionsMax: 2) == [[0..<3], [3..<5]])
        // The server finds even fewer too many.
        #expect(BlockSplitting.pieces([0, 1, 2, 0], partitionsMax: 100) == [[0..<2, 3..<4], [2..<3]])
        let many = (0..<1000).map { $0 % 150 }
        let pieces = BlockSplitting.pieces(many, partitionsMax: 40)
        #expect(pieces?.count == 4)
        #expect(pieces?.joined().joined().sorted() == Array(0..<1000))
    }
}
