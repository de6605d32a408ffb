import ArgumentParser
import EventGenerator
import Foundation
import Pipeline

struct SendCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "send",
        abstract: "Sends newline-delimited JSON to the daemon.",
        discussion: """
            Reads files, or standard input when there are none, and writes the lines to the daemon's socket. Rows name \
            their table in the field "table", unless --table names it for all of them.

              sluice send --table mstore events.ndjson
              zcat old.ndjson.gz | sluice send --table events
              sluice send --generate 1000000 --table mstore --producers 4

            Ends with 0 when the daemon has taken all lines. Rows that it rejects later are in its dead letter, and counted \
            in its metrics.
            """)

    @Option(help: ArgumentHelp("The daemon's socket; without it, the configuration's.", valueName: "path"))
    var socket: String?

    @OptionGroup var options: ConfigurationOptions

    @Option(help: "The table of all rows.")
    var table: String?

    @Option(
        help: ArgumentHelp(
            "Send so many generated rows instead of files.",
            discussion:
                "Of --table: \(Set(EventGenerator.Table.allCases.map(\.name)).sorted().joined(separator: ", ")). mstore without it.",
            valueName: "rows"))
    var generate: Int?

    @Option(help: "Which rows are generated: the same seed gives the same rows.")
    var seed: UInt64 = 1

    @Option(help: ArgumentHelp("Send at most so many rows a second.", valueName: "rows/s"))
    var rate: Int?

    @Option(help: "Share the rows out among so many connections.")
    var producers = 1

    @Flag(name: .customLong("no-progress"), help: "Show no progress, even on a terminal.")
    var hidesProgress = false

    @Argument(help: ArgumentHelp("Files to send; - is standard input.", valueName: "file"))
    var files: [String] = []

    /// Threads, and connections.
    private static let producersMax = 1024

    func validate() throws {
        if let generate {
            guard files.isEmpty else { throw ValidationError("Give files or --generate, not both.") }
            guard (0..<EventGenerator.rowNumberLimit).contains(generate) else {
                throw ValidationError("--generate takes 0 to \(EventGenerator.rowNumberLimit - 1) rows.")
            }
            guard generatedTable != nil else {
                throw ValidationError("There are no generated rows of table \(table ?? "").")
            }
        }
        if let table {
            guard TableName(parsing: table) != nil, !table.contains(where: \.isWhitespace) else {
                throw ValidationError("\(table) is not the name of a table.")
            }
        }
        guard (1...Self.producersMax).contains(producers) else {
            throw ValidationError("--producers takes 1 to \(Self.producersMax).")
        }
        guard rate.map({ $0 > 0 }) ?? true else { throw ValidationError("--rate has to be more than 0.") }
    }

    func run() throws {
        Output.ignoreBrokenPipes()
        let path = try socket ?? options.load().settings.receive.socketPath
        var plan = Sending.Plan(socketPath: path, table: table, rate: rate, producers: producers)
        let input: RowSource.Input
        if let generate {
            let shape = generatedTable ?? .mstore
            plan.table = table ?? shape.name
            plan.generator = EventGenerator(table: shape, seed: seed)
            input = .generated(generate)
        } else {
            input = .files(files.isEmpty ? ["-"] : files)
        }
        // With a rate, pieces small enough to go out evenly: twenty a second.
        let source = RowSource(
            input, rowsPerPiece: min(RowSource.pieceRows, max(1, (rate ?? .max) / 20 / producers)))
        let sending = Sending(plan, source: source)

        let began = ContinuousClock.now
        let line: (Sending.Progress) -> ProgressLine = {
            ProgressLine(
                progress: $0, elapsed: .now - began, rowsTotal: source.rowsTotal, bytesTotal: source.bytesTotal)
        }
        let showsProgress = !hidesProgress && isatty(STDERR_FILENO) == 1
        let problems = sending.run { progress in
            if showsProgress { Output.writeAll(Array("\r\u{1B}[K\(line(progress).text)".utf8), to: STDERR_FILENO) }
        }
        let sent = sending.progress
        let summary = line(sent).summary
        if showsProgress { Output.writeAll(Array("\r\u{1B}[K".utf8), to: STDERR_FILENO) }
        guard problems.isEmpty else {
            problems.forEach { Output.complain($0) }
            if sent.rows > 0 { Output.complain("sent before that: \(summary)") }
            throw Exit.failure
        }
        Output.write(summary + "\n")
    }

    private var generatedTable: EventGenerator.Table? {
        let name = TableName(parsing: table ?? EventGenerator.Table.mstore.name)?.table
        return EventGenerator.Table.allCases.first { $0.name == name }
    }
}
