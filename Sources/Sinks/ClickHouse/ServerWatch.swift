import ClickHouseNative
import Logging
import Pipeline

/// Knows whether a server answers while there is nothing to ship: asks one from time to time. Ships nothing and stops
/// nobody; the health hangs on it, and that a host which was left alone is found well again.
///
/// It also closes connections that got too old, and reads certificates again that changed.
struct ServerWatch: Sendable {
    static let interval: Duration = .seconds(5)

    let servers: ClickHouseServers
    let clock: StageClock

    /// Until it is cancelled.
    func run() async {
        while !Task.isCancelled {
            await check()
            do {
                try await clock.sleep(for: Self.interval)
            } catch {
                break
            }
            servers.reloadChangedCertificates()
            await servers.closeExpired()
        }
    }

    private func check() async {
        // Nobody lets us in, or none is to be tried: the health was told by that.
        guard let lease = try? await servers.borrow() else { return }
        do {
            try await lease.native.ping(timeout: servers.settings.healthCheckTimeout)
            await servers.giveBack(lease, .answered)
        } catch {
            await servers.giveBack(lease, Task.isCancelled ? .abandoned : .failed, error: error)
        }
    }
}
