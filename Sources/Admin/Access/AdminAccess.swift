import Hummingbird
import Pipeline

/// Who may do what on one of the listeners.
enum AdminAccess: Sendable {
    /// A Unix socket: whoever may open it may do everything.
    case socket
    /// TCP on loopback without a token: everybody on this machine may look, nobody may change anything.
    case loopback
    /// TCP with a token.
    case token(Secret)

    /// For `settings.host`.
    static func network(_ settings: AdminSettings) -> AdminAccess {
        settings.token.revealed.isEmpty ? .loopback : .token(settings.token)
    }

    enum Verdict: Sendable, Equatable {
        case admitted
        /// 401: no token, or a wrong one.
        case unauthorized
        /// 403: with a reason for people.
        case forbidden(String)
    }

    /// Paths that say nothing but yes or no, and the page of the dashboard, which is empty without its data.
    private static let openPaths: Set<String> = [
        "/ping", "/health/live", "/health/ready", "/", "/dashboard.css", "/dashboard.js",
    ]

    func verdict(on request: Request) -> Verdict {
        switch self {
        case .socket: return .admitted
        case .loopback:
            // A page of the web that had its own name resolved to 127.0.0.1 sends that name along. No browser sends none.
            if let host = request.head.authority, !Self.isLoopback(authority: host) {
                return .forbidden(
                    "without a token, these endpoints answer only to a loopback name or address in the Host header")
            }
            guard request.method == .get || request.method == .head else {
                return .forbidden(
                    "without a token nothing can be changed here: use the Unix socket (admin.socket.path), or set admin.token"
                )
            }
            return .admitted
        case .token(let token):
            if Self.openPaths.contains(request.uri.path), request.method == .get || request.method == .head {
                return .admitted
            }
            guard let header = request.headers[.authorization], header.count > 7,
                header.prefix(7).lowercased() == "bearer "
            else { return .unauthorized }
            return Self.isSame(header.dropFirst(7).utf8, token.revealed.utf8) ? .admitted : .unauthorized
        }
    }

    /// In a time that depends on the length of what was sent, and on nothing of the token.
    static func isSame(_ sent: some Collection<UInt8>, _ token: some Collection<UInt8>) -> Bool {
        let token = Array(token)
        var difference = UInt8(sent.count == token.count ? 0 : 1)
        guard !token.isEmpty else { return false }
        for (index, byte) in sent.enumerated() { difference |= byte ^ token[index % token.count] }
        return difference == 0
    }

    private static func isLoopback(authority: String) -> Bool {
        var host = authority[...]
        if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
            host = host[host.index(after: host.startIndex)..<end]
        } else if let colon = host.lastIndex(of: ":") {
            host = host[..<colon]
        }
        return AdminSettings.isLoopback(host: host.lowercased())
    }
}
