import ClickHouseNative
import Logging
import Pipeline

/// Knows whether the server answers while there is nothing to ship: holds a connection of its own and asks from time to
/// time. Ships nothing and stops nobody; only the health hangs on it.
struct ServerWatch: Sendable {
    static let interval: Duration = .seconds(5)
    static let answerTimeMax: Duration = .seconds(5)

    let servers: ClickHouseServers
    let clock: StageClock

    /// Until it is cancelled.
    func run() async {
        var connection: LeasedConnection?
        while !Task.isCancelled {
            connection = await checked(connection)
            do {
                try await clock.sleep(for: Self.interval)
            } catch {
                break
            }
        }
        await connection?.close()
    }

    private func checked(_ connection: LeasedConnection?) async -> LeasedConnection? {
        guard let connection else { return try? await servers.connect() }
        do {
            try await connection.native.ping(timeout: Self.answerTimeMax)
            return connection
        } catch {
            // Whoever lost it, it is gone now; the health was told by that.
            await connection.native.close()
            return Task.isCancelled ? nil : try? await servers.connect()
        }
    }
}
