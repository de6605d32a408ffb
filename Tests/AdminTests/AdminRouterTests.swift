import Foundation
import Hummingbird
import HummingbirdTesting
import Pipeline
import Testing

@testable import Admin

/// The endpoints, asked as clients ask them.
@Suite struct AdminRouterTests {
    /// Time stands still, or a slow machine would show in the figures.
    private let telemetry: Telemetry = {
        let now = ContinuousClock.now
        return Telemetry(clock: StageClock(now: { now }, sleep: { _ in }), startTimeUnix: 1_705_312_200)
    }()

    /// 2024-01-15T10:30:00Z.
    private static let time = Date(timeIntervalSince1970: 1_705_314_600)

    private func ask(_ uri: String, accept: String? = nil) async throws -> TestResponse {
        var site = AdminSite(telemetry: telemetry)
        site.time = { Self.time }
        return try await Application(router: AdminRouter.make(site, access: .socket)).test(.router) { client in
            var headers = HTTPFields()
            headers[.accept] = accept
            return try await client.execute(uri: uri, method: .get, headers: headers)
        }
    }

    @Test func pingHasTheShapeThatProbesKnow() async throws {
        telemetry.health.set(.unhealthy)

        let response = try await ask("/ping")

        #expect(response.status == .ok)
        #expect(response.headers[.contentType] == "application/json; charset=utf-8")
        #expect(
            String(buffer: response.body)
                == "{\"status\":\"ok\",\"health\":\"unhealthy\",\"timestamp\":\"2024-01-15T10:30:00Z\"}\n")
    }

    @Test func metricsHaveTheKeysThatDashboardsKnowInTheirOrder() async throws {
        telemetry.accepted(rows: 3, into: telemetry.table(.init(table: "mstore")))
        telemetry.accepted(rows: 4, into: telemetry.table(.init(database: "a", table: "mthreads")))
        telemetry.accepted(rows: 2, into: telemetry.table(.init(table: "events")))
        telemetry.table(.init(table: "events")).rejectedRows.add(reason: "parse")
        telemetry.acceptLatency.observe(.microseconds(2300))
        telemetry.sinkConnections.set(8)
        telemetry.health.set(.healthy)

        let body = String(buffer: try await ask("/metrics").body)

        let expected = #"""
            {"metrics":{"event_count":9,"error_count":1,"campaign_events":7,"mthreads_ops":4,"mstore_ops":3,\#
            "mtriage_ops":0,"connection_count":8,"health_status":"healthy","start_time_unix":1705312200},\#
            "calculated":{"avg_latency_ms":2.3,"error_rate":0.1,"uptime_seconds":0,"events_per_second":9},\#
            "timestamp":"2024-01-15T10:30:00Z"}

            """#
        #expect(body == expected)
    }

    @Test(
        arguments: [
            (nil, "json"), ("*/*", "json"), ("application/json", "json"), ("text/html,*/*;q=0.8", "json"),
            ("application/json, text/plain, */*", "json"), ("text/plain", "text"), ("text/*", "text"),
            ("text/plain;q=0.1, application/json", "json"), ("application/*", "json"),
            ("application/openmetrics-text", "openmetrics"),
            // What Prometheus 2 sends, and what it sends without OpenMetrics.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                "openmetrics"
            ),
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", "text"),
            ("text/plain, application/openmetrics-text;q=0.5", "text"),
        ] as [(String?, String)])
    func eachClientGetsTheFormItAsksFor(accept: String?, form: String) async throws {
        let types = [
            "json": "application/json; charset=utf-8", "text": "text/plain; version=0.0.4; charset=utf-8",
            "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ]

        #expect(try await ask("/metrics", accept: accept).headers[.contentType] == types[form])
        // The other address never gives JSON.
        let other = form == "openmetrics" ? "openmetrics" : "text"
        #expect(try await ask("/metrics/prometheus", accept: accept).headers[.contentType] == types[other])
    }

    @Test func openMetricsNamesACounterWithoutItsEndAndSaysWhereItEnds() async throws {
        telemetry.accepted(rows: 3, into: telemetry.table(.init(table: "t")))

        let body = String(
            buffer: try await ask("/metrics", accept: "application/openmetrics-text").body)

        #expect(body.contains("# TYPE sluice_accepted_rows counter\nsluice_accepted_rows_total{table=\"t\"} 3\n"))
        #expect(body.contains("# TYPE process_cpu_seconds counter\n"))
        #expect(body.hasSuffix("\n# EOF\n"))
    }

    @Test func prometheusHasAnAddressOfItsOwn() async throws {
        telemetry.accepted(rows: 3, into: telemetry.table(.init(table: "a\"b\\c\nd")))

        let body = String(buffer: try await ask("/metrics/prometheus").body)

        #expect(body.contains("# TYPE sluice_accepted_rows_total counter\n"))
        #expect(body.contains("sluice_accepted_rows_total{table=\"a\\\"b\\\\c\\nd\"} 3\n"))
        #expect(body.contains("sluice_accept_latency_seconds_bucket{le=\"+Inf\"} 0\n"))
        #expect(body.hasSuffix("\n"))
    }

    @Test func statusTellsWhereTheRowsAre() async throws {
        let stream = BoundedStream<Int>(QueueSettings(elementsMax: 8, bytesMax: 64), weight: { $0 })
        telemetry.observe(stream, as: "validate")
        _ = stream.trySend(5)
        telemetry.accepted(rows: 3, into: telemetry.table(.init(table: "mstore")))

        let body = String(buffer: try await ask("/status").body)

        #expect(body.contains("\"accepted\":3,\"committed\":0,\"dead_lettered\":0,\"discarded\":0,\"in_flight\":3"))
        let queue = #"{"elements":1,"elements_max":8,"rows":null,"bytes":5,"bytes_max":64,"senders_waiting":0"#
        #expect(body.contains(#"{"stage":"validate","rows":0,"queue":\#(queue)"#))
    }

    @Test func aMethodThatAnEndpointDoesNotTakeIsSaidSo() async throws {
        let application = Application(router: AdminRouter.make(AdminSite(telemetry: telemetry), access: .socket))
        try await application.test(.router) { client in
            let get = try await client.execute(uri: "/reload", method: .get)
            #expect(get.status == .methodNotAllowed && get.headers[.allow] == "POST")
            let flush = try await client.execute(uri: "/tables/mstore/flush", method: .get)
            #expect(flush.status == .methodNotAllowed)
            let post = try await client.execute(uri: "/status", method: .post)
            #expect(post.status == .methodNotAllowed && post.headers[.allow] == "GET, HEAD")
            let head = try await client.execute(uri: "/ping", method: .head)
            #expect(head.status == .ok && head.body.readableBytes == 0)
        }
    }

    @Test func whoAsksForWhatIsNotThereLearnsWhatThereIs() async throws {
        let response = try await ask("/metrix")

        #expect(response.status == .notFound)
        #expect(String(buffer: response.body).contains("GET /metrics"))
    }

    @Test(
        arguments: [
            (0.000017, 9, "0.000017"), (1e-12, 9, "0"), (416.66, 1, "416.7"), (2, 3, "2"), (.nan, 3, "0"),
            (-0.0001, 2, "0"),
            (100, 0, "100"),
        ] as [(Double, Int, String)])
    func numbersAreWrittenWithoutExponents(value: Double, places: Int, text: String) {
        #expect(JSONValue.fraction(value, places: places).line == text + "\n")
    }
}
