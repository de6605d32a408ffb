import Foundation

/// A listening socket that systemd opened for us (`sd_listen_fds(3)`): descriptors from 3 on, `LISTEN_PID` says for whom,
/// `LISTEN_FDS` how many, `LISTEN_FDNAMES` their names, separated by colons.
///
/// Producers can connect before the daemon runs and while it restarts; mode and owner are the `.socket` unit's.
enum InheritedSocket {
    static let firstDescriptor: Int32 = 3
    /// Name of the descriptor that is taken where there are several (`FileDescriptorName=` in the unit).
    static let name = "receive"

    /// - Returns: nil when nothing was passed to this process.
    /// - Throws: `ReceiveError` when what was passed cannot be listened on.
    static func find(
        environment: [String: String], process: Int32, firstDescriptor: Int32 = firstDescriptor
    ) throws -> Int32? {
        guard let pid = environment["LISTEN_PID"].flatMap({ Int32($0) }), pid == process,
            let count = environment["LISTEN_FDS"].flatMap({ Int32($0) }), count > 0
        else { return nil }
        let names = (environment["LISTEN_FDNAMES"] ?? "").split(separator: ":", omittingEmptySubsequences: false)
        let place = names.prefix(Int(count)).firstIndex(of: Substring(name)) ?? 0
        let descriptor = firstDescriptor + Int32(place)
        try check(descriptor)
        let flags = fcntl(descriptor, F_GETFD)
        guard flags >= 0, fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC) == 0 else {
            throw ListeningSocket.failure("cannot take over descriptor \(descriptor)")
        }
        return descriptor
    }

    private static func check(_ descriptor: Int32) throws {
        var address = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        #if os(Linux)
            let stream = Int32(SOCK_STREAM.rawValue)
        #else
            let stream = SOCK_STREAM
        #endif
        guard result == 0, address.ss_family == sa_family_t(AF_UNIX), option(SO_TYPE, of: descriptor) == stream,
            option(SO_ACCEPTCONN, of: descriptor) != 0
        else {
            throw ReceiveError(
                .badInheritedSocket, "descriptor \(descriptor), inherited, is not a listening Unix stream socket")
        }
    }

    private static func option(_ name: Int32, of descriptor: Int32) -> Int32? {
        var value: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, name, &value, &size) == 0 ? value : nil
    }
}
