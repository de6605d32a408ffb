/// What the table `sluice_migrations` tells: only rows that were added, none is ever changed.
struct MigrationEvent: Sendable, Hashable {
    enum Kind: String, Sendable {
        /// A statement is about to be run; what became of it is not known until one of the next two.
        case begun
        case done
        /// The server refused it; nothing of it took effect.
        case failed
        /// All statements of the file are done.
        case applied
        /// A run has the lock; it lasts until its last row is `lease` seconds old.
        case locked
        case unlocked
    }

    var kind: Kind
    /// The file; empty for locks.
    var name = ""
    /// From 1 on; 0: none.
    var statement = 0
    var statements = 0
    /// Of the statement as it is in the file; of the file for `applied`.
    var checksum = ""
    var run: String
    var by: String
    var lease = 0
    /// As the server wrote it down.
    var at = ""
    /// In seconds, by the server's clock.
    var age = 0
}

/// Where a file stands.
public enum MigrationState: Sendable, Hashable {
    case pending
    /// - `done`: so many statements are.
    /// - `uncertain`: this one was begun, and what became of it is not known.
    case stopped(done: Int, uncertain: Int?, at: String, by: String)
    case applied(at: String, by: String, statements: Int)
    /// It was applied and is another one now.
    case changed(at: String, by: String)
    /// Statements that were run already are others now; the first of them.
    case changedInPart(statement: Int)
}

struct MigrationHistory: Sendable {
    /// In the order in which they came.
    let events: [MigrationEvent]

    func state(of file: MigrationFile) -> MigrationState {
        let own = events.filter { $0.name == file.name }
        if let applied = own.last(where: { $0.kind == .applied }) {
            return applied.checksum == file.checksum
                ? .applied(at: applied.at, by: applied.by, statements: applied.statements)
                : .changed(at: applied.at, by: applied.by)
        }
        guard let last = own.last else { return .pending }
        var done = 0
        for event in own where event.kind == .done {
            done = max(done, event.statement)
            guard event.statement <= file.statements.count,
                MigrationFile.checksum(Array(file.statements[event.statement - 1].text.utf8)) == event.checksum
            else { return .changedInPart(statement: event.statement) }
        }
        // What was begun last, unless the same run tells its outcome.
        let begun = own.last { $0.kind == .begun && $0.statement > done }
        let isSettled = own.contains {
            $0.kind != .begun && $0.run == begun?.run && $0.statement == begun?.statement
        }
        let uncertain = isSettled ? nil : begun?.statement
        if let uncertain {
            guard uncertain <= file.statements.count,
                MigrationFile.checksum(Array(file.statements[uncertain - 1].text.utf8)) == begun?.checksum
            else { return .changedInPart(statement: uncertain) }
        }
        return .stopped(done: done, uncertain: uncertain, at: last.at, by: last.by)
    }

    /// Files that were applied and are no more.
    func strangers(to files: [MigrationFile]) -> [String] {
        let names = Set(files.map(\.name))
        var seen: Set<String> = []
        return events.filter { $0.kind == .applied && !names.contains($0.name) && seen.insert($0.name).inserted }
            .map(\.name)
    }

    /// Who has the lock, apart from one run.
    func holder(except run: String) -> MigrationEvent? {
        var last: [String: MigrationEvent] = [:]
        for event in events where event.run != run {
            if event.kind == .locked { last[event.run] = event }
            if event.kind == .unlocked { last[event.run] = nil }
            if var holder = last[event.run] {
                (holder.at, holder.age) = (event.at, event.age)
                last[event.run] = holder
            }
        }
        return last.values.filter { $0.age <= $0.lease }.min { ($0.at, $0.run) < ($1.at, $1.run) }
    }

    func holds(_ run: String) -> Bool {
        events.last { $0.run == run && ($0.kind == .locked || $0.kind == .unlocked) }?.kind == .locked
    }
}
