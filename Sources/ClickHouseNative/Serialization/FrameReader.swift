// Unsafe by design: decompressors write into a buffer of exactly the raw size that the frame names, which was checked
// against the limit before it was allocated, and are told that size.

import CLZ4
import CZstd
import NIOCore

/// Reads compressed frames: the checksum is verified before anything else is believed.
public enum FrameReader {
    /// The raw bytes of the next frame; nil when it has not arrived whole (the buffer is untouched then).
    public static func readFrame(
        _ buffer: inout ByteBuffer, limits: FrameLimits = FrameLimits()
    ) throws(FrameError) -> ByteBuffer? {
        let start = buffer.readerIndex
        guard let (_, sealed, rawSize) = head(of: buffer) else { return nil }
        guard sealed >= FrameFormat.headerBytes, sealed <= limits.frameBytesMax else {
            throw FrameError(.badSize, "a size of \(sealed) bytes, allowed are 9 to \(limits.frameBytesMax)")
        }
        guard rawSize <= limits.frameBytesMax else {
            throw FrameError(.badSize, "a raw size of \(rawSize) bytes, allowed are \(limits.frameBytesMax)")
        }
        guard buffer.readableBytes >= FrameFormat.checksumBytes + sealed else { return nil }

        let expected = CityHash128(
            low: buffer.getInteger(at: start, endianness: .little)!,
            high: buffer.getInteger(at: start + 8, endianness: .little)!)
        let result = buffer.withUnsafeReadableBytes { bytes in
            Result<ByteBuffer, FrameError> { () throws(FrameError) in
                let sealedBytes = UnsafeRawBufferPointer(
                    rebasing: bytes[FrameFormat.checksumBytes..<FrameFormat.checksumBytes + sealed])
                guard CityHash128(hashing: sealedBytes) == expected else {
                    throw FrameError(.checksumMismatch, "the checksum of \(sealed) bytes does not match")
                }
                let payload = UnsafeRawBufferPointer(rebasing: sealedBytes[FrameFormat.headerBytes...])
                return try decompress(payload, method: sealedBytes[0], rawSize: rawSize)
            }
        }
        let raw = try result.get()
        buffer.moveReaderIndex(forwardBy: FrameFormat.checksumBytes + sealed)
        return raw
    }

    /// Passes the next frame by without a look at what is in it; nil when it is not there whole, or its sizes are none.
    static func skipFrame(_ buffer: inout ByteBuffer) -> (method: UInt8, rawBytes: Int)? {
        guard let (method, sealed, rawBytes) = head(of: buffer), sealed >= FrameFormat.headerBytes,
            buffer.readableBytes >= FrameFormat.checksumBytes + sealed
        else { return nil }
        buffer.moveReaderIndex(forwardBy: FrameFormat.checksumBytes + sealed)
        return (method, rawBytes)
    }

    /// What the next frame says of itself; nil when that has not arrived.
    private static func head(of buffer: ByteBuffer) -> (method: UInt8, sealed: Int, rawBytes: Int)? {
        let start = buffer.readerIndex
        guard buffer.readableBytes >= FrameFormat.prefixBytes,
            let method = buffer.getInteger(at: start + 16, as: UInt8.self),
            let sealed = buffer.getInteger(at: start + 17, endianness: .little, as: UInt32.self),
            let rawBytes = buffer.getInteger(at: start + 21, endianness: .little, as: UInt32.self)
        else { return nil }
        return (method, Int(sealed), Int(rawBytes))
    }

    private static func decompress(
        _ payload: UnsafeRawBufferPointer, method: UInt8, rawSize: Int
    ) throws(FrameError) -> ByteBuffer {
        var raw = ByteBuffer()
        // An empty frame has nothing to decompress, but a method that must be known all the same.
        var written = 0
        switch method {
        case FrameFormat.methodNone:
            guard payload.count == rawSize else {
                throw FrameError(.badSize, "\(payload.count) stored bytes, \(rawSize) named")
            }
            written = raw.writeBytes(payload)
        case FrameFormat.methodLZ4:
            // A byte of LZ4 yields at most 255 raw ones; more is a lie that would cost memory.
            guard rawSize <= payload.count * 255 else {
                throw FrameError(.badSize, "\(payload.count) bytes of LZ4 cannot hold \(rawSize)")
            }
            raw.writeWithUnsafeMutableBytes(minimumWritableBytes: max(1, rawSize)) { room in
                written = Int(
                    LZ4_decompress_safe(
                        payload.bindMemory(to: CChar.self).baseAddress, room.bindMemory(to: CChar.self).baseAddress,
                        Int32(payload.count), Int32(rawSize)))
                return max(0, written)
            }
        case FrameFormat.methodZSTD:
            let content = ZSTD_getFrameContentSize(payload.baseAddress, payload.count)
            guard content == UInt64(rawSize) else {
                throw FrameError(.badPayload, "the ZSTD content does not have the \(rawSize) bytes that are named")
            }
            raw.writeWithUnsafeMutableBytes(minimumWritableBytes: max(1, rawSize)) { room in
                let size = ZSTD_decompress(room.baseAddress, rawSize, payload.baseAddress, payload.count)
                written = ZSTD_isError(size) != 0 ? -1 : size
                return max(0, written)
            }
        default:
            throw FrameError(.unknownMethod, "method 0x\(String(method, radix: 16)) is not known")
        }
        guard written == rawSize else {
            throw FrameError(.badPayload, "the payload does not decompress to the \(rawSize) bytes that are named")
        }
        return raw
    }

    /// The raw bytes of all frames that the buffer holds. Whole frames are expected.
    ///
    /// - Parameter totalBytesMax: bound on the sum of raw sizes.
    public static func readAll(
        _ buffer: inout ByteBuffer, limits: FrameLimits = FrameLimits(), totalBytesMax: Int = 1 << 32
    ) throws(FrameError) -> ByteBuffer {
        var all = ByteBuffer()
        while buffer.readableBytes > 0 {
            guard var frame = try readFrame(&buffer, limits: limits) else {
                throw FrameError(.badSize, "the last frame is cut off")
            }
            guard all.readableBytes + frame.readableBytes <= totalBytesMax else {
                throw FrameError(.badSize, "more than \(totalBytesMax) raw bytes")
            }
            // Most have one frame only.
            if all.readableBytes == 0 { all = frame } else { all.writeBuffer(&frame) }
        }
        return all
    }
}
