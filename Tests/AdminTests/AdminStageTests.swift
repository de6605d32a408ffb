import Foundation
import Hummingbird
import HummingbirdTesting
import Logging
import Pipeline
import TestSupport
import Testing

@testable import Admin

/// The endpoints on a real socket, run as the daemon runs them.
@Suite struct AdminStageTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func stage(port: Int, _ ports: Recorder<Int>) -> AdminStage {
        var settings = AdminSettings()
        settings.port = port
        return AdminStage(settings: settings, telemetry: Telemetry(), logger: logger, onListening: ports.record)
    }

    @Test(.timeLimit(.minutes(1))) func answersUntilItIsStoppedAndAnIdleClientHoldsNothingUp() async throws {
        let ports = Recorder<Int>()
        let runtime = Runtime(
            stages: [stage(port: 0, ports)], shutdownTimeout: .seconds(30), logger: logger, exitNow: { _ in })
        let running = Task { try await runtime.run(signals: false) }
        let port = await ports.wait(count: 1)[0]

        let reason = try await TestClient.withClient(host: "127.0.0.1", port: port) { client in
            let response = try await client.get("/ping")
            #expect(response.status == .ok)
            // The client's connection stays open meanwhile.
            runtime.stop()
            return try await running.value
        }
        #expect(reason == .drained)
    }

    @Test(.timeLimit(.minutes(1))) func aPortThatIsTakenIsNamed() async throws {
        let ports = Recorder<Int>()
        let first = stage(port: 0, ports)
        let running = Task { try await first.run() }
        let port = await ports.wait(count: 1)[0]

        let error = await #expect(throws: AdminError.self) { try await stage(port: port, Recorder()).run() }

        #expect(error?.description.contains("127.0.0.1:\(port)") == true)
        running.cancel()
        _ = try? await running.value
    }
}
