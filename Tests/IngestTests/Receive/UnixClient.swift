import Foundation

/// A producer on plain system calls, which block: call it from `offThePool`, never from a task.
final class UnixClient: Sendable {
    struct Failure: Error, Equatable {
        let call: String
        let code: Int32
    }

    let descriptor: Int32

    init(path: String, nonBlocking: Bool = false) throws {
        #if os(Linux)
            let stream = Int32(SOCK_STREAM.rawValue)
        #else
            let stream = SOCK_STREAM
        #endif
        descriptor = socket(AF_UNIX, stream, 0)
        guard descriptor >= 0 else { throw Failure(call: "socket", code: errno) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        // `deinit` closes: all is initialized.
        guard result == 0 else { throw Failure(call: "connect", code: errno) }
        if nonBlocking { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
    }

    deinit { Foundation.close(descriptor) }

    /// Writes all of it, or fails.
    func write(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty { rest = rest.dropFirst(try writeSome(rest)) }
    }

    func write(_ text: String) throws { try write(Array(text.utf8)) }

    /// One system call; fails with EAGAIN where it would block a non-blocking client.
    func writeSome(_ bytes: ArraySlice<UInt8>) throws -> Int {
        let count = bytes.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        guard count >= 0 else { throw Failure(call: "write", code: errno) }
        return count
    }

    func closeWriting() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// All that the other side says until it closes.
    func readToEnd() throws -> String {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = Foundation.read(descriptor, &buffer, buffer.count)
            guard count >= 0 else { throw Failure(call: "read", code: errno) }
            if count == 0 { return String(decoding: all, as: UTF8.self) }
            all += buffer.prefix(count)
        }
    }
}

/// A directory for one test, with a path short enough for sockets.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        var template = Array("\(NSTemporaryDirectory())sluice-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw UnixClient.Failure(call: "mkdtemp", code: errno) }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }
}
