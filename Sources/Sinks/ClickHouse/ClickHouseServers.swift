import ClickHouseNative
import Foundation
import Logging
import NIOCore
import NIOPosix
import Pipeline
import Synchronization

/// The servers that the configuration names: makes connections to them, and knows what the last one spoke.
public final class ClickHouseServers: Sendable {
    public let settings: ClickHouseSettings
    let health: SinkHealth
    private let security: TransportSecurity?
    private let configuration: ConnectionConfiguration
    private let group: any EventLoopGroup
    private let logger: Logger
    private let lastRevision = Mutex<Revision?>(nil)

    /// - Throws: When the certificate authorities cannot be read.
    public init(
        settings: ClickHouseSettings, telemetry: Telemetry, logger: Logger,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) throws {
        self.settings = settings
        self.group = group
        self.logger = logger
        health = SinkHealth(telemetry: telemetry, logger: logger)
        security = settings.secure ? try TransportSecurity(caCertificate: settings.caCert) : nil
        configuration = ConnectionConfiguration(
            credentials: Credentials(
                user: settings.username, password: settings.password.revealed, database: settings.database),
            identity: ClientIdentity(hostName: Self.hostName))
    }

    /// The machine's own name, as the kernel has it: no question to a name server.
    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "" }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// What the server spoke that was connected to last; the newest while there was none.
    public var revision: Revision { lastRevision.withLock { $0 } ?? .newest }

    /// Tries the hosts in order until one lets us in.
    ///
    /// - Parameter first: number of the host to begin with; the others follow in a circle.
    /// - Throws: `ConnectionError` of the last host.
    func connect(startingAt first: Int = 0) async throws(ConnectionError) -> LeasedConnection {
        var last = ConnectionError(.connectionClosed)
        for place in settings.hosts.indices {
            let number = (first + place) % settings.hosts.count
            let host = settings.hosts[number]
            do {
                let connection = try await NativeConnection.connect(
                    to: host, configuration, security: security, timeout: settings.connectTimeout, on: group)
                return leased(connection, hostNumber: number)
            } catch {
                if error.code == .cancelled { throw error }
                logger.warning(
                    "cannot connect to ClickHouse", metadata: ["host": "\(host)", "error": "\(error.forLog)"])
                last = error
            }
        }
        health.connectingFailed()
        throw last
    }

    private func leased(_ connection: NativeConnection, hostNumber: Int) -> LeasedConnection {
        lastRevision.withLock { $0 = connection.revision }
        let hello = connection.hello
        logger.info(
            "connected to ClickHouse",
            metadata: [
                "host": "\(connection.host)", "server": "\(hello.major).\(hello.minor).\(hello.patch)",
                "revision": "\(hello.revision)",
            ])
        let leased = LeasedConnection(connection, hostNumber: hostNumber)
        health.connected()
        connection.whenClosed { [health] in
            health.connectionEnded(wasIntended: leased.isDone.load(ordering: .acquiring))
        }
        return leased
    }
}

/// A connection that is counted, and of which is known whether its end was meant.
final class LeasedConnection: Sendable {
    let native: NativeConnection
    /// Among the configured hosts.
    let hostNumber: Int
    fileprivate let isDone = Atomic(false)

    fileprivate init(_ native: NativeConnection, hostNumber: Int) {
        self.native = native
        self.hostNumber = hostNumber
    }

    func close() async {
        isDone.store(true, ordering: .releasing)
        await native.close()
    }
}

extension ConnectionError {
    /// With the cause that the network gives, which a description leaves out; without any text of the server's.
    var forLog: String {
        guard code != .refusedByServer, let cause else { return description }
        return "\(description): \(cause)"
    }
}
