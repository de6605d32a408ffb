import Admin
import Daemon
import Foundation
import Logging
import NIOConcurrencyHelpers
import Pipeline
import ServiceLifecycle
import UnixSignals

/// What a running daemon does at an operator's word: SIGHUP, or the endpoints.
final class Reloader: AdminActions {
    private struct State: Sendable {
        var settings: Settings
        var daemon: Daemon?
        var admin: AdminStage?
        var watchedFiles: [String]
        var isReloading = false
    }

    private let load: @Sendable () throws(ConfigurationFailure) -> EffectiveConfiguration
    private let setLogLevel: @Sendable (Logger.Level) -> Void
    private let logger: Logger
    private let state: NIOLockedValueBox<State>

    /// - Parameter load: reads the configuration again, from where it was read first.
    init(
        _ configuration: EffectiveConfiguration, logger: Logger,
        setLogLevel: @escaping @Sendable (Logger.Level) -> Void,
        load: @escaping @Sendable () throws(ConfigurationFailure) -> EffectiveConfiguration
    ) {
        state = NIOLockedValueBox(State(settings: configuration.settings, watchedFiles: configuration.watchedFiles))
        self.load = load
        self.setLogLevel = setLogLevel
        self.logger = logger
    }

    func attach(_ daemon: Daemon) { state.withLockedValue { $0.daemon = daemon } }
    func attach(_ admin: AdminStage) { state.withLockedValue { $0.admin = admin } }

    private var admin: AdminStage? { state.withLockedValue { $0.admin } }

    private func daemon() throws(AdminActionError) -> Daemon {
        guard let daemon = state.withLockedValue({ $0.daemon }) else {
            throw AdminActionError(.conflict, "the daemon is still starting")
        }
        return daemon
    }

    // MARK: Reload

    /// All that changed, or nothing: a configuration with an error in it, or with a change that needs a restart, leaves the running
    /// one as it is.
    func reload() async throws(AdminActionError) -> AdminActionResult {
        let daemon = try daemon()
        let mayBegin = state.withLockedValue { state in
            defer { state.isReloading = true }
            return !state.isReloading
        }
        guard mayBegin else { throw AdminActionError(.conflict, "a reload is under way") }
        defer { state.withLockedValue { $0.isReloading = false } }

        let configuration: EffectiveConfiguration
        do {
            configuration = try load()
        } catch {
            throw refused("the configuration has errors; nothing has changed", error.errors.map(\.description))
        }
        let before = state.withLockedValue { $0.settings }
        let differences = before.differences(to: configuration.settings)
        let needRestart = differences.filter { $0.change == .restart }
        guard needRestart.isEmpty else {
            throw refused(
                "some changes need a restart; nothing has changed", needRestart.map { "needs a restart: \($0)" })
        }
        var details = differences.map(\.description)
        let change: Daemon.Change
        let adminChange: AdminStage.Change?
        do {
            change = try daemon.prepare(configuration.settings)
            adminChange = try admin?.prepare(configuration.settings.admin)
        } catch {
            throw refused("the configuration cannot be used; nothing has changed", ["\(error)"])
        }
        if change.hasNewFiles { details.append("certificates and keys of ship.clickhouse are read again") }
        if adminChange?.hasNewFiles == true { details.append("certificate and key of admin.tls are read again") }
        state.withLockedValue { $0.watchedFiles = configuration.watchedFiles }
        daemon.refreshStructures()
        guard !details.isEmpty else { return AdminActionResult("nothing differs from what is running") }

        // From here on nothing fails.
        await daemon.apply(change)
        if let adminChange { admin?.apply(adminChange) }
        setLogLevel(Logger.Level(rawValue: configuration.settings.log.level.rawValue) ?? .info)
        state.withLockedValue { $0.settings = configuration.settings }
        logger.notice(
            "configuration reloaded",
            metadata: ["changes": "\(details.count)", "diff": "\(details.joined(separator: "; "))"])
        return AdminActionResult("\(details.count) settings changed", details: details)
    }

    /// How often files are to be looked at, and which.
    var watch: (interval: Duration?, files: [String]) {
        state.withLockedValue { ($0.settings.watchInterval, $0.watchedFiles) }
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
        let rows: [Int]
        do {
            rows = try await daemon.flush(table)
        } catch {
            throw AdminActionError(.failed, "\(error)")
        }
        let blocks = rows.count == 1 ? "a block" : "\(rows.count) blocks"
        return AdminActionResult(
            rows.isEmpty
                ? "nothing was open of \(table) (the name as producers write it)"
                : "\(blocks) of \(table) sealed, rows: \(rows.reduce(0, +))")
    }
}

/// SIGHUP reloads, for as long as the daemon runs.
struct ReloadOnSignal: Stage {
    let name = "signals"
    let reloader: Reloader
    let audit: AuditLog?

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() {
            _ = try? await reloader.reload(for: "signal SIGHUP", audit)
        }
    }
}

extension Reloader {
    /// Reloads, and writes down who asked.
    func reload(for actor: String, _ audit: AuditLog?) async throws(AdminActionError) -> AdminActionResult {
        do throws(AdminActionError) {
            let result = try await reload()
            await audit?.record(.init(actor: actor, action: "reload", outcome: .done, detail: result.message))
            return result
        } catch {
            await audit?.record(.init(actor: actor, action: "reload", outcome: .failed, detail: error.description))
            throw error
        }
    }
}
