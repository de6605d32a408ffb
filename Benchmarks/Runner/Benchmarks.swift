import Workloads
import ArgumentParser
import Foundation

/// `swift run -c release Benchmarks`: what sluice costs, stage by stage and from the socket to the sink. docs/benchmarks.md
/// says how to read it.
@main
struct Benchmarks: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "Benchmarks", abstract: "Measures sluice, stage by stage and from the socket to the sink.",
        subcommands: [
            RunCommand.self, AckLatencyCommand.self, CountCommand.self, CompareCommand.self, ServeCommand.self,
        ], defaultSubcommand: RunCommand.self)
}

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "run", abstract: "Measures; the default.")

    @Option(help: "Measure only the benchmark of this name, or those whose names contain it. May be repeated.")
    var only: [String] = []

    @Option(help: "How often each benchmark is measured, after a round that only warms up.")
    var rounds = 5

    @Option(help: "Rows that go over the socket in each round.")
    var rows = 1_000_000

    @Option(
        help: ArgumentHelp(
            "A server to measure with; the database sluice_bench is made and dropped.",
            valueName: "host:port"))
    var clickhouse: String?

    @Option(help: "The folder with the CREATE TABLE files.")
    var schema = "schema"

    @Flag(help: "Print JSON instead of a table.")
    var json = false

    @Flag(help: "Only list the benchmarks.")
    var list = false

    func validate() throws {
        guard rounds >= 1, rows >= 1 else { throw ValidationError("--rounds and --rows must be at least 1") }
    }

    func run() async throws {
        let names = Set(Suites.all.map(\.name))
        let chosen = Suites.all.filter { benchmark in
            only.isEmpty
                ? (clickhouse != nil || !benchmark.needsServer)
                    && (PeerSuite.isInstalled || !benchmark.name.hasPrefix("chdb/"))
                    && (benchmark.program.map { PeerProgramSuite.isInstalled($0) } ?? true)
                : only.contains { names.contains($0) ? benchmark.name == $0 : benchmark.name.contains($0) }
        }
        guard !chosen.isEmpty else { throw ValidationError("no benchmark has such a name; --list shows them") }
        if list {
            for benchmark in chosen {
                print(benchmark.name.padding(toLength: 24, withPad: " ", startingAt: 0), benchmark.about)
            }
            return
        }
        // A daemon that ends early must not end the measurement.
        signal(SIGPIPE, SIG_IGN)
        var plan = Plan(rounds: Rounds(count: rounds), rows: rows, schema: SchemaFolder(path: schema))
        plan.clickhouse = try clickhouse.map { try ClickHouseTarget($0) }

        var report = Report(machine: Machine())
        if report.machine.isBusy {
            note("warning: the load average is \(report.machine.load): other programs disturb the measurement")
        }
        #if DEBUG
            note("warning: a debug build; use -c release")
        #endif
        if !json { print("\(report.machine.description)\n\n\(Report.header)") }
        for benchmark in chosen {
            let measurement = try await benchmark.run(plan)
            report.add(measurement)
            if !json { print(Report.line(measurement)) }
            fflush(nil)
        }
        if json { print(try report.json) } else { print("\n\(Report.footnote)\(report.ratios)") }
        if report.hasFaults { throw ExitCode.failure }
    }

    private func note(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
}
