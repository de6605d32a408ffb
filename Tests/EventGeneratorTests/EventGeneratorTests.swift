import EventGenerator
import Foundation
import TestSupport
import Testing

@Suite struct EventGeneratorTests {
    /// FNV-1a, so that the bytes themselves need not stand here.
    private func fingerprint(_ bytes: [UInt8]) -> String {
        String(bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }, radix: 16)
    }

    private func rows(_ options: EventGenerator.Options, _ range: Range<Int>) -> [UInt8] {
        var bytes: [UInt8] = []
        EventGenerator(options).append(rows: range, to: &bytes)
        return bytes
    }

    @Test(arguments: EventGenerator.Table.allCases)
    func theSameRowsComeOutHoweverTheyAreSplit(table: EventGenerator.Table) {
        let options = EventGenerator.Options(table: table, seed: 11)
        #expect(rows(options, 0..<700) == rows(options, 0..<1) + rows(options, 1..<400) + rows(options, 400..<700))
        #expect(rows(options, 0..<100) != rows(.init(table: table, seed: 12), 0..<100))
    }

    /// A change of these changes what every benchmark and test measured so far: be sure that it is meant.
    @Test func theSameBytesComeOutOnEveryMachine() {
        let fingerprints = EventGenerator.Table.allCases.map { fingerprint(rows(.init(table: $0, seed: 1), 0..<2000)) }
        #expect(
            fingerprints == [
                "96fe009c09871725", "ac010c7074a25f99", "40645d5f134e0d4", "7d1416b923aec9c7", "85aa73a75b3596a6",
                "f9fa0f3d2e05125d",
            ])
    }

    @Test func aRowOfMstoreHasSome485BytesOnAverage() {
        let count = rows(.init(table: .mstore, seed: 3), 0..<50_000).count / 50_000
        #expect((480...490).contains(count))
    }

    @Test(arguments: EventGenerator.Table.allCases)
    func everyLineIsAJSONObjectInWhateverOrderAndSpacing(table: EventGenerator.Table) throws {
        var options = EventGenerator.Options(table: table, seed: 5)
        let plain = try objects(rows(options, 0..<300))
        options.shufflesKeys = true
        options.variesWhitespace = true
        let varied = try objects(rows(options, 0..<300))
        #expect(plain == varied)
        options.includesTable = true
        let named = try objects(rows(options, 0..<300))
        #expect(named.allSatisfy { $0["table"] as? String == table.name })
    }

    private func objects(_ bytes: [UInt8]) throws -> [NSDictionary] {
        try bytes.split(separator: 10).map { line in
            try #require(try JSONSerialization.jsonObject(with: Data(line)) as? NSDictionary)
        }
    }

    @Test(
        .enabled { await ClickHouseServer.isAvailable(.modern) },
        arguments: EventGenerator.Table.allCases.filter { $0 != .typesAllLegacy })
    func clickHouseTakesEveryGoodRowAndNoBadOne(table: EventGenerator.Table) async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.createTables(in: database)
            let insert = "INSERT INTO \(table.name) FORMAT JSONEachRow"
            // Of all rows, not of what replacing merges leave of them.
            try await server.query(
                insert, input: rows(.init(table: table, seed: 9), 0..<20_000), database: database,
                settings: ["optimize_on_insert": "0"])
            let count = try await server.query("SELECT count() FROM \(table.name)", database: database)
            #expect(count == "20000\n")

            var options = EventGenerator.Options(table: table, seed: 9)
            options.badRowsPerMillion = 50_000
            let bad = (0..<2000).filter { EventGenerator(options).isBad(row: $0) }
            #expect((60...140).contains(bad.count))
            for row in bad {
                let line = rows(options, row..<(row + 1))
                await #expect(throws: (any Error).self, "row \(row)") {
                    try await server.query(insert, input: line, database: database)
                }
            }
        }
    }

    @Test(.enabled { await ClickHouseServer.isAvailable(.legacy) })
    func theTablesAreThereOnAServerOf2018() async throws {
        let server = try await ClickHouseServer.legacy()
        try await server.withDatabase { database in
            try await server.createTables(in: database)
            let tables = try await server.query("SHOW TABLES", database: database)
            #expect(tables == "events\nimpression_daily\nmstore\nmthreads\nmtriage\ntypes_all\n")
        }
    }

    @Test(.enabled { await ClickHouseServer.isAvailable(.modern) })
    func theOracleAndTheServerAreOneEngine() async throws {
        let server = try await ClickHouseServer.modern()
        let sql = "SELECT version(), cityHash64('sluice')"
        #expect(try await server.query(sql) == ClickHouseOracle.query(sql))
        await #expect(throws: (any Error).self) { try await server.query("SELEC") }
        await #expect(throws: (any Error).self) { try await ClickHouseOracle.query("SELEC") }
    }
}
