import NIOConcurrencyHelpers
import Pipeline

/// Which refusals of tables are worth a line in the log. A table is asked for every few seconds for as long as rows for it
/// come, which for a misspelled name may be for days: the first refusal is logged, another reason, and then one an hour.
final class RefusalLog: Sendable {
    /// How often the same is said again.
    static let interval: Duration = .seconds(3600)
    /// Names come from producers: when there are more, all are forgotten, and said once more.
    static let tablesMax = 4096

    private struct Said {
        let code: CatalogError.Code
        let at: StageClock.Instant
    }

    private let said = NIOLockedValueBox<[TableName: Said]>([:])

    func isWorthALine(_ table: TableName, _ code: CatalogError.Code, at now: StageClock.Instant) -> Bool {
        said.withLockedValue { said in
            if let last = said[table], last.code == code, now - last.at < Self.interval { return false }
            if said.count >= Self.tablesMax { said.removeAll() }
            said[table] = Said(code: code, at: now)
            return true
        }
    }
}
