import CSluice
import NIOCore
import Pipeline

/// The process at the other end of a session, as the kernel knew it when it connected.
struct Peer: Hashable, Sendable, CustomStringConvertible {
    let user: UInt32
    let group: UInt32
    /// 0 or less: the system does not tell, or it lives where its number means nothing here.
    let process: Int32
    /// Supplementary ones.
    var groups: [UInt32] = []

    var description: String { "uid \(user) gid \(group) pid \(process)" }

    /// As a channel's transport knows it; nil: it is no Unix socket, or gone.
    ///
    /// - Parameter withGroups: whether to ask for the supplementary groups.
    static func of(_ channel: any Channel, withGroups: Bool) -> Peer? {
        try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
            descriptor -> Peer? in
            var (user, group, process) = (UInt32(0), UInt32(0), Int32(0))
            guard sluice_peer_credentials(descriptor, &user, &group, &process) == 0 else { return nil }
            var peer = Peer(user: user, group: group, process: process)
            if withGroups { peer.groups = supplementaryGroups(of: descriptor) }
            return peer
        } ?? nil
    }

    /// As many as the kernel lets a process have.
    private static let groupsMax = 65_536

    private static func supplementaryGroups(of descriptor: CInt) -> [UInt32] {
        var count = sluice_peer_groups(descriptor, nil, 0)
        guard count > 0, count <= groupsMax else { return [] }
        var groups = [UInt32](repeating: 0, count: Int(count))
        count = sluice_peer_groups(descriptor, &groups, groups.count)
        return count >= 0 ? Array(groups.prefix(Int(count))) : []
    }
}

/// Who may connect, beyond what the socket's mode says.
struct PeerRules: Hashable, Sendable {
    private let users: Set<UInt32>
    private let groups: Set<UInt32>

    /// - Throws: `ReceiveError` for a name that the system does not know.
    init(_ settings: ReceiveSettings) throws {
        users = Set(try settings.allowedUsers.map(ListeningSocket.userID))
        groups = Set(try settings.allowedGroups.map(ListeningSocket.groupID))
    }

    var admitAll: Bool { users.isEmpty && groups.isEmpty }
    var needGroups: Bool { !groups.isEmpty }

    /// - Parameter peer: nil: the system does not tell who it is, and so it is nobody who may.
    func admit(_ peer: Peer?) -> Bool {
        if admitAll { return true }
        guard let peer else { return false }
        return users.contains(peer.user) || groups.contains(peer.group) || !groups.isDisjoint(with: peer.groups)
    }
}
