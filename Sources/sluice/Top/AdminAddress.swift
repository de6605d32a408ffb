import Foundation
import Pipeline

/// Where a running daemon's endpoints are.
enum AdminAddress: Equatable {
    case socket(String)
    case network(host: String, port: Int)

    /// The nearest of those that the configuration names: its Unix socket, for which no token is needed, or its port.
    ///
    /// - Throws: `TopError` when there is none, or only one that speaks TLS.
    init(_ settings: AdminSettings) throws(TopError) {
        guard settings.enabled else {
            throw TopError("this configuration has no endpoints (admin.enabled is false)")
        }
        if let path = settings.socketPath {
            self = .socket(path)
        } else if let host = settings.host {
            guard settings.tlsCertificate == nil else {
                throw TopError("these endpoints speak TLS: set admin.socket.path and look from the same machine")
            }
            self = .network(host: host, port: settings.port)
        } else {
            throw TopError("this configuration has no endpoints")
        }
    }

    /// - Parameter text: `http://127.0.0.1:8090`, `127.0.0.1:8090` or `[::1]:8090`.
    init?(parsing text: String) {
        var rest = text[...]
        if rest.hasPrefix("http://") { rest = rest.dropFirst(7) }
        while rest.hasSuffix("/") { rest = rest.dropLast() }
        guard let colon = rest.lastIndex(of: ":"), let port = Int(rest[rest.index(after: colon)...]),
            (1...65_535).contains(port)
        else { return nil }
        var host = rest[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty, !host.contains("/") else { return nil }
        self = .network(host: String(host), port: port)
    }

    /// For the Host header, and for people.
    var name: String {
        switch self {
        case .socket: "localhost"
        case .network(let host, let port): "\(host.contains(":") ? "[\(host)]" : host):\(port)"
        }
    }

    var description: String {
        switch self {
        case .socket(let path): path
        case .network: name
        }
    }
}

/// Why `sluice top` has nothing to show, or `sluice ctl` was not heard.
struct TopError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
