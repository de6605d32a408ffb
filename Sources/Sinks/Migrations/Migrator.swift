import ClickHouseNative
import Foundation
import Pipeline

/// Applies files of statements to a server, each once and in their order, and writes down how far it came.
///
/// One statement at a time: before it a row says that it is begun, after it another one that it is done. So a run that dies
/// leaves behind at which statement; the next one goes on there, or says what it cannot know.
///
/// A lock keeps two runs apart: a row with a lease, then a look whether there is another one. On one server that is safe, as
/// what was inserted is seen by whoever asks later. On a cluster the look comes `settleTime` after the row; two runs that begin
/// at different servers while replication is slower than that may both go ahead.
public struct Migrator: Sendable {
    public struct Options: Sendable {
        /// nil: the statements are for the one server.
        public var cluster: ClusterVariant?
        /// For one statement. The lock's lease is a minute more.
        public var statementTimeout: Duration = .seconds(300)
        /// Between taking the lock and looking for others, on a cluster.
        public var settleTime: Duration = .seconds(2)
        /// What the operator says of the statement whose outcome is not known.
        public var outcome: Outcome?
        /// The run whose lock is to be broken.
        public var brokenLock: String?
        /// `user@host`, for the records.
        public var by = ""

        public init() {}
    }

    public enum Outcome: String, Sendable, CaseIterable {
        /// It took effect: go on behind it.
        case done
        /// It did not: run it again.
        case again
    }

    public struct Step: Sendable {
        public let file: MigrationFile
        public let state: MigrationState
        /// What is to be run, as it will be sent; numbers from 1 on.
        public let statements: [(number: Int, text: String)]
    }

    public struct Plan: Sendable {
        public let steps: [Step]
        /// What keeps the plan from being applied.
        public let refusals: [String]
        public let warnings: [String]
    }

    private let settings: ClickHouseSettings
    private let files: [MigrationFile]
    private let options: Options
    private let host: ClickHouseSettings.Host
    private let ledger: MigrationLedger

    /// - Parameter host: where the statements are sent; with a cluster it hands them on.
    public init(
        settings: ClickHouseSettings, host: ClickHouseSettings.Host, files: [MigrationFile],
        options: Options = Options()
    ) {
        self.settings = settings
        self.host = host
        self.files = files
        self.options = options
        ledger = MigrationLedger(
            database: settings.database, cluster: options.cluster, timeout: options.statementTimeout)
    }

    // MARK: Looking

    /// What would be done; changes nothing.
    ///
    /// - Throws: `MigrationError`.
    public func plan() async throws -> Plan {
        let session = try await open()
        do {
            let plan = try plan(try await ledger.read(session))
            await session.close()
            return plan
        } catch {
            await session.close()
            throw Self.asMigrationError(error)
        }
    }

    private func plan(_ history: MigrationHistory) throws(MigrationError) -> Plan {
        var steps: [Step] = []
        var refusals: [String] = []
        var warnings = history.strangers(to: files).map { "\($0) was applied, and the directory has it no more" }
        var lastApplied: String?
        for file in files.reversed() {
            if case .applied = history.state(of: file) {
                lastApplied = file.name
                break
            }
        }
        var isBehind = lastApplied != nil
        for file in files {
            let state = history.state(of: file)
            if file.name == lastApplied { isBehind = false }
            var rest: [(number: Int, text: String)] = []
            switch state {
            case .applied: break
            case .changed(let at, let by):
                refusals.append(
                    "\(file.name) was changed after it was applied (\(at) by \(by)): put it back as it was, and write the change "
                        + "as a new file")
            case .changedInPart(let statement):
                refusals.append(
                    "\(file.name): statement \(statement) was run already and is another one now: put it back as it was; only what "
                        + "was not run yet may be changed")
            case .pending:
                rest = try statements(of: file, from: 1)
                if isBehind {
                    warnings.append("\(file.name) comes before \(lastApplied ?? ""), which was applied already")
                }
            case .stopped(let done, let uncertain, let at, let by):
                var next = done + 1
                if let uncertain, !file.statements[uncertain - 1].isRepeatable {
                    switch options.outcome {
                    case .done: next = uncertain + 1
                    case .again: next = uncertain
                    case nil:
                        let line = file.statements[uncertain - 1].line
                        refusals.append(
                            "\(file.name):\(line): statement \(uncertain) of \(file.statements.count) was begun (\(at) by \(by)), and "
                                + "whether it took effect is not known: look at the table, then apply with --outcome done or "
                                + "--outcome again")
                    }
                }
                rest = try statements(of: file, from: next)
            }
            if options.cluster != nil {
                for (number, text) in rest where Self.staysHere(text) {
                    warnings.append(
                        "\(file.name): statement \(number) has no /*on_cluster*/: it runs on \(host) only")
                }
            }
            steps.append(Step(file: file, state: state, statements: rest))
        }
        return Plan(steps: steps, refusals: refusals, warnings: warnings)
    }

    /// Settings of the session come first, also where they were run before.
    private func statements(of file: MigrationFile, from first: Int) throws(MigrationError) -> [(
        number: Int, text: String
    )] {
        var texts: [(number: Int, text: String)] = []
        for (index, statement) in file.statements.enumerated() where index + 1 >= first || statement.isSessionSetting {
            var text = statement.text
            if let cluster = options.cluster {
                do { text = try cluster.statement(text, database: settings.database) } catch {
                    throw MigrationError("\(file.name):\(statement.line + error.line - 1): \(error.message)")
                }
            }
            texts.append((index + 1, text))
        }
        return texts
    }

    private static func staysHere(_ text: String) -> Bool {
        guard let statement = try? SQLStatement.split(Array(text.utf8)).first,
            ["CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE"].contains(statement.opening.first ?? "")
        else { return false }
        return !statement.words.contains("CLUSTER")
    }

    // MARK: Applying

    /// Applies what is pending. A second call right after it finds nothing to do.
    ///
    /// - Parameter told: each thing that was done, for people.
    /// - Returns: How many files were applied.
    /// - Throws: `MigrationError` that says which statement of which file it stopped at.
    public func apply(told: (String) -> Void) async throws -> Int {
        var run = Run(
            id: String(UInt64.random(in: .min ... .max), radix: 16), by: options.by, session: try await open())
        do {
            try await ledger.prepare(run.session)
            try await lock(&run, told)
            let plan = try plan(try await ledger.read(run.session))
            guard plan.refusals.isEmpty else { throw MigrationError(plan.refusals.joined(separator: "\n")) }
            plan.warnings.forEach { told("warning: \($0)") }
            var count = 0
            for step in plan.steps {
                if case .applied = step.state { continue }
                try await apply(step, &run, told)
                count += 1
            }
            if let left = await unlock(&run) { told("warning: \(left)") }
            await run.session.close()
            return count
        } catch {
            let left = await unlock(&run)
            await run.session.close()
            let error = Self.asMigrationError(error)
            throw left.map { MigrationError("\(error)\n\($0)", isServerAway: error.isServerAway) } ?? error
        }
    }

    /// A run, and what it writes down.
    private struct Run {
        let id: String
        let by: String
        var session: ServerSession
        var isLocked = false
        private var number = UInt64(Date().timeIntervalSince1970 * 1000) * 1000

        init(id: String, by: String, session: ServerSession) {
            self.id = id
            self.by = by
            self.session = session
        }

        mutating func nextNumber() -> UInt64 {
            number += 1
            return number
        }
    }

    private func write(
        _ kind: MigrationEvent.Kind, _ run: inout Run, name: String = "", statement: Int = 0, statements: Int = 0,
        checksum: String = "", as other: String? = nil
    ) async throws {
        let event = MigrationEvent(
            kind: kind, name: name, statement: statement, statements: statements, checksum: checksum,
            run: other ?? run.id, by: run.by,
            lease: kind == .locked ? Int(options.statementTimeout.components.seconds) + 60 : 0)
        let number = run.nextNumber()
        do { return try await ledger.write(event, number: number, run.session) } catch {
            if (error as? ConnectionError)?.exception != nil { throw error }
        }
        // The connection is at fault. The same row twice says the same.
        run.session = try await open()
        try await ledger.write(event, number: number, run.session)
    }

    private func lock(_ run: inout Run, _ told: (String) -> Void) async throws {
        if let broken = options.brokenLock {
            guard try await ledger.read(run.session).holds(broken) else {
                throw MigrationError("run \(broken) has no lock to be broken")
            }
            try await write(.unlocked, &run, as: broken)
            told("broke the lock of run \(broken)")
        }
        if let holder = try await ledger.read(run.session).holder(except: run.id) { throw Self.locked(by: holder) }
        run.isLocked = true
        try await write(.locked, &run)
        if options.cluster != nil { try await Task.sleep(for: options.settleTime) }
        // Whoever came at the same time sees us, or we see them, or both: then both go back.
        if let holder = try await ledger.read(run.session).holder(except: run.id) { throw Self.locked(by: holder) }
    }

    private static func locked(by holder: MigrationEvent) -> MigrationError {
        MigrationError(
            "run \(holder.run) of \(holder.by) is under way: its last sign was \(holder.age) s ago, and its lock ends \(holder.lease) s "
                + "after that. Wait; if that process is dead: --break-lock \(holder.run)")
    }

    /// As well as it can be done: what stays locked ends with its lease.
    ///
    /// - Returns: What to say when it could not.
    private func unlock(_ run: inout Run) async -> String? {
        guard run.isLocked else { return nil }
        run.isLocked = false
        do {
            try await write(.unlocked, &run)
            return nil
        } catch {
            return "the lock of this run (\(run.id)) could not be given back and ends with its lease: "
                + ServerSession.words(error)
        }
    }

    private func apply(_ step: Step, _ run: inout Run, _ told: (String) -> Void) async throws {
        let file = step.file
        let count = file.statements.count
        if case .stopped(let done, let uncertain?, _, _) = step.state, options.outcome == .done, uncertain > done,
            !file.statements[uncertain - 1].isRepeatable
        {
            try await write(
                .done, &run, name: file.name, statement: uncertain, statements: count,
                checksum: MigrationFile.checksum(Array(file.statements[uncertain - 1].text.utf8)))
        }
        for (number, text) in step.statements {
            let statement = file.statements[number - 1]
            if statement.isSessionSetting, case .stopped(let done, _, _, _) = step.state, number <= done {
                try await session(text, file, statement, run.session)
                continue
            }
            let now = try await ledger.read(run.session)
            guard now.holds(run.id), now.holder(except: run.id) == nil else {
                throw MigrationError(
                    "\(file.name):\(statement.line): stopped before statement \(number) of \(count): our lock was broken, or came "
                        + "to its end")
            }
            let checksum = MigrationFile.checksum(Array(statement.text.utf8))
            try await write(
                .begun, &run, name: file.name, statement: number, statements: count, checksum: checksum)
            do {
                try await run.session.run(text, timeout: options.statementTimeout)
            } catch {
                var isKnown = hadNoEffect(error)
                if isKnown {
                    do {
                        // A server of 2018 that cannot read a statement answers before it has read the whole request, and
                        // takes the rest for the next one (its TCPHandler.cpp, runImpl): the connection is of no more use.
                        await run.session.close()
                        run.session = try await open()
                        try await write(
                            .failed, &run, name: file.name, statement: number, statements: count, checksum: checksum)
                    } catch { isKnown = false }
                }
                throw MigrationError(
                    "\(file.name):\(statement.line): stopped at statement \(number) of \(count), \(number - 1) are done: "
                        + ServerSession.words(error)
                        + (isKnown
                            ? "\ncorrect it and apply again: it goes on at statement \(number)"
                            : "\nwhether it took effect is not written down"))
            }
            try await write(.done, &run, name: file.name, statement: number, statements: count, checksum: checksum)
        }
        try await write(
            .applied, &run, name: file.name, statement: count, statements: count, checksum: file.checksum)
        told("applied \(file.name): \(count) statement\(count == 1 ? "" : "s")")
    }

    private func session(_ text: String, _ file: MigrationFile, _ statement: SQLStatement, _ session: ServerSession)
        async throws
    {
        do { try await session.run(text, timeout: options.statementTimeout) } catch {
            throw MigrationError("\(file.name):\(statement.line): \(ServerSession.words(error))")
        }
    }

    /// The server refused the statement before it did anything. On a cluster others may have done it; and a server that
    /// waits in vain for others (159, 209, 210) leaves the statement to them.
    private func hadNoEffect(_ error: any Error) -> Bool {
        guard options.cluster == nil, let code = (error as? ConnectionError)?.exception?.code else { return false }
        return ![.timeoutExceeded, .socketTimeout, .networkError].contains(code)
    }

    private func open() async throws(MigrationError) -> ServerSession {
        do { return try await ServerSession.open(host, settings) } catch {
            throw MigrationError("\(host): cannot be used: \(ServerSession.words(error))", isServerAway: true)
        }
    }

    private static func asMigrationError(_ error: any Error) -> MigrationError {
        if let error = error as? MigrationError { return error }
        if let error = error as? SQLFailure { return MigrationError("\(error)") }
        return MigrationError(ServerSession.words(error), isServerAway: true)
    }
}
