/// Why receive cannot listen.
public struct ReceiveError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Hashable, Sendable, CaseIterable {
        /// Longer than what the kernel takes.
        case pathTooLong = "path_too_long"
        /// Something that is no socket is in the way; it is never removed.
        case notASocket = "not_a_socket"
        /// Another process listens there.
        case inUse = "in_use"
        case unknownOwner = "unknown_owner"
        /// What systemd passed is not a listening Unix stream socket.
        case badInheritedSocket = "bad_inherited_socket"
        case system
    }

    public let code: Code
    public let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
