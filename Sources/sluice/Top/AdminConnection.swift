import Foundation

/// One request to the endpoints, and its answer as it comes.
final class AdminConnection {
    private let descriptor: Int32
    private var answer = HTTPAnswer()

    /// Connects and asks.
    ///
    /// - Parameter patience: seconds without a byte of the answer, after which the daemon is taken to hang.
    init(
        to address: AdminAddress, method: String = "GET", path: String, token: String?, patience: Int = 10
    ) throws(TopError) {
        descriptor = try Self.connect(address)
        // Somebody may watch for days; an answer that does not begin is a daemon that hangs.
        var timeout = timeval(tv_sec: patience, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        var request = "\(method) \(path) HTTP/1.1\r\nHost: \(address.name)\r\nConnection: close\r\n"
        if let token { request += "Authorization: Bearer \(token)\r\n" }
        guard Output.writeAll(Array((request + "\r\n").utf8), to: descriptor) else {
            // `deinit` closes: all is initialized.
            throw TopError("cannot ask \(address.description): \(SystemError.text)")
        }
    }

    deinit { close(descriptor) }

    /// The next bytes of the body; nil at its end.
    ///
    /// - Throws: `TopError` when the answer is no success, or does not come.
    func next() throws(TopError) -> [UInt8]? {
        while true {
            if let status = answer.status, status != 200 {
                throw TopError(status == 401 ? Self.asksForToken : "the daemon answered \(status)")
            }
            let body = answer.takeBody()
            if !body.isEmpty { return body }
            if answer.isComplete { return nil }
            guard try receive() else { return nil }
        }
    }

    /// The whole answer, whatever it is.
    func whole() throws(TopError) -> (status: Int, body: [UInt8]) {
        var body: [UInt8] = []
        while !answer.isComplete, try receive() { body += answer.takeBody() }
        guard let status = answer.status else { throw TopError("the daemon hung up without an answer") }
        if status == 401 { throw TopError(Self.asksForToken) }
        return (status, body + answer.takeBody())
    }

    private static let asksForToken = "the daemon asks for a token: give --token-file, or --socket"

    /// - Returns: false at the end.
    private func receive() throws(TopError) -> Bool {
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN { throw TopError("the daemon takes too long to answer") }
            guard count >= 0 else { throw TopError("no answer: \(SystemError.text)") }
            guard count > 0 else { return false }
            guard answer.receive(chunk[..<count]) else { throw TopError("that is no answer of HTTP") }
            return true
        }
    }

    private static func connect(_ address: AdminAddress) throws(TopError) -> Int32 {
        switch address {
        case .socket(let path):
            var unix = sockaddr_un()
            unix.sun_family = sa_family_t(AF_UNIX)
            guard path.utf8.count < MemoryLayout.size(ofValue: unix.sun_path) else {
                throw TopError("the path is too long for a socket: \(path)")
            }
            withUnsafeMutableBytes(of: &unix.sun_path) { $0.copyBytes(from: path.utf8) }
            let descriptor = withUnsafePointer(to: &unix) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connected(AF_UNIX, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            guard let descriptor else { throw TopError("no daemon answers on \(path): \(SystemError.text)") }
            return descriptor
        case .network(let host, let port):
            var hints = addrinfo()
            #if canImport(Glibc)
                hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
            #else
                hints.ai_socktype = SOCK_STREAM
            #endif
            var list: UnsafeMutablePointer<addrinfo>?
            guard getaddrinfo(host, String(port), &hints, &list) == 0 else {
                throw TopError("there is no host \(host)")
            }
            defer { freeaddrinfo(list) }
            var next = list
            while let entry = next?.pointee {
                if let descriptor = connected(entry.ai_family, entry.ai_addr, entry.ai_addrlen) { return descriptor }
                next = entry.ai_next
            }
            throw TopError("no daemon answers on \(address.description): \(SystemError.text)")
        }
    }

    private static func connected(_ family: Int32, _ address: UnsafePointer<sockaddr>, _ size: socklen_t) -> Int32? {
        #if canImport(Glibc)
            let descriptor = socket(family, Int32(SOCK_STREAM.rawValue), 0)
        #else
            let descriptor = socket(family, SOCK_STREAM, 0)
        #endif
        guard descriptor >= 0 else { return nil }
        guard Foundation.connect(descriptor, address, size) == 0 else {
            let error = errno
            close(descriptor)
            errno = error
            return nil
        }
        return descriptor
    }
}

/// An answer of HTTP/1.1, in pieces: its head, then a body of a given length, in chunks, or up to the end.
struct HTTPAnswer {
    /// Of the head, and of a chunk's first line.
    private static let lineBytesMax = 64 << 10

    private enum State {
        case head
        case whole(left: Int?)
        case chunkSize
        case chunk(left: Int)
        case chunkEnd
        case complete
    }

    private(set) var status: Int?
    private var state = State.head
    private var waiting: [UInt8] = []
    private var body: [UInt8] = []

    var isComplete: Bool { if case .complete = state { true } else { false } }

    mutating func takeBody() -> [UInt8] {
        defer { body = [] }
        return body
    }

    /// - Returns: false when it is no HTTP.
    mutating func receive(_ bytes: ArraySlice<UInt8>) -> Bool {
        waiting += bytes
        while true {
            switch state {
            case .head:
                guard let head = takeLine(ending: "\r\n\r\n") else { return waiting.count <= Self.lineBytesMax }
                guard read(head: String(decoding: head, as: UTF8.self)) else { return false }
            case .whole(let left):
                let count = min(waiting.count, left ?? .max)
                body += waiting[..<count]
                waiting.removeFirst(count)
                state = left == count ? .complete : .whole(left: left.map { $0 - count })
                return true
            case .chunkSize:
                guard let line = takeLine(ending: "\r\n") else { return waiting.count <= Self.lineBytesMax }
                let digits = String(decoding: line.prefix { $0 != UInt8(ascii: ";") }, as: UTF8.self)
                guard let size = Int(digits, radix: 16), size >= 0 else { return false }
                state = size == 0 ? .complete : .chunk(left: size)
            case .chunk(let left):
                guard !waiting.isEmpty else { return true }
                let count = min(waiting.count, left)
                body += waiting[..<count]
                waiting.removeFirst(count)
                state = count == left ? .chunkEnd : .chunk(left: left - count)
            case .chunkEnd:
                guard waiting.count >= 2 else { return true }
                waiting.removeFirst(2)
                state = .chunkSize
            case .complete: return true
            }
        }
    }

    private mutating func read(head: String) -> Bool {
        let lines = head.components(separatedBy: "\r\n")
        let first = lines[0].split(separator: " ")
        guard first.count >= 2, first[0].hasPrefix("HTTP/1."), let code = Int(first[1]) else { return false }
        status = code
        state = .whole(left: nil)
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let value = parts[1].trimmingCharacters(in: .whitespaces).lowercased()
            switch parts[0].lowercased() {
            case "transfer-encoding" where value == "chunked": state = .chunkSize
            case "content-length":
                guard let length = Int(value), length >= 0 else { return false }
                state = length == 0 ? .complete : .whole(left: length)
            default: break
            }
        }
        return true
    }

    private mutating func takeLine(ending: String) -> [UInt8]? {
        let ending = Array(ending.utf8)
        guard waiting.count >= ending.count else { return nil }
        for start in 0...(waiting.count - ending.count) where waiting[start] == ending[0] {
            if waiting[start..<start + ending.count].elementsEqual(ending) {
                defer { waiting.removeFirst(start + ending.count) }
                return Array(waiting[..<start])
            }
        }
        return nil
    }
}
