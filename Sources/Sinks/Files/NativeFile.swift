import Foundation
import NIOCore
import Pipeline

/// One open file of blocks.
///
/// Three lengths tell how safe its bytes are: `synced` bytes are on the disk, `length` bytes are whole blocks, and what
/// lies beyond is a piece of a block that failed and is cut off before anything else happens.
final class NativeFile {
    let name: NativeFileName
    let openedAt: StageClock.Instant
    /// Written and not yet known to be on the disk: if syncing fails, the system may forget them, so they are kept.
    private(set) var unsynced: [EncodedBlock] = []
    private(set) var unsyncedBytes = 0
    private(set) var length = 0
    private(set) var synced = 0
    private let descriptor: Int32
    private let calls: FileCalls

    /// Creates the file under its temporary name.
    static func create(_ name: NativeFileName, at now: StageClock.Instant, calls: FileCalls) throws -> NativeFile {
        try makeDirectory(name.directory)
        let descriptor = open(name.temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_APPEND, 0o640)
        guard descriptor >= 0 else {
            throw FileError(.openFailed, path: name.temporaryPath, number: errno)
        }
        let file = NativeFile(name, now, descriptor, calls)
        try syncDirectory(name.directory)
        return file
    }

    private init(_ name: NativeFileName, _ now: StageClock.Instant, _ descriptor: Int32, _ calls: FileCalls) {
        self.name = name
        self.openedAt = now
        self.descriptor = descriptor
        self.calls = calls
    }

    deinit { close(descriptor) }

    /// Appends a block's bytes: all of them, or none.
    ///
    /// - Parameter block: what the bytes stand for; kept until they are synced.
    func append(_ bytes: ByteBuffer, of block: EncodedBlock) throws {
        let number: Int32? = bytes.withUnsafeReadableBytes { all in
            var written = 0
            while written < all.count {
                let count = calls.write(descriptor, UnsafeRawBufferPointer(rebasing: all[written...]))
                if count > 0 {
                    written += count
                } else if count == 0 || errno != EINTR {
                    return count == 0 ? ENOSPC : errno
                }
            }
            return nil
        }
        guard let number else {
            length += bytes.readableBytes
            unsynced.append(block)
            unsyncedBytes += block.bytes.readableBytes
            return
        }
        guard ftruncate(descriptor, off_t(length)) == 0 else {
            throw FileError(.truncateFailed, path: name.temporaryPath, number: errno)
        }
        throw FileError(.writeFailed, path: name.temporaryPath, number: number)
    }

    /// - Returns: The blocks that are on the disk now and were not before.
    func sync() throws -> [EncodedBlock] {
        guard !unsynced.isEmpty else { return [] }
        guard calls.sync(descriptor) == 0 else {
            throw FileError(.syncFailed, path: name.temporaryPath, number: errno)
        }
        synced = length
        defer { forgetUnsynced() }
        return unsynced
    }

    /// Somebody else writes the unsynced blocks.
    func abandon() -> [EncodedBlock] {
        defer { forgetUnsynced() }
        return unsynced
    }

    private func forgetUnsynced() {
        unsynced = []
        unsyncedBytes = 0
    }

    /// Gives the file its name. What is not synced is cut off. May be repeated after it failed.
    func publish() throws {
        guard synced > 0 else {
            unlink(name.temporaryPath)
            return
        }
        guard ftruncate(descriptor, off_t(synced)) == 0 else {
            throw FileError(.truncateFailed, path: name.temporaryPath, number: errno)
        }
        guard rename(name.temporaryPath, name.path) == 0 else {
            throw FileError(.renameFailed, path: name.path, number: errno)
        }
        try syncDirectory(name.directory)
    }
}
