import NIOCore

/// The bytes of an encoded block, in as many buffers as they lie in: frames that rows were compressed into before are not copied.
public struct BlockBody: Sendable, Hashable {
    /// In their order; none is empty.
    public private(set) var pieces: [ByteBuffer]
    public private(set) var readableBytes: Int

    public init(_ bytes: ByteBuffer) {
        pieces = bytes.readableBytes > 0 ? [bytes] : []
        readableBytes = bytes.readableBytes
    }

    init() {
        pieces = []
        readableBytes = 0
    }

    mutating func append(_ piece: ByteBuffer) {
        guard piece.readableBytes > 0 else { return }
        pieces.append(piece)
        readableBytes += piece.readableBytes
    }

    /// All of it in one buffer: a copy, unless it lies in one.
    public var joined: ByteBuffer {
        guard pieces.count != 1 else { return pieces[0] }
        var joined = ByteBuffer()
        joined.reserveCapacity(readableBytes)
        for piece in pieces { joined.writeImmutableBuffer(piece) }
        return joined
    }
}
