import Foundation
import NIOConcurrencyHelpers

/// The Unix socket of the endpoints. It is bound in a directory of its own that nobody else may enter, gets its mode there,
/// and only then its name by an atomic rename: at no moment can anybody connect who may not. A stale socket is replaced, a
/// live one refused.
final class AdminSocket: Sendable {
    let path: String
    private let directory: String
    private var hidden: String { directory + "/s" }
    private let published = NIOLockedValueBox<Identity?>(nil)

    init(path: String) {
        self.path = path
        let name = String(UInt32.random(in: 0...UInt32.max), radix: 36)
        let parent = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        directory = "\(parent).\(name)"
    }

    /// - Returns: Where to bind.
    /// - Throws: `AdminError` when something that is not ours has the name.
    func prepare() throws -> String {
        var status = stat()
        if lstat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFSOCK else {
                throw AdminError("\(path) (admin.socket.path) is there already, and it is no socket")
            }
            guard !isAnswered() else {
                throw AdminError("\(path) (admin.socket.path) is in use by another process")
            }
        }
        guard mkdir(directory, 0o700) == 0 else {
            throw failure("cannot make \(directory) for admin.socket.path")
        }
        return hidden
    }

    /// To be called when it listens.
    func publish(mode: UInt16) throws {
        guard chmod(hidden, mode_t(mode)) == 0, let file = Self.identity(hidden), rename(hidden, path) == 0 else {
            throw failure("cannot put the socket at \(path) (admin.socket.path)")
        }
        published.withLockedValue { $0 = file }
        rmdir(directory)
    }

    /// Removes what is still there, and still ours.
    func remove() {
        if let file = published.withLockedValue({ $0 }) {
            if Self.identity(path) == file { unlink(path) }
        } else {
            unlink(hidden)
            rmdir(directory)
        }
    }

    private struct Identity: Equatable {
        let device: UInt64
        let inode: UInt64
    }

    private static func identity(_ path: String) -> Identity? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        return Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    private func isAnswered() -> Bool {
        guard var address = Self.address(of: path) else { return false }
        #if os(Linux)
            let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        #else
            let descriptor = socket(AF_UNIX, SOCK_STREAM, 0)
        #endif
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
    }

    /// nil when the path is too long for a socket.
    static func address(of path: String) -> sockaddr_un? {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return address
    }

    private func failure(_ what: String) -> AdminError { AdminError("\(what): \(String(cString: strerror(errno)))") }
}
