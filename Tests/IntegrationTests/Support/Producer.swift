import Foundation

/// A client of the daemon's socket, by blocking calls.
final class Producer: Sendable {
    struct Failure: Error {
        let call: String
        let code: Int32
    }

    private let descriptor: Int32

    init(_ path: String) throws {
        Self.raiseFileLimit()
        #if canImport(Glibc)
            descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        #else
            descriptor = socket(AF_UNIX, SOCK_STREAM, 0)
        #endif
        guard descriptor >= 0 else { throw Failure(call: "socket", code: errno) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        // `deinit` closes: all is initialized.
        guard result == 0 else { throw Failure(call: "connect", code: errno) }
    }

    deinit { close(descriptor) }

    /// A thousand producers and their sessions are in this one process.
    private static func raiseFileLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < 8192 else { return }
        limit.rlim_cur = min(limit.rlim_max, 8192)
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// Returns when the kernel has taken all: that is as long as the daemon lets it take.
    func send(_ bytes: [UInt8]) throws {
        guard try send(bytes, waitMax: nil) == bytes.count else { throw Failure(call: "send", code: ETIMEDOUT) }
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    /// - Parameter waitMax: milliseconds without any progress after which it gives up; nil: never.
    /// - Returns: how many bytes were taken.
    func send(_ bytes: [UInt8], waitMax: Int32?) throws -> Int {
        try bytes.withUnsafeBytes { buffer in
            var sent = 0
            while sent < buffer.count {
                var poller = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                let ready = poll(&poller, 1, waitMax ?? -1)
                if ready == 0 { return sent }
                let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
                let count = Foundation.send(descriptor, buffer.baseAddress! + sent, buffer.count - sent, flags)
                if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
                guard count > 0 else { throw Failure(call: "send", code: errno) }
                sent += count
            }
            return sent
        }
    }

    /// Ends the input, and waits until the daemon has handed over all of it and says goodbye.
    ///
    /// - Returns: what it said.
    @discardableResult
    func finish() throws -> String {
        shutdown(descriptor, Int32(SHUT_WR))
        return try readToEnd()
    }

    func readToEnd() throws -> String {
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return String(decoding: answer, as: UTF8.self) }
            answer += buffer[..<count]
        }
    }
}
