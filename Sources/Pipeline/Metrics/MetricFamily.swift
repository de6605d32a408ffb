/// A metric with its samples, in the shape of Prometheus' text format; whoever serves it only writes it down.
///
/// The names follow one convention, docs/specs/metrics.md, which lists all of them.
public struct MetricFamily: Hashable, Sendable {
    public enum Kind: String, Sendable { case counter, gauge, histogram }

    public struct Sample: Hashable, Sendable {
        /// Behind the family's name: `_bucket`, `_sum`, `_count` of a histogram; empty otherwise.
        public var suffix: String
        public var labels: [Label]
        public var value: Double
    }

    public struct Label: Hashable, Sendable {
        public var name: String
        /// Not escaped yet.
        public var value: String
    }

    public let name: String
    public let help: String
    public let kind: Kind
    public let samples: [Sample]
}

extension TelemetrySnapshot {
    /// All metrics but those of the process, always in the same order. One whose source is not there has no samples.
    public var families: [MetricFamily] {
        trafficFamilies + deadLetterFamilies + sinkFamilies + hostFamilies + queueFamilies + spoolFamilies
            + stateFamilies
    }

    private var trafficFamilies: [MetricFamily] {
        [
            .counter("sluice_received_rows_total", "Rows that producers sent.", receivedRows),
            .counter("sluice_received_bytes_total", "Bytes that producers sent.", receivedBytes),
            .counter("sluice_accepted_rows_total", "Rows that passed validation.", perTable(\.acceptedRows)),
            .counter(
                "sluice_rejected_rows_total", "Rows that did not pass validation.",
                tables.flatMap { table in
                    table.rejectedRows.sorted { $0.key < $1.key }.map { reason, rows in
                        .init([("table", table.table), ("reason", reason)], rows)
                    }
                }),
            .counter("sluice_dead_lettered_rows_total", "Accepted rows that the sink refused.", deadLetteredRows),
            .counter(
                "sluice_discarded_rows_total", "Accepted rows that a chosen policy gave up.",
                labelled("reason", discardedRows, from: KnownReasons.discards)),
            .gauge("sluice_unsettled_rows", "Accepted rows on their way to the sink.", Double(conservation.inFlight)),
            .gauge("sluice_producer_connections", "Open sessions.", Double(producerConnections)),
            .counter("sluice_sessions_opened_total", "Sessions that were opened.", sessionsOpened),
            .counter(
                "sluice_sessions_refused_total", "Sessions that were turned away.",
                labelled("reason", sessionsRefused, from: KnownReasons.refusedSessions)),
            .counter(
                "sluice_rate_limited_total", "How often a session was held or sent away for being too fast.",
                labelled("limit", rateLimited, from: KnownReasons.rateLimits)),
            .counter(
                "sluice_rate_limited_seconds_total", "For so long, summed over them.",
                KnownReasons.filled(rateLimitedTime, with: KnownReasons.rateLimits).sorted { $0.key < $1.key }.map {
                    .init([("limit", $0.key)], Double($0.value) / 1000)
                }),
            .counter(
                "sluice_session_errors_total", "Sessions that ended with an error.", labelled("code", sessionErrors)),
            .counter("sluice_duplicate_rows_total", "Rows that were sent again and not taken twice.", duplicateRows),
            .counter("sluice_nacks_total", "Rejected rows that their producers were told of.", nacks),
            .counter(
                "sluice_nacks_left_out_total", "Rejected rows of which producers were told only how many.", nacksLeftOut
            ),
            .histogram(
                "sluice_accept_latency_seconds", "From a row's arrival until its batch is validated.", acceptLatency),
        ]
    }

    private var deadLetterFamilies: [MetricFamily] {
        [
            .counter(
                "sluice_dead_letter_rows_total", "Rejected rows that were written to the dead letter.",
                deadLetter.map { [.init([], $0.rows)] } ?? []),
            .counter(
                "sluice_dead_letter_blocks_total", "Refused blocks that were written to the dead letter.",
                deadLetter.map { [.init([], $0.blocks)] } ?? []),
            .counter(
                "sluice_dead_letter_discarded_rows_total", "Rows that the dead letter keeps no longer, or never kept.",
                deadLetter.map {
                    labelled("reason", $0.discardedRows, from: KnownReasons.deadLetterDiscards)
                } ?? []),
            .counter(
                "sluice_dead_letter_disk_errors_total", "Writes to the dead letter that failed.",
                deadLetter.map { [.init([], $0.diskErrors)] } ?? []),
        ]
    }

    private var spoolFamilies: [MetricFamily] {
        [
            .gauge("sluice_spool_bytes", "Bytes of the spool on disk.", Double(spool.bytes)),
            .gauge("sluice_spool_bytes_max", "Their bound; 0: there is no spool.", Double(spool.bytesMax)),
            .gauge("sluice_spool_segments", "Files of the spool.", Double(spool.segments)),
            .gauge(
                "sluice_spool_unsettled_rows", "Rows in the spool that are not settled.", Double(spool.unsettledRows)),
            .gauge(
                "sluice_spool_oldest_timestamp_seconds",
                "When the oldest row that is not settled was written, since 1970; 0: there is none.",
                Double(spool.oldest) / 1000),
            .gauge("sluice_spool_full", "1 while rows wait because the spool has no room.", spool.isFull ? 1 : 0),
            .counter("sluice_spool_restored_rows_total", "Rows that an earlier run left.", spool.restoredRows),
            .counter("sluice_spool_commits_total", "Groups that were written.", spool.commits),
            .counter(
                "sluice_spool_errors_total", "Calls of the disk that failed.",
                spool.bytesMax > 0 ? labelled("reason", spool.errors, from: KnownReasons.spoolErrors) : []),
            .counter(
                "sluice_spool_damaged_places_total", "Places where the disk lost something that was whole.",
                spool.damagedPlaces),
            .gauge(
                "sluice_spool_set_aside_blocks", "Blocks that wait because their table takes none for now.",
                Double(spool.setAsideBlocks)),
            .gauge("sluice_spool_set_aside_rows", "Their rows.", Double(spool.setAsideRows)),
            .gauge("sluice_spool_refusing_tables", "Tables that take none for now.", Double(spool.refusingTables)),
            .counter("sluice_spool_set_asides_total", "How often a block was set aside.", spool.setAsides),
            .histogram(
                "sluice_spool_commit_latency_seconds", "From a group's first byte until it is durable.",
                spool.commitLatency),
        ]
    }

    private var sinkFamilies: [MetricFamily] {
        [
            .counter("sluice_committed_rows_total", "Rows that the sink confirmed.", perTable(\.committedRows)),
            .counter("sluice_committed_blocks_total", "Blocks that the sink confirmed.", perTable(\.committedBlocks)),
            .counter("sluice_committed_bytes_total", "Bytes that the sink confirmed.", perTable(\.committedBytes)),
            .counter("sluice_sealed_blocks_total", "Blocks by what sealed them.", labelled("reason", sealedBlocks)),
            .counter("sluice_raw_bytes_total", "Bytes of blocks before compression.", rawBytes),
            .counter("sluice_encoded_bytes_total", "Bytes of blocks after compression.", encodedBytes),
            .counter(
                "sluice_insert_errors_total", "Attempts to insert that failed.",
                labelled("type", Dictionary(uniqueKeysWithValues: insertErrors.map { ($0.rawValue, $1) }))),
            .counter(
                "sluice_split_blocks_total", "Blocks that were sent in pieces, by why.", labelled("reason", splitBlocks)
            ),
            .counter(
                "sluice_duplicate_blocks_total",
                "Blocks sent again that the server called duplicates, by whether it had them.",
                labelled("finding", duplicateBlocks)),
            .counter(
                "sluice_refitted_blocks_total", "Blocks that were made to fit a table that had changed, by how.",
                labelled("reason", refittedBlocks)),
            .gauge("sluice_in_flight_blocks", "Blocks that were sent and are not confirmed.", Double(blocksInFlight)),
            .gauge("sluice_in_flight_rows", "Rows that were sent and are not confirmed.", Double(rowsInFlight)),
            .gauge("sluice_sink_connections", "Open connections to the sink.", Double(sinkConnections)),
            .histogram(
                "sluice_seal_latency_seconds", "From the arrival of a block's first row until the block is sealed.",
                sealLatency),
            .histogram("sluice_encode_latency_seconds", "Encoding and compressing one block.", encodeLatency),
            .histogram(
                "sluice_insert_latency_seconds", "From a block's first byte to its confirmation.", insertLatency),
            .histogram(
                "sluice_end_to_end_latency_seconds", "From a row's arrival to its confirmation.", endToEndLatency),
        ]
    }

    private var hostFamilies: [MetricFamily] {
        [
            .gauge(
                "sluice_host_breaker", "1 for the state that the host's circuit breaker is in.",
                hosts.flatMap { host in
                    HostTelemetry.BreakerState.allCases.map {
                        .init([("host", host.host), ("state", $0.rawValue)], $0 == host.breaker ? 1 : 0)
                    }
                }),
            .counter(
                "sluice_host_breaker_opened_total", "How often the host was left alone for a while.",
                perHost(\.breakerOpened)),
            .counter(
                "sluice_host_failures_total", "Connects and inserts that failed at the host.", perHost(\.failures)),
            .counter(
                "sluice_host_errors_total", "Connects, inserts and questions that went wrong at the host.",
                hosts.flatMap { host in
                    Telemetry.InsertErrorType.allCases.map {
                        .init([("host", host.host), ("type", $0.rawValue)], host.errors[$0] ?? 0)
                    }
                }),
            .counter(
                "sluice_host_committed_blocks_total", "Blocks that the host confirmed.", perHost(\.committedBlocks)),
            .gauge(
                "sluice_host_connections", "Open connections to the host.",
                hosts.map { .init([("host", $0.host)], Double($0.connections)) }),
            .gauge(
                "sluice_host_in_flight_blocks", "Blocks that were sent to the host and are not confirmed.",
                hosts.map { .init([("host", $0.host)], Double($0.blocksInFlight)) }),
        ]
    }

    private func perHost(_ figure: KeyPath<HostTelemetry.Snapshot, UInt64>) -> [MetricFamily.Sample] {
        hosts.map { .init([("host", $0.host)], $0[keyPath: figure]) }
    }

    private var queueFamilies: [MetricFamily] {
        [
            .gauge(
                "sluice_stage_rows", "Rows that a stage holds.",
                stages.map { .init([("stage", $0.name)], Double($0.rows)) }),
            .gauge("sluice_open_rows", "Rows in open blocks.", Double(openRows)),
            .gauge("sluice_open_bytes", "Bytes in open blocks.", Double(openBytes)),
            .gauge(
                "sluice_recycled_bytes", "Memory that nobody uses and that is kept to be used again.",
                recycledBytes.sorted { $0.key < $1.key }.map { .init([("of", $0.key)], Double($0.value)) }),
            .gauge("sluice_queue_elements", "Elements that wait for a stage.", perStream { Double($0.elements) }),
            .gauge("sluice_queue_elements_max", "Their bound.", perStream { Double($0.elementsMax) }),
            .gauge(
                "sluice_queue_rows", "Rows that wait for a stage.",
                streams.compactMap { stream in stream.rows.map { .init([("stage", stream.name)], Double($0)) } }),
            .gauge("sluice_queue_bytes", "Bytes that wait for a stage.", perStream { Double($0.bytes) }),
            .gauge("sluice_queue_bytes_max", "Their bound.", perStream { Double($0.bytesMax) }),
            MetricFamily(
                name: "sluice_queue_blocked_seconds_total",
                help: "Time that senders waited for room, summed over them.",
                kind: .counter, samples: perStream { $0.sendersSuspended.seconds }),
        ]
    }

    private var stateFamilies: [MetricFamily] {
        [
            .gauge(
                "sluice_info", "What runs; always 1.", [.init([("version", version), ("sink", sink)], 1.0)]),
            .gauge(
                "sluice_intake", "1 for the state that taking rows is in.",
                IntakeState.allCases.map { .init([("state", $0.rawValue)], $0 == intake ? 1.0 : 0) }),
            .gauge(
                "sluice_health", "1 for the status that holds.",
                HealthStatus.allCases.map { .init([("status", $0.rawValue)], $0 == health ? 1.0 : 0) }),
            .gauge("sluice_start_time_seconds", "Start of the process, since 1970.", Double(startTimeUnix)),
            .gauge("sluice_uptime_seconds", "Time since then.", uptimeSeconds),
            .counter(
                "sluice_admin_requests_total", "Requests to the endpoints.", labelled("outcome", adminRequests)),
            .counter("sluice_audit_errors_total", "Lines that the audit log could not take.", auditErrors),
        ]
    }

    private func perTable(_ figure: KeyPath<Table, UInt64>) -> [MetricFamily.Sample] {
        tables.map { .init([("table", $0.table)], $0[keyPath: figure]) }
    }

    /// - Parameter known: values of the label that have a series before they happen.
    private func labelled(
        _ label: String, _ figures: [String: UInt64], from known: [String] = []
    ) -> [MetricFamily.Sample] {
        KnownReasons.filled(figures, with: known).sorted { $0.key < $1.key }.map { .init([(label, $0.key)], $0.value) }
    }

    private func perStream(_ figure: (BoundedStreamSnapshot) -> Double) -> [MetricFamily.Sample] {
        streams.map { .init([("stage", $0.name)], figure($0.state)) }
    }
}

extension MetricFamily.Sample {
    fileprivate init(_ labels: [(String, String)], _ value: Double, suffix: String = "") {
        self.init(suffix: suffix, labels: labels.map { .init(name: $0.0, value: $0.1) }, value: value)
    }

    fileprivate init(_ labels: [(String, String)], _ value: UInt64) { self.init(labels, Double(value)) }
}

extension MetricFamily {
    fileprivate static func counter(_ name: String, _ help: String, _ samples: [Sample]) -> MetricFamily {
        MetricFamily(name: name, help: help, kind: .counter, samples: samples)
    }

    fileprivate static func counter(_ name: String, _ help: String, _ value: UInt64) -> MetricFamily {
        counter(name, help, [Sample([], value)])
    }

    fileprivate static func gauge(_ name: String, _ help: String, _ samples: [Sample]) -> MetricFamily {
        MetricFamily(name: name, help: help, kind: .gauge, samples: samples)
    }

    fileprivate static func gauge(_ name: String, _ help: String, _ value: Double) -> MetricFamily {
        gauge(name, help, [Sample([], value)])
    }

    fileprivate static func histogram(_ name: String, _ help: String, _ state: LatencySnapshot) -> MetricFamily {
        var samples: [Sample] = []
        for bound in LatencySnapshot.exportedBounds {
            samples.append(
                Sample([("le", "\(bound.seconds)")], Double(state.cumulative(to: bound)), suffix: "_bucket"))
        }
        let count = Double(state.count)
        samples.append(Sample([("le", "+Inf")], count, suffix: "_bucket"))
        samples.append(Sample([], state.sum.seconds, suffix: "_sum"))
        samples.append(Sample([], count, suffix: "_count"))
        return MetricFamily(name: name, help: help, kind: .histogram, samples: samples)
    }
}

extension ProcessFigures {
    /// Under the names of Prometheus' client libraries.
    ///
    /// - Parameter startTimeUnix: seconds since 1970.
    public func families(startTimeUnix: Int64) -> [MetricFamily] {
        [
            MetricFamily(
                name: "process_cpu_seconds_total", help: "CPU time, user and system.", kind: .counter,
                samples: [.init([], cpu.seconds)]),
            .gauge("process_resident_memory_bytes", "Memory that is resident.", Double(residentBytes)),
            .gauge("process_virtual_memory_bytes", "Memory that is mapped.", Double(virtualBytes)),
            .gauge("process_open_fds", "Descriptors that are open.", Double(openFiles)),
            .gauge("process_max_fds", "Their bound.", Double(openFilesMax)),
            .gauge("process_threads", "Threads.", Double(threads)),
            .gauge("process_start_time_seconds", "Start of the process, since 1970.", Double(startTimeUnix)),
        ]
    }
}
