import Foundation
import Pipeline

/// The bodies of `/ping` and `/metrics`, made from what is counted. `/ping` and `/metrics` keep the shape, and the order of keys,
/// that the tracker's dashboards and alerts already read.
struct Reports: Sendable {
    private let snapshot: TelemetrySnapshot
    private let time: Date

    init(_ observation: Observation) {
        snapshot = observation.snapshot
        time = observation.time
    }

    /// `GET /ping`. The status is `ok` whenever the daemon serves; how it fares is the health.
    var ping: JSONValue {
        .object([
            ("status", .text("ok")),
            ("health", .text(snapshot.health.rawValue)),
            ("timestamp", timestamp),
        ])
    }

    /// `GET /metrics` in JSON.
    var metrics: JSONValue {
        .object([
            (
                "metrics",
                .object([
                    ("event_count", .count(snapshot.eventCount)),
                    ("error_count", .count(snapshot.errorCount)),
                    ("campaign_events", .count(snapshot.campaignEvents)),
                    ("mthreads_ops", .count(snapshot.operations(on: "mthreads"))),
                    ("mstore_ops", .count(snapshot.operations(on: "mstore"))),
                    ("mtriage_ops", .count(snapshot.operations(on: "mtriage"))),
                    ("connection_count", .whole(Int64(snapshot.sinkConnections))),
                    ("health_status", .text(snapshot.health.rawValue)),
                    ("start_time_unix", .whole(snapshot.startTimeUnix)),
                ])
            ),
            (
                "calculated",
                .object([
                    ("avg_latency_ms", .fraction(snapshot.averageLatencyMs, places: 3)),
                    ("error_rate", .fraction(snapshot.errorRate, places: 9)),
                    ("uptime_seconds", .whole(Int64(snapshot.uptimeSeconds))),
                    ("events_per_second", .fraction(snapshot.eventsPerSecond, places: 1)),
                ])
            ),
            ("timestamp", timestamp),
        ])
    }

    /// RFC 3339 in UTC, to the second: `2024-01-15T10:30:00Z`.
    private var timestamp: JSONValue { .text(time.formatted(.iso8601)) }
}
