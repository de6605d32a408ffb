import ClickHouseNative
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Pipeline
import Sinks
import TestSupport
import Testing

/// TLS against a server on loopback with a certificate that is made for the test.
@Suite(.enabled(if: TestCertificate.isPossible, "openssl is missing"), .timeLimit(.minutes(1)))
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

    @Test func authoritiesThatCannotBeReadAreAnErrorAtTheStart() {
        #expect(throws: (any Error).self) { try TransportSecurity(caCertificate: "/no/such/file.pem") }
    }
}

/// A certificate for loopback that signs itself.
private struct TestCertificate {
    private static let openssl = "/usr/bin/openssl"
    static var isPossible: Bool { FileManager.default.isExecutableFile(atPath: openssl) }

    private let directory: String
    var path: String { directory + "/certificate.pem" }

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
    }

    func serverContext() throws -> NIOSSLContext {
        let certificates = try NIOSSLCertificate.fromPEMFile(path)
        let key = try NIOSSLPrivateKey(file: directory + "/key.pem", format: .pem)
        return try NIOSSLContext(
            configuration: .makeServerConfiguration(
                certificateChain: certificates.map { .certificate($0) }, privateKey: .privateKey(key)))
    }

    func remove() { try? FileManager.default.removeItem(atPath: directory) }
}
