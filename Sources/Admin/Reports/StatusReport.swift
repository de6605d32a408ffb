import Foundation
import Pipeline

/// `GET /status`, and each event of the live stream: where the rows are, how fast they move, and what stands in their way.
struct StatusReport: Sendable {
    /// Tables that an event tells about, those with the most rows first. `/status` has all.
    static let tablesInEventsMax = 50

    let now: Observation
    /// Since the last event; nil where there was none.
    var lately: Interval?
    /// Over the last seconds, for latencies.
    var window: Interval?
    var tablesMax = Int.max

    private var snapshot: TelemetrySnapshot { now.snapshot }

    var json: JSONValue {
        .object([
            ("status", .text("ok")),
            ("health", .text(snapshot.health.rawValue)),
            ("health_age_seconds", .fraction(snapshot.healthAge.seconds, places: 3)),
            ("intake", .text(snapshot.intake.rawValue)),
            ("version", .text(snapshot.version)),
            ("sink", .text(snapshot.sink)),
            ("start_time_unix", .whole(snapshot.startTimeUnix)),
            ("uptime_seconds", .fraction(snapshot.uptimeSeconds, places: 1)),
            ("rows", rows),
            ("rates", lately.map(rates) ?? .null),
            ("backpressure", backpressure),
            ("stages", .array(snapshot.stages.isEmpty ? snapshot.streams.map { stage($0.name, 0) } : stages)),
            ("connections", connections),
            ("hosts", .array(snapshot.hosts.map(host))),
            ("errors", errors),
            ("rate_limited", rateLimited),
            ("spool", snapshot.spool.bytesMax > 0 ? spool(snapshot.spool) : .null),
            ("dead_letter", snapshot.deadLetter.map(deadLetter) ?? .null),
            ("latency_ms", latencies),
            ("tables", .array(tables.map(table))),
            ("tables_count", .whole(Int64(snapshot.tables.count))),
            ("producers", .array(producers.shown.map(producer))),
            ("producers_known", .whole(Int64(producers.known))),
            ("rejections", .array(samples)),
            ("process", process),
            ("timestamp", .text(now.time.formatted(.iso8601))),
        ])
    }

    /// Set by the site, for a report is made of values.
    var rejections: [RejectionSamples.Sample] = []
    var producers = ProducerList()

    private var rows: JSONValue {
        let rows = snapshot.conservation
        return .object([
            ("received", .count(snapshot.receivedRows)),
            ("rejected", .count(snapshot.rejectedRows)),
            ("accepted", .count(rows.accepted)),
            ("committed", .count(rows.committed)),
            ("dead_lettered", .count(rows.deadLettered)),
            ("discarded", .count(rows.discarded)),
            ("in_flight", .whole(rows.inFlight)),
        ])
    }

    private func rates(_ interval: Interval) -> JSONValue {
        func rate(_ figure: (TelemetrySnapshot) -> UInt64) -> JSONValue {
            .fraction(interval.perSecond(figure), places: 1)
        }
        return .object([
            ("received_rows", rate(\.receivedRows)), ("received_bytes", rate(\.receivedBytes)),
            ("accepted_rows", rate(\.acceptedRows)), ("rejected_rows", rate(\.rejectedRows)),
            ("committed_rows", rate(\.committedRows)),
            ("durable_groups", rate(\.spool.commits)),
            ("sealed_blocks", rate { $0.sealedBlocks.values.reduce(0, +) }),
            ("committed_blocks", rate { $0.tables.reduce(0) { $0 + $1.committedBlocks } }),
            ("raw_bytes", rate(\.rawBytes)), ("encoded_bytes", rate(\.encodedBytes)),
            ("insert_errors", rate { $0.insertErrors.values.reduce(0, +) }),
            ("cores", .fraction(interval.cores, places: 3)),
        ])
    }

    private var backpressure: JSONValue {
        guard let held = Backpressure(snapshot, lately) else { return .null }
        return .object([
            ("stage", .text(held.stage)), ("waiting", .array(held.waiting.map { .text($0) })),
            ("message", .text(held.message)),
        ])
    }

    private var stages: [JSONValue] { snapshot.stages.map { stage($0.name, $0.rows) } }

    private func stage(_ name: String, _ rowsHeld: Int) -> JSONValue {
        var members: [(String, JSONValue)] = [("stage", .text(name)), ("rows", .whole(Int64(rowsHeld)))]
        if let stream = snapshot.streams.first(where: { $0.name == name }) {
            let state = stream.state
            members.append(
                (
                    "queue",
                    .object([
                        ("elements", .whole(Int64(state.elements))), ("elements_max", .whole(Int64(state.elementsMax))),
                        ("rows", stream.rows.map { .whole(Int64($0)) } ?? .null),
                        ("bytes", .whole(Int64(state.bytes))), ("bytes_max", .whole(Int64(state.bytesMax))),
                        ("senders_waiting", .whole(Int64(state.sendersWaiting))),
                        ("blocked_seconds", .fraction(state.sendersSuspended.seconds, places: 3)),
                        ("blocked_lately", lately.map { .fraction($0.blocked(name), places: 3) } ?? .null),
                    ])
                ))
        }
        if name == "batch" {
            members.append(
                (
                    "open",
                    .object([("rows", .whole(Int64(snapshot.openRows))), ("bytes", .whole(Int64(snapshot.openBytes)))])
                ))
        }
        if name == "ship" {
            members.append(
                (
                    "in_flight",
                    .object([
                        ("rows", .whole(Int64(snapshot.rowsInFlight))),
                        ("blocks", .whole(Int64(snapshot.blocksInFlight))),
                    ])
                ))
        }
        return .object(members)
    }

    private var connections: JSONValue {
        .object([
            ("producers", .whole(Int64(snapshot.producerConnections))),
            ("producers_opened", .count(snapshot.sessionsOpened)),
            ("producers_refused", .count(snapshot.sessionsRefused.values.reduce(0, +))),
            ("sink", .whole(Int64(snapshot.sinkConnections))),
        ])
    }

    private func host(_ host: HostTelemetry.Snapshot) -> JSONValue {
        .object([
            ("host", .text(host.host)), ("breaker", .text(host.breaker.rawValue)),
            ("breaker_opened", .count(host.breakerOpened)), ("connections", .whole(Int64(host.connections))),
            ("blocks_in_flight", .whole(Int64(host.blocksInFlight))),
            ("committed_blocks", .count(host.committedBlocks)), ("failures", .count(host.failures)),
            ("errors", byType(host.errors)),
        ])
    }

    private var errors: JSONValue { byType(snapshot.insertErrors) }

    private var rateLimited: JSONValue {
        .object(
            snapshot.rateLimited.sorted { $0.key < $1.key }.map { limit, times in
                let seconds = Double(snapshot.rateLimitedTime[limit] ?? 0) / 1000
                return (limit, .object([("times", .count(times)), ("seconds", .fraction(seconds, places: 3))]))
            })
    }

    private func byType(_ errors: [Telemetry.InsertErrorType: UInt64]) -> JSONValue {
        .object(
            errors.filter { $0.value > 0 }.sorted { $0.key.rawValue < $1.key.rawValue }.map {
                ($0.key.rawValue, .count($0.value))
            })
    }

    private func spool(_ spool: SpoolTelemetry.Snapshot) -> JSONValue {
        let oldest = Double(spool.oldest) / 1000
        return .object([
            ("unsettled_rows", .whole(Int64(spool.unsettledRows))), ("bytes", .whole(Int64(spool.bytes))),
            ("bytes_max", .whole(Int64(spool.bytesMax))), ("segments", .whole(Int64(spool.segments))),
            ("full", .flag(spool.isFull)),
            (
                "oldest_age_seconds",
                .fraction(oldest > 0 ? max(0, now.time.timeIntervalSince1970 - oldest) : 0, places: 1)
            ),
            ("restored_rows", .count(spool.restoredRows)), ("errors", byReason(spool.errors)),
            ("damaged_places", .count(spool.damagedPlaces)),
            (
                "set_aside",
                .object([
                    ("blocks", .whole(Int64(spool.setAsideBlocks))), ("rows", .whole(Int64(spool.setAsideRows))),
                    ("tables", .whole(Int64(spool.refusingTables))),
                ])
            ),
        ])
    }

    private func deadLetter(_ letter: DeadLetterStatus) -> JSONValue {
        .object([
            ("rows", .count(letter.rows)), ("blocks", .count(letter.blocks)),
            ("discarded_rows", byReason(letter.discardedRows)), ("disk_errors", .count(letter.diskErrors)),
        ])
    }

    private var latencies: JSONValue {
        let figures: [(String, (TelemetrySnapshot) -> LatencySnapshot)] = [
            ("accept", \.acceptLatency), ("durable", \.spool.commitLatency), ("seal", \.sealLatency),
            ("encode", \.encodeLatency),
            ("insert", \.insertLatency), ("end_to_end", \.endToEndLatency),
        ]
        return .object(
            [
                (
                    "seconds",
                    window.map { .fraction(($0.to.snapshot.uptime - $0.from.snapshot.uptime).seconds, places: 1) }
                        ?? .null
                )
            ]
                + figures.map { name, figure in
                    let all = figure(snapshot)
                    return (name, latency(window.map { all.since(figure($0.from.snapshot)) } ?? all))
                })
    }

    private func latency(_ latency: LatencySnapshot) -> JSONValue {
        func milliseconds(_ duration: Duration) -> JSONValue { .fraction(duration.milliseconds, places: 3) }
        return .object([
            ("count", .count(latency.count)), ("average", milliseconds(latency.average)),
            ("p50", milliseconds(latency.quantile(0.5))), ("p99", milliseconds(latency.quantile(0.99))),
            ("max", milliseconds(latency.max)),
        ])
    }

    private var tables: [TelemetrySnapshot.Table] {
        guard snapshot.tables.count > tablesMax else { return snapshot.tables }
        return Array(snapshot.tables.sorted { $0.acceptedRows > $1.acceptedRows }.prefix(tablesMax))
    }

    private func table(_ table: TelemetrySnapshot.Table) -> JSONValue {
        .object([
            ("table", .text(table.table)), ("accepted_rows", .count(table.acceptedRows)),
            ("committed_rows", .count(table.committedRows)), ("committed_bytes", .count(table.committedBytes)),
            ("committed_blocks", .count(table.committedBlocks)), ("rejected_rows", byReason(table.rejectedRows)),
        ])
    }

    private func byReason(_ counts: [String: UInt64]) -> JSONValue {
        .object(counts.sorted { $0.key < $1.key }.map { ($0.key, .count($0.value)) })
    }

    private func producer(_ producer: ProducerStatus) -> JSONValue {
        let seen = Date(timeIntervalSince1970: Double(producer.lastSeen) / 1000)
        return .object([
            ("producer", producer.name.map { .text($0) } ?? .null),
            ("epoch", producer.epoch.map { .count($0) } ?? .null), ("connected", .flag(producer.isConnected)),
            ("rows", .count(producer.rows)), ("taken_sequence", .count(producer.taken)),
            ("durable_sequence", .count(producer.durable)), ("settled_sequence", .count(producer.settled)),
            ("last_seen", .text(seen.formatted(.iso8601))),
        ])
    }

    private var samples: [JSONValue] {
        rejections.map { sample in
            .object([
                ("table", sample.table.map { .text($0) } ?? .null),
                ("column", sample.column.map { .text($0) } ?? .null), ("reason", .text(sample.reason)),
                ("message", .text(sample.message)), ("row", .text(sample.row)), ("session", .count(sample.session)),
                ("time", .text(Date(timeIntervalSince1970: Double(sample.time)).formatted(.iso8601))),
            ])
        }
    }

    private var process: JSONValue {
        let figures = now.process
        return .object([
            ("cpu_seconds", .fraction(figures.cpu.seconds, places: 3)),
            ("resident_bytes", .whole(Int64(figures.residentBytes))), ("threads", .whole(Int64(figures.threads))),
            ("open_files", .whole(Int64(figures.openFiles))),
            ("open_files_max", .whole(Int64(figures.openFilesMax))),
        ])
    }
}
