/// Why bytes of a server are not what the native protocol says, or why a request cannot be put into it.
public struct ProtocolError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// A number or text that the format does not allow.
        case malformed
        /// A packet number that no revision has.
        case unknownPacket
        /// A packet of the protocol that is only for servers of a cluster, or for logins that are not offered here.
        case packetNotSpoken
        /// A packet that is known but has no place in the state of the connection.
        case unexpectedPacket
        /// A size or count beyond a limit of `ProtocolLimits`.
        case limit
        /// The block in a packet, or the frames around it, cannot be read.
        case badBlock
        /// The server is older than `Revision.oldest`.
        case revisionTooOld
        /// The server accepts chunked framing only.
        case chunkedFramingRequired
        /// A setting or a parameter that the server's revision has no way to take.
        case requestNotExpressible
    }

    public let code: Code
    public let reason: String

    public init(_ code: Code, _ reason: String) {
        self.code = code
        self.reason = reason
    }

    public var description: String { "native protocol: \(reason)" }
}
