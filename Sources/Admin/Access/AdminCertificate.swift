import NIOSSL

/// The certificate of the endpoints, with those between it and its root, and its key.
struct AdminCertificate: Sendable {
    private let chain: [NIOSSLCertificateSource]
    private let key: NIOSSLPrivateKeySource

    /// - Throws: `AdminError` that names the file, and nothing of what is in it.
    init(certificate: String, key: String) throws {
        let chain: [NIOSSLCertificate]
        do {
            chain = try NIOSSLCertificate.fromPEMFile(certificate)
        } catch {
            throw AdminError("cannot use \(certificate) (admin.tls.certificate): no PEM file with certificates")
        }
        guard !chain.isEmpty else {
            throw AdminError("cannot use \(certificate) (admin.tls.certificate): there is no certificate in it")
        }
        let privateKey: NIOSSLPrivateKey
        do {
            privateKey = try NIOSSLPrivateKey(file: key, format: .pem)
        } catch {
            throw AdminError("cannot use \(key) (admin.tls.key): no PEM file with a private key that needs no password")
        }
        self.chain = chain.map { .certificate($0) }
        self.key = .privateKey(privateKey)
        // What does not belong together would show at the first handshake only.
        do { _ = try NIOSSLContext(configuration: Self.configuration(self.chain, self.key)) } catch {
            throw AdminError("cannot use \(key) (admin.tls.key): it does not belong to \(certificate)")
        }
    }

    /// - Parameter current: asked at each handshake; connections that are open keep what they began with.
    static func configuration(_ current: @escaping @Sendable () -> AdminCertificate?) throws -> TLSConfiguration? {
        guard let first = current() else { return nil }
        var configuration = configuration(first.chain, first.key)
        configuration.sslContextCallback = { _, promise in
            var override = NIOSSLContextConfigurationOverride.noChanges
            if let now = current() {
                override.certificateChain = now.chain
                override.privateKey = now.key
            }
            promise.succeed(override)
        }
        return configuration
    }

    private static func configuration(
        _ chain: [NIOSSLCertificateSource], _ key: NIOSSLPrivateKeySource
    ) -> TLSConfiguration {
        var configuration = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: key)
        configuration.minimumTLSVersion = .tlsv12
        return configuration
    }
}
