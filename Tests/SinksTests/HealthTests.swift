import Pipeline
import Testing

@testable import Sinks

@Suite struct HealthTests {
    /// The table of docs/specs/sinks.md: for each event what each of the seven states becomes.
    private static let table: [(event: HealthEvent, becomes: [HealthStatus: HealthStatus])] = [
        (
            .connected,
            [
                .initializing: .connected, .connected: .connected, .healthy: .healthy, .degraded: .degraded,
                .unhealthy: .unhealthy, .connectionFailed: .connected, .disconnected: .connected,
            ]
        ),
        (.committed, all(.healthy)),
        (
            .failed(inARow: 4, connections: 1), all(.degraded)
        ),
        (.failed(inARow: 5, connections: 1), all(.unhealthy)),
        (.failed(inARow: 9, connections: 0), same),
        (.connectingFailed(connections: 0), all(.connectionFailed)),
        (
            .connectingFailed(connections: 2),
            all(.degraded).merging([.unhealthy: .unhealthy]) { $1 }
        ),
        (.connectionLost(connectionsLeft: 0), all(.disconnected)),
        (.connectionLost(connectionsLeft: 1), same),
        (.stopped, all(.disconnected)),
    ]

    private static func all(_ status: HealthStatus) -> [HealthStatus: HealthStatus] {
        Dictionary(uniqueKeysWithValues: HealthStatus.allCases.map { ($0, status) })
    }

    private static let same = Dictionary(uniqueKeysWithValues: HealthStatus.allCases.map { ($0, $0) })

    @Test func everyStateKnowsWhatEveryEventMeans() {
        for (event, becomes) in Self.table {
            for status in HealthStatus.allCases {
                #expect(status.after(event) == becomes[status], "\(status) after \(event)")
            }
        }
    }

    @Test func whatTheServerSaysOfRowsIsNoMatterOfHealth() {
        let telemetry = Telemetry()
        let health = SinkHealth(telemetry: telemetry, logger: SinkFixture.quiet)
        health.connected()
        health.insertSucceeded()
        for _ in 0..<9 { health.insertFailed(.validation, isOfRows: true) }
        #expect(telemetry.health.status == .healthy)
        for _ in 0..<4 { health.insertFailed(.query, isOfRows: false) }
        #expect(telemetry.health.status == .degraded)
        health.insertFailed(.timeout, isOfRows: false)
        #expect(telemetry.health.status == .unhealthy)
        health.insertSucceeded()
        health.insertFailed(.query, isOfRows: false)
        #expect(telemetry.health.status == .degraded)
        health.connectionEnded(wasIntended: false)
        #expect(telemetry.health.status == .disconnected)
        #expect(telemetry.snapshot().insertErrors[.validation] == 9)
    }
}
