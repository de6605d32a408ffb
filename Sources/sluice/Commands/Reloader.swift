import Admin
import Daemon
import Foundation
import Logging
import Pipeline
import ServiceLifecycle
import Synchronization
import UnixSignals

/// What a running daemon does at an operator's word: SIGHUP, or the endpoints.
final class Reloader: AdminActions {
    private struct State: Sendable {
        var settings: Settings
        var daemon: Daemon?
        var isReloading = false
    }

    private let load: @Sendable () throws(ConfigurationFailure) -> EffectiveConfiguration
    private let setLogLevel: @Sendable (Logger.Level) -> Void
    private let logger: Logger
    private let state: Mutex<State>

    /// - Parameter load: reads the configuration again, from where it was read first.
    init(
        settings: Settings, logger: Logger, setLogLevel: @escaping @Sendable (Logger.Level) -> Void,
        load: @escaping @Sendable () throws(ConfigurationFailure) -> EffectiveConfiguration
    ) {
        state = Mutex(State(settings: settings))
        self.load = load
        self.setLogLevel = setLogLevel
        self.logger = logger
    }

    func attach(_ daemon: Daemon) { state.withLock { $0.daemon = daemon } }

    private func daemon() throws(AdminActionError) -> Daemon {
        guard let daemon = state.withLock({ $0.daemon }) else {
            throw AdminActionError(.conflict, "the daemon is still starting")
        }
        return daemon
    }

    // MARK: Reload

    /// All that changed, or nothing: a configuration with an error in it, or with a change that needs a restart, leaves the running
    /// one as it is.
    func reload() async throws(AdminActionError) -> AdminActionResult {
        let daemon = try daemon()
        let mayBegin = state.withLock { state in
            defer { state.isReloading = true }
            return !state.isReloading
        }
        guard mayBegin else { throw AdminActionError(.conflict, "a reload is under way") }
        defer { state.withLock { $0.isReloading = false } }

        let configuration: EffectiveConfiguration
        do {
            configuration = try load()
        } catch {
            throw refused("the configuration has errors; nothing has changed", error.errors.map(\.description))
        }
        let before = state.withLock { $0.settings }
        let differences = before.differences(to: configuration.settings)
        let needRestart = differences.filter { $0.change == .restart }
        guard needRestart.isEmpty else {
            throw refused(
                "some changes need a restart; nothing has changed", needRestart.map { "needs a restart: \($0)" })
        }
        daemon.refreshStructures()
        guard !differences.isEmpty else { return AdminActionResult("nothing differs from what is running") }

        await daemon.reconfigure(configuration.settings)
        setLogLevel(Logger.Level(rawValue: configuration.settings.log.level.rawValue) ?? .info)
        state.withLock { $0.settings = configuration.settings }
        let details = differences.map(\.description)
        logger.notice(
            "configuration reloaded",
            metadata: ["changes": "\(details.count)", "diff": "\(details.joined(separator: "; "))"])
        return AdminActionResult("\(details.count) settings changed", details: details)
    }

    private func refused(_ message: String, _ details: [String]) -> AdminActionError {
        logger.error(
            "reload refused", metadata: ["reason": "\(message)", "details": "\(details.joined(separator: "; "))"])
        return AdminActionError(.invalid, message, details: details)
    }

    // MARK: The rest

    func drain() async throws(AdminActionError) -> AdminActionResult {
        try daemon().drain()
        return AdminActionResult("stopping: rows that were accepted go on, no more are taken")
    }

    func pause() async throws(AdminActionError) -> AdminActionResult {
        guard try daemon().pause() else { throw AdminActionError(.conflict, "it is paused already") }
        return AdminActionResult("paused: no more rows are taken, producers wait")
    }

    func resume() async throws(AdminActionError) -> AdminActionResult {
        guard try daemon().resume() else { throw AdminActionError(.conflict, "it is not paused") }
        return AdminActionResult("rows are taken again")
    }

    func flush(_ table: TableName) async throws(AdminActionError) -> AdminActionResult {
        let daemon = try daemon()
        do {
            try await daemon.flush(table)
        } catch {
            throw AdminActionError(.failed, "\(error)")
        }
        return AdminActionResult("what was open of \(table) is sealed")
    }
}

/// SIGHUP reloads, for as long as the daemon runs.
struct ReloadOnSignal: Stage {
    let name = "signals"
    let reloader: Reloader
    let audit: AuditLog?

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() {
            do {
                let result = try await reloader.reload()
                await audit?.record(
                    .init(actor: "signal SIGHUP", action: "reload", outcome: .done, detail: result.message))
            } catch {
                await audit?.record(
                    .init(actor: "signal SIGHUP", action: "reload", outcome: .failed, detail: error.description))
            }
        }
    }
}
