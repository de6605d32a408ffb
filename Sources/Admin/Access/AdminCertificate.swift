import NIOSSL

/// The certificate of the endpoints.
enum AdminCertificate {
    /// - Throws: `AdminError` that names the file, and nothing of what is in it.
    static func load(certificate: String, key: String) throws -> TLSConfiguration {
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
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(privateKey))
        configuration.minimumTLSVersion = .tlsv12
        return configuration
    }
}
