import ArgumentParser
import ClickHouseNative
import Foundation
import Pipeline

struct DlqCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dlq",
        abstract: "Looks at rejected rows, sends them again after a fix, and removes them.",
        discussion: """
            Works on the files of the dead letter, beside a running daemon.

              sluice dlq ls
              sluice dlq show --table events --reason type_mismatch --limit 20
              sluice dlq replay --table events
              sluice dlq purge --replayed --yes
            """,
        subcommands: [List.self, Show.self, Replay.self, Purge.self])

    struct Selection: ParsableArguments {
        @Option(help: ArgumentHelp("The dead letter's directory; without it, the configuration's.", valueName: "path"))
        var directory: String?
        @OptionGroup var options: ConfigurationOptions
        @Option(help: "Only rows for this table.")
        var table: String?
        @Option(help: "Only rows rejected because of this column.")
        var column: String?
        @Option(help: "Only rows rejected for this reason.")
        var reason: String?
        @Option(
            help: ArgumentHelp("Only from then on: 2026-11-23T12:00:00Z, 2026-11-23, or 2h ago.", valueName: "time"))
        var since: String?
        @Option(help: ArgumentHelp("Only before then.", valueName: "time"))
        var until: String?

        func validate() throws {
            for (name, text) in [("--since", since), ("--until", until)] {
                guard let text, DeadLetterFilter.time(text) == nil else { continue }
                throw ValidationError(
                    "\(name) takes 2026-11-23T12:00:00Z, 2026-11-23, or 90s, 30m, 2h, 7d; not \(text).")
            }
        }

        func path() throws -> String { try directory ?? options.load().settings.validate.deadLetter.directory }

        /// Of the configuration that says where the dead letter is, or was named; nil: none was.
        func audit(_ action: String) throws -> CommandAudit {
            let hasConfiguration = directory == nil || options.config != nil
            return try CommandAudit(hasConfiguration ? options.load().settings.audit : nil, action: action)
        }

        var filter: DeadLetterFilter {
            DeadLetterFilter(
                table: table, column: column, reason: reason, since: since.flatMap { DeadLetterFilter.time($0) },
                until: until.flatMap { DeadLetterFilter.time($0) })
        }
    }

    /// Says what went wrong, and ends with 1.
    static func complaining(_ body: () throws -> Void) throws {
        Output.ignoreBrokenPipes()
        do {
            try body()
        } catch let exit as ExitCode {
            throw exit
        } catch {
            Output.complain("\(error)")
            throw Exit.failure
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ls", abstract: "Counts rejected rows by file, table, column and reason.")

        @OptionGroup var selection: Selection
        @Flag(help: "One JSON object a line for each file.")
        var json = false

        struct Group: Encodable, Hashable {
            let table: String?, column: String?, reason: String
        }

        struct Line: Encodable {
            struct Count: Encodable { let table: String?, column: String?, reason: String, rows: Int }
            let file: String, state: String, kind: String, bytes: Int, rows: Int, truncated: Int, unreadable: Int
            let groups: [Count]
        }

        func run() throws {
            try DlqCommand.complaining {
                let filter = selection.filter
                for file in try DeadLetterFile.find(in: try selection.path()) {
                    guard let line = try Self.count(file, filter) else { continue }
                    if json {
                        JSONLine.write(line)
                        continue
                    }
                    Output.write("\(line.file)  \(line.state)  \(line.rows) rows  \(line.bytes) bytes\n")
                    for group in line.groups {
                        let what = "\(group.rows)  \(group.table ?? "-")  \(group.column ?? "-")  \(group.reason)"
                        Output.write("    \(LogLine.escaped(what))\n")
                    }
                    if line.truncated > 0 {
                        Output.write("    \(line.truncated) of them are not kept whole: they cannot be replayed\n")
                    }
                    if line.unreadable > 0 { Output.write("    \(line.unreadable) lines cannot be read\n") }
                }
            }
        }

        /// nil: nothing in it is meant.
        static func count(_ file: DeadLetterFile, _ filter: DeadLetterFilter) throws -> Line? {
            var groups: [Group: Int] = [:]
            var truncated = 0
            var unreadable = 0
            if file.isBlock {
                let why = file.why()
                guard filter.matches(why) else { return nil }
                if let why {
                    groups[Group(table: why.table, column: nil, reason: why.reason)] = why.rows
                } else {
                    unreadable = 1
                }
            } else {
                try file.forEachRow { _, row, _ in
                    guard let row else {
                        unreadable += 1
                        return
                    }
                    guard filter.matches(row) else { return }
                    groups[Group(table: row.table, column: row.column, reason: row.reason), default: 0] += 1
                    if row.truncated != nil { truncated += 1 }
                }
                guard !groups.isEmpty || filter.isEmpty else { return nil }
            }
            let counts = groups.sorted {
                ($1.value, $0.key.table ?? "", $0.key.column ?? "", $0.key.reason)
                    < ($0.value, $1.key.table ?? "", $1.key.column ?? "", $1.key.reason)
            }
            return Line(
                file: file.name, state: file.state.rawValue, kind: file.isBlock ? "block" : "rows", bytes: file.bytes,
                rows: groups.values.reduce(0, +), truncated: truncated, unreadable: unreadable,
                groups: counts.map {
                    .init(table: $0.key.table, column: $0.key.column, reason: $0.key.reason, rows: $0.value)
                })
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show", abstract: "Prints rejected rows, each with its reason.")

        @OptionGroup var selection: Selection
        @Option(help: ArgumentHelp("At most so many rows.", valueName: "rows"))
        var limit = 100
        @Flag(help: "The lines of the dead letter as they are; rows of blocks as JSON.")
        var json = false

        private struct Enough: Error {}

        func run() throws {
            try DlqCommand.complaining {
                let filter = selection.filter
                var left = limit
                do {
                    for file in try DeadLetterFile.find(in: try selection.path()) {
                        try file.isBlock ? show(block: file, filter, &left) : show(file, filter, &left)
                    }
                } catch is Enough {
                    if !json { Output.complain("there may be more: --limit shows so many") }
                }
            }
        }

        private func show(_ file: DeadLetterFile, _ filter: DeadLetterFilter, _ left: inout Int) throws {
            try file.forEachRow { number, row, line in
                guard let row, filter.matches(row) else { return }
                guard left > 0 else { throw Enough() }
                left -= 1
                guard !json else {
                    Output.writeAll(Array(line) + [UInt8(ascii: "\n")], to: STDOUT_FILENO)
                    return
                }
                let who = row.number.map { number in
                    "  row \(number)" + (row.producer.map { " of \($0), epoch \(row.epoch ?? 0)" } ?? "")
                }
                let head =
                    "\(file.name):\(number)  \(row.time)  \(row.table ?? "-")  \(row.column ?? "-")  \(row.reason)"
                Output.write(LogLine.escaped(head + (who ?? "")) + "\n")
                Output.write("    \(LogLine.escaped(row.message))\n")
                let kept = row.redacted == true ? "  (without values that its table redacts)" : ""
                let text = row.row ?? row.rowBase64.map { "base64 \($0)" } ?? ""
                let cut = row.truncated.map { "  (the beginning of \($0) bytes: cannot be replayed)" } ?? ""
                Output.write("    \(LogLine.escaped(text))\(cut)\(kept)\n")
            }
        }

        private func show(block file: DeadLetterFile, _ filter: DeadLetterFilter, _ left: inout Int) throws {
            let why = file.why()
            guard filter.matches(why) else { return }
            guard left > 0 else { throw Enough() }
            if !json {
                let code = why?.code.map { " (code \($0))" } ?? ""
                let head = "\(file.name)  \(why?.time ?? "-")  \(why?.table ?? "-")  \(why?.reason ?? "-")\(code)"
                Output.write(LogLine.escaped(head) + "\n    \(LogLine.escaped(why?.message ?? ""))\n")
            }
            do {
                var blocks = try BlockFile(file.path)
                while let block = try blocks.next() {
                    var printer = try RowPrinter(block)
                    var line: [UInt8] = json ? [] : Array("    ".utf8)
                    while printer.appendRow(to: &line) {
                        guard left > 0 else { throw Enough() }
                        left -= 1
                        Output.writeAll(line, to: STDOUT_FILENO)
                        line = json ? [] : Array("    ".utf8)
                    }
                }
            } catch let error as CatError {
                throw SendError("\(file.path): \(error)")
            }
        }
    }

    struct Replay: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "replay",
            abstract: "Sends rejected rows to the daemon again.",
            discussion: """
                The rows go as they came, with durable acks. Each lands once, however often this is done, with whatever \
                filters, and wherever it is interrupted: what is sent is noted in <file>.replay first, and a row has the \
                same producer name and number each time. A row of one producer that was rejected twice is sent once. What \
                is rejected again goes to the dead letter again. A file whose rows were all sent gets `.replayed` behind \
                its name. Rows that were cut off cannot be sent, those without redacted values only if asked for.

                Ends with 0 when all rows are durable, with 65 when some were rejected again or cannot be sent, with 1 when \
                not all could be sent.
                """)

        @Option(help: ArgumentHelp("The daemon's socket; without it, the configuration's.", valueName: "path"))
        var socket: String?
        @OptionGroup var selection: Selection
        @Option(help: ArgumentHelp("Where rows go of which the dead letter knows no table.", valueName: "table"))
        var defaultTable: String?
        @Option(
            help: ArgumentHelp("For blocks, the server's: of times without a zone of their own.", valueName: "zone"))
        var timeZone = "UTC"
        @Flag(help: "Blocks as well of which it is not known whether they are in the table: rows may land twice.")
        var unknownOutcome = false
        @Flag(help: "Rows as well of which values are null that were not: their table's rules do not keep them.")
        var redacted = false

        func run() throws {
            try DlqCommand.complaining {
                let path = try socket ?? selection.options.load().settings.receive.socketPath
                let audit = try selection.audit("dead-letter replay")
                let sender = NumberedReplay(socketPath: path)
                var replay = DeadLetterReplay(
                    directory: try selection.path(), filter: selection.filter, replay: sender)
                replay.defaultTable = defaultTable
                replay.timeZone = timeZone
                replay.sendsUnknown = unknownOutcome
                replay.sendsRedacted = redacted
                do {
                    try replay.run()
                } catch {
                    audit.record(.failed, "\(sender.totals.rows) rows sent, then: \(error)")
                    if sender.totals.rows > 0 { Output.complain("\(sender.totals.rows) rows were sent before this:") }
                    throw error
                }
                let outcome = replay.outcome
                audit.record(.done, "\(sender.totals.rows) rows sent, \(sender.totals.rejected) rejected again")
                if outcome.filesReplayed > 0 { Output.write("\(outcome.filesReplayed) files replayed\n") }
                if outcome.duplicates > 0 {
                    Output.complain("\(outcome.duplicates) rows were rejected more than once: each was sent once")
                }
                if outcome.truncated > 0 {
                    Output.complain("\(outcome.truncated) rows were not kept whole and cannot be replayed")
                }
                if outcome.redacted > 0 {
                    Output.complain(
                        "\(outcome.redacted) rows were kept without values that their table redacts: --redacted sends them as they are"
                    )
                }
                if outcome.unreadable > 0 { Output.complain("\(outcome.unreadable) lines or blocks cannot be read") }
                if outcome.unknownOutcome > 0 {
                    Output.complain(
                        "\(outcome.unknownOutcome) rows of blocks may be in their tables: look, then --unknown-outcome or purge"
                    )
                }
                try ReplayExit.report(
                    sender, leftOut: outcome.truncated + outcome.redacted + outcome.unreadable + outcome.unknownOutcome,
                    "left where they are")
            }
        }
    }

    struct Purge: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "purge",
            abstract: "Removes files of the dead letter.",
            discussion: """
                Removes files of which all rows are meant, or all files without filters; never the one that the daemon \
                writes to. Without --yes it only says what it would remove, and ends with 1.
                """)

        @OptionGroup var selection: Selection
        @Flag(help: "Only files that were replayed.")
        var replayed = false
        @Flag(help: "Do it.")
        var yes = false

        func run() throws {
            try DlqCommand.complaining {
                let directory = try selection.path()
                let audit = try yes ? selection.audit("dead-letter purge") : CommandAudit(nil, action: "")
                let lock = try DeadLetterReplay.lock(directory)
                defer { close(lock) }
                let filter = selection.filter
                var files = 0
                var rows = 0
                for file in try DeadLetterFile.find(in: directory) where !replayed || file.state == .replayed {
                    guard let meant = try List.count(file, filter) else { continue }
                    let all = filter.isEmpty ? meant : try List.count(file, DeadLetterFilter())
                    guard file.state != .open else {
                        if meant.rows > 0 { Output.complain("\(file.name): kept, the daemon writes to it") }
                        continue
                    }
                    guard meant.rows == all?.rows, filter.isEmpty || meant.unreadable == 0 else {
                        Output.complain("\(file.name): kept, it has other rows, too")
                        continue
                    }
                    if yes {
                        try file.remove()
                        audit.record(.done, "\(file.name), \(meant.rows) rows")
                    }
                    Output.write("\(file.name): \(meant.rows) rows \(yes ? "removed" : "would be removed")\n")
                    files += 1
                    rows += meant.rows
                }
                Output.write("\(files) files, \(rows) rows \(yes ? "removed" : "would be removed")\n")
                guard yes || files == 0 else {
                    Output.complain("nothing was removed: --yes does it")
                    throw Exit.failure
                }
            }
        }
    }
}
