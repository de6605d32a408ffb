import Foundation

/// A session with the daemon: lines go there; what comes back, if anything, are lines that say what is wrong.
final class DaemonConnection {
    /// Of what the daemon answers; what is longer is not read.
    static let answerBytesMax = 64 << 10

    enum Outcome: Sendable {
        case written
        /// The daemon closed the session.
        case closed
    }

    private let descriptor: Int32

    init(to path: String) throws(SendError) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < room else {
            throw SendError("the socket's path has more than \(room - 1) bytes: \(path)")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        #if canImport(Glibc)
            let type = Int32(SOCK_STREAM.rawValue)
        #else
            let type = SOCK_STREAM
        #endif
        descriptor = socket(AF_UNIX, type, 0)
        guard descriptor >= 0 else { throw SendError("cannot make a socket: \(SystemError.text)") }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else {
            let isAbsent = errno == ENOENT || errno == ECONNREFUSED
            let text = SystemError.text
            throw SendError(
                isAbsent
                    ? "no daemon listens on \(path): start it with `sluice run`"
                    : "cannot connect to \(path): \(text)")
        }
    }

    deinit { close(descriptor) }

    /// Waits while the daemon takes no more. SIGPIPE has to be ignored.
    func write(_ bytes: UnsafeRawBufferPointer) throws(SendError) -> Outcome {
        var offset = 0
        while offset < bytes.count {
            let count = Foundation.write(descriptor, bytes.baseAddress! + offset, bytes.count - offset)
            if count > 0 {
                offset += count
            } else if errno == EPIPE || errno == ECONNRESET {
                return .closed
            } else if errno != EINTR {
                throw SendError("cannot write to the socket: \(SystemError.text)")
            }
        }
        return .written
    }

    /// Tells that this was all, waits until the daemon has taken it, and returns what it says.
    ///
    /// - Returns: Lines, of which there are none when all is well, and whether the daemon closed in an orderly way.
    func finish() -> (answers: [String], isOrderly: Bool) {
        shutdown(descriptor, Int32(SHUT_WR))
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        var isOrderly = true
        while bytes.count < Self.answerBytesMax {
            let count = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            isOrderly = count >= 0
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        let lines = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline)
        return (lines.map { String($0.unicodeScalars.filter { $0.properties.generalCategory != .control }) }, isOrderly)
    }
}
