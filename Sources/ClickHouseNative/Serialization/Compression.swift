/// How the payload of compressed frames is made.
public enum Compression: Hashable, Sendable {
    /// Frames with the bytes as they are.
    case none
    case lz4
    /// LZ4's slow, dense sibling; the same format to read. Level 1 to 12.
    case lz4hc(level: Int)
    /// Level 1 to 22.
    case zstd(level: Int)
}

/// What a block's bytes look like: where they go decides it.
public struct BlockEncoding: Hashable, Sendable {
    /// Of the connection that the block goes to; nil for the Native format of files, which has no block info.
    public var revision: Revision?
    /// nil: bare bytes, without frames.
    public var compression: Compression?

    public init(revision: Revision?, compression: Compression?) {
        self.revision = revision
        self.compression = compression
    }

    /// Whether it makes the bytes fewer.
    var isPacked: Bool { compression != nil && compression != Compression.none }

    /// A `.native` file.
    public static let file = BlockEncoding(revision: nil, compression: nil)
}

/// Bounds on what a reader takes, checked before memory is asked for.
public struct FrameLimits: Hashable, Sendable {
    /// Raw and compressed size of one frame. ClickHouse itself refuses more than 1 GiB
    /// (Compression/CompressionInfo.h, DBMS_MAX_COMPRESSED_SIZE).
    public var frameBytesMax: Int

    public init(frameBytesMax: Int = 1 << 30) { self.frameBytesMax = frameBytesMax }
}

/// Why bytes are no compressed frame.
public struct FrameError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// The checksum does not fit the bytes: they were damaged.
        case checksumMismatch
        /// A method byte that is none of 0x02, 0x82, 0x90.
        case unknownMethod
        /// A size that contradicts itself or is beyond the limit.
        case badSize
        /// The payload does not decompress to the size that the frame names.
        case badPayload
        /// The compressor failed.
        case compressionFailed
    }

    public let code: Code
    public let reason: String

    public init(_ code: Code, _ reason: String) {
        self.code = code
        self.reason = reason
    }

    public var description: String { "compressed frame: \(reason)" }
}

/// The frame's fixed parts (ClickHouse's Compression/CompressionInfo.h, CompressedWriteBuffer.cpp), little-endian:
///
///     0   checksum      16  CityHash128 v1.0.2 of everything that follows
///     16  method         1  0x02 none, 0x82 LZ4 and LZ4HC, 0x90 ZSTD
///     17  size           4  of the payload and these last 9 bytes
///     21  raw size       4
///     25  payload
enum FrameFormat {
    static let checksumBytes = 16
    static let headerBytes = 9
    static let prefixBytes = checksumBytes + headerBytes

    /// Writes what stands before a payload that is there already.
    ///
    /// - Parameter frame: from the frame's first byte on.
    /// - Returns: The frame's bytes.
    static func seal(_ frame: UnsafeMutableRawBufferPointer, payload: Int, raw: Int, method: UInt8) -> Int {
        let sealed = headerBytes + payload
        frame.storeBytes(of: method, toByteOffset: 16, as: UInt8.self)
        frame.storeBytes(of: UInt32(sealed).littleEndian, toByteOffset: 17, as: UInt32.self)
        frame.storeBytes(of: UInt32(raw).littleEndian, toByteOffset: 21, as: UInt32.self)
        let hash = CityHash128(
            hashing: UnsafeRawBufferPointer(
                rebasing: UnsafeRawBufferPointer(frame)[checksumBytes..<checksumBytes + sealed]))
        frame.storeBytes(of: hash.low.littleEndian, toByteOffset: 0, as: UInt64.self)
        frame.storeBytes(of: hash.high.littleEndian, toByteOffset: 8, as: UInt64.self)
        return prefixBytes + payload
    }

    static let methodNone: UInt8 = 0x02
    static let methodLZ4: UInt8 = 0x82
    static let methodZSTD: UInt8 = 0x90
}
