import Foundation
import NIOCore
import Workloads

/// A blocking connection to a Unix socket.
struct UnixSocket: Sendable {
    let descriptor: Int32

    init(connectingTo path: String) throws {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < room else { throw BenchmarkError("the socket's path is too long") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        #if canImport(Darwin)
            descriptor = socket(AF_UNIX, SOCK_STREAM, 0)
        #else
            descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        #endif
        guard descriptor >= 0 else { throw BenchmarkError("no socket: errno \(errno)") }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else {
            close()
            throw BenchmarkError("cannot connect: errno \(errno)")
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while let start = rest.baseAddress, rest.count > 0 {
            let written = Foundation.write(descriptor, start, rest.count)
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { throw BenchmarkError("the daemon closed the socket: errno \(errno)") }
            rest = UnsafeRawBufferPointer(rebasing: rest[written...])
        }
    }

    /// Appends what is there, once there is something.
    ///
    /// - Returns: Whether anything came; false: the other side is done.
    func read(into buffer: inout ByteBuffer) -> Bool {
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 4096) { room in
            while true {
                let count = Foundation.read(descriptor, room.baseAddress!, room.count)
                if count < 0, errno == EINTR { continue }
                return max(0, count)
            }
        } > 0
    }

    func close() { _ = Foundation.close(descriptor) }
}
