import ClickHouseNative
import NIOConcurrencyHelpers
import Pipeline

/// Asks again, now and then, what the tables in use look like (docs/specs/structure-changes.md).
final class StructureWatch: Sendable {
    /// How long rows wait for an answer when one of them has a field that its table lacks.
    static let patience: Duration = .seconds(1)
    /// When there was none, no row waits for one for so long.
    static let waitAfterSilence: Duration = .seconds(10)
    /// Whether it is time, and whether somebody wants an answer at once, is looked at so often.
    static let tick: Duration = .milliseconds(250)

    private struct State: Sendable {
        var tables: Set<TableName> = []
        var isWanted = false
    }

    private let catalog: any TableCatalog
    private let clock: StageClock
    private let state = NIOLockedValueBox(State())

    init(catalog: any TableCatalog, clock: StageClock) {
        self.catalog = catalog
        self.clock = clock
    }

    func isInUse(_ table: TableName) { _ = state.withLockedValue { $0.tables.insert(table) } }
    func isGone(_ table: TableName) { _ = state.withLockedValue { $0.tables.remove(table) } }
    func askNow() { state.withLockedValue { $0.isWanted = true } }

    /// Asks until it is cancelled; one table after the other, so that a server with many has little to do at once.
    ///
    /// - Parameter interval: between two rounds; nil: only when it is wanted.
    func run(interval: @escaping @Sendable () -> Duration?) async {
        var last = clock.now
        while (try? await clock.sleep(for: Self.tick)) != nil {
            let isDue = interval().map { clock.now - last >= $0 } ?? false
            let tables = state.withLockedValue { state in
                defer { state.isWanted = false }
                return isDue || state.isWanted ? state.tables : []
            }
            // What a table has become, its readers find out by themselves.
            for table in tables where !Task.isCancelled { _ = try? await catalog.refresh(table) }
            if isDue { last = clock.now }
        }
    }

    /// What a table looks like now; nil: nobody says so in time, or it cannot be used.
    func ask(_ table: TableName) async throws -> TableStructure? {
        let answer = await withTaskGroup(of: TableStructure?.self) { group in
            group.addTask { [catalog] in try? await catalog.refresh(table) }
            group.addTask { [clock] in
                try? await clock.sleep(for: Self.patience)
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
        try Task.checkCancellation()
        return answer
    }
}

/// When a table may be asked again because of a field that it lacks: not at once, since producers may send fields of any name.
struct UnknownFieldAsks {
    private var next: [TableName: StageClock.Instant] = [:]

    mutating func asked(_ table: TableName, at now: StageClock.Instant, least: Duration) { next[table] = now + least }

    func allow(_ reader: ChunkReader, at now: StageClock.Instant) {
        guard !next.isEmpty else { return }
        for writer in reader.tables where !writer.asksForUnknownFields {
            if let at = next[writer.table], at > now { continue }
            writer.asksForUnknownFields = true
        }
    }
}
