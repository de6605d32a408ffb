import NIOConcurrencyHelpers
import Pipeline

/// How rows are read, for those who tell the server of it; changes with a reload.
final class ReadingSettings: Sendable {
    private let current: NIOLockedValueBox<ValidateSettings>

    init(_ settings: ValidateSettings) { current = NIOLockedValueBox(settings) }

    func replace(_ settings: ValidateSettings) { current.withLockedValue { $0 = settings } }

    func ofServer(_ table: TableName) -> [String: String] {
        current.withLockedValue { $0.input(of: table) }.namedForServer
    }
}
