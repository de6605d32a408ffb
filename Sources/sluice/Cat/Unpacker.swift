// Unsafe by design: the libraries are told exactly the room of a buffer that is allocated here, and the bytes they get
// are borrowed from a buffer that lives through the call.

import CLZ4
import CZstd
import ClickHouseNative
import NIOCore

/// Turns the bytes of a file into the bytes of its blocks, a piece at a time.
struct Unpacker: ~Copyable {
    /// Bytes that are unpacked at once.
    static let pieceBytes = 256 << 10

    let kind: FileKind
    /// Bytes of the file that were taken.
    private(set) var taken = 0
    /// Whether the file may end here: no frame is open.
    private(set) var isBetweenFrames = true
    private var lz4: OpaquePointer?
    private let zstd: OpaquePointer?
    private let room: UnsafeMutableRawBufferPointer

    init(_ kind: FileKind) {
        self.kind = kind
        room = .allocate(byteCount: Self.pieceBytes, alignment: 16)
        zstd = kind == .zstd ? ZSTD_createDCtx() : nil
        if kind == .lz4 { LZ4F_createDecompressionContext(&lz4, UInt32(LZ4F_VERSION)) }
    }

    deinit {
        room.deallocate()
        if let zstd { ZSTD_freeDCtx(zstd) }
        if let lz4 { LZ4F_freeDecompressionContext(lz4) }
    }

    /// Takes bytes from `packed` and appends what they stand for to `raw`: one piece of it.
    ///
    /// - Returns: False when there is nothing to be had without more bytes.
    mutating func step(_ packed: inout ByteBuffer, into raw: inout ByteBuffer) throws(CatError) -> Bool {
        switch kind {
        case .bare:
            taken += packed.readableBytes
            raw.writeBuffer(&packed)
            return false
        case .frames:
            do {
                let before = packed.readableBytes
                guard var frame = try FrameReader.readFrame(&packed) else {
                    isBetweenFrames = before == 0
                    return false
                }
                taken += before - packed.readableBytes
                raw.writeBuffer(&frame)
                isBetweenFrames = true
                return true
            } catch {
                throw CatError(offset: taken, reason: "\(error)")
            }
        case .lz4, .zstd: return try decompress(&packed, into: &raw)
        }
    }

    private mutating func decompress(_ packed: inout ByteBuffer, into raw: inout ByteBuffer) throws(CatError) -> Bool {
        // At a frame's end nothing is left inside; within one there may be, even without more bytes.
        if packed.readableBytes == 0, isBetweenFrames { return false }
        var (used, made, hint) = (0, 0, 0)
        var problem: String?
        let (room, lz4, zstd, kind) = (room, lz4, zstd, kind)
        packed.withUnsafeReadableBytes { bytes in
            if kind == .lz4 {
                (used, made) = (bytes.count, room.count)
                hint = LZ4F_decompress(lz4, room.baseAddress, &made, bytes.baseAddress, &used, nil)
                if LZ4F_isError(hint) != 0 { problem = String(cString: LZ4F_getErrorName(hint)) }
            } else {
                var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
                var output = ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
                hint = ZSTD_decompressStream(zstd, &output, &input)
                (used, made) = (input.pos, output.pos)
                if ZSTD_isError(hint) != 0 { problem = String(cString: ZSTD_getErrorName(hint)) }
            }
        }
        if let problem { throw CatError(offset: taken, reason: "\(kind == .lz4 ? "LZ4" : "ZSTD"): \(problem)") }
        taken += used
        packed.moveReaderIndex(forwardBy: used)
        raw.writeBytes(UnsafeRawBufferPointer(rebasing: room[..<made]))
        isBetweenFrames = hint == 0
        return used > 0 || made > 0
    }
}
