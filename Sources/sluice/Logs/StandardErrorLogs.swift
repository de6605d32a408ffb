import Foundation
import Logging
import Pipeline
import Synchronization

/// Writes each log entry to standard error at once, as one line.
struct StandardErrorLogs: LogHandler {
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    private let format: LogSettings.Format
    private let write: @Sendable (String) -> Void

    /// - Parameter write: takes a line with its line break. Called from any thread.
    init(
        _ settings: LogSettings,
        write: @escaping @Sendable (String) -> Void = { Output.writeAll(Array($0.utf8), to: STDERR_FILENO) }
    ) {
        logLevel = Logger.Level(rawValue: settings.level.rawValue) ?? .info
        format = settings.format
        self.write = write
    }

    func logger() -> Logger { Logger(label: "sluice") { _ in self } }

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
