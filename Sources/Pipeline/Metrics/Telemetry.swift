import Foundation
import NIOConcurrencyHelpers

/// All that the daemon counts. Stages keep the handles that they need; counting is an atomic addition, and a scrape reads
/// without stopping anybody.
///
/// What adds up, at every moment:
/// - received rows = accepted + rejected + what is being parsed;
/// - accepted rows = committed + dead-lettered + discarded + in flight.
public final class Telemetry: Sendable {
    /// Tables that are counted by name; further ones are counted together as `_other`.
    public static let tablesMax = 1024
    /// Reasons that are told apart in each counter; further ones are counted together as `_other`.
    public static let reasonsMax = 64
    public static let other = "_other"

    /// What went wrong with the sink, in the words of existing dashboards.
    public enum InsertErrorType: String, Sendable, CaseIterable {
        case connection, query, timeout, validation
        case rateLimit = "rate_limit"
        case campaign, metrics
    }

    public let receivedRows = Counter()
    public let receivedBytes = Counter()
    /// Sessions that were ever opened, and those that were turned away, by why.
    public let sessionsOpened = Counter()
    public let sessionsRefused = CounterFamily()
    /// Sessions that ended with an error, by its code.
    public let sessionErrors = CounterFamily()
    /// How often a session was held or sent away because too much came too fast, and for how long, in milliseconds, by the limit.
    public let rateLimited = CounterFamily()
    public let rateLimitedTime = CounterFamily()
    /// Rows that producers sent again and that were there already.
    public let duplicateRows = Counter()
    /// Rows whose producers were told that they were rejected, and rejections that they were only told the number of.
    public let nacks = Counter()
    public let nacksLeftOut = Counter()
    /// Sessions that are open.
    public let producerConnections = Gauge()
    /// Connections to the sink that are open.
    public let sinkConnections = Gauge()
    /// Blocks and rows that were sent and are not yet confirmed.
    public let blocksInFlight = Gauge()
    public let rowsInFlight = Gauge()
    /// Rows and bytes in open blocks.
    public let openRows = Gauge()
    public let openBytes = Gauge()
    /// Rows that were kept in the dead letter after they had been accepted.
    public let deadLetteredRows = Counter()
    /// Bytes of blocks before and after compression.
    public let rawBytes = Counter()
    public let encodedBytes = Counter()
    /// From the first row's arrival until its row batch is validated and handed on: what a producer feels.
    public let acceptLatency = LatencyHistogram()
    /// From a block's first row's arrival until the block is sealed and the next stage took it.
    public let sealLatency = LatencyHistogram()
    /// Encoding and compressing one block.
    public let encodeLatency = LatencyHistogram()
    /// From the first byte of a block to the sink's confirmation.
    public let insertLatency = LatencyHistogram()
    /// From a block's first row's arrival to the sink's confirmation.
    public let endToEndLatency = LatencyHistogram()
    public let discardedRows = CounterFamily()
    public let sealedBlocks = CounterFamily()
    /// Blocks that were sent in pieces, by why.
    public let splitBlocks = CounterFamily()
    /// Blocks that were sent again and that the server called duplicates, by what it really had.
    public let duplicateBlocks = CounterFamily()
    /// Blocks that were made to fit a table that had changed, by how.
    public let refittedBlocks = CounterFamily()
    public let spool = SpoolTelemetry()
    public let health: Health
    /// Requests to the endpoints by how they ended, and what kept the audit log from being written.
    public let adminRequests = CounterFamily()
    public let auditErrors = Counter()
    public let rejectionSamples: RejectionSamples

    let clock: StageClock
    let startedAt: StageClock.Instant
    let startTimeUnix: Int64
    private let insertErrors: [InsertErrorType: Counter]
    private let window = NIOLockedValueBox(RateWindow())
    private let registry = NIOLockedValueBox(Registry())

    struct Registry: Sendable {
        var tables: [TableName: TableTelemetry] = [:]
        var hosts: [HostTelemetry] = []
        var streams: [Stream] = []
        var stages: [(name: String, rows: @Sendable () -> Int)] = []
        var sources = StatusSources()
        var intake = IntakeState.starting
        var version = ""
        var sink = ""
    }

    struct Stream: Sendable {
        let name: String
        let state: @Sendable () -> BoundedStreamSnapshot
        /// nil: what waits is not yet rows.
        let rows: (@Sendable () -> Int)?
    }

    /// - Parameter startTimeUnix: Seconds since 1970; when the process started.
    public init(clock: StageClock = .continuous, startTimeUnix: Int64 = Int64(Date().timeIntervalSince1970)) {
        self.clock = clock
        self.startTimeUnix = startTimeUnix
        startedAt = clock.now
        health = Health(clock: clock)
        rejectionSamples = RejectionSamples(clock: clock)
        insertErrors = Dictionary(uniqueKeysWithValues: InsertErrorType.allCases.map { ($0, Counter()) })
    }

    /// The counters of a table; to be kept by whoever counts often.
    public func table(_ name: TableName) -> TableTelemetry {
        registry.withLockedValue { registry in
            if let known = registry.tables[name] { return known }
            let isFull = registry.tables.count >= Self.tablesMax
            let key = isFull ? Self.otherTable : name
            if let known = registry.tables[key] { return known }
            let table = TableTelemetry(name: key)
            registry.tables[key] = table
            return table
        }
    }

    /// Rows that passed validation and are ours from here on. Called for each row batch.
    public func accepted(rows: Int, into table: TableTelemetry) {
        table.acceptedRows.add(rows)
        let elapsed = clock.now - startedAt
        window.withLockedValue { $0.add(rows, at: elapsed) }
    }

    /// A block that the sink confirmed.
    public func committed(rows: Int, bytes: Int, into table: TableTelemetry) {
        table.committedRows.add(rows)
        table.committedBytes.add(bytes)
        table.committedBlocks.add()
    }

    public func insertFailed(_ type: InsertErrorType) { insertErrors[type]?.add() }

    /// Lets a scrape see the hosts of the sink, instead of those of before; they are as many as the configuration names.
    public func observe(hosts: [HostTelemetry]) {
        registry.withLockedValue { $0.hosts = hosts }
    }

    /// Lets a scrape see how full a stream is. Once for each stream.
    ///
    /// - Parameters:
    ///   - name: The stage that takes from it.
    ///   - rows: Rows of an element, where it has rows.
    public func observe<Element>(
        _ stream: BoundedStream<Element>, as name: String, rows: (@Sendable (Element) -> Int)? = nil
    ) {
        var total: (@Sendable () -> Int)?
        if let rows { total = { stream.total(of: rows) } }
        let entry = Stream(name: name, state: { stream.snapshot() }, rows: total)
        registry.withLockedValue { $0.streams.append(entry) }
    }

    /// Lets a scrape see how many rows a stage holds. Once for each stage, in the order of the flow. The stage is not kept
    /// alive: who keeps the figures of a daemon that has ended does not keep its files and locks.
    public func observe<Observed: Stage & AnyObject>(_ stage: Observed) {
        registry.withLockedValue { $0.stages.append((stage.name, { [weak stage] in stage?.rowsHeld ?? 0 })) }
    }

    /// Adds to what a scrape may ask.
    public func observe(_ change: @Sendable (inout StatusSources) -> Void) {
        registry.withLockedValue { change(&$0.sources) }
    }

    /// What runs: the version of the program, and the kind of sink (`clickhouse`, `file`, `null`).
    public func describe(version: String? = nil, sink: String? = nil) {
        registry.withLockedValue {
            if let version { $0.version = version }
            if let sink { $0.sink = sink }
        }
    }

    /// Whether producers' rows are taken.
    public var intake: IntakeState {
        get { registry.withLockedValue { $0.intake } }
        set { registry.withLockedValue { $0.intake = newValue } }
    }

    /// Not part of a snapshot, for there may be many and a scrape does not need them.
    public func producers() -> ProducerList {
        let source = registry.withLockedValue { $0.sources.producers }
        return source?() ?? ProducerList()
    }

    public func snapshot() -> TelemetrySnapshot {
        // What is asked is asked outside of the lock, for it has locks of its own.
        let registry = self.registry.withLockedValue { $0 }
        let tables = registry.tables.values
        let elapsed = clock.now - startedAt
        // What settles rows is read before what accepts them, so that nothing in flight can come out negative.
        let discarded = discardedRows.snapshot()
        let deadLettered = deadLetteredRows.current
        let tableSnapshots = tables.map { $0.snapshot() }.sorted { $0.table < $1.table }
        return TelemetrySnapshot(
            receivedRows: receivedRows.current, receivedBytes: receivedBytes.current, tables: tableSnapshots,
            deadLetteredRows: deadLettered, discardedRows: discarded, sealedBlocks: sealedBlocks.snapshot(),
            insertErrors: insertErrors.mapValues(\.current), blocksInFlight: blocksInFlight.current,
            rowsInFlight: rowsInFlight.current, openRows: openRows.current, openBytes: openBytes.current,
            rawBytes: rawBytes.current, encodedBytes: encodedBytes.current, sessionsOpened: sessionsOpened.current,
            sessionsRefused: sessionsRefused.snapshot(), sessionErrors: sessionErrors.snapshot(),
            rateLimited: rateLimited.snapshot(), rateLimitedTime: rateLimitedTime.snapshot(),
            duplicateRows: duplicateRows.current, nacks: nacks.current, nacksLeftOut: nacksLeftOut.current,
            producerConnections: producerConnections.current,
            sinkConnections: sinkConnections.current,
            splitBlocks: splitBlocks.snapshot(), duplicateBlocks: duplicateBlocks.snapshot(),
            refittedBlocks: refittedBlocks.snapshot(), hosts: registry.hosts.map { $0.snapshot() },
            streams: registry.streams.map { stream in
                TelemetrySnapshot.Stream(name: stream.name, state: stream.state(), rows: stream.rows.map { $0() })
            },
            stages: registry.stages.map { TelemetrySnapshot.Stage(name: $0.name, rows: $0.rows()) },
            deadLetter: registry.sources.deadLetter?() ?? nil,
            recycledBytes: registry.sources.recycledBytes?() ?? [:],
            acceptLatency: acceptLatency.snapshot(), sealLatency: sealLatency.snapshot(),
            encodeLatency: encodeLatency.snapshot(), insertLatency: insertLatency.snapshot(),
            endToEndLatency: endToEndLatency.snapshot(), adminRequests: adminRequests.snapshot(),
            auditErrors: auditErrors.current, version: registry.version, sink: registry.sink, intake: registry.intake,
            health: health.status, healthAge: health.age,
            startTimeUnix: startTimeUnix, uptime: elapsed,
            eventsPerSecond: window.withLockedValue { $0.perSecond(at: elapsed) }, spool: spool.snapshot())
    }

    private static let otherTable = TableName(table: other)
}

/// The counters of one table.
public final class TableTelemetry: Sendable {
    public let name: TableName
    public let acceptedRows = Counter()
    public let committedRows = Counter()
    public let committedBytes = Counter()
    public let committedBlocks = Counter()
    /// Rows that did not pass validation, by reason.
    public let rejectedRows = CounterFamily()

    init(name: TableName) { self.name = name }

    func snapshot() -> TelemetrySnapshot.Table {
        // Committed first: see Telemetry.snapshot().
        let committed = committedRows.current
        return TelemetrySnapshot.Table(
            table: name.description, unqualified: name.table, acceptedRows: acceptedRows.current,
            committedRows: committed,
            committedBytes: committedBytes.current, committedBlocks: committedBlocks.current,
            rejectedRows: rejectedRows.snapshot())
    }
}

/// Counters by reason. Reasons are words of ours, never text of a producer or server; even so their number is bounded.
public final class CounterFamily: Sendable {
    private let counters = NIOLockedValueBox<[String: Counter]>([:])

    public init() {}

    public func add(_ amount: Int = 1, reason: String) { counter(reason).add(amount) }

    /// The counter of a reason; to be kept by whoever counts often.
    public func counter(_ reason: String) -> Counter {
        counters.withLockedValue { counters in
            if let known = counters[reason] { return known }
            let key = counters.count >= Telemetry.reasonsMax ? Telemetry.other : reason
            if let known = counters[key] { return known }
            let counter = Counter()
            counters[key] = counter
            return counter
        }
    }

    public func snapshot() -> [String: UInt64] { counters.withLockedValue { $0.mapValues(\.current) } }
}
