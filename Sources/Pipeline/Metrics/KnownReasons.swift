/// Values of labels that are few and known beforehand. Their series are there from the start, at 0: Prometheus sees no
/// increase in a counter that comes into being with its first event, and an alert on the first one would never fire.
public enum KnownReasons {
    /// Of `sluice_discarded_rows_total`.
    public static let discards = ["sampled", "spool_full", "too_old"]
    /// Of `sluice_sessions_refused_total`.
    public static let refusedSessions = ["not_allowed", "too_many_connections", "too_many_of_user"]
    /// Of `sluice_rate_limited_total` and its seconds.
    public static let rateLimits = ["producer_bytes", "producer_rows", "table_bytes", "table_rows"]
    /// Of `sluice_dead_letter_discarded_rows_total`.
    public static let deadLetterDiscards = ["dead_letter_full", "disk_error", "stopped"]
    /// Of `sluice_spool_errors_total`: a call of the disk that failed, and the two causes that have a name.
    public static let spoolErrors =
        (["disk_full", "over_quota"] + SpoolDiskError.Call.allCases.map { "\($0.rawValue)_failed" })
        .sorted()

    /// With those at 0 that have not happened.
    static func filled(_ figures: [String: UInt64], with known: [String]) -> [String: UInt64] {
        figures.merging(known.map { ($0, 0) }) { counted, _ in counted }
    }
}
