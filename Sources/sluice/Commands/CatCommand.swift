import ArgumentParser
import ClickHouseNative
import Foundation

struct CatCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cat",
        abstract: "Prints files of Native blocks as newline-delimited JSON.",
        discussion: """
            Reads what the file sink writes, and what ClickHouse writes with FORMAT Native: bare, as .lz4 or .zst, or in \
            ClickHouse's own compressed frames. The bytes tell which, not the name. Values are printed as ClickHouse's \
            JSONEachRow prints them. Memory holds one block at a time.

              sluice cat --limit 10 data/mstore/*.native.lz4
              sluice cat --count data/mstore/*
              sluice cat old.native | sluice send --table mstore

            Ends with 1 at the first file that is damaged, after its whole blocks; the message names file and byte.
            """)

    @Flag(help: "Print only the number of rows, of all files together.")
    var count = false

    @Option(help: ArgumentHelp("Print at most so many rows, of all files together.", valueName: "rows"))
    var limit: Int?

    @Argument(help: ArgumentHelp("Files to print; - is standard input.", valueName: "file"))
    var files: [String]

    func validate() throws {
        guard limit.map({ $0 >= 0 }) ?? true else { throw ValidationError("--limit cannot be negative.") }
        guard !count || limit == nil else { throw ValidationError("--count counts all rows: it takes no --limit.") }
    }

    func run() throws {
        Output.ignoreBrokenPipes()
        var printer = RowOutput(limit: limit)
        var rows = 0
        for path in files {
            do throws(CatError) {
                var file = try BlockFile(path)
                while !printer.isDone, let block = try file.next() {
                    rows += block.rows
                    if !count { try printer.print(block) }
                }
            } catch {
                printer.flush()
                Output.complain("\(path): \(error)")
                throw Exit.failure
            }
        }
        printer.flush()
        if count { Output.write("\(rows)\n") }
    }
}

/// Rows on their way to standard output.
private struct RowOutput {
    private static let bytesMax = 64 << 10

    private var rowsLeft: Int
    private var lines: [UInt8] = []
    private var isBroken = false

    init(limit: Int?) { rowsLeft = limit ?? .max }

    /// Whether further rows would go nowhere.
    var isDone: Bool { rowsLeft == 0 || isBroken }

    mutating func print(_ block: Block) throws(CatError) {
        do {
            var printer = try RowPrinter(block)
            while !isDone, printer.appendRow(to: &lines) {
                rowsLeft -= 1
                if lines.count >= Self.bytesMax { flush() }
            }
        } catch {
            throw CatError(offset: nil, reason: "\(error)")
        }
    }

    mutating func flush() {
        if !lines.isEmpty, !isBroken { isBroken = !Output.writeAll(lines, to: STDOUT_FILENO) }
        lines.removeAll(keepingCapacity: true)
    }
}
