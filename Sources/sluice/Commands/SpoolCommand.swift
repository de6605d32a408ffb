import ArgumentParser
import ClickHouseNative
import Foundation
import Pipeline

struct SpoolCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "spool",
        abstract: "Looks into a spool, checks it, and gets rows out of it.",
        discussion: """
            All of these only read the spool's files; they work beside a running daemon.

              sluice spool ls
              sluice spool verify --conservation
              sluice spool export --directory /var/lib/sluice/spool --output rescued
              sluice spool replay rescued/*.native --socket /run/sluice/sluice.sock
            """,
        subcommands: [List.self, Verify.self, Export.self, Replay.self])

    struct Directory: ParsableArguments {
        @Option(help: ArgumentHelp("The spool's directory; without it, the configuration's.", valueName: "path"))
        var directory: String?

        @OptionGroup var options: ConfigurationOptions

        func path() throws -> String { try directory ?? options.load().settings.spool.directory }

        func inspect(decodesBlocks: Bool) throws -> SpoolInspection {
            let path = try path()
            do {
                return try SpoolInspection.read(directory: path, decodesBlocks: decodesBlocks)
            } catch {
                Output.complain("\(path): \(error)")
                throw Exit.failure
            }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ls", abstract: "Lists segments: what they hold, and what of it is not settled.")

        @OptionGroup var directory: Directory
        @Flag(help: "One JSON object a line for each segment.")
        var json = false

        private struct Line: Encodable {
            let segment: String, state: String, bytes: Int, firstLSN: UInt64?, lastLSN: UInt64?, records: Int
            let rows: Int, unsettledRows: Int, sealedBlocks: Int, created: Int64

            enum CodingKeys: String, CodingKey {
                case segment, state, bytes, records, rows, created
                case firstLSN = "first_lsn"
                case lastLSN = "last_lsn"
                case unsettledRows = "unsettled_rows"
                case sealedBlocks = "sealed_blocks"
            }
        }

        func run() throws {
            Output.ignoreBrokenPipes()
            let spool = try directory.inspect(decodesBlocks: false)
            var table = TextTable("SEGMENT", "STATE", "BYTES", "LSNS", "ROWS", "UNSETTLED", "SEALED BLOCKS", "AGE")
            let now = Int64(Date().timeIntervalSince1970 * 1000)
            for one in spool.segments {
                if json {
                    JSONLine.write(
                        Line(
                            segment: one.name, state: one.state.rawValue, bytes: one.bytes,
                            firstLSN: one.lsns?.lowerBound, lastLSN: one.lsns?.upperBound, records: one.records,
                            rows: one.rows, unsettledRows: one.unsettledRows, sealedBlocks: one.sealedBlocks,
                            created: one.created))
                } else {
                    table.add(
                        one.name, one.state.rawValue, "\(one.bytes)",
                        one.lsns.map { "\($0.lowerBound)-\($0.upperBound)" } ?? "-", "\(one.rows)",
                        "\(one.unsettledRows)", "\(one.sealedBlocks)", SpoolText.age(now - one.created))
                }
            }
            guard !json else { return }
            table.write()
            Output.write(
                "\(spool.inFlight) rows not settled, \(spool.sealedBlocks) blocks sealed"
                    + (spool.spool.map { ", spool \($0)" } ?? "") + "\n")
            for name in spool.badFiles { Output.write("\(name): what was found damaged, kept for `export`\n") }
            SpoolText.sayInUse(spool)
        }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "verify",
            abstract: "Reads everything in a spool and tells what is damaged.",
            discussion: """
                Checks every checksum and decodes every block. Half a record at the very end is no damage: a crash, or a \
                daemon that is writing just now. Ends with 65 when there is damage, or the count of --conservation does \
                not come out.
                """)

        @OptionGroup var directory: Directory
        @Flag(help: "Count that accepted = committed + dead-lettered + discarded + in flight.")
        var conservation = false
        @Flag(help: "One JSON object.")
        var json = false

        private struct Result: Encodable {
            struct Fault: Encodable {
                let kind: String, file: String, offset: Int?, bytes: Int?, damage: Bool, message: String
            }
            let segments: Int, rows: Int, faults: [Fault], accepted: UInt64, committed: UInt64
            let deadLettered: UInt64, discarded: UInt64, inFlight: Int, conserved: Bool, inUse: Bool?

            enum CodingKeys: String, CodingKey {
                case segments, rows, faults, accepted, committed, discarded, conserved
                case deadLettered = "dead_lettered"
                case inFlight = "in_flight"
                case inUse = "in_use"
            }
        }

        func run() throws {
            Output.ignoreBrokenPipes()
            let spool = try directory.inspect(decodesBlocks: true)
            let rows = spool.segments.reduce(0) { $0 + $1.rows }
            if json {
                JSONLine.write(
                    Result(
                        segments: spool.segments.count, rows: rows,
                        faults: spool.faults.map {
                            .init(
                                kind: $0.kind.rawValue, file: $0.file, offset: $0.offset, bytes: $0.bytes,
                                damage: $0.isDamage, message: $0.message)
                        },
                        accepted: spool.totals.accepted, committed: spool.totals.committed,
                        deadLettered: spool.totals.deadLettered, discarded: spool.totals.discarded,
                        inFlight: spool.inFlight, conserved: spool.isConserved, inUse: spool.isInUse))
            } else {
                for fault in spool.faults {
                    Output.write(
                        "\(fault.file): \(fault.isDamage ? "damage" : "no damage"): \(LogLine.escaped(fault.message))\n"
                    )
                }
                if conservation {
                    let totals = spool.totals
                    Output.write(
                        """
                        accepted \(totals.accepted) \(spool.isConserved ? "=" : "IS NOT") committed \(totals.committed) \
                        + dead-lettered \(totals.deadLettered) + discarded \(totals.discarded) \
                        + in flight \(spool.inFlight)

                        """)
                }
                let bytes = spool.segments.reduce(0) { $0 + $1.bytes }
                Output.write(
                    "\(spool.segments.count) segments, \(bytes) bytes, \(rows) rows: "
                        + (spool.damage.isEmpty ? "no damage\n" : "\(spool.damage.count) places damaged\n"))
                SpoolText.sayInUse(spool)
            }
            guard spool.damage.isEmpty, !conservation || spool.isConserved else { throw Exit.data }
        }
    }

    struct Export: ParsableCommand {
        enum Format: String, CaseIterable, ExpressibleByArgument { case native, ndjson }

        static let configuration = CommandConfiguration(
            commandName: "export",
            abstract: "Writes the rows of a spool that are not settled to files, table by table.",
            discussion: """
                Files are <table>-<number>.native (or .ndjson), one for each table and set of columns; clickhouse-local, \
                `sluice cat` and `sluice spool replay` read them. The spool is not changed: if a daemon starts on it \
                again, it ships the same rows, too.

                  sluice spool export --directory spool --output rescued
                  sluice spool export --output salvaged spool/000000000000002a.bad

                Of named files, all rows of whole records are written. Ends with 65 when something could not be read.
                """)

        @OptionGroup var directory: Directory
        @Option(help: ArgumentHelp("Where the files go; made if it is not there.", valueName: "directory"))
        var output: String
        @Flag(help: "Settled rows as well, as far as they are still there.")
        var all = false
        @Option(help: "native or ndjson.")
        var format = Format.native
        @Option(help: ArgumentHelp("For ndjson: the zone of times without one of their own.", valueName: "zone"))
        var timeZone = "UTC"
        @Argument(
            help: ArgumentHelp("Segments, or what is left of them (.seg, .bad), instead of a spool.", valueName: "file")
        )
        var files: [String] = []

        func run() throws {
            Output.ignoreBrokenPipes()
            do {
                let writer = try ExportWriter(directory: output, format: format, timeZone: timeZone)
                var faults = 0
                if files.isEmpty {
                    let spool = try directory.inspect(decodesBlocks: false)
                    try spool.forEachRows { rows in
                        let selection = all ? [0..<rows.rows] : rows.unsettled
                        do {
                            try writer.write(rows, selection)
                        } catch let error as SendError {
                            throw error
                        } catch {
                            faults += 1
                            Output.complain("LSN \(rows.lsn), table \(rows.table): \(error)")
                        }
                    }
                    for fault in spool.damage { Output.complain("\(fault.file): \(fault.message)") }
                    faults += spool.damage.count
                }
                for path in files {
                    let lost = try SpoolInspection.forEachRows(inFile: path) { try writer.write($0, $0.unsettled) }
                    if lost > 0 { Output.complain("\(path): \(lost) places could not be read") }
                    faults += lost
                }
                try writer.finish()
                for (name, rows) in writer.written { Output.write("\(output)/\(name): \(rows) rows\n") }
                guard faults == 0 else { throw Exit.data }
            } catch let exit as ExitCode {
                throw exit
            } catch {
                Output.complain("\(error)")
                throw Exit.failure
            }
        }
    }

    struct Replay: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "replay",
            abstract: "Sends rows of exported files, damaged segments or another spool to a running daemon.",
            discussion: """
                Rows are sent with acks, under a name that is made of what they come from: doing it twice, or again after \
                an interruption, lands each row once, for as long as the daemon remembers the name \
                (spool.producer_age_max). A directory is another spool, that no daemon runs on; its rows that are not \
                settled are sent. It is not changed: move it away afterwards.

                  sluice spool replay rescued/events-1.native
                  sluice spool replay /mnt/old/spool

                Ends with 0 when all rows are durable, with 65 when some were rejected or could not be read, with 1 \
                when not all could be sent.
                """)

        @Option(help: ArgumentHelp("The daemon's socket; without it, the configuration's.", valueName: "path"))
        var socket: String?
        @OptionGroup var options: ConfigurationOptions
        @Option(help: "The table of a file; without it, the file's name tells.")
        var table: String?
        @Option(help: ArgumentHelp("The server's: of times without a zone of their own.", valueName: "zone"))
        var timeZone = "UTC"
        @Argument(help: ArgumentHelp("Exported files, .bad or .seg files, directories of spools.", valueName: "source"))
        var sources: [String]

        func run() throws {
            Output.ignoreBrokenPipes()
            let path = try socket ?? options.load().settings.receive.socketPath
            let replay = NumberedReplay(socketPath: path)
            var unread = 0
            do {
                for source in sources {
                    unread += try SpoolReplay(replay: replay, timeZone: timeZone, table: table).send(source)
                }
            } catch {
                Output.complain("\(error)")
                if replay.totals.rows > 0 { Output.complain("\(replay.totals.rows) rows were sent before that") }
                throw Exit.failure
            }
            try ReplayExit.report(replay, leftOut: unread, "places could not be read")
        }
    }
}

enum SpoolText {
    static func age(_ milliseconds: Int64) -> String {
        let seconds = max(0, milliseconds / 1000)
        switch seconds {
        case ..<60: return "\(seconds) s"
        case ..<3600: return "\(seconds / 60) min"
        case ..<172_800: return "\(seconds / 3600) h"
        default: return "\(seconds / 86_400) d"
        }
    }

    static func sayInUse(_ spool: SpoolInspection) {
        guard spool.isInUse != false else { return }
        Output.complain(
            spool.isInUse == true
                ? "a daemon runs on this spool: the newest segment may be in motion, all of this is a moment ago"
                : "if a daemon runs on this spool, the newest segment may be in motion")
    }
}
