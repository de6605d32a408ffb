import ClickHouseNative
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Pipeline
import TestSupport
import Testing

@testable import Sinks

/// TLS against a server on loopback with a certificate that is made for the test.
@Suite(.enabled(if: TestCertificate.isPossible, "openssl is missing"), .endsEvenIfItHangs)
struct TransportSecurityTests {
    @Test func aServerWithATrustedCertificateIsShippedTo() async throws {
        let certificate = try TestCertificate()
        defer { certificate.remove() }
        let server = try await FakeServer.start(security: certificate.serverContext())
        var settings = SinkFixture.settings(port: server.port)
        settings.secure = true
        settings.caCert = certificate.path
        for name in ["127.0.0.1", "localhost"] {
            settings.hosts = [.init(name: name, port: server.port)]
            let fixture = try SinkFixture(settings)
            try await fixture.ship([SealedBlock(TableName(table: "t"), [.numbers(0..<200_000)])])
            #expect(fixture.committed.values == [1])
        }
        await server.stop()
    }

    @Test func aCertificateOfAnybodyElseIsNotTrusted() async throws {
        let certificate = try TestCertificate()
        let other = try TestCertificate()
        defer {
            certificate.remove()
            other.remove()
        }
        let server = try await FakeServer.start(security: certificate.serverContext())
        let host = ClickHouseSettings.Host(name: "127.0.0.1", port: server.port)
        for trusted in [nil, other.path] {
            let security = try TransportSecurity(caCertificate: trusted)
            let error = try await #require(throws: ConnectionError.self) {
                try await NativeConnection.connect(to: host, ConnectionConfiguration(), security: security)
            }
            #expect(error.code == .connectionClosed)
        }
        #expect(server.connections.values.isEmpty)
        await server.stop()
    }

    @Test func authoritiesThatCannotBeReadAreAnErrorAtTheStart() throws {
        let error = try #require(throws: SecurityError.self) {
            try TransportSecurity(caCertificate: "/no/such/file.pem")
        }
        #expect(error.description.hasPrefix("ca_cert: cannot read /no/such/file.pem"))
    }

    private func settings(
        _ server: FakeServer, trusting certificate: TestCertificate, as client: TestCertificate?
    ) -> ClickHouseSettings {
        var settings = SinkFixture.settings(port: server.port)
        settings.secure = true
        settings.caCert = certificate.path
        settings.clientCert = client?.path
        settings.clientKey = client?.keyPath
        return settings
    }

    @Test func aServerThatWantsToKnowWhoWeAreIsShown() async throws {
        let (certificate, client) = (try TestCertificate(), try TestCertificate())
        defer {
            certificate.remove()
            client.remove()
        }
        let server = try await FakeServer.start(security: certificate.serverContext(trusting: client))
        let fixture = try SinkFixture(settings(server, trusting: certificate, as: client))
        try await fixture.ship([SealedBlock(TableName(table: "t"), [.numbers(0..<10)])])
        #expect(fixture.committed.values == [1])

        for stranger in [nil, certificate] {
            let security = try #require(
                try TransportSecurity(settings(server, trusting: certificate, as: stranger)))
            await #expect(throws: ConnectionError.self) {
                try await NativeConnection.connect(
                    to: .init(name: "127.0.0.1", port: server.port), ConnectionConfiguration(), security: security)
            }
        }
        await server.stop()
    }

    @Test func certificatesThatChangeAreReadAgain() async throws {
        let (certificate, client, renewed) = (try TestCertificate(), try TestCertificate(), try TestCertificate())
        defer { for made in [certificate, client, renewed] { made.remove() } }
        let server = try await FakeServer.start(security: certificate.serverContext(trusting: renewed))
        let servers = try ClickHouseServers(
            settings: settings(server, trusting: certificate, as: client), telemetry: Telemetry(),
            logger: SinkFixture.quiet)
        await #expect(throws: ConnectionError.self) { try await servers.borrow() }
        servers.reloadChangedCertificates()
        await #expect(throws: ConnectionError.self) { try await servers.borrow() }

        // Half of a change keeps what there was.
        try client.replaceCertificate(by: renewed)
        #expect(throws: SecurityError.self) { try servers.reloadCertificates() }
        try client.replaceKey(by: renewed)
        servers.reloadChangedCertificates()
        let lease = try await servers.borrow()
        try await lease.native.ping(timeout: .seconds(120))
        await servers.giveBack(lease, .answered)
        await servers.close()
        await server.stop()
    }

    @Test(arguments: [(0o600, true), (0o400, true), (0o640, true), (0o644, false), (0o660, false), (0o604, false)])
    func aKeyThatOthersCanUseIsRefused(mode: Int, isFine: Bool) throws {
        let client = try TestCertificate()
        defer { client.remove() }
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: client.keyPath)
        // The group may read it where root owns it.
        let isFine = isFine && (mode != 0o640 || getuid() == 0)
        do {
            _ = try TransportSecurity(
                caCertificate: nil, clientCertificate: client.path, clientKey: client.keyPath)
            #expect(isFine)
        } catch let error as SecurityError {
            #expect(!isFine)
            #expect(error.description.contains("chmod 600"))
        }
    }
}

/// A certificate for loopback that signs itself.
private struct TestCertificate {
    private static let openssl = "/usr/bin/openssl"
    static var isPossible: Bool { FileManager.default.isExecutableFile(atPath: openssl) }

    private let directory: String
    var path: String { directory + "/certificate.pem" }
    var keyPath: String { directory + "/key.pem" }

    init() throws {
        directory = FileManager.default.temporaryDirectory.path + "/sluice-tls-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Self.openssl)
        process.arguments = [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=sluice test", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout", directory + "/key.pem", "-out", directory + "/certificate.pem",
        ]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: keyPath)
    }

    /// - Parameter client: whom the server lets in; nil: everybody.
    func serverContext(trusting client: TestCertificate? = nil) throws -> NIOSSLContext {
        let certificates = try NIOSSLCertificate.fromPEMFile(path)
        let key = try NIOSSLPrivateKey(file: keyPath, format: .pem)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: certificates.map { .certificate($0) }, privateKey: .privateKey(key))
        if let client {
            configuration.certificateVerification = .noHostnameVerification
            configuration.trustRoots = .file(client.path)
        }
        return try NIOSSLContext(configuration: configuration)
    }

    func replaceCertificate(by other: TestCertificate) throws { try Self.replace(path, by: other.path) }
    func replaceKey(by other: TestCertificate) throws { try Self.replace(keyPath, by: other.keyPath) }

    private static func replace(_ path: String, by other: String) throws {
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.copyItem(atPath: other, toPath: path)
    }

    func remove() { try? FileManager.default.removeItem(atPath: directory) }
}
