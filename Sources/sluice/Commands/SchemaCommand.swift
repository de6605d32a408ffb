import ArgumentParser
import Foundation
import Pipeline
import Sinks

struct SchemaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema",
        abstract: "Applies the files of a directory to the database, each once.",
        discussion: """
            The files are named 0001_name.sql and hold one statement or several. What was applied is written down in the table \
            sluice_migrations of the database that is shipped to. docs/schema.md has the rest.

              sluice schema plan --directory schema/modern
              sluice schema apply --directory schema/modern --cluster main

            Ends with 0 when all is well, 65 when the files or what was applied stand in the way, 1 when the server does, and \
            78 when the configuration cannot be used.
            """,
        subcommands: [StatusCommand.self, PlanCommand.self, ApplyCommand.self])

    /// What status and plan share: they look, and change nothing.
    struct Look: ParsableArguments {
        @OptionGroup var options: SchemaOptions

        @Flag(name: .long, help: "Print it as JSON.")
        var json = false

        func report(withStatements: Bool) async throws {
            let plan = try await options.migrator().looked()
            try SchemaReport(plan).write(json: json, withStatements: withStatements)
        }
    }

    struct StatusCommand: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "status", abstract: "Lists what was applied and what was not; changes nothing.")

        @OptionGroup var look: Look

        func run() async throws { try await look.report(withStatements: false) }
    }

    struct PlanCommand: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "plan", abstract: "Prints the statements that apply would run; changes nothing.")

        @OptionGroup var look: Look

        func run() async throws { try await look.report(withStatements: true) }
    }

    struct ApplyCommand: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "apply", abstract: "Runs what was not run yet, one statement after the other.")

        @OptionGroup var options: SchemaOptions

        @Flag(name: .long, help: "The same as plan.")
        var dryRun = false

        @Option(
            name: .long,
            help: ArgumentHelp(
                "What became of the statement whose outcome is not known: done or again.", valueName: "outcome"))
        var outcome: Migrator.Outcome?

        @Option(
            name: .long,
            help: ArgumentHelp("Break the lock of this run, whose process is dead.", valueName: "run"))
        var breakLock: String?

        func run() async throws {
            let migrator = try options.migrator {
                $0.outcome = outcome
                $0.brokenLock = breakLock
            }
            if dryRun {
                return try SchemaReport(try await migrator.looked()).write(json: false, withStatements: true)
            }
            do {
                let count = try await migrator.apply { Output.write($0 + "\n") }
                if count == 0 { Output.write("nothing to do: all files were applied\n") }
            } catch let error as MigrationError {
                throw error.told()
            }
        }
    }
}

extension Migrator.Outcome: ExpressibleByArgument {}

/// Where, and with what.
struct SchemaOptions: ParsableArguments {
    @OptionGroup var configuration: ConfigurationOptions

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "Where the files are: schema/modern and schema/legacy are sluice's own.", valueName: "directory"))
    var directory = "schema/migrations"

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Fill in /*on_cluster*/ and /*replicated*/ for this cluster (of system.clusters).", valueName: "name"))
    var cluster: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Path in Keeper of Replicated tables; empty: the server's default_replica_path.", valueName: "path"))
    var replicaPath = "/clickhouse/tables/{shard}/{database}/{table}"

    @Option(
        name: .long,
        help: ArgumentHelp(
            "The host to send the statements to; without it the first that is configured.", valueName: "host:port"))
    var host: String?

    @Option(name: .long, help: ArgumentHelp("For one statement.", valueName: "seconds"))
    var statementTimeout = 300

    func validate() throws {
        guard (1...86_400).contains(statementTimeout) else {
            throw ValidationError("--statement-timeout: expected 1 to 86400 seconds")
        }
    }

    /// Says what is wrong with the configuration or the files, and ends.
    func migrator(_ change: (inout Migrator.Options) -> Void = { _ in }) throws -> Migrator {
        Output.ignoreBrokenPipes()
        let effective = try configuration.load()
        effective.warnings.forEach { Output.complain("\($0) (warning)") }
        try effective.refuseOtherSinks()
        let settings = effective.settings.ship.clickhouse
        guard let target = settings.hosts.first(where: { host == nil || $0.description == host }) else {
            let names = settings.hosts.map(\.description).joined(separator: ", ")
            Output.complain("--host \(host ?? ""): is none of the configured ones: \(names)")
            throw Exit.configuration
        }
        if cluster == nil, settings.hosts.count > 1 {
            Output.complain(
                "\(settings.hosts.count) hosts are configured: without --cluster the statements concern \(target) only (warning)"
            )
        }
        var options = Migrator.Options()
        options.cluster = cluster.map { ClusterVariant(cluster: $0, replicaPath: replicaPath) }
        options.statementTimeout = .seconds(statementTimeout)
        options.by = "\(NSUserName())@\(ProcessInfo.processInfo.hostName)"
        change(&options)
        do {
            let files = try MigrationFile.read(directory: directory)
            return Migrator(settings: settings, host: target, files: files, options: options)
        } catch {
            throw error.told()
        }
    }
}

extension Migrator {
    fileprivate func looked() async throws -> Plan {
        do { return try await plan() } catch let error as MigrationError { throw error.told() }
    }
}

extension MigrationError {
    /// On standard error.
    fileprivate func told() -> ExitCode {
        description.split(separator: "\n").forEach { Output.complain(String($0)) }
        return isServerAway ? Exit.failure : Exit.data
    }
}
