import Foundation
import Testing

@testable import sluice

@Suite struct ServiceManagerTests {
    /// A datagram socket as systemd has one; what it hears.
    private func heard(at path: String, _ address: [UInt8], _ body: () -> Bool) throws -> String {
        var unix = sockaddr_un()
        unix.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &unix.sun_path) { $0.copyBytes(from: address) }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(descriptor) }
        let length = socklen_t(MemoryLayout.offset(of: \sockaddr_un.sun_path)! + address.count)
        let bound = withUnsafePointer(to: &unix) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        try #require(bound == 0)
        #expect(body())
        var bytes = [UInt8](repeating: 0, count: 100)
        let count = recv(descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }

    @Test func itIsToldAtAFile() throws {
        let folder = try Folder()
        let path = folder.file("n")
        #expect(try heard(at: path, Array(path.utf8)) { ServiceManager.notify("READY=1", socket: path) } == "READY=1")
    }

    @Test func itIsToldAtANameThatIsNoFile() throws {
        let name = "sluice-test-\(UInt64.random(in: 0 ... .max))"
        let told = try heard(at: name, [0] + Array(name.utf8)) { ServiceManager.notify("READY=1", socket: "@" + name) }
        #expect(told == "READY=1")
    }

    @Test(arguments: [nil, "", "/nowhere/n", String(repeating: "x", count: 200)])
    func whereNobodyListensNothingHappens(path: String?) {
        #expect(!ServiceManager.notify("READY=1", socket: path))
    }
}
