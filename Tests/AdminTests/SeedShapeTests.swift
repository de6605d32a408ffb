import Foundation
import Hummingbird
import HummingbirdTesting
import Pipeline
import Testing

@testable import Admin

/// The JSON of the requirements document, as it stands there: the same keys, in the same order, of the same kinds.
@Suite struct SeedShapeTests {
    private static let ping = """
        {
          "status": "ok",
          "health": "healthy",
          "timestamp": "2024-01-15T10:30:00Z"
        }
        """

    private static let metrics = """
        {
          "metrics": {
            "event_count": 1500000,
            "error_count": 25,
            "campaign_events": 45000,
            "mthreads_ops": 12500,
            "mstore_ops": 89000,
            "mtriage_ops": 3400,
            "connection_count": 8,
            "health_status": "healthy",
            "start_time_unix": 1705312200
          },
          "calculated": {
            "avg_latency_ms": 2.3,
            "error_rate": 0.000017,
            "uptime_seconds": 3600,
            "events_per_second": 416.7
          },
          "timestamp": "2024-01-15T10:30:00Z"
        }
        """

    /// Keys, and the kind of each value, in the order of the text: values are replaced by their kind.
    private func shape(_ json: String) -> String {
        json.filter { !$0.isWhitespace }
            .replacing(#/:"[^"]*"/#, with: ":text")
            .replacing(#/:-?[0-9.]+/#, with: ":number")
    }

    private func ask(_ path: String) async throws -> String {
        let telemetry = Telemetry(startTimeUnix: 1_705_312_200)
        telemetry.health.set(.healthy)
        telemetry.accepted(rows: 12, into: telemetry.table(.init(table: "mstore")))
        telemetry.acceptLatency.observe(.microseconds(2300))
        let application = Application(
            router: AdminRouter.make(AdminSite(telemetry: telemetry), access: .socket))
        return try await application.test(.router) { client in
            String(buffer: try await client.execute(uri: path, method: .get).body)
        }
    }

    @Test func pingIsWhatItWas() async throws { #expect(shape(try await ask("/ping")) == shape(Self.ping)) }

    @Test func metricsAreWhatTheyWere() async throws {
        let body = try await ask("/metrics")
        #expect(shape(body) == shape(Self.metrics))
        let parsed = try JSONSerialization.jsonObject(with: Data(body.utf8))
        #expect(parsed is [String: Any])
    }

    /// The words that dashboards compare with.
    @Test(arguments: [
        "initializing", "connected", "healthy", "degraded", "unhealthy", "connection_failed", "disconnected",
    ])
    func everyHealthStatusIsSpelledAsItWas(word: String) throws {
        let status = try #require(HealthStatus(rawValue: word))
        let telemetry = Telemetry()
        telemetry.health.set(status)
        #expect(Reports(Observation(of: telemetry, at: Date())).ping.line.contains("\"health\":\"\(word)\""))
    }

    @Test(arguments: ["connection", "query", "timeout", "validation", "rate_limit", "campaign", "metrics"])
    func everyTypeOfErrorIsSpelledAsItWas(word: String) throws {
        let telemetry = Telemetry()
        telemetry.insertFailed(try #require(Telemetry.InsertErrorType(rawValue: word)))
        let observation = Observation(of: telemetry, at: Date())
        #expect(
            MetricsText.write(observation.families, as: .prometheus)
                .contains("sluice_insert_errors_total{type=\"\(word)\"} 1\n"))
        #expect(StatusReport(now: observation).json.line.contains("\"errors\":{\"\(word)\":1}"))
    }
}
