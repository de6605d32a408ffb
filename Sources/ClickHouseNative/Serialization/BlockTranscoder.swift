import NIOCore

/// Bounds on what transcoding takes into memory.
public struct TranscodeLimits: Hashable, Sendable {
    /// Raw bytes of all frames of a body together.
    public var rawBytesMax = 1 << 30
    public var frame = FrameLimits()
    public var block = BlockLimits()

    public init() {}
}

/// Why a body could not be transcoded.
public struct TranscodeError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Cause: Hashable, Sendable {
        case frame(FrameError)
        case block(BlockError)
        /// The last block is cut off.
        case cutOff
        /// More raw bytes than `TranscodeLimits.rawBytesMax`.
        case limit(rawBytesMax: Int)
    }

    public let cause: Cause

    init(_ cause: Cause) { self.cause = cause }

    public var description: String {
        switch cause {
        case .frame(let error): error.description
        case .block(let error): error.description
        case .cutOff: "encoded body: the last block is cut off"
        case .limit(let bytes): "encoded body: more than \(bytes) raw bytes"
        }
    }
}

/// Turns an encoded body for one destination into the body for another: a block that waited for one server, in frames and of
/// its revision, goes to a file or to a server of another age.
public enum BlockTranscoder {
    /// The blocks of `body`, one after the other, written as `target`.
    ///
    /// Where both differ in compression only, the blocks are not looked at; where they don't differ at all, the body is
    /// returned as it is, unverified.
    ///
    /// - Parameter frameBytes: raw bytes of a compressed frame, 1 KiB to 64 MiB.
    public static func transcode(
        _ body: ByteBuffer, from source: BlockEncoding, to target: BlockEncoding,
        limits: TranscodeLimits = TranscodeLimits(),
        frameBytes: Int = 1 << 20
    ) throws(TranscodeError) -> ByteBuffer {
        let alike = writesAlike(source.revision, target.revision)
        guard isNeeded(from: source, to: target) else { return body }
        var raw = try rawBytes(of: body, source, limits)
        guard !alike else {
            return try framed(raw, target.compression, frameBytes)
        }
        var out = ByteBuffer()
        while raw.readableBytes > 0 {
            let block = try nextBlock(&raw, source, limits)
            do throws(FrameError) {
                // An empty block ends an INSERT; it has no columns to encode.
                var encoded =
                    block.layout.columns.isEmpty
                    ? try BlockEncoder.endOfData(as: target)
                    : try BlockEncoder.encode([block], as: target, frameBytes: frameBytes).body
                out.writeBuffer(&encoded)
            } catch {
                throw TranscodeError(.frame(error))
            }
        }
        return out
    }

    /// Whether a body for one destination is that for the other as well.
    public static func isNeeded(from source: BlockEncoding, to target: BlockEncoding) -> Bool {
        !writesAlike(source.revision, target.revision) || source.compression != target.compression
    }

    /// The bytes without frames.
    private static func rawBytes(
        of body: ByteBuffer, _ source: BlockEncoding, _ limits: TranscodeLimits
    ) throws(TranscodeError) -> ByteBuffer {
        var body = body
        guard source.compression != nil else {
            guard body.readableBytes <= limits.rawBytesMax else {
                throw TranscodeError(.limit(rawBytesMax: limits.rawBytesMax))
            }
            return body
        }
        var raw = ByteBuffer()
        while body.readableBytes > 0 {
            // No frame may ask for more than all may have; what does not compress has a few bytes more than raw.
            var frameLimits = limits.frame
            frameLimits.frameBytesMax = min(
                frameLimits.frameBytesMax, limits.rawBytesMax + limits.rawBytesMax / 128 + 1024)
            let frame: ByteBuffer?
            do throws(FrameError) {
                frame = try FrameReader.readFrame(&body, limits: frameLimits)
            } catch {
                throw TranscodeError(.frame(error))
            }
            guard var frame else { throw TranscodeError(.cutOff) }
            guard raw.readableBytes + frame.readableBytes <= limits.rawBytesMax else {
                throw TranscodeError(.limit(rawBytesMax: limits.rawBytesMax))
            }
            raw.writeBuffer(&frame)
        }
        return raw
    }

    private static func nextBlock(
        _ raw: inout ByteBuffer, _ source: BlockEncoding, _ limits: TranscodeLimits
    ) throws(TranscodeError) -> Block {
        let block: Block?
        do throws(BlockError) {
            block = try BlockReader.read(&raw, revision: source.revision, limits: limits.block)
        } catch {
            throw TranscodeError(.block(error))
        }
        guard let block else { throw TranscodeError(.cutOff) }
        return block
    }

    /// Whether blocks have the same bytes for both: every feature that `BlockEncoder` looks at is in both or in neither.
    private static func writesAlike(_ a: Revision?, _ b: Revision?) -> Bool {
        guard let a, let b else { return a == nil && b == nil }
        let features: [Revision.Feature] = [.customSerialization, .outOfOrderBuckets, .stringSizesApart]
        return features.allSatisfy { a.supports($0) == b.supports($0) }
    }

    private static func framed(
        _ raw: ByteBuffer, _ compression: Compression?, _ frameBytes: Int
    ) throws(TranscodeError) -> ByteBuffer {
        var writer = FrameWriter(compression: compression, frameBytes: frameBytes, expecting: raw.readableBytes)
        do throws(FrameError) {
            let result = raw.withUnsafeReadableBytes { bytes in
                Result<Void, FrameError> { () throws(FrameError) in try writer.write(bytes) }
            }
            try result.get()
            try writer.finish()
        } catch {
            throw TranscodeError(.frame(error))
        }
        return writer.takeOutput()
    }
}
