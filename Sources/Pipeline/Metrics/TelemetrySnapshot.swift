/// Everything that is counted, at one moment, as plain values.
public struct TelemetrySnapshot: Sendable {
    public struct Table: Hashable, Sendable {
        /// `mstore`, `analytics.mstore` or `_other`.
        public var table: String
        /// The table alone, without its database.
        public var unqualified: String
        public var acceptedRows: UInt64
        public var committedRows: UInt64
        public var committedBytes: UInt64
        public var committedBlocks: UInt64
        public var rejectedRows: [String: UInt64]
    }

    public struct Stream: Hashable, Sendable {
        /// The stage that takes from it.
        public var name: String
        public var state: BoundedStreamSnapshot
        /// nil: what waits is not yet rows.
        public var rows: Int?
    }

    public struct Stage: Hashable, Sendable {
        public var name: String
        /// Rows that it holds, and no stream does.
        public var rows: Int
    }

    public var receivedRows: UInt64
    public var receivedBytes: UInt64
    /// By name.
    public var tables: [Table]
    public var deadLetteredRows: UInt64
    public var discardedRows: [String: UInt64]
    public var sealedBlocks: [String: UInt64]
    public var insertErrors: [Telemetry.InsertErrorType: UInt64]
    public var blocksInFlight: Int
    public var rowsInFlight: Int
    public var openRows: Int
    public var openBytes: Int
    public var rawBytes: UInt64
    public var encodedBytes: UInt64
    public var sessionsOpened: UInt64
    public var sessionsRefused: [String: UInt64]
    public var sessionErrors: [String: UInt64]
    public var rateLimited: [String: UInt64]
    /// In milliseconds.
    public var rateLimitedTime: [String: UInt64]
    public var duplicateRows: UInt64
    public var nacks: UInt64
    public var nacksLeftOut: UInt64
    public var producerConnections: Int
    public var sinkConnections: Int
    public var splitBlocks: [String: UInt64]
    public var duplicateBlocks: [String: UInt64]
    public var refittedBlocks: [String: UInt64]
    /// In the order of the configuration; none with a sink that has no hosts.
    public var hosts: [HostTelemetry.Snapshot]
    public var streams: [Stream]
    /// In the order of the flow, from the producers to the sink.
    public var stages: [Stage]
    public var deadLetter: DeadLetterStatus?
    /// By what the memory was used for.
    public var recycledBytes: [String: Int]
    public var acceptLatency: LatencySnapshot
    public var sealLatency: LatencySnapshot
    public var encodeLatency: LatencySnapshot
    public var insertLatency: LatencySnapshot
    public var endToEndLatency: LatencySnapshot
    public var adminRequests: [String: UInt64]
    public var auditErrors: UInt64
    public var version: String
    /// `clickhouse`, `file` or `null`.
    public var sink: String
    public var intake: IntakeState
    public var health: HealthStatus
    public var healthAge: Duration
    public var startTimeUnix: Int64
    public var uptime: Duration
    /// Accepted rows per second, over the last `RateWindow.secondsMax` seconds.
    public var eventsPerSecond: Double
    public var spool = SpoolTelemetry.Snapshot()

    public var acceptedRows: UInt64 { tables.reduce(0) { $0 + $1.acceptedRows } }
    public var committedRows: UInt64 { tables.reduce(0) { $0 + $1.committedRows } }
    public var rejectedRows: UInt64 { tables.reduce(0) { $0 + $1.rejectedRows.values.reduce(0, +) } }
}

/// Where the accepted rows are, those included that an earlier run left in the spool. `accepted == committed + deadLettered + discarded + inFlight`, always.
public struct Conservation: Hashable, Sendable {
    public let accepted: UInt64
    public let committed: UInt64
    public let deadLettered: UInt64
    public let discarded: UInt64

    /// Accepted and not settled: in streams, open blocks, and on the way to the sink. Zero after a drain; anything else
    /// then is a loss. Negative would be rows that were settled twice.
    public var inFlight: Int64 { Int64(accepted) - Int64(committed) - Int64(deadLettered) - Int64(discarded) }
}

extension TelemetrySnapshot {
    public var conservation: Conservation {
        Conservation(
            accepted: acceptedRows + spool.restoredRows, committed: committedRows, deadLettered: deadLetteredRows,
            discarded: discardedRows.values.reduce(0, +))
    }

    // MARK: The figures of `GET /metrics` in JSON

    public var eventCount: UInt64 { acceptedRows }

    /// Rejected rows, and inserts that failed (each attempt).
    public var errorCount: UInt64 { rejectedRows + insertErrors.values.reduce(0, +) }

    public var campaignEvents: UInt64 {
        operations(on: "mthreads") + operations(on: "mstore") + operations(on: "mtriage")
    }

    /// Accepted rows of a table, in whichever database.
    public func operations(on table: String) -> UInt64 {
        tables.reduce(0) { $1.unqualified == table ? $0 + $1.acceptedRows : $0 }
    }

    /// What a producer's rows wait until they are accepted. The age limits of batching are not in it: they are chosen.
    public var averageLatencyMs: Double { acceptLatency.average.milliseconds }

    /// Errors in all that came, between 0 and 1.
    public var errorRate: Double {
        let all = eventCount + errorCount
        return all == 0 ? 0 : Double(errorCount) / Double(all)
    }

    public var uptimeSeconds: Double { uptime.seconds }
}
