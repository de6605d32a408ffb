import Workloads
import ArgumentParser
import CSluice
import Daemon
import Foundation
import Logging
import Pipeline

/// The daemon as the measurements run it; started by them, not by people.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "serve", shouldDisplay: false)
    static let listening = "listening"
    /// How often the daemon looks whether all rows are there: seldom while they come, for that is not part of what is measured.
    private static let pollInterval: Duration = .milliseconds(50)
    private static let lastPollInterval: Duration = .milliseconds(5)

    @Argument var job: String

    func run() async throws {
        // As `sluice run` does.
        sluice_tune_malloc()
        let job = try JSONDecoder().decode(ServeJob.self, from: Data(job.utf8))
        var logger = Logger(label: "bench") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .warning
        let folder = SchemaFolder(path: job.schema)
        let schema =
            job.tables > 0
            ? try folder.catalog(for: job.table, copies: job.tables, in: job.directory)
            : try folder.catalog(for: job.table)
        let daemon = try Daemon(settings: try settings(job), schema: schema, logger: logger)

        let watching = Task {
            await daemon.listening.wait()
            let (cpu, system) = (Clocks.processCPU, SystemCounts.ofThisProcess)
            say(Self.listening)
            while true {
                // What is in the spool only would stay there. Looked at where it costs nothing: a snapshot of a thousand tables does not.
                let telemetry = daemon.telemetry
                let isRead = Int(telemetry.receivedRows.current) >= job.rows
                if isRead, telemetry.openRows.current == 0, telemetry.snapshot().conservation.inFlight == 0 { break }
                try await Task.sleep(for: isRead ? Self.lastPollInterval : Self.pollInterval)
            }
            daemon.runtime.stop()
            return (cpu, system)
        }
        _ = try await daemon.runtime.run(signals: true)
        // Ended from outside, it has nothing to report.
        watching.cancel()
        guard let (cpu, system) = try? await watching.value else { return }
        let outcome = ServeOutcome(
            committedRows: Int(daemon.telemetry.snapshot().committedRows), cpuSeconds: Clocks.processCPU - cpu,
            end: Clocks.wall, peakResidentBytes: Self.peakResidentBytes,
            rowBatches: Int(daemon.telemetry.snapshot().acceptLatency.count),
            system: SystemCounts.ofThisProcess - system)
        say(String(decoding: try JSONEncoder().encode(outcome), as: UTF8.self))
    }

    private func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

    /// The defaults of a stage file, but for the places of things.
    private func settings(_ job: ServeJob) throws -> Settings {
        var settings = Settings()
        settings.receive.socketPath = job.socketPath
        if job.tables == 0 { settings.validate.defaultTable = job.table.rawValue }
        if job.hasRoute {
            settings.validate.tableField = "of"
            settings.validate.defaultTable = "routed"
            var rules = TableRules()
            rules.route.field = "table"
            rules.route.patterns = ["t*"]
            settings.validate.rules = ["routed": rules]
        }
        settings.validate.deadLetter.directory = job.directory + "/dead-letter"
        settings.spool.directory = job.directory + "/spool"
        settings.spool.enabled = job.hasSpool
        guard let sink = ShipSettings.Sink(rawValue: job.sink) else { throw ValidationError("no such sink") }
        settings.ship.sink = sink
        settings.ship.file.directory = job.directory + "/data"
        if let address = job.clickhouse {
            settings.ship.clickhouse.hosts = [try ClickHouseTarget(address).host]
            settings.ship.clickhouse.database = ClickHouseTarget.databaseName
        }
        return settings
    }

    /// The most memory that the process had resident. Not from getrusage, whose figure begins with that of the process
    /// that started this one; 0 where there is no /proc.
    private static var peakResidentBytes: Int {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return (line?.split(whereSeparator: { $0.isWhitespace }).dropFirst().first.flatMap { Int($0) } ?? 0) * 1024
    }
}
