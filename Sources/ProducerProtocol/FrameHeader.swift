import NIOCore

/// What a frame is for. Kinds of a producer are below 64, those of the daemon from 65 on.
public enum FrameKind: UInt8, Sendable, CaseIterable {
    case hello = 1, data, ping, bye
    case welcome = 65, ack, nack, pong, error

    /// Kinds that a receiver does not know and may skip begin here.
    public static let skippableMin: UInt8 = 128
}

/// The 24 bytes before a frame's payload (docs/specs/producer-protocol.md). Integers are little-endian.
public struct FrameHeader: Hashable, Sendable {
    public static let bytes = 24
    /// What a session begins with: "SLUICE" behind a byte that no text begins with, and the version.
    public static let preamble: [UInt8] = [0xF5, 0x53, 0x4C, 0x55, 0x49, 0x43, 0x45, 0x01]

    private static let checksumFlag: UInt8 = 1

    /// Bytes of the payload.
    public var length: UInt32
    /// A `FrameKind`, or one that is not known.
    public var kind: UInt8
    public var number: UInt64
    /// CRC-32 of the payload; nil: none was sent.
    public var checksum: UInt32?
    public var count: UInt32

    public init(kind: FrameKind, number: UInt64, count: UInt32 = 0, length: UInt32 = 0, checksum: UInt32? = nil) {
        self.kind = kind.rawValue
        self.number = number
        self.count = count
        self.length = length
        self.checksum = checksum
    }

    /// - Parameter buffer: Its first bytes are the header.
    /// - Returns: nil when there are fewer than `bytes`.
    public init?(peeking buffer: ByteBuffer) {
        let at = buffer.readerIndex
        guard
            let (length, kind, flags, _) = buffer.peekMultipleIntegers(
                endianness: .little, as: (UInt32, UInt8, UInt8, UInt16).self),
            let number = buffer.getInteger(at: at + 8, endianness: .little, as: UInt64.self),
            let checksum = buffer.getInteger(at: at + 16, endianness: .little, as: UInt32.self),
            let count = buffer.getInteger(at: at + 20, endianness: .little, as: UInt32.self)
        else { return nil }
        self.length = length
        self.kind = kind
        self.number = number
        self.checksum = flags & Self.checksumFlag != 0 ? checksum : nil
        self.count = count
    }

    public func write(to buffer: inout ByteBuffer) {
        buffer.writeMultipleIntegers(
            length, kind, checksum == nil ? 0 : Self.checksumFlag, UInt16(0), number, checksum ?? 0, count,
            endianness: .little, as: (UInt32, UInt8, UInt8, UInt16, UInt64, UInt32, UInt32).self)
    }
}

extension ByteBuffer {
    /// A whole frame. Everything but rows is small, and goes without a checksum.
    public mutating func writeFrame(
        _ kind: FrameKind, number: UInt64 = 0, count: UInt32 = 0, fields: [(key: String, value: String)] = []
    ) {
        var payload = ByteBuffer()
        for (key, value) in fields {
            payload.writeString("\(key)=\(value.replacingNewlines)\n")
        }
        FrameHeader(kind: kind, number: number, count: count, length: UInt32(payload.readableBytes))
            .write(to: &self)
        writeImmutableBuffer(payload)
    }

    /// Whether the readable bytes have this checksum, if there is one.
    public func matches(_ checksum: UInt32?) -> Bool { checksum.map { $0 == crc32() } ?? true }
}

extension String {
    /// Values of fields are one line each.
    fileprivate var replacingNewlines: String {
        utf8.contains(10) || utf8.contains(13)
            ? String(String.UnicodeScalarView(unicodeScalars.map { $0 == "\n" || $0 == "\r" ? " " : $0 })) : self
    }
}
