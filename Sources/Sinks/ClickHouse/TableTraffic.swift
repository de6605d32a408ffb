import NIOConcurrencyHelpers
import Pipeline

/// Which tables blocks came for lately: whether one that waits would hold up any others.
final class TableTraffic: Sendable {
    /// What came longer ago is forgotten.
    static let ageMax: Duration = .seconds(300)
    /// Tables that are remembered.
    static let tablesMax = 4096

    private let seen = NIOLockedValueBox<[TableName: StageClock.Instant]>([:])

    func saw(_ table: TableName, now: StageClock.Instant) {
        seen.withLockedValue { seen in
            if seen.count >= Self.tablesMax { seen = seen.filter { now - $0.value < Self.ageMax } }
            if seen.count < Self.tablesMax || seen[table] != nil { seen[table] = now }
        }
    }

    func hasOthers(than table: TableName, now: StageClock.Instant) -> Bool {
        seen.withLockedValue { $0.contains { $0.key != table && now - $0.value < Self.ageMax } }
    }
}
