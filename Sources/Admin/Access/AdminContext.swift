import CSluice
import Hummingbird
import NIOCore

/// What a request carries along: who asks.
struct AdminContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let peer: AdminPeer

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        peer = AdminPeer(channel: source.channel)
    }

    /// No endpoint takes a body.
    var maxUploadSize: Int { 0 }
}

/// The other end of a connection.
struct AdminPeer: Sendable {
    private let channel: any Channel

    init(channel: any Channel) { self.channel = channel }

    private var isUnix: Bool { channel.localAddress?.protocol == .unix }

    /// What requests are counted by: the address; of IPv6 the network, for a host has as many addresses as it likes.
    var group: String {
        switch channel.remoteAddress {
        case .v4(let address): address.host.isEmpty ? ipText : address.host
        case .v6(let address):
            withUnsafeBytes(of: address.address.sin6_addr) { bytes in
                bytes.prefix(8).map { String($0, radix: 16) }.joined(separator: ".")
            }
        default: "unix"
        }
    }

    private var ipText: String { channel.remoteAddress?.ipAddress ?? "unknown" }

    /// For the audit log: `tcp 10.0.0.7`, `unix uid 0 pid 812`.
    func description() async -> String {
        guard isUnix else { return "tcp \(ipText)" }
        let channel = self.channel
        let credentials = try? await channel.eventLoop.submit { () -> (UInt32, Int32)? in
            var (uid, gid, pid) = (UInt32(0), UInt32(0), Int32(0))
            let result = try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
                of: NIOBSDSocket.Handle.self
            ) { sluice_peer_credentials($0, &uid, &gid, &pid) }
            return result == 0 ? (uid, pid) : nil
        }.get()
        guard let (uid, pid) = credentials else { return "unix" }
        return "unix uid \(uid) pid \(pid)"
    }
}
