import Foundation

/// Tells systemd (or whoever else speaks sd_notify(3)) what it cannot see: when the daemon takes rows.
enum ServiceManager {
    /// - Parameters:
    ///   - state: `READY=1`.
    ///   - socket: where to say it; without one nobody wants to know.
    /// - Returns: false when there is nobody to tell, or it did not arrive.
    @discardableResult
    static func notify(
        _ state: String, socket path: String? = ProcessInfo.processInfo.environment["NOTIFY_SOCKET"]
    ) -> Bool {
        guard let path, !path.isEmpty else { return false }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var name = Array(path.utf8)
        guard name.count < MemoryLayout.size(ofValue: address.sun_path) else { return false }
        // A name that begins with @ is no file, but one that the kernel keeps: its first byte is zero.
        if name[0] == UInt8(ascii: "@") { name[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        #if canImport(Glibc)
            let descriptor = Foundation.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        #else
            let descriptor = Foundation.socket(AF_UNIX, SOCK_DGRAM, 0)
        #endif
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        let length = socklen_t(MemoryLayout.offset(of: \sockaddr_un.sun_path)! + name.count)
        let bytes = Array(state.utf8)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, bytes, bytes.count, 0, $0, length) == bytes.count
            }
        }
    }
}
