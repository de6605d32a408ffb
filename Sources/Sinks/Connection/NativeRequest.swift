import ClickHouseNative
import NIOCore

/// What someone asked of a connection, and how they are told the outcome.
enum NativeRequest {
    case login(EventLoopPromise<ServerHello>, TimeAmount)
    case query(Query, ExternalTable?, EventLoopPromise<QueryResult>, TimeAmount)
    case insert(NativeInsert)
    case ping(EventLoopPromise<Void>, TimeAmount)

    /// Until the answer; of an insert: from the last byte that was sent.
    var timeout: TimeAmount {
        switch self {
        case .login(_, let timeout), .query(_, _, _, let timeout), .ping(_, let timeout): timeout
        case .insert(let insert): insert.timeout
        }
    }

    func fail(_ error: any Error) {
        switch self {
        case .login(let promise, _): promise.fail(error)
        case .query(_, _, let promise, _): promise.fail(error)
        case .insert(let insert):
            let failure = (error as? ConnectionError).map { InsertFailure(.notApplied, $0) as any Error }
            insert.promise.fail(failure ?? error)
        case .ping(let promise, _): promise.fail(error)
        }
    }
}

struct NativeInsert {
    let query: Query
    let columns: [ColumnDefinition]
    let bytes: BlockBody
    let timeout: TimeAmount
    let promise: EventLoopPromise<InsertSummary>
    var change: StructureChange?
}

/// The table wants other columns than the block has. Nothing was inserted.
public struct StructureChange: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    /// nil when they agree.
    init?(sent: [ColumnDefinition], wanted: [ColumnDefinition]) {
        guard sent != wanted else { return nil }
        let pair = zip(sent, wanted).first { $0 != $1 }
        description =
            switch pair {
            case .some((let ours, let theirs)) where ours.name == theirs.name:
                "column \(ours.name) is \(theirs.type) now, the block has \(ours.type)"
            case .some((let ours, let theirs)): "column \(theirs.name) is wanted where the block has \(ours.name)"
            case nil: "\(wanted.count) columns are wanted, the block has \(sent.count)"
            }
    }
}
