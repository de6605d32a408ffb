import Admin
import ArgumentParser
import CSluice
import Daemon
import Foundation
import Logging
import Pipeline

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs the daemon.",
        discussion: """
            Listens on the socket of the configuration and ships what it gets, until SIGTERM or SIGINT: then it takes no \
            more rows, ships those it has, and ends. A second signal ends it at once. Logs go to standard error.

              sluice run --config deploy/examples/laptop/sluice.yaml

            Any value can be set by a variable for one run: $SLUICE_ and its key, as in SLUICE_LOG_LEVEL=debug. `sluice \
            check` shows what takes effect.

            Ends with 0 when every accepted row was shipped, 78 when the configuration cannot be used, 75 when rows were \
            left after shutdown_timeout, 130 on a second signal, and 1 when a stage failed.
            """)

    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        sluice_tune_malloc()
        Output.ignoreBrokenPipes()
        let configuration = try options.load()
        let settings = configuration.settings
        let logs = StandardErrorLogs(settings.log)
        let logger = logs.logger()
        try report(configuration, logger)

        let daemon: Daemon
        let main = configuration.mainFile
        let reloader = Reloader(configuration, logger: logger, setLogLevel: logs.setLevelOfAll) {
            () throws(ConfigurationFailure) in
            // From where it was read first, whatever the working directory has meanwhile.
            try ConfigurationLoader(environment: ProcessInfo.processInfo.environment).loadWithRules(main)
        }
        do {
            let telemetry = Telemetry()
            telemetry.describe(version: Sluice.version)
            let audit = try AuditLog(settings: settings.audit, telemetry: telemetry, logger: logger.of(stage: "audit"))
            daemon = try Daemon(
                settings: settings, schema: configuration.schema, logger: logger, telemetry: telemetry,
                environment: ProcessInfo.processInfo.environment, audit: audit,
                beside: { telemetry in
                    let signals = ReloadOnSignal(reloader: reloader, audit: audit)
                    let watch = ReloadOnChange(
                        clock: .continuous, watch: { reloader.watch }, version: { FileVersion($0) },
                        reload: { () throws(AdminActionError) in
                            _ = try await reloader.reload(for: "file watch", audit)
                        })
                    guard settings.admin.enabled else { return [signals, watch] }
                    let admin = try AdminStage(
                        settings: settings.admin, telemetry: telemetry, logger: logger.of(stage: "admin"),
                        actions: reloader, audit: audit)
                    reloader.attach(admin)
                    return [signals, watch, admin]
                })
        } catch {
            logger.critical("cannot start", metadata: ["error": "\(error)"])
            throw Exit.failure
        }
        reloader.attach(daemon)
        logger.notice("starting", metadata: configuration.startMetadata)
        // The stages must not share the main thread's executor: hops from it and back cost twenty times as much.
        let running = Task.detached { try await daemon.runtime.run() }
        // Not waited for: a daemon that fails never listens.
        Task.detached {
            await daemon.listening.wait()
            ServiceManager.notify("READY=1")
        }
        let reason: ExitReason
        do {
            reason = try await running.value
        } catch {
            // What failed was logged where it happened.
            throw Exit.failure
        }
        throw ExitCode(reason.exitStatus)
    }

    private func report(_ configuration: EffectiveConfiguration, _ logger: Logger) throws {
        let refused = configuration.unsupportedTables
        for warning in configuration.warnings where !refused.contains(warning) {
            logger.warning("configuration", metadata: ["place": "\(warning.place)", "message": "\(warning.message)"])
        }
        guard !refused.isEmpty else { return }
        for issue in refused {
            logger.error(
                "table refused: a column has a type that is not supported",
                metadata: ["place": "\(issue.place)", "message": "\(issue.message)"])
        }
        throw Exit.configuration
    }
}

extension EffectiveConfiguration {
    fileprivate var startMetadata: Logger.Metadata {
        return [
            "version": "\(Sluice.version)",
            "pid": "\(ProcessInfo.processInfo.processIdentifier)",
            "configuration": "\(mainFile ?? "defaults")",
            "socket": "\(settings.receive.socketPath)",
            "sink": "\(destination)",
            "admin": "\(AdminStage.addresses(settings.admin))",
            "rows_memory_max_bytes": "\(settings.memoryCeilingEstimate)",
        ]
    }

    private var destination: String {
        let ship = settings.ship
        switch ship.sink {
        case .clickhouse:
            let hosts = ship.clickhouse.hosts.map(\.description).joined(separator: ",")
            return "clickhouse://\(hosts)/\(ship.clickhouse.database)"
        case .file: return "files in \(ship.file.directory)"
        case .null: return "null: rows are counted and thrown away"
        }
    }
}
