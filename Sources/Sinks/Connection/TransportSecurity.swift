import NIOCore
import NIOSSL

/// TLS for connections to servers. The server's certificate and name are always verified.
public struct TransportSecurity: Sendable {
    private let context: NIOSSLContext

    /// - Parameter caCertificate: path of a PEM file with the authorities to trust; nil: those of the system.
    public init(caCertificate: String?) throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        if let caCertificate { configuration.trustRoots = .file(caCertificate) }
        context = try NIOSSLContext(configuration: configuration)
    }

    /// - Parameter host: what the certificate must name. An address cannot be sent as a server name; it is verified
    ///   against the addresses that the certificate has.
    func handler(for host: String) throws -> NIOSSLClientHandler {
        let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
        return try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host)
    }
}
