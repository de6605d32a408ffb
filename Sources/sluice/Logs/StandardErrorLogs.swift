import Foundation
import Logging
import NIOConcurrencyHelpers
import Pipeline

/// Writes each log entry to standard error at once, as one line.
struct StandardErrorLogs: LogHandler {
    /// Of one logger and what is copied from it: it may be quieter than the others, never louder.
    var logLevel: Logger.Level {
        get { max(common.withLockedValue { $0 }, own) }
        set { own = newValue }
    }
    /// One for all loggers that were made of this, so that a reload reaches them.
    private let common: NIOLockedValueBox<Logger.Level>
    private var own = Logger.Level.trace
    var metadata: Logger.Metadata = [:]
    private let format: LogSettings.Format
    private let write: @Sendable (String) -> Void

    /// - Parameter write: takes a line with its line break. Called from any thread.
    init(
        _ settings: LogSettings,
        write: @escaping @Sendable (String) -> Void = { Output.writeAll(Array($0.utf8), to: STDERR_FILENO) }
    ) {
        common = NIOLockedValueBox(Logger.Level(rawValue: settings.level.rawValue) ?? .info)
        format = settings.format
        self.write = write
    }

    func logger() -> Logger { Logger(label: "sluice") { _ in self } }

    /// What all loggers leave out from now on: what is below this.
    func setLevelOfAll(_ level: Logger.Level) { common.withLockedValue { $0 = level } }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var all = metadata
        if let own = event.metadata { all.merge(own) { $1 } }
        if let error = event.error, all["error"] == nil { all["error"] = "\(error)" }
        let line = LogLine(time: Date(), level: event.level, message: "\(event.message)", metadata: all)
        write(line.formatted(as: format))
    }
}
