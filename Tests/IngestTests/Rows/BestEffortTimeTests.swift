import ClickHouseNative
import Ingest
import Pipeline
import TestSupport
import Testing

/// Times in all sorts of shapes: read as ClickHouse reads them, and refused only where ClickHouse refuses them, too, or would store
/// another time than was written (hours beyond 23 and the like).
@Suite struct BestEffortTimeTests {
    static let valuesOfAType = 400
    static let types = [
        "DateTime('UTC')", "DateTime('America/New_York')", "DateTime64(0, 'UTC')", "DateTime64(9, 'Europe/Berlin')",
        "Nullable(DateTime64(3, 'UTC'))", "Array(DateTime('UTC'))", "Dynamic", "Variant(DateTime('UTC'), String)",
    ]

    @Test(
        .enabled { await ClickHouseServer.isAvailable(.modern) },
        arguments: [ValidateSettings.DateTimeFormat.bestEffort, .bestEffortUS], Seeds.some(2))
    func everyShapeIsReadAsClickHouseReadsIt(format: ValidateSettings.DateTimeFormat, seed: UInt64) async throws {
        let server = try await ClickHouseServer.modern()
        let oracle = RowOracle(format: format)
        var values = RandomValues(random: SeededRandom(seed: seed))
        let tables = Self.types.map { type in
            RowOracle.Table(
                type: type,
                values: (0..<Self.valuesOfAType).map { _ in
                    type.hasPrefix("Array") ? "[\(values.oddTime())]" : values.oddTime()
                })
        }
        for (table, ours) in zip(tables, try await oracle.stored(tables)) {
            let reasons = try reasons(table, format)
            let theirs = await oracle.read(table, server)
            var read = 0
            for row in ours.indices {
                if ours[row] != nil { read += 1 }
                guard ours[row] != theirs[row] else { continue }
                let theirs = await oracle.read(table, row: row, server)
                guard ours[row] != theirs else { continue }
                let about = "seed \(seed): \(format) \(table.columns[0].type) \(table.rows[row])"
                if let ours = ours[row] {
                    Issue.record("\(about): \(ours) is stored, ClickHouse reads \(theirs ?? "nothing")")
                } else if let reason = reasons[row], !reason.isOfRange {
                    Issue.record("\(about): refused (\(reason.message)), ClickHouse reads \(theirs ?? "nothing")")
                }
            }
            #expect(read > Self.valuesOfAType / 8, "seed \(seed): \(table.columns[0].type): \(read)")
        }
    }

    private func reasons(_ table: RowOracle.Table, _ format: ValidateSettings.DateTimeFormat) throws -> [Int: Rejection]
    {
        var fixture = try RowFixture([("n", "UInt32", nil)] + table.columns.map { ($0.name, $0.type, nil) })
        fixture.settings.input.dateTimeInputFormat = format
        fixture.isPrinted = false
        var found: [Int: Rejection] = [:]
        for row in table.rows.indices {
            found[row] = try fixture.read([table.line(row)]).rejections.first
        }
        return found
    }

    /// A year that is left out is this one, or the last where the day is still to come.
    @Test func aYearThatIsLeftOutIsTheLastThatHadTheDay() throws {
        var fixture = try RowFixture(type: "DateTime('UTC')")
        // 2026-11-23 18:00:00.
        fixture.now = 1_795_456_800
        let outcome = try fixture.read([
            #"{"v":"Nov 23 23:59:59"}"#, #"{"v":"Nov 24 00:00:00"}"#, #"{"v":"Mar  3 01:33:48"}"#,
        ])
        #expect(
            outcome.rows == [
                #"{"v":"2026-11-23 23:59:59"}"#, #"{"v":"2025-11-24 00:00:00"}"#, #"{"v":"2026-03-03 01:33:48"}"#,
            ])
    }
}

extension Rejection {
    /// Refused though ClickHouse reads it: what it would store is not what was written, or its type is not certain near the
    /// borders.
    fileprivate var isOfRange: Bool {
        reason == .outOfRange || message.contains("would store another value") || message.contains("is not known here")
    }
}
