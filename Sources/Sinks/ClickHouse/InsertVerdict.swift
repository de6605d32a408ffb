import ClickHouseNative
import Pipeline

/// What to do with a block whose INSERT failed.
enum InsertVerdict: Sendable {
    /// Again, as long as it takes; somewhere else if there is another host.
    case retry(elsewhere: Bool)
    /// Again, later: the server has too much to do.
    case backOff
    /// Nobody knows: again, a few times.
    case retryOften(orRefuse: BlockRefusal)
    /// The table may have other columns than it had: look, then decide.
    case checkStructure(orRefuse: BlockRefusal)
    case refuse(BlockRefusal)
    /// We gave up ourselves, on the way down.
    case cancelled

    /// Attempts of a block that fail with an error of which nobody knows whether it passes.
    static let unknownErrorAttemptsMax = 5

    init(_ error: any Error) {
        switch error {
        case let change as StructureChange:
            self = .checkStructure(orRefuse: BlockRefusal(.structureChanged, message: change.description))
        case let failure as InsertFailure: self.init(failure.error)
        case let error as ConnectionError: self.init(error)
        case is CancellationError: self = .cancelled
        default: self = .retryOften(orRefuse: BlockRefusal(.unknownError, message: "\(error)"))
        }
    }

    private init(_ error: ConnectionError) {
        switch error.code {
        case .refusedByServer:
            self =
                error.exception.map { Self($0) }
                ?? .retryOften(orRefuse: BlockRefusal(.unknownError, message: error.description))
        case .protocolViolation, .resultTooLarge:
            self = .retryOften(orRefuse: BlockRefusal(.unknownError, message: error.description))
        case .timedOut, .connectionClosed, .notReady: self = .retry(elsewhere: true)
        case .cancelled: self = .cancelled
        }
    }

    private init(_ exception: ServerException) {
        func refusal(_ reason: BlockRefusal.Reason) -> BlockRefusal {
            BlockRefusal(reason, code: exception.code, message: exception.message)
        }
        if Self.structureCodes.contains(exception.code.rawValue) {
            self = .checkStructure(orRefuse: refusal(.structureChanged))
            return
        }
        // It has the code of too many parts, which pass; these do not. Only the text tells, by the setting that it names
        // (Storages/MergeTree/MergeTreeDataWriter.cpp).
        if exception.code == .tooManyParts, exception.message.contains("max_partitions_per_insert_block") {
            self = .refuse(refusal(.tooManyPartitions))
            return
        }
        switch exception.code.treatment {
        case .retry: self = .retry(elsewhere: true)
        case .backOff: self = .backOff
        case .rejectRows: self = .refuse(refusal(.rows))
        case .needsOperator: self = .refuse(refusal(.table))
        case .unclassified: self = .retryOften(orRefuse: refusal(.unknownError))
        }
    }

    /// NO_SUCH_COLUMN_IN_TABLE, NUMBER_OF_COLUMNS_DOESNT_MATCH, ILLEGAL_COLUMN, UNKNOWN_IDENTIFIER, TYPE_MISMATCH: what
    /// servers say when a column that we name is not there, or not as it was.
    private static let structureCodes: Set<Int32> = [16, 20, 44, 47, 53]
}

extension Telemetry.InsertErrorType {
    /// In the words of existing dashboards.
    init(_ error: any Error) {
        switch error {
        case is StructureChange: self = .validation
        case let failure as InsertFailure: self.init(failure.error)
        case let error as ConnectionError:
            switch error.code {
            case .timedOut: self = .timeout
            case .connectionClosed, .notReady, .cancelled, .protocolViolation: self = .connection
            case .resultTooLarge: self = .query
            case .refusedByServer: self = error.exception.map { Self(refusal: $0.code) } ?? .query
            }
        default: self = .query
        }
    }

    private init(refusal code: ErrorCode) {
        switch code {
        case .timeoutExceeded, .socketTimeout: self = .timeout
        case .networkError: self = .connection
        case .tooManyParts, .tooManySimultaneousQueries: self = .rateLimit
        default: self = code.treatment == .rejectRows ? .validation : .query
        }
    }
}
