import ClickHouseNative
import Pipeline

/// What to do with a block whose INSERT failed.
enum InsertVerdict: Sendable {
    /// Again, as long as it takes; somewhere else if there is another host.
    case retry(elsewhere: Bool)
    /// Again, later: the server has too much to do. Where it has too many parts, blocks should be larger, too.
    case backOff(isParts: Bool)
    /// Nobody knows: again, a few times.
    case retryOften(orRefuse: BlockRefusal)
    /// The table may have other columns than it had: look, then decide.
    case checkStructure(orRefuse: BlockRefusal)
    case refuse(BlockRefusal)
    /// Some rows are at fault, or have too many partitions: fewer of them may be taken.
    case split(Cause, orRefuse: BlockRefusal)
    /// We gave up ourselves, on the way down.
    case cancelled

    /// Why a block is sent in pieces; a bounded set, for metrics.
    enum Cause: String, Sendable {
        case rows
        case partitions
    }

    /// Attempts of a block that fail with an error of which nobody knows whether it passes.
    static let unknownErrorAttemptsMax = 5

    /// - Parameter overrides: the operator's, by error code.
    init(_ error: any Error, overrides: [Int32: ClickHouseSettings.ErrorTreatment] = [:]) {
        switch error {
        case let change as StructureChange:
            self = .checkStructure(orRefuse: BlockRefusal(.structureChanged, message: change.description))
        case let failure as InsertFailure: self.init(failure.error, overrides)
        case let error as ConnectionError: self.init(error, overrides)
        case is CancellationError: self = .cancelled
        default: self = .retryOften(orRefuse: BlockRefusal(.unknownError, message: "\(error)"))
        }
    }

    private init(_ error: ConnectionError, _ overrides: [Int32: ClickHouseSettings.ErrorTreatment]) {
        switch error.code {
        case .refusedByServer:
            self =
                error.exception.map { Self($0, overrides) }
                ?? .retryOften(orRefuse: BlockRefusal(.unknownError, message: error.description))
        case .protocolViolation, .resultTooLarge:
            self = .retryOften(orRefuse: BlockRefusal(.unknownError, message: error.description))
        case .timedOut, .connectionClosed, .notReady: self = .retry(elsewhere: true)
        case .cancelled: self = .cancelled
        }
    }

    private init(_ exception: ServerException, _ overrides: [Int32: ClickHouseSettings.ErrorTreatment]) {
        let code = exception.code
        func refusal(_ reason: BlockRefusal.Reason) -> BlockRefusal {
            BlockRefusal(reason, code: code, message: exception.message)
        }
        // It has the code of too many parts, which pass; these do not. Only the text tells, by the setting that it names
        // (Storages/MergeTree/MergeTreeDataWriter.cpp).
        if code == .tooManyParts, exception.message.contains("max_partitions_per_insert_block") {
            self = .split(.partitions, orRefuse: refusal(.tooManyPartitions))
            return
        }
        switch overrides[code.rawValue] {
        case .retry: self = .retry(elsewhere: true)
        case .backOff: self = .backOff(isParts: code == .tooManyParts)
        case .split: self = .split(.rows, orRefuse: refusal(.rows))
        case .refuse: self = .refuse(refusal(code.treatment == .rejectRows ? .rows : .table))
        case nil where Self.structureCodes.contains(code.rawValue):
            self = .checkStructure(orRefuse: refusal(.structureChanged))
        case nil:
            switch code.treatment {
            case .retry: self = .retry(elsewhere: true)
            case .backOff: self = .backOff(isParts: code == .tooManyParts)
            case .rejectRows: self = .split(.rows, orRefuse: refusal(.rows))
            case .needsOperator: self = .refuse(refusal(.table))
            case .unclassified: self = .retryOften(orRefuse: refusal(.unknownError))
            }
        }
    }

    /// THERE_IS_NO_COLUMN, NOT_FOUND_COLUMN_IN_BLOCK, NO_SUCH_COLUMN_IN_TABLE, NUMBER_OF_COLUMNS_DOESNT_MATCH, ILLEGAL_COLUMN,
    /// UNKNOWN_IDENTIFIER, TYPE_MISMATCH, INCOMPATIBLE_COLUMNS: what servers say when a column that we name is not there, or not as
    /// it was.
    private static let structureCodes: Set<Int32> = [8, 10, 16, 20, 44, 47, 53, 122]
}

/// What a failed INSERT says beside what is to be done with its block.
extension Error {
    /// The table may have the block, or a part of it, though the INSERT failed: it may be sent again as it is, but not in
    /// pieces.
    var leavesBlockInDoubt: Bool {
        guard let failure = self as? InsertFailure else { return false }
        switch failure.outcome {
        case .notApplied: return false
        case .unknown: return true
        case .refused:
            guard let exception = failure.error.exception else { return true }
            // The table has the rows, a view has not (ClickHouse's Interpreters/InsertDependenciesBuilder.cpp adds these
            // words; PushingToViewsBlockOutputStream.cpp in old versions).
            if exception.message.contains("while pushing to view") { return true }
            if exception.code.leavesInsertInDoubt { return true }
            // Of several partitions those before the error may be there. These codes come before any of them.
            let comesBeforeWriting: Set<Int32> = [201, 202, 252, 373, 700, 745, 749]
            return exception.code.isTransient && !comesBeforeWriting.contains(exception.code.rawValue)
        }
    }

    /// What it means for the circuit breaker of the host that was asked.
    ///
    /// - Parameter answered: what it is when the host did its part: it is the table, the rows or the user that is at fault.
    func outcomeForHost(otherwise answered: ClickHouseServers.Pool.Outcome) -> ClickHouseServers.Pool.Outcome {
        if self is StructureChange { return answered }
        guard let error = (self as? InsertFailure)?.error ?? (self as? ConnectionError) else { return .abandoned }
        switch error.code {
        case .timedOut, .connectionClosed, .protocolViolation: return .failed
        case .notReady, .cancelled, .resultTooLarge: return .abandoned
        case .refusedByServer:
            // Network, disk, Keeper, shutdown. Not what one table may have alone, such as being read-only.
            let codes: Set<Int32> = [3, 32, 74, 173, 198, 203, 209, 210, 225, 236, 243, 279, 425, 499, 999, 1000]
            return error.exception.map { codes.contains($0.code.rawValue) } == false ? answered : .failed
        }
    }
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
