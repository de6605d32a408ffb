import Foundation
import Pipeline

/// A bound Unix stream socket that nobody can connect to yet: the kernel refuses connections until `listen`, so mode and
/// owner are in force before the first one.
struct ListeningSocket: Sendable {
    /// Bytes of a path in `sockaddr_un`, less the zero that ends it.
    static let pathBytesMax = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

    /// The identity of the file that `bind` made.
    struct File: Hashable, Sendable {
        let path: String
        let device: UInt64
        let inode: UInt64
    }

    let descriptor: Int32
    /// nil: the socket is not ours to remove.
    let file: File?

    /// Takes the socket of systemd if there is one, or binds `socketPath`.
    static func open(_ settings: ReceiveSettings, environment: [String: String]) throws -> ListeningSocket {
        if let descriptor = try InheritedSocket.find(environment: environment, process: getpid()) {
            return ListeningSocket(descriptor: descriptor, file: nil)
        }
        return try bind(settings)
    }

    static func bind(_ settings: ReceiveSettings) throws -> ListeningSocket {
        let path = settings.socketPath
        // Everything that can be wrong without touching anything comes first.
        let user = try settings.socketOwner.map(userID)
        let group = try settings.socketGroup.map(groupID)
        var address = try self.address(of: path)
        try clear(path, &address)
        let descriptor = try makeSocket()
        do {
            try bind(descriptor, to: path, &address, mode: settings.socketMode)
        } catch {
            Foundation.close(descriptor)
            throw error
        }
        do {
            if user != nil || group != nil {
                // -1 leaves it as it is.
                try check(chown(path, user ?? uid_t.max, group ?? gid_t.max), "cannot change the owner of \(path)")
            }
            // After chown, which may take bits away; and bind took those of the umask.
            try check(chmod(path, mode_t(settings.socketMode)), "cannot change the mode of \(path)")
            return ListeningSocket(descriptor: descriptor, file: try file(at: path))
        } catch {
            unlink(path)
            Foundation.close(descriptor)
            throw error
        }
    }

    /// Removes the socket's file, if it is still the one that `bind` made.
    func removeFile() {
        guard let file, (try? Self.file(at: file.path)) == file else { return }
        unlink(file.path)
    }

    // MARK: Steps

    private static func address(of path: String) throws -> sockaddr_un {
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw ReceiveError(.system, "the path of the socket is empty or has a zero byte")
        }
        guard path.utf8.count <= pathBytesMax else {
            throw ReceiveError(
                .pathTooLong,
                "the path of the socket has \(path.utf8.count) bytes, the system takes \(pathBytesMax): \(path)")
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return address
    }

    /// Removes what a daemon left behind that is gone. What answers, and what is no socket, stays.
    private static func clear(_ path: String, _ address: inout sockaddr_un) throws {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return }
            throw failure("cannot look at \(path)")
        }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw ReceiveError(.notASocket, "\(path) is there and is no socket; it is left as it is")
        }
        let found = try file(at: path)
        let probe = try makeSocket()
        defer { Foundation.close(probe) }
        if withAddress(&address, { connect(probe, $0, $1) }) == 0 || errno == EAGAIN || errno == EINPROGRESS {
            throw ReceiveError(.inUse, "another process listens on \(path)")
        }
        switch errno {
        case ENOENT: return
        case ECONNREFUSED:
            // Another daemon may have replaced it meanwhile.
            guard try file(at: path) == found else {
                throw ReceiveError(.inUse, "another process begins to listen on \(path)")
            }
            try check(unlink(path), "cannot remove the stale socket \(path)")
        case EPROTOTYPE: throw ReceiveError(.inUse, "\(path) is a socket of another kind")
        default: throw failure("cannot tell whether somebody listens on \(path)")
        }
    }

    private static func bind(
        _ descriptor: Int32, to path: String, _ address: inout sockaddr_un, mode: UInt16
    ) throws {
        #if os(Linux)
            // Linux makes the file with the mode of the descriptor (less the umask), so it is never wider than asked for.
            try check(fchmod(descriptor, mode_t(mode)), "cannot set the mode of a socket")
        #endif
        guard withAddress(&address, { Foundation.bind(descriptor, $0, $1) }) == 0 else {
            if errno == EADDRINUSE { throw ReceiveError(.inUse, "another process begins to listen on \(path)") }
            throw failure("cannot bind \(path)")
        }
    }

    private static func makeSocket() throws -> Int32 {
        #if os(Linux)
            let descriptor = socket(
                AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        #else
            let descriptor = socket(AF_UNIX, SOCK_STREAM, 0)
        #endif
        guard descriptor >= 0 else { throw failure("cannot make a socket") }
        return descriptor
    }

    private static func withAddress(
        _ address: inout sockaddr_un, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    private static func file(at path: String) throws -> File {
        var status = stat()
        try check(lstat(path, &status), "cannot look at \(path)")
        return File(path: path, device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    // MARK: Owners

    /// What the system says about one user or group, in bytes.
    private static let entryBytesMax = 64 << 10

    static func userID(_ name: String) throws -> uid_t {
        if let number = uid_t(name) { return number }
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var text = [CChar](repeating: 0, count: entryBytesMax)
        let code = getpwnam_r(name, &entry, &text, text.count, &found)
        guard code == 0 else { throw failure("cannot look up the user \(name)", code) }
        guard found != nil else { throw ReceiveError(.unknownOwner, "there is no user \(name)") }
        return entry.pw_uid
    }

    static func groupID(_ name: String) throws -> gid_t {
        if let number = gid_t(name) { return number }
        var entry = Foundation.group()
        var found: UnsafeMutablePointer<Foundation.group>?
        var text = [CChar](repeating: 0, count: entryBytesMax)
        let code = getgrnam_r(name, &entry, &text, text.count, &found)
        guard code == 0 else { throw failure("cannot look up the group \(name)", code) }
        guard found != nil else { throw ReceiveError(.unknownOwner, "there is no group \(name)") }
        return entry.gr_gid
    }

    // MARK: Errors

    private static func check(_ result: Int32, _ what: String) throws {
        if result != 0 { throw failure(what) }
    }

    static func failure(_ what: String, _ code: Int32 = errno) -> ReceiveError {
        ReceiveError(.system, "\(what): \(String(cString: strerror(code)))")
    }
}
