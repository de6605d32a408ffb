import ClickHouseNative
import Foundation
import NIOCore
import NIOPosix
import NIOSSL

extension ConnectionError {
    /// With the cause that the network gives, which a description leaves out; without any text of the server's.
    var forLog: String {
        guard code != .refusedByServer, let cause else { return description }
        return NetworkFault.words(for: cause).map { "\(description): \($0)" } ?? "\(description): \(cause)"
    }
}

/// What the network says went wrong, in the words that operators know from other programs.
enum NetworkFault {
    /// - Returns: nil for what is none of the network's errors.
    static func words(for error: any Error) -> String? {
        switch error {
        case let error as NIOConnectionError: connecting(error)
        case let error as IOError: String(cString: strerror(error.errnoCode))
        case let error as ChannelError: channel(error)
        case let error as NIOSSLError: security("\(error)")
        case let error as NIOSSLExtraError: security("\(error)")
        default: nil
        }
    }

    /// `Connection refused (::1, 127.0.0.1)`: each reason once, with the addresses of the name that it holds for.
    private static func connecting(_ error: NIOConnectionError) -> String {
        guard !error.connectionErrors.isEmpty else { return "there is no address for \(error.host)" }
        var addresses: [(reason: String, of: [String])] = []
        for failure in error.connectionErrors {
            let reason = words(for: failure.error) ?? "\(failure.error)"
            let address = failure.target.ipAddress ?? failure.target.pathname ?? "\(failure.target)"
            if let index = addresses.firstIndex(where: { $0.reason == reason }) {
                addresses[index].of.append(address)
            } else {
                addresses.append((reason, [address]))
            }
        }
        return addresses.map { "\($0.reason) (\($0.of.joined(separator: ", ")))" }.joined(separator: "; ")
    }

    private static func channel(_ error: ChannelError) -> String {
        switch error {
        case .connectTimeout: "nothing answered at that address and port"
        case .eof, .alreadyClosed, .ioOnClosedChannel, .inputClosed, .outputClosed: "the other side hung up"
        default: "\(error)"
        }
    }

    /// TLS: what most often is wrong in words, and the library's own behind it.
    private static func security(_ text: String) -> String {
        let causes = [
            ("CERTIFICATE_VERIFY_FAILED", "the server's certificate is not signed by ca_cert, or not valid now"),
            ("failedToValidateHostname", "the server's certificate is for another name than that in hosts"),
            ("WRONG_VERSION_NUMBER", "that port does not speak TLS (9440 usually does, 9000 does not)"),
            ("ALERT_CERTIFICATE_REQUIRED", "the server wants a client's certificate (client_cert, client_key)"),
        ]
        let known = causes.first { text.localizedCaseInsensitiveContains($0.0) }
        return known.map { "TLS: \($0.1): \(text)" } ?? "TLS: \(text)"
    }
}
