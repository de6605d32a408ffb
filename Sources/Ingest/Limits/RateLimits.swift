import NIOConcurrencyHelpers
import Pipeline
import Synchronization

/// How fast producers send and tables get rows, against `receive.rate_limit`. Shared by all sessions and by validate;
/// asked once for each chunk, never for a row.
///
/// Who sent more than may pass is held: his next read waits, or, if he wants acks, he is told when to come again. For rows
/// that name their table this is known only when they were parsed, so that it holds the session's next chunk.
public final class RateLimits: Sendable {
    /// What was exceeded, as metrics name it.
    enum Reason: String, Sendable, CaseIterable {
        case producerRows = "producer_rows"
        case producerBytes = "producer_bytes"
        case tableRows = "table_rows"
        case tableBytes = "table_bytes"
    }

    /// A producer, as far as it can be told from others.
    enum Subject: Hashable, Sendable {
        case named(String)
        /// The process that connected, which does not change with its sessions.
        case process(user: UInt32, process: Int32)
        case session(UInt64)

        fileprivate var name: String? { if case .named(let name) = self { name } else { nil } }
    }

    struct Hold: Hashable, Sendable {
        let reason: Reason
        /// So many a second.
        let limit: Int
        /// Nothing more should be read before.
        let until: StageClock.Instant
        /// Whoever is sent away should stay away until then: there is room for more than a row by then.
        let comeBack: StageClock.Instant
    }

    /// Producers and tables that are told apart; further ones share a bucket.
    static let bucketsMax = 10_000
    /// Of sessions that a table holds up. One that is not noted is held with its next chunk.
    static let holdsMax = 10_000

    fileprivate enum Key: Hashable, Sendable {
        case producer(Subject, Reason)
        case table(TableName, Reason)
        /// All that there was no room for.
        case others(Reason)
    }

    fileprivate struct State: Sendable {
        var settings: RateLimitSettings
        var buckets: [Key: TokenBucket] = [:]
        /// By session: what tables are owed that it sent rows to.
        var holds: [UInt64: Hold] = [:]
    }

    private let state: NIOLockedValueBox<State>
    private let active = Atomic(false)
    private let countsTables = Atomic(false)
    private let clock: StageClock
    private let telemetry: Telemetry

    public init(
        _ settings: RateLimitSettings = RateLimitSettings(), telemetry: Telemetry, clock: StageClock = .continuous
    ) {
        state = NIOLockedValueBox(State(settings: settings))
        self.clock = clock
        self.telemetry = telemetry
        note(settings)
    }

    /// Whether there is any limit. Cheap.
    var isActive: Bool { active.load(ordering: .relaxed) }
    /// Whether there is a limit for tables. Cheap.
    var limitsTables: Bool { countsTables.load(ordering: .relaxed) }

    /// Other limits, from now on; what is owed stays owed, as far as there still is a limit.
    public func reconfigure(_ settings: RateLimitSettings) {
        let now = clock.now
        state.withLockedValue { state in
            state.settings = settings
            var kept: [Key: TokenBucket] = [:]
            for (key, bucket) in state.buckets {
                guard let rate = settings.rate(of: key) else { continue }
                kept[key] = bucket.reconfigured(rate: rate, burst: settings.burst, at: now)
            }
            state.buckets = kept
            state.holds = [:]
        }
        note(settings)
    }

    private func note(_ settings: RateLimitSettings) {
        active.store(!settings.isOff, ordering: .relaxed)
        countsTables.store(!settings.tableRows.isEmpty || !settings.tableBytes.isEmpty, ordering: .relaxed)
    }

    // MARK: What passes

    /// A session handed rows on.
    ///
    /// - Returns: nil: it may go on.
    func passed(rows: Int, bytes: Int, by subject: Subject, session: UInt64) -> Hold? {
        let now = clock.now
        return state.withLockedValue { state in
            state.take(rows, .producer(subject, .producerRows), at: now)
            state.take(bytes, .producer(subject, .producerBytes), at: now)
            return state.hold(of: subject, session: session, at: now)
        }
    }

    /// What keeps a producer from going on.
    func hold(of subject: Subject, session: UInt64) -> Hold? {
        let now = clock.now
        return state.withLockedValue { $0.hold(of: subject, session: session, at: now) }
    }

    /// Rows of a session turned out to be for a table.
    func reached(_ table: TableName, rows: Int, bytes: Int, session: UInt64) {
        let now = clock.now
        state.withLockedValue { state in
            state.take(rows, .table(table, .tableRows), at: now)
            state.take(bytes, .table(table, .tableBytes), at: now)
            let holds = [Reason.tableRows, .tableBytes].compactMap { state.hold(.table(table, $0), $0, at: now) }
            guard let longest = holds.max(by: { $0.until < $1.until }) else { return }
            if let known = state.holds[session], known.until >= longest.until { return }
            if state.holds.count >= Self.holdsMax { state.holds = state.holds.filter { $0.value.until > now } }
            if state.holds.count < Self.holdsMax { state.holds[session] = longest }
        }
    }

    func ended(session: UInt64) {
        guard isActive else { return }
        state.withLockedValue { $0.holds[session] = nil }
    }

    /// A session was held, or sent away.
    ///
    /// - Parameter time: for so long, beyond what it was held for already.
    func count(_ hold: Hold, for time: Duration) {
        guard time > .zero else { return }
        telemetry.rateLimited.add(reason: hold.reason.rawValue)
        telemetry.rateLimitedTime.add(Int(time.milliseconds.rounded()), reason: hold.reason.rawValue)
    }
}

extension RateLimits.State {
    fileprivate mutating func take(_ amount: Int, _ key: RateLimits.Key, at now: StageClock.Instant) {
        guard let rate = settings.rate(of: key) else { return }
        let key = place(for: key, at: now)
        let shared = TokenBucket(rate: rate, burst: settings.burst, at: now)
        buckets[key, default: shared].take(amount, at: now)
    }

    /// The key, or the one of all others when there is no room for one more.
    private mutating func place(for key: RateLimits.Key, at now: StageClock.Instant) -> RateLimits.Key {
        if buckets[key] != nil || buckets.count < RateLimits.bucketsMax { return key }
        // A bucket that is full is as good as none.
        for (key, bucket) in buckets {
            var bucket = bucket
            if bucket.isFull(at: now) { buckets[key] = nil }
        }
        return buckets.count < RateLimits.bucketsMax ? key : .others(key.reason)
    }

    fileprivate mutating func hold(
        of subject: RateLimits.Subject, session: UInt64, at now: StageClock.Instant
    ) -> RateLimits.Hold? {
        var found = [RateLimits.Reason.producerRows, .producerBytes].compactMap {
            hold(.producer(subject, $0), $0, at: now)
        }
        if let table = holds[session] {
            if table.until > now { found.append(table) } else { holds[session] = nil }
        }
        return found.max { $0.until < $1.until }
    }

    fileprivate mutating func hold(
        _ key: RateLimits.Key, _ reason: RateLimits.Reason, at now: StageClock.Instant
    ) -> RateLimits.Hold? {
        let key = buckets[key] == nil ? .others(reason) : key
        guard let until = buckets[key]?.due(at: now), let comeBack = buckets[key]?.due(at: now, share: 0.5) else {
            return nil
        }
        return RateLimits.Hold(
            reason: reason, limit: Int(buckets[key]?.rate ?? 0), until: until, comeBack: comeBack)
    }
}

extension RateLimits.Key {
    fileprivate var reason: RateLimits.Reason {
        switch self {
        case .producer(_, let reason), .table(_, let reason), .others(let reason): reason
        }
    }
}

extension RateLimitSettings {
    fileprivate func rate(of key: RateLimits.Key) -> Int? {
        let name: String? =
            switch key {
            case .producer(let subject, _): subject.name
            case .table(let table, _): table.description
            case .others: nil
            }
        let rates =
            switch key.reason {
            case .producerRows: producerRows
            case .producerBytes: producerBytes
            case .tableRows: tableRows
            case .tableBytes: tableBytes
            }
        return name.flatMap { rates[$0] } ?? rates[Self.others]
    }
}
