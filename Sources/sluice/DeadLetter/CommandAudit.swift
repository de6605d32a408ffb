import Dispatch
import Foundation
import Logging
import Pipeline

/// Notes in the daemon's audit log what a command changed.
struct CommandAudit {
    private let log: AuditLog?
    private let action: String

    /// Before anything is changed: a log that cannot be written is an error.
    ///
    /// - Parameter settings: nil: no configuration was read, so there is no log.
    init(_ settings: AuditSettings?, action: String) throws {
        let logger = Logger(label: "audit") { _ in SwiftLogNoOpLogHandler() }
        log = try settings.flatMap { try AuditLog(settings: $0, logger: logger) }
        self.action = action
    }

    /// Blocks this thread until the line is written.
    func record(_ outcome: AuditLog.Entry.Outcome, _ detail: String) {
        guard let log else { return }
        let entry = AuditLog.Entry(actor: "cli uid \(getuid())", action: action, outcome: outcome, detail: detail)
        let done = DispatchSemaphore(value: 0)
        Task.detached {
            await log.record(entry)
            done.signal()
        }
        done.wait()
    }
}
