import Foundation
import NIOCore
import NIOSSL
import Pipeline

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// TLS for connections to servers. The server's certificate and name are always verified.
public struct TransportSecurity: Sendable {
    /// Which files it was read from, as they were then.
    struct Files: Equatable, Sendable {
        private let versions: [FileVersion?]

        init(_ settings: ClickHouseSettings) {
            versions = [settings.caCert, settings.clientCert, settings.clientKey].map { $0.flatMap(FileVersion.init) }
        }
    }

    private let context: NIOSSLContext
    let files: Files

    /// - Returns: nil where the settings want no TLS.
    /// - Throws: `SecurityError`.
    init?(_ settings: ClickHouseSettings) throws {
        guard settings.secure else { return nil }
        // Before they are read: what changes meanwhile is read again.
        files = Files(settings)
        context = try Self.context(
            caCertificate: settings.caCert, clientCertificate: settings.clientCert, clientKey: settings.clientKey)
    }

    /// - Parameters:
    ///   - caCertificate: path of a PEM file with the authorities to trust; nil: those of the system.
    ///   - clientCertificate: path of a PEM file with our certificate and those between it and the authority.
    ///   - clientKey: path of the PEM file with its key, which must be closed to others.
    /// - Throws: `SecurityError`.
    public init(caCertificate: String?, clientCertificate: String? = nil, clientKey: String? = nil) throws {
        var settings = ClickHouseSettings()
        settings.caCert = caCertificate
        settings.clientCert = clientCertificate
        settings.clientKey = clientKey
        files = Files(settings)
        context = try Self.context(
            caCertificate: caCertificate, clientCertificate: clientCertificate, clientKey: clientKey)
    }

    private static func context(
        caCertificate: String?, clientCertificate: String?, clientKey: String?
    ) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        configuration.certificateVerification = .fullVerification
        if let caCertificate {
            // NIOSSL reads it with the context, and then names no file.
            try reading(caCertificate, "ca_cert") { _ = try NIOSSLCertificate.fromPEMFile(caCertificate) }
            configuration.trustRoots = .file(caCertificate)
        }
        if let clientCertificate, let clientKey {
            try checkPermissions(of: clientKey)
            configuration.certificateChain = try reading(clientCertificate, "client_cert") {
                try NIOSSLCertificate.fromPEMFile(clientCertificate).map { .certificate($0) }
            }
            configuration.privateKey = try reading(clientKey, "client_key") {
                .privateKey(try NIOSSLPrivateKey(file: clientKey, format: .pem))
            }
        }
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw SecurityError(
                description: clientKey == nil
                    ? "TLS cannot be set up: \(error)"
                    : "TLS cannot be set up: client_cert and client_key may not belong together: \(error)")
        }
    }

    @discardableResult
    private static func reading<R>(_ path: String, _ key: String, _ read: () throws -> R) throws -> R {
        do { return try read() } catch {
            throw SecurityError(description: "\(key): cannot read \(path) as PEM: \(error)")
        }
    }

    /// The rule that libpq made common: 0600, or 0640 where root owns it and a group of its own may read.
    private static func checkPermissions(of path: String) throws {
        var status = stat()
        guard stat(path, &status) == 0 else { return }
        let open = status.st_mode & (status.st_uid == 0 ? 0o037 : 0o077)
        guard open == 0 else {
            let mode = String(status.st_mode & 0o777, radix: 8)
            throw SecurityError(
                description:
                    "client_key: \(path) has mode 0\(mode), others could use it; chmod 600 takes that away (0640 is fine if root owns it)"
            )
        }
    }

    /// - Parameter host: what the certificate must name. An address cannot be sent as a server name; it is verified
    ///   against the addresses that the certificate has.
    func handler(for host: String) throws -> NIOSSLClientHandler {
        let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
        return try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host)
    }
}

/// What is wrong with certificates or a key. Never holds what the files hold.
public struct SecurityError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
}
