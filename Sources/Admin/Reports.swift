import Foundation
import Pipeline

/// The bodies of the endpoints, made from what is counted. `/ping` and `/metrics` keep the shape, and the order of keys,
/// that the tracker's dashboards and alerts already read.
struct Reports: Sendable {
    let snapshot: TelemetrySnapshot
    let time: Date

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

    /// `GET /status`: where the rows are, and how full what lies between the stages is.
    var status: JSONValue {
        let rows = snapshot.conservation
        return .object([
            ("status", .text("ok")),
            ("health", .text(snapshot.health.rawValue)),
            ("health_age_seconds", .fraction(snapshot.healthAge.seconds, places: 3)),
            ("producers", .whole(Int64(snapshot.producerConnections))),
            (
                "rows",
                .object([
                    ("received", .count(snapshot.receivedRows)),
                    ("rejected", .count(snapshot.rejectedRows)),
                    ("accepted", .count(rows.accepted)),
                    ("committed", .count(rows.committed)),
                    ("dead_lettered", .count(rows.deadLettered)),
                    ("discarded", .count(rows.discarded)),
                    ("in_flight", .whole(rows.inFlight)),
                ])
            ),
            ("streams", .array(snapshot.streams.map(stream))),
            ("timestamp", timestamp),
        ])
    }

    private func stream(_ stream: TelemetrySnapshot.Stream) -> JSONValue {
        .object([
            ("stage", .text(stream.name)),
            ("elements", .whole(Int64(stream.state.elements))),
            ("elements_max", .whole(Int64(stream.state.elementsMax))),
            ("bytes", .whole(Int64(stream.state.bytes))),
            ("bytes_max", .whole(Int64(stream.state.bytesMax))),
            ("blocked_seconds", .fraction(stream.state.sendersSuspended.seconds, places: 3)),
        ])
    }

    /// RFC 3339 in UTC, to the second: `2024-01-15T10:30:00Z`.
    private var timestamp: JSONValue { .text(time.formatted(.iso8601)) }
}
