import Pipeline
import Synchronization

/// How rows are read, for those who tell the server of it; changes with a reload.
final class ReadingSettings: Sendable {
    private let current: Mutex<ValidateSettings>

    init(_ settings: ValidateSettings) { current = Mutex(settings) }

    func replace(_ settings: ValidateSettings) { current.withLock { $0 = settings } }

    func ofServer(_ table: TableName) -> [String: String] {
        current.withLock { $0.input(of: table) }.namedForServer
    }
}
