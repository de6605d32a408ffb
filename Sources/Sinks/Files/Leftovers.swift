import ClickHouseNative
import Foundation
import Logging
import NIOCore
import Pipeline

/// Files that a run before left under their temporary names, because it was killed. They hold blocks that were confirmed.
struct Leftovers {
    /// A file is read in pieces of this size, and of more where one block is larger.
    private static let pieceBytes = 1 << 20

    let root: String
    let logger: Logger

    /// Cuts each file behind its last whole block and gives it its name. One in which no block is whole is kept aside.
    func recover() throws {
        for directory in try FileManager.default.contentsOfDirectory(atPath: root) {
            let path = root + "/" + directory
            let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
            for name in names.sorted() {
                guard let file = NativeFileName(temporary: name, in: path) else { continue }
                try recover(file)
            }
        }
    }

    private func recover(_ file: NativeFileName) throws {
        let descriptor = open(file.temporaryPath, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(.openFailed, path: file.temporaryPath, number: errno) }
        defer { close(descriptor) }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        let whole = file.compression == .none ? wholeBlocks(descriptor) : wholeFrames(descriptor, file.compression)
        let target = whole > 0 ? file.path : file.tornPath
        if whole > 0 {
            guard ftruncate(descriptor, off_t(whole)) == 0, fsync(descriptor) == 0 else {
                throw FileError(.truncateFailed, path: file.temporaryPath, number: errno)
            }
        }
        if size == 0 {
            unlink(file.temporaryPath)
        } else {
            guard rename(file.temporaryPath, target) == 0 else {
                throw FileError(.renameFailed, path: target, number: errno)
            }
        }
        try syncDirectory(file.directory)
        logger.notice(
            "file of an earlier run recovered",
            metadata: ["file": "\(target)", "bytes": "\(whole)", "cut_off_bytes": "\(size - whole)"])
    }

    /// Bytes of the file up to which its blocks are whole. Blocks without compression have no checksums: what is found
    /// is that they can be read.
    private func wholeBlocks(_ descriptor: Int32) -> Int {
        var whole = 0
        var window = Self.pieceBytes
        while true {
            var buffer = piece(descriptor, at: whole, bytesMax: window)
            let isRest = buffer.readableBytes < window
            let before = whole
            do {
                while buffer.readableBytes > 0, try BlockReader.read(&buffer, revision: nil) != nil {
                    whole = before + buffer.readerIndex
                }
            } catch {
                return whole
            }
            if isRest { return whole }
            // Not one block was whole in what was read: it is larger.
            window = whole == before ? window * 2 : Self.pieceBytes
        }
    }

    private func wholeFrames(_ descriptor: Int32, _ compression: FileSinkSettings.Compression) -> Int {
        var walk = FrameWalk(compression)
        var offset = 0
        while true {
            let bytes = piece(descriptor, at: offset, bytesMax: Self.pieceBytes)
            offset += bytes.readableBytes
            let isRight = bytes.withUnsafeReadableBytes { walk.take($0) }
            guard isRight, bytes.readableBytes > 0 else { return walk.wholeBytes }
        }
    }

    /// Shorter than asked for only at the end of the file.
    private func piece(_ descriptor: Int32, at offset: Int, bytesMax: Int) -> ByteBuffer {
        var buffer = ByteBuffer()
        while buffer.readableBytes < bytesMax {
            let (start, wanted) = (offset + buffer.readableBytes, bytesMax - buffer.readableBytes)
            let count = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: wanted) { room in
                max(0, pread(descriptor, room.baseAddress, wanted, off_t(start)))
            }
            guard count > 0 else { break }
        }
        return buffer
    }
}
