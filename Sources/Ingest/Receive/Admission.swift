import Logging
import NIOCore
import Pipeline

/// Who was turned away at the door, for the audit log.
public struct PeerRefusal: Sendable, Hashable {
    /// `unix uid 1000 gid 1000 pid 812`.
    public let peer: String
    /// `not_allowed` or `too_many_of_user`.
    public let reason: String
}

/// Why a connection does not become a session, or a session ends because of who it is.
enum Refusal: Sendable {
    case tooMany(Int)
    case tooManyOfUser(Int)
    case notAllowed(Peer?)
    case stopping

    /// A bounded set, for metrics; nil: it is no refusal, but a stop.
    var reason: String? {
        switch self {
        case .tooMany: "too_many_connections"
        case .tooManyOfUser: "too_many_of_user"
        case .notAllowed: "not_allowed"
        case .stopping: nil
        }
    }

    /// What the producer is told; no dialect is known yet.
    var answer: String {
        switch self {
        case .tooMany(let limit): "too many connections (limit \(limit))"
        case .tooManyOfUser(let limit): "too many connections of this user (limit \(limit))"
        case .notAllowed(let peer): "not_allowed: \(Self.message(peer))"
        case .stopping: "the daemon stops"
        }
    }

    static func message(_ peer: Peer?) -> String {
        guard let peer else { return "the system does not say who connects; ask the operator" }
        return "user \(peer.user) (group \(peer.group)) may not send rows here; ask the operator"
    }
}

extension SessionContext {
    /// Lets a connection in, or says why not.
    func handler(for channel: any Channel) -> any ChannelHandler {
        let rules = limits.current.rules
        let peer = Peer.of(channel, withGroups: rules.needGroups)
        let refusal: Refusal
        if !rules.admit(peer) {
            refusal = .notAllowed(peer)
        } else {
            switch registry.admit(user: peer?.user) {
            case .admitted(let session):
                return SessionHandler(session: session, peer: peer, shared: self, eventLoop: channel.eventLoop)
            case .full(let limit): refusal = .tooMany(limit)
            case .fullOfUser(let limit): refusal = .tooManyOfUser(limit)
            case .stopping: refusal = .stopping
            }
        }
        note(refusal, peer)
        return RefusalHandler(answer: "error: \(refusal.answer)")
    }

    func note(_ refusal: Refusal, _ peer: Peer?) {
        guard let reason = refusal.reason else { return }
        telemetry.sessionsRefused.add(reason: reason)
        let who = peer.map { "unix \($0)" } ?? "unix unknown"
        logger.debug("connection refused", metadata: ["reason": "\(reason)", "peer": "\(who)"])
        if case .tooMany = refusal { return }
        onRefusal(PeerRefusal(peer: who, reason: reason))
    }
}
