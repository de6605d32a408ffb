import ClickHouseNative
import Foundation
import Pipeline
import SluiceClient

/// Sends rejected rows to the daemon again. Each lands once, however often, and with whatever filters, this is done.
struct DeadLetterReplay {
    let directory: String
    let filter: DeadLetterFilter
    /// Of rows whose table is not known.
    var defaultTable: String?
    var timeZone = "UTC"
    /// Whether blocks of which parts may be in the table are sent, too.
    var sendsUnknown = false
    /// Whether rows are sent of which values were not kept.
    var sendsRedacted = false
    let replay: NumberedReplay

    struct Outcome: Equatable {
        /// That cannot be sent: not all of the row was kept.
        var truncated = 0
        /// Values of them were not kept, and they were not asked for.
        var redacted = 0
        /// Lines that are no dead letter.
        var unreadable = 0
        /// The same row of the same producer, rejected more than once.
        var duplicates = 0
        /// Rows of blocks whose outcome is unknown.
        var unknownOutcome = 0
        var filesReplayed = 0
    }

    private(set) var outcome = Outcome()
    private var seen: Set<CityHash128> = []

    init(directory: String, filter: DeadLetterFilter, replay: NumberedReplay) {
        self.directory = directory
        self.filter = filter
        self.replay = replay
    }

    /// - Throws: `SendError`.
    mutating func run() throws {
        // Before anything is looked at: two replays at once would plan the same rows.
        let lock = try Self.lock(directory)
        defer { close(lock) }
        // Rejections that come meanwhile are for the next run.
        let files = try DeadLetterFile.find(in: directory)
        for file in files where file.state == .replayed && !file.isBlock { try note(file) }
        for file in files where file.state != .replayed {
            var journal = try ReplayJournal(file.journalPath)
            let isWhole = file.isBlock ? try plan(block: file, &journal) : try plan(file, &journal)
            for plan in journal.open {
                try file.isBlock ? send(block: file, plan) : send(file, plan)
                try journal.finished(plan)
            }
            if isWhole, file.state == .closed {
                try file.markReplayed()
                outcome.filesReplayed += 1
            }
        }
    }

    /// - Returns: The descriptor that holds the lock.
    static func lock(_ directory: String) throws -> Int32 {
        let path = "\(directory)/replay.lock"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SendError("cannot open \(path): \(SystemError.text)") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw SendError("\(directory): another replay or purge is under way")
        }
        return descriptor
    }

    /// - Returns: False when the row was seen before.
    private mutating func isFirst(_ row: RejectedRow) -> Bool {
        guard let identity = row.identity else { return true }
        return seen.insert(Array(identity.utf8).withUnsafeBytes { CityHash128(hashing: $0) }).inserted
    }

    private mutating func note(_ file: DeadLetterFile) throws {
        try file.forEachRow { _, row, _ in if let row { _ = isFirst(row) } }
    }

    // MARK: Rows

    /// Rows that one session can send.
    private struct Group: Hashable {
        let table: String?
        let form: SluiceFormat
    }

    /// Decides which lines are sent, and writes that down.
    ///
    /// - Returns: Whether all of the file is dealt with when the plans are done.
    private mutating func plan(_ file: DeadLetterFile, _ journal: inout ReplayJournal) throws -> Bool {
        var planned = journal.plans.map { ReplayJournal.Cursor($0) }
        var number = journal.nextNumber
        var fresh: [Group: ReplayJournal.Plan] = [:]
        var repeated = ReplayJournal.Plan(plan: number, table: nil, lines: [])
        number += 1
        var isWhole = true
        try file.forEachRow { line, row, _ in
            var isPlanned = false
            for place in planned.indices where planned[place].contains(line) { isPlanned = true }
            guard let row else {
                outcome.unreadable += 1
                isWhole = false
                return
            }
            if isPlanned {
                _ = isFirst(row)
                return
            }
            guard filter.matches(row) else {
                isWhole = false
                return
            }
            guard row.bytes != nil else {
                outcome.truncated += 1
                isWhole = false
                return
            }
            guard sendsRedacted || row.redacted != true else {
                outcome.redacted += 1
                isWhole = false
                return
            }
            guard isFirst(row) else {
                outcome.duplicates += 1
                repeated.append(line)
                return
            }
            let group = Group(table: row.table ?? defaultTable, form: row.form)
            if fresh[group] == nil {
                fresh[group] = ReplayJournal.Plan(plan: number, table: group.table, lines: [])
                number += 1
            }
            fresh[group]?.append(line)
        }
        if !repeated.lines.isEmpty { try journal.add([repeated], areDone: true) }
        try journal.add(fresh.values.sorted { $0.plan < $1.plan })
        return isWhole
    }

    private func send(_ file: DeadLetterFile, _ plan: ReplayJournal.Plan) throws {
        struct Enough: Error {}
        var cursor = ReplayJournal.Cursor(plan)
        // All rows of a plan are written in the same way.
        var form = SluiceFormat.ndjson
        do {
            try file.forEachRow { line, row, _ in
                guard line == plan.lines.first?.first else { return }
                form = row?.form ?? form
                throw Enough()
            }
        } catch is Enough {}
        try replay.run(name: name(file, plan), table: plan.table, format: form) { replay in
            do {
                try file.forEachRow { line, row, _ in
                    guard line <= plan.last else { throw Enough() }
                    if cursor.contains(line), let bytes = row?.bytes {
                        // A line break can stand in what was kept of a row of NDJSON only if it was none to begin with.
                        let isLine = form == .ndjson
                        try replay.row(isLine ? bytes.map { $0 == UInt8(ascii: "\n") ? UInt8(ascii: " ") : $0 } : bytes)
                    } else {
                        try replay.gap()
                    }
                }
            } catch is Enough {}
        }
    }

    private func name(_ file: DeadLetterFile, _ plan: ReplayJournal.Plan) -> String {
        NumberedReplay.name("dlq/", file.base, "#\(plan.plan)")
    }

    // MARK: Blocks

    private mutating func plan(block file: DeadLetterFile, _ journal: inout ReplayJournal) throws -> Bool {
        guard journal.plans.isEmpty else { return true }
        let why = file.why()
        guard filter.matches(why) else { return false }
        guard let why else {
            outcome.unreadable += 1
            Output.complain("\(file.path): \(file.base).json, which says what it is, cannot be read")
            return false
        }
        guard sendsUnknown || !why.isOutcomeUnknown else {
            outcome.unknownOutcome += why.rows
            return false
        }
        try journal.add([.init(plan: 1, table: why.table, lines: [[1, max(1, why.rows)]])])
        return true
    }

    private func send(block file: DeadLetterFile, _ plan: ReplayJournal.Plan) throws {
        try replay.run(name: name(file, plan), table: plan.table) { replay in
            do {
                var blocks = try BlockFile(file.path)
                while let block = try blocks.next() { try replay.rows(of: block, timeZone: timeZone) }
            } catch let error as CatError {
                throw SendError("\(file.path): \(error)")
            }
        }
    }
}
