import ArgumentParser
import EventGenerator
import Foundation
import Pipeline
import ProducerProtocol
import SluiceClient

struct SendCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "send",
        abstract: "Sends rows to the daemon: newline-delimited JSON, or another format.",
        discussion: """
            Reads files, or standard input when there are none, and writes the lines to the daemon's socket. Rows name \
            their table in the field "table", unless --table names it for all of them.

              sluice send --table mstore events.ndjson
              zcat old.ndjson.gz | sluice send --table events
              sluice send --generate 1000000 --table mstore --producers 4

            Rows count as sent when they are durable: in the daemon's spool, on disk. A connection that breaks is made \
            anew. --ack asks for another level; `none` only writes the lines to the socket. A daemon without a spool cannot \
            grant `durable`: without --ack, that is said, and lines are sent without acks.

            With --producer, a run that was cut short can be repeated: the daemon remembers which lines it has.

              sluice send --producer import-42 --epoch 1 --table events events.ndjson

            --format names another format than NDJSON: CSV, TSV, their variants WithNames and WithNamesAndTypes, Native (bare, \
            lz4, zstd, or in ClickHouse's compressed frames), RowBinary and its variants.

              sluice send --format CSVWithNames --table events events.csv
              sluice send --format Native --table events data/events/*.native.lz4

            Ends with 0 when all rows were sent, with 65 when all were sent and the daemon told that it rejected some (they are \
            in its dead letter), and with 1 when not all could be sent. Without acks, 0 says that the daemon has taken all \
            lines, and nothing of what it rejects later.
            """)

    /// As `--ack` takes it.
    enum AckChoice: String, CaseIterable, ExpressibleByArgument { case none, received, durable, committed }

    @Option(help: ArgumentHelp("The daemon's socket; without it, the configuration's.", valueName: "path"))
    var socket: String?

    @OptionGroup var options: ConfigurationOptions

    @Option(help: "The table of all rows.")
    var table: String?

    @Option(
        help: ArgumentHelp("How rows are written, by ClickHouse's name; ndjson without it.", valueName: "format"),
        transform: { text in
            guard let format = RowFormat(name: text) else {
                throw ValidationError("There is no format \(text). There are: \(RowFormat.names).")
            }
            return format
        })
    var format: RowFormat = .ndjson

    @Option(
        help: ArgumentHelp(
            "The columns of CSV, TSV and RowBinary without a header, separated by commas; without it, the table's.",
            valueName: "names"))
    var columns: String?

    @Option(
        help: ArgumentHelp(
            "Their types, in the same way; a comma within a type has a backslash before it.", valueName: "types"))
    var types: String?

    @Option(help: ArgumentHelp("What separates the values of CSV, if it is no comma.", valueName: "character"))
    var delimiter: String?

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

    @Option(
        help: ArgumentHelp(
            "When rows count as sent: received (in the daemon's memory), durable (in its spool), committed (in ClickHouse), none (in the socket).",
            valueName: "level"))
    var ack: AckChoice?

    @Option(
        help: ArgumentHelp(
            "A name under which the daemon remembers which lines it has; needs --epoch.", valueName: "name"))
    var producer: String?

    @Option(
        help: ArgumentHelp(
            "Which numbering of lines this is: the same one goes on where the last run ended, a higher one begins anew.",
            valueName: "number"))
    var epoch: UInt64?

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
        guard (producer == nil) == (epoch == nil) else {
            throw ValidationError("--producer and --epoch need each other.")
        }
        if let producer {
            guard (1...128).contains(producer.utf8.count),
                !producer.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
            else { throw ValidationError("--producer takes a name of 1 to 128 bytes without control characters.") }
            guard producers == 1 else { throw ValidationError("One --producer has one connection, not \(producers).") }
            guard ack != AckChoice.none else { throw ValidationError("--producer needs acks.") }
        }
        try validateFormat()
        guard rate.map({ $0 > 0 }) ?? true else { throw ValidationError("--rate has to be more than 0.") }
    }

    private func validateFormat() throws {
        guard format != .ndjson else {
            guard columns == nil, types == nil, delimiter == nil else {
                throw ValidationError("--columns, --types and --delimiter need --format.")
            }
            return
        }
        guard generate == nil else { throw ValidationError("--generate makes NDJSON, not \(format.rawValue).") }
        guard ack != AckChoice.none else { throw ValidationError("--format needs acks.") }
        guard delimiter == nil || format.isCSV && delimiter?.utf8.count == 1 else {
            throw ValidationError("--delimiter takes one character, for CSV.")
        }
        guard columns == nil || format.headerRows == 0 && format != .native else {
            throw ValidationError("\(format.rawValue) says itself what its columns are.")
        }
        guard types == nil || columns != nil || format == .rowBinaryWithNames else {
            throw ValidationError("--types needs --columns.")
        }
        for list in [columns, types].compactMap({ $0 }) where NameList.parse(list) == nil {
            throw ValidationError("\(list) is no list of names separated by commas.")
        }
    }

    private func frames() throws -> FormatSource? {
        guard format != .ndjson else { return nil }
        do {
            return try FormatSource(
                files.isEmpty ? ["-"] : files, format, columns: columns.flatMap { NameList.parse($0) },
                types: types.flatMap { NameList.parse($0) }, delimiter: delimiter?.utf8.first)
        } catch {
            Output.complain("\(error)")
            throw Exit.failure
        }
    }

    func run() throws {
        Output.ignoreBrokenPipes()
        let frames = try frames()
        let path = try socket ?? options.load().settings.receive.socketPath
        var plan = Sending.Plan(socketPath: path, table: table, rate: rate, producers: producers)
        switch ack {
        // A daemon that cannot remember the name must not be sent the rows as if it could.
        case nil: plan.acks = producer == nil ? .durableIfGranted : .at(.durable)
        case .some(.none): plan.acks = .none
        case .received: plan.acks = .at(.received)
        case .durable: plan.acks = .at(.durable)
        case .committed: plan.acks = .at(.committed)
        }
        if let producer, let epoch { plan.identity = (producer, epoch) }
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
        if let frames { plan.format = frames.format }
        let sending = Sending(plan, source: source, frames: frames)

        let began = ContinuousClock.now
        let line: (Sending.Progress) -> ProgressLine = {
            ProgressLine(
                progress: $0, elapsed: .now - began, rowsTotal: source.rowsTotal, bytesTotal: source.bytesTotal)
        }
        let showsProgress = !hidesProgress && isatty(STDERR_FILENO) == 1
        let report = sending.run { progress in
            if showsProgress { Output.writeAll(Array("\r\u{1B}[K\(line(progress).text)".utf8), to: STDERR_FILENO) }
        }
        let sent = sending.progress
        let summary = line(sent).summary + (report.ack.map { ", \($0.rawValue)" } ?? "")
        if showsProgress { Output.writeAll(Array("\r\u{1B}[K".utf8), to: STDERR_FILENO) }
        report.notes.forEach { Output.complain($0) }
        if report.resumedRows > 0 { Output.complain("\(report.resumedRows) rows were there already") }
        guard report.problems.isEmpty else {
            report.problems.forEach { Output.complain($0) }
            if sent.rows > 0 { Output.complain("sent before that: \(summary)") }
            throw Exit.failure
        }
        Output.write(summary + "\n")
        guard report.rejectedRows == 0 else {
            Output.complain("\(report.rejectedRows) of them rejected: see the daemon's dead letter")
            throw Exit.data
        }
    }

    private var generatedTable: EventGenerator.Table? {
        let name = TableName(parsing: table ?? EventGenerator.Table.mstore.name)?.table
        return EventGenerator.Table.allCases.first { $0.name == name }
    }
}
