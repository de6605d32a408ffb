// Unsafe by design: `staging` has `stagingBytes` bytes, never more than `frameBytes`, of which the first `staged` are initialized;
// every write is cut to the room that is left. The compressors get exactly the room that their own bound functions ask for.

import CLZ4
import CZstd
import NIOCore

/// Turns a stream of bytes into compressed frames, or passes it on bare.
///
/// Long runs are compressed where they lie; short ones are collected into a frame first. Frames of others are taken over as they
/// lie, too: then the output has several pieces.
struct FrameWriter: ~Copyable {
    /// A run of at least this many bytes is compressed in place, without a copy.
    static let inPlaceBytesMin = 64 << 10
    private static let stagingBytesMin = 16 << 10
    /// Frames of others of at least this many bytes are not copied.
    private static let sharedBytesMin = 4 << 10

    private(set) var output: ByteBuffer
    /// Bytes that were in the output before.
    private let bytesBefore: Int
    /// Frames of others, each with how many bytes of the output stand before it.
    private var shared: [(place: Int, frames: ByteBuffer)] = []
    /// Bytes written so far, before compression.
    private(set) var rawBytes = 0

    private let compression: Compression?
    private let frameBytes: Int
    /// nil until something is collected. Grows while a frame does: most blocks of few rows need little of it.
    private var staging: UnsafeMutableRawPointer?
    private var stagingBytes = 0
    private var staged = 0
    private let compressor: Compressor

    /// - Parameters:
    ///   - frameBytes: raw bytes of a frame, 1 KiB to 64 MiB.
    ///   - bytes: of the output, about.
    ///   - buffers: the output is one of those.
    init(compression: Compression?, frameBytes: Int, expecting bytes: Int, of buffers: BufferPool = .none) {
        var output = buffers.take(bytes + 4096)
        self.init(compression: compression, frameBytes: frameBytes, appendingTo: &output)
    }

    /// Takes a buffer and appends to it; `takeOutput()` gives it back.
    init(compression: Compression?, frameBytes: Int, appendingTo buffer: inout ByteBuffer) {
        precondition((1 << 10...64 << 20).contains(frameBytes))
        self.compression = compression
        self.frameBytes = frameBytes
        bytesBefore = buffer.readableBytes
        output = buffer
        // From here on `output` is the only reference, so that it is appended to in place.
        buffer = ByteBuffer()
        var zstd: OpaquePointer?
        if case .zstd = compression { zstd = ZSTD_createCCtx() }
        compressor = Compressor(compression: compression, zstd: zstd)
    }

    deinit {
        staging?.deallocate()
        if let zstd = compressor.zstd { ZSTD_freeCCtx(zstd) }
    }

    mutating func write(_ bytes: UnsafeRawBufferPointer) throws(FrameError) {
        guard var start = bytes.baseAddress, bytes.count > 0 else { return }
        var left = bytes.count
        rawBytes += left
        guard compression != nil else {
            output.writeBytes(bytes)
            return
        }
        while left >= Self.inPlaceBytesMin {
            if staged > 0 { try flushStaged() }
            let piece = min(left, frameBytes)
            try writeFrame(UnsafeRawBufferPointer(start: start, count: piece))
            start += piece
            left -= piece
        }
        guard left > 0 else { return }
        while left > 0 {
            if staged == frameBytes { try flushStaged() }
            let piece = min(left, frameBytes - staged)
            (stagingRoom(for: piece) + staged).copyMemory(from: start, byteCount: piece)
            staged += piece
            start += piece
            left -= piece
        }
    }

    /// `staging` with room for so many bytes behind those in it, which a frame has.
    @inline(__always)
    private mutating func stagingRoom(for bytes: Int) -> UnsafeMutableRawPointer {
        if let staging, stagingBytes - staged >= bytes { return staging }
        return growStaging(bytes)
    }

    @inline(never)
    private mutating func growStaging(_ bytes: Int) -> UnsafeMutableRawPointer {
        stagingBytes = min(frameBytes, max(staged + bytes, 4 * stagingBytes, Self.stagingBytesMin))
        let grown = UnsafeMutableRawPointer.allocate(byteCount: stagingBytes, alignment: 16)
        if let staging {
            grown.copyMemory(from: staging, byteCount: staged)
            staging.deallocate()
        }
        staging = grown
        return grown
    }

    mutating func write(varUInt value: UInt64) throws(FrameError) {
        var bytes: (UInt64, UInt16) = (0, 0)
        var count = 0
        var rest = value
        withUnsafeMutableBytes(of: &bytes) { room in
            while rest >= 0x80 {
                room[count] = UInt8(truncatingIfNeeded: rest) | 0x80
                count += 1
                rest >>= 7
            }
            room[count] = UInt8(rest)
            count += 1
        }
        try withBytes(of: bytes, count)
    }

    mutating func write(string: String) throws(FrameError) {
        try write(varUInt: UInt64(string.utf8.count))
        var copy = string
        let result = copy.withUTF8 { utf8 in
            Result<Void, FrameError> { () throws(FrameError) in try write(UnsafeRawBufferPointer(utf8)) }
        }
        try result.get()
    }

    mutating func write(_ bytes: [UInt8]) throws(FrameError) {
        let result = bytes.withUnsafeBytes { raw in
            Result<Void, FrameError> { () throws(FrameError) in try write(raw) }
        }
        try result.get()
    }

    mutating func write<T: BitwiseCopyable>(_ value: T) throws(FrameError) {
        try withBytes(of: value, MemoryLayout<T>.size)
    }

    private mutating func withBytes<T: BitwiseCopyable>(of value: T, _ count: Int) throws(FrameError) {
        let result = withUnsafeBytes(of: value) { bytes in
            Result<Void, FrameError> { () throws(FrameError) in
                try write(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            }
        }
        try result.get()
    }

    /// Ends the frame that is under way, so that the next bytes begin one of their own.
    mutating func endFrame() throws(FrameError) {
        if staged > 0 { try flushStaged() }
    }

    /// Bytes of whole frames so far, without those of others.
    var outputBytes: Int { output.readableBytes - bytesBefore }

    /// Writes bytes into frames that have nothing else, compressed where they lie whatever their length.
    ///
    /// - Parameter isText: nobody can tell from the number of values how long they are. So that the end shows all the same, a last frame
    ///   that is full, as all before it are, is not compressed.
    mutating func writeAlone(_ bytes: UnsafeRawBufferPointer, isText: Bool) throws(FrameError) {
        try endFrame()
        guard compression != nil else { return try write(bytes) }
        rawBytes += bytes.count
        var start = 0
        while start < bytes.count {
            let end = min(start + frameBytes, bytes.count)
            let isFullEnd = isText && end == bytes.count && end - start == frameBytes
            try writeFrame(UnsafeRawBufferPointer(rebasing: bytes[start..<end]), isCompressed: !isFullEnd)
            start = end
        }
    }

    /// Writes whole frames, made as this writer makes them.
    mutating func write(frames: ByteBuffer, rawBytes: Int) throws(FrameError) {
        try endFrame()
        self.rawBytes += rawBytes
        if frames.readableBytes >= Self.sharedBytesMin {
            shared.append((outputBytes, frames))
        } else {
            output.writeImmutableBuffer(frames)
        }
    }

    /// Ends the last frame. Nothing may be written afterwards.
    mutating func finish() throws(FrameError) { try endFrame() }

    /// What was written, in one buffer behind what was in it before. There are no frames of others in it.
    mutating func takeOutput() -> ByteBuffer {
        precondition(shared.isEmpty, "frames of others are in no single buffer")
        defer { output = ByteBuffer() }
        return output
    }

    /// What was written, with the frames of others in their places.
    mutating func takeBody() -> BlockBody {
        var body = BlockBody()
        let own = output
        output = ByteBuffer()
        var from = 0
        func appendOwn(upTo end: Int) {
            if let piece = own.getSlice(at: own.readerIndex + bytesBefore + from, length: end - from) {
                body.append(piece)
            }
            from = end
        }
        for (place, frames) in shared {
            appendOwn(upTo: place)
            body.append(frames)
        }
        appendOwn(upTo: own.readableBytes - bytesBefore)
        return body
    }

    private mutating func flushStaged() throws(FrameError) {
        try writeFrame(UnsafeRawBufferPointer(start: staging, count: staged))
        staged = 0
    }

    private mutating func writeFrame(_ raw: UnsafeRawBufferPointer, isCompressed: Bool = true) throws(FrameError) {
        let compressor = isCompressed ? compressor : Compressor(compression: Compression.none, zstd: nil)
        let (method, bound) = compressor.methodAndBound(raw.count)
        var failure: FrameError?
        output.writeWithUnsafeMutableBytes(minimumWritableBytes: FrameFormat.prefixBytes + bound) { room in
            let payload = UnsafeMutableRawBufferPointer(rebasing: room[FrameFormat.prefixBytes...])
            guard let size = compressor.compress(raw, into: payload) else {
                failure = FrameError(.compressionFailed, "the compressor took no \(raw.count) bytes")
                return 0
            }
            return FrameFormat.seal(room, payload: size, raw: raw.count, method: method)
        }
        if let failure { throw failure }
    }

}

/// One call of the libraries that compress.
struct Compressor {
    let compression: Compression?
    /// A context that is reused from frame to frame; freed by the writer.
    let zstd: OpaquePointer?

    /// The frame's method byte, and the most bytes that so many raw ones can become.
    func methodAndBound(_ rawBytes: Int) -> (method: UInt8, bound: Int) {
        switch compression {
        case nil, .some(.none): (FrameFormat.methodNone, rawBytes)
        case .lz4, .lz4hc: (FrameFormat.methodLZ4, Int(LZ4_compressBound(Int32(rawBytes))))
        case .zstd: (FrameFormat.methodZSTD, ZSTD_compressBound(rawBytes))
        }
    }

    /// Bytes written; nil when the compressor failed.
    func compress(_ raw: UnsafeRawBufferPointer, into room: UnsafeMutableRawBufferPointer) -> Int? {
        let written: Int
        switch compression {
        case nil, .some(.none):
            room.copyMemory(from: raw)
            written = raw.count
        case .lz4 where raw.count <= Self.literalBytesMax:
            written = writeLiterals(raw, into: room)
        case .lz4:
            written = Int(
                LZ4_compress_default(
                    raw.bindMemory(to: CChar.self).baseAddress, room.bindMemory(to: CChar.self).baseAddress,
                    Int32(raw.count), Int32(clamping: room.count)))
        case .lz4hc(let level):
            written = Int(
                LZ4_compress_HC(
                    raw.bindMemory(to: CChar.self).baseAddress, room.bindMemory(to: CChar.self).baseAddress,
                    Int32(raw.count), Int32(clamping: room.count), Int32(level)))
        case .zstd(let level):
            let size = ZSTD_compressCCtx(zstd, room.baseAddress, room.count, raw.baseAddress, raw.count, Int32(level))
            written = ZSTD_isError(size) != 0 ? 0 : size
        }
        return written > 0 ? written : nil
    }

    /// Up to this size LZ4 finds next to nothing, and clears a table of 16 KiB for it.
    private static let literalBytesMax = 64

    /// An LZ4 block of one sequence without a match (lz4's doc/lz4_Block_format.md): a token, the rest of the length where it is 15 or
    /// more, the bytes.
    private func writeLiterals(_ raw: UnsafeRawBufferPointer, into room: UnsafeMutableRawBufferPointer) -> Int {
        var head = 1
        if raw.count < 15 {
            room[0] = UInt8(raw.count) << 4
        } else {
            room[0] = 0xF0
            room[1] = UInt8(raw.count - 15)
            head = 2
        }
        UnsafeMutableRawBufferPointer(rebasing: room[head...]).copyMemory(from: raw)
        return head + raw.count
    }
}
