import ClickHouseNative
import Foundation
import Ingest
import NIOCore
import Pipeline
import TestSupport
import Testing

/// Value by value against ClickHouse's own JSONEachRow: what is taken is what ClickHouse would have stored.
@Suite struct RowFidelityTests {
    /// A type, and values of all shapes for it as they stand in JSON.
    struct Border: Sendable {
        let type: String
        let values: [String]
    }

    @Test(
        .endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) },
        arguments: [ValidateSettings.DateTimeFormat.bestEffort, .basic])
    func whatIsTakenIsWhatClickHouseWouldHaveStored(format: ValidateSettings.DateTimeFormat) async throws {
        let server = try await ClickHouseServer.modern()
        let borders = RowBorders.all.filter {
            format == .bestEffort || $0.type.contains("Time") || $0.type.contains("JSON")
        }
        let oracle = RowOracle(format: format)
        let tables = borders.map { RowOracle.Table(type: $0.type, values: $0.values) }
        for (place, ours) in try await oracle.stored(tables).enumerated() {
            let theirs = await oracle.read(tables[place], server)
            for (row, (ours, theirs)) in zip(ours, theirs).enumerated() {
                // What is refused is in the dead letter and can be mended; what is stored wrongly cannot.
                guard let ours, ours != theirs else { continue }
                // Again alone: ClickHouse's types within JSON depend on the rows before.
                let alone = await oracle.read(tables[place], row: row, server)
                let (type, value) = (borders[place].type, borders[place].values[row])
                guard ours != alone, !isKinder(type, value, alone) else { continue }
                Issue.record("\(type) \(value): \(ours) is stored, ClickHouse reads \(alone ?? "nothing")")
            }
        }
    }

    /// What sluice takes and ClickHouse does not, though there is but one meaning: a zero with a sign or an exponent, and
    /// a bare `nan`. For a null in the place of an enumeration ClickHouse stores 0 even where no member has it, and
    /// fails when that is read; sluice stores the column's default.
    private func isKinder(_ type: String, _ value: String, _ theirs: String?) -> Bool {
        guard theirs == nil else { return false }
        return ["-0", "0e100", "nan"].contains(value) || type.contains("Enum") && ["null", "[null]"].contains(value)
    }
}
