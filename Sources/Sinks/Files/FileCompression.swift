// Unsafe by design: the libraries get buffers of exactly the room that their own bound functions ask for.

import CLZ4
import CZstd
import NIOCore
import Pipeline

/// The whole-file formats that ClickHouse recognizes by a file's name: standard LZ4 frames and standard ZSTD, not the
/// compressed frames of the native protocol. Each block is a frame of its own: frames in a row are the format, too, and
/// a file that was cut off is whole up to some frame.
extension FileSinkSettings.Compression {
    /// What follows `.native`.
    var suffix: String {
        switch self {
        case .none: ""
        case .lz4: ".lz4"
        case .zstd: ".zst"
        }
    }

    func compress(_ raw: ByteBuffer) throws -> ByteBuffer {
        switch self {
        case .none: return raw
        case .lz4:
            var preferences = LZ4F_preferences_t()
            preferences.frameInfo.blockSizeID = LZ4F_max4MB
            preferences.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled
            return try Self.compress(raw, bound: LZ4F_compressFrameBound(raw.readableBytes, &preferences)) {
                let size = LZ4F_compressFrame($0.baseAddress, $0.count, $1.baseAddress, $1.count, &preferences)
                return LZ4F_isError(size) == 0 ? size : nil
            }
        case .zstd:
            guard let context = ZSTD_createCCtx() else { throw FileError(.compressionFailed, path: "") }
            defer { ZSTD_freeCCtx(context) }
            ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Self.zstdLevel)
            ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
            return try Self.compress(raw, bound: ZSTD_compressBound(raw.readableBytes)) {
                let size = ZSTD_compress2(context, $0.baseAddress, $0.count, $1.baseAddress, $1.count)
                return ZSTD_isError(size) == 0 ? size : nil
            }
        }
    }

    /// The library's own default (zstd.h).
    private static let zstdLevel: Int32 = 3

    private static func compress(
        _ raw: ByteBuffer, bound: Int, _ body: (UnsafeMutableRawBufferPointer, UnsafeRawBufferPointer) -> Int?
    ) throws -> ByteBuffer {
        var packed = ByteBuffer()
        var isDone = false
        packed.writeWithUnsafeMutableBytes(minimumWritableBytes: bound) { room in
            let size = raw.withUnsafeReadableBytes { body(room, $0) }
            isDone = size != nil
            return size ?? 0
        }
        guard isDone else { throw FileError(.compressionFailed, path: "") }
        return packed
    }
}

/// Walks over the frames of a file, to find where the last whole one ends.
struct FrameWalk: ~Copyable {
    private let compression: FileSinkSettings.Compression
    private var lz4: OpaquePointer?
    private let zstd: OpaquePointer?
    private let scratch: UnsafeMutableRawBufferPointer
    /// Of the file, up to which all frames are whole and their checksums right.
    private(set) var wholeBytes = 0
    private var seenBytes = 0

    init(_ compression: FileSinkSettings.Compression) {
        self.compression = compression
        scratch = .allocate(byteCount: 1 << 18, alignment: 16)
        zstd = compression == .zstd ? ZSTD_createDCtx() : nil
        if compression == .lz4 { LZ4F_createDecompressionContext(&lz4, UInt32(LZ4F_VERSION)) }
    }

    deinit {
        scratch.deallocate()
        if let zstd { ZSTD_freeDCtx(zstd) }
        if let lz4 { LZ4F_freeDecompressionContext(lz4) }
    }

    /// - Returns: Whether these bytes were right; after false there is nothing more to find.
    mutating func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
            guard let (taken, isEnd) = compression == .lz4 ? stepLZ4(rest) : stepZSTD(rest) else { return false }
            offset += taken
            seenBytes += taken
            if isEnd { wholeBytes = seenBytes }
        }
        return true
    }

    private func stepLZ4(_ bytes: UnsafeRawBufferPointer) -> (taken: Int, isEnd: Bool)? {
        var (taken, made) = (bytes.count, scratch.count)
        let hint = LZ4F_decompress(lz4, scratch.baseAddress, &made, bytes.baseAddress, &taken, nil)
        return LZ4F_isError(hint) != 0 || (taken == 0 && made == 0) ? nil : (taken, hint == 0)
    }

    private func stepZSTD(_ bytes: UnsafeRawBufferPointer) -> (taken: Int, isEnd: Bool)? {
        var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
        var output = ZSTD_outBuffer(dst: scratch.baseAddress, size: scratch.count, pos: 0)
        let hint = ZSTD_decompressStream(zstd, &output, &input)
        return ZSTD_isError(hint) != 0 || (input.pos == 0 && output.pos == 0) ? nil : (input.pos, hint == 0)
    }
}
