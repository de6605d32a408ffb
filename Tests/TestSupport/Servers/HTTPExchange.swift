import Dispatch

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// One HTTP request on a connection of its own, by blocking calls on another thread. HTTP/1.0, so that the answer
/// ends with the connection and is never chunked.
struct HTTPExchange: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private static let waitSecondsMax = 300
    private static let answerBytesMax = 256 << 20

    let host: String
    let port: Int

    /// The body of a 200; anything else is thrown with its text.
    func post(target: String, _ body: [UInt8]) async throws -> String {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(with: Result { try exchange(target: target, body) })
            }
        }
    }

    private func exchange(target: String, _ body: [UInt8]) throws -> String {
        let descriptor = try connected()
        defer { close(descriptor) }
        let head = "POST \(target) HTTP/1.0\r\nHost: \(host)\r\nContent-Length: \(body.count)\r\n\r\n"
        send(Array(head.utf8) + body, to: descriptor)
        let answer = try receive(from: descriptor)
        guard let split = answer.firstRange(of: Array("\r\n\r\n".utf8)) else {
            throw Failure(description: "no HTTP answer")
        }
        let text = String(decoding: answer[split.upperBound...], as: UTF8.self)
        let status = String(decoding: answer.prefix { $0 != 13 }, as: UTF8.self).split(separator: " ").dropFirst().first
        guard status == "200" else { throw Failure(description: "HTTP \(status ?? "?"): \(text)") }
        return text
    }

    private func connected() throws -> Int32 {
        #if canImport(Glibc)
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
            let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        guard descriptor >= 0 else { throw Failure(description: "socket: errno \(errno)") }
        var limit = timeval(tv_sec: Self.waitSecondsMax, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = inet_addr(host)
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            let code = errno
            close(descriptor)
            throw Failure(description: "connect to \(host):\(port): errno \(code)")
        }
        return descriptor
    }

    private func send(_ bytes: [UInt8], to descriptor: Int32) {
        #if canImport(Darwin)
            let flags: Int32 = 0
        #else
            let flags = Int32(MSG_NOSIGNAL)
        #endif
        bytes.withUnsafeBytes { buffer in
            var sent = 0
            while sent < buffer.count {
                let part = UnsafeRawBufferPointer(rebasing: buffer[sent...])
                #if canImport(Glibc)
                    let count = Glibc.send(descriptor, part.baseAddress, part.count, flags)
                #elseif canImport(Musl)
                    let count = Musl.send(descriptor, part.baseAddress, part.count, flags)
                #else
                    let count = Darwin.send(descriptor, part.baseAddress, part.count, flags)
                #endif
                if count < 0 && errno == EINTR { continue }
                // The server may answer with an exception and close before it has read all: then its answer counts.
                if count <= 0 { return }
                sent += count
            }
        }
    }

    private func receive(from descriptor: Int32) throws -> [UInt8] {
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while answer.count <= Self.answerBytesMax {
            let count = read(descriptor, &buffer, buffer.count)
            if count > 0 {
                answer.append(contentsOf: buffer[..<count])
            } else if count == 0 {
                return answer
            } else if errno != EINTR {
                if !answer.isEmpty { return answer }
                throw Failure(description: "no answer: errno \(errno)")
            }
        }
        throw Failure(description: "an answer of more than \(Self.answerBytesMax) bytes")
    }
}

extension [UInt8] {
    fileprivate func firstRange(of other: [UInt8]) -> Range<Int>? {
        guard count >= other.count else { return nil }
        return (0...(count - other.count)).first { self[$0..<($0 + other.count)].elementsEqual(other) }
            .map { $0..<($0 + other.count) }
    }
}
