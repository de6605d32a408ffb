import NIOConcurrencyHelpers
import Synchronization

/// What the sink tells batching: the server has too many parts of a table, so its blocks should be larger and fewer.
///
/// Each complaint doubles the factor of the table; each `calmTime` without one halves it. How far blocks grow is the batch
/// stage's limit (`batch.growth_max`).
public final class SinkPressure: Sendable {
    /// Without a complaint for so long, the factor is halved.
    public static let calmTime: Duration = .seconds(60)
    /// Complaints closer together than this count once: blocks in flight fail together.
    public static let complaintInterval: Duration = .seconds(1)
    /// The factor never exceeds it.
    public static let factorMax = 64
    /// Tables that are remembered; complaints of further ones only slow the sink down.
    public static let tablesMax = 1024

    private struct Complaint {
        var factor: Int
        var at: StageClock.Instant
    }

    private let complaints = NIOLockedValueBox<[TableName: Complaint]>([:])
    /// Read for each row batch; the lock is for those with complaints only.
    private let isCalm = Atomic(true)

    public init() {}

    public func complained(of table: TableName, now: StageClock.Instant) {
        complaints.withLockedValue { complaints in
            var complaint = complaints[table] ?? Complaint(factor: 1, at: now - Self.complaintInterval)
            guard now - complaint.at >= Self.complaintInterval else { return }
            if complaints[table] == nil, complaints.count >= Self.tablesMax {
                complaints = complaints.filter { Self.factor(of: $0.value, now) > 1 }
                guard complaints.count < Self.tablesMax else { return }
            }
            complaint.factor = min(Self.factor(of: complaint, now) * 2, Self.factorMax)
            complaint.at = now
            complaints[table] = complaint
        }
        isCalm.store(false, ordering: .releasing)
    }

    /// How many times larger the blocks of a table should be: 1 to `factorMax`.
    public func factor(of table: TableName, now: StageClock.Instant) -> Int {
        if isCalm.load(ordering: .acquiring) { return 1 }
        return complaints.withLockedValue { complaints in
            guard let complaint = complaints[table] else { return 1 }
            let factor = Self.factor(of: complaint, now)
            if factor == 1 {
                complaints[table] = nil
                if complaints.isEmpty { isCalm.store(true, ordering: .releasing) }
            }
            return factor
        }
    }

    private static func factor(of complaint: Complaint, _ now: StageClock.Instant) -> Int {
        let halvings = (now - complaint.at).components.seconds / calmTime.components.seconds
        return max(1, complaint.factor >> min(max(halvings, 0), 62))
    }
}
