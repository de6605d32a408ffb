import NIOConcurrencyHelpers
import Pipeline

/// What of the endpoints' settings a running daemon takes over: the token, and the certificate.
final class LiveAccess: Sendable {
    struct Values: Sendable {
        /// On TCP.
        var network: AdminAccess
        /// nil: no TLS.
        var certificate: AdminCertificate?
        var files: [FileVersion?]

        /// - Throws: `AdminError` for a certificate or key that cannot be used.
        init(_ settings: AdminSettings) throws {
            network = .network(settings)
            // Before they are read: what changes meanwhile is read again.
            files = [settings.tlsCertificate, settings.tlsKey].map { $0.flatMap(FileVersion.init) }
            if let path = settings.tlsCertificate, let key = settings.tlsKey {
                certificate = try AdminCertificate(certificate: path, key: key)
            }
        }
    }

    private let values: NIOLockedValueBox<Values>

    init(_ settings: AdminSettings) throws { values = NIOLockedValueBox(try Values(settings)) }

    var current: Values {
        get { values.withLockedValue { $0 } }
        set { values.withLockedValue { $0 = newValue } }
    }
}
