import CSluice
import Foundation
import NIOCore

/// A directory of the system's.
public final class SystemSpoolDisk: SpoolDisk {
    public let path: String
    private let lock: Int32

    static let full = ENOSPC
    static let overQuota = EDQUOT
    static func text(of number: Int32) -> String { String(cString: strerror(number)) }

    /// Makes the directory (mode 0700) if it is missing, and locks it for as long as this object lives.
    ///
    /// - Throws: `SpoolDiskError`; with call `.lock` and EWOULDBLOCK when another daemon has it.
    public init(path: String) throws {
        self.path = path
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw SpoolDiskError(.create, path, errno == 0 ? EIO : errno)
        }
        lock = Foundation.open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        // From here on all is initialized: an error that is thrown runs `deinit`, which closes.
        guard lock >= 0, flock(lock, LOCK_EX | LOCK_NB) == 0 else { throw SpoolDiskError(.lock, path, errno) }
    }

    deinit { close(lock) }

    public func names() throws(SpoolDiskError) -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: path)
        } catch {
            throw SpoolDiskError(.list, path, errno == 0 ? EIO : errno)
        }
    }

    public func create(_ name: String) throws(SpoolDiskError) -> any SpoolFile {
        let descriptor = Foundation.open("\(path)/\(name)", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SpoolDiskError(.create, name, errno) }
        let file = SystemSpoolFile(descriptor: descriptor, name: name)
        try syncNames()
        return file
    }

    public func open(_ name: String) throws(SpoolDiskError) -> any SpoolFile {
        let descriptor = Foundation.open("\(path)/\(name)", O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { throw SpoolDiskError(.open, name, errno) }
        return SystemSpoolFile(descriptor: descriptor, name: name)
    }

    public func reserve(_ name: String, bytes: Int) throws(SpoolDiskError) {
        let descriptor = Foundation.open("\(path)/\(name)", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SpoolDiskError(.reserve, name, errno) }
        defer { close(descriptor) }
        // Not the file's length: what lies behind it is no part of what is read back.
        let failure = sluice_reserve(descriptor, Int64(bytes))
        guard failure == 0 else { throw SpoolDiskError(.reserve, name, failure) }
    }

    public func remove(_ name: String) throws(SpoolDiskError) {
        guard unlink("\(path)/\(name)") == 0 || errno == ENOENT else { throw SpoolDiskError(.remove, name, errno) }
    }

    public func rename(_ name: String, to: String) throws(SpoolDiskError) {
        guard Foundation.rename("\(path)/\(name)", "\(path)/\(to)") == 0 else {
            throw SpoolDiskError(.rename, name, errno)
        }
        try syncNames()
    }

    public func freeBytes() -> Int? {
        var about = statvfs()
        guard statvfs(path, &about) == 0 else { return nil }
        return Int(clamping: UInt64(about.f_bavail) * UInt64(about.f_frsize))
    }

    private func syncNames() throws(SpoolDiskError) {
        let descriptor = Foundation.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SpoolDiskError(.sync, path, errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw SpoolDiskError(.sync, path, errno) }
    }
}

/// A directory that is only looked at: what would change it is left undone, and nothing fails because of that. So what reads a
/// spool back at start reads it for people, too.
final class ReadOnlySpoolDisk: SpoolDisk {
    private let path: String

    init(path: String) { self.path = path }

    func names() throws(SpoolDiskError) -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: path)
        } catch {
            throw SpoolDiskError(.list, path, FileManager.default.fileExists(atPath: path) ? EACCES : ENOENT)
        }
    }

    func open(_ name: String) throws(SpoolDiskError) -> any SpoolFile {
        let descriptor = Foundation.open("\(path)/\(name)", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SpoolDiskError(.open, name, errno) }
        return ReadOnlySpoolFile(SystemSpoolFile(descriptor: descriptor, name: name))
    }

    func create(_ name: String) throws(SpoolDiskError) -> any SpoolFile { ReadOnlySpoolFile(nil) }
    func reserve(_ name: String, bytes: Int) throws(SpoolDiskError) {}
    func remove(_ name: String) throws(SpoolDiskError) {}
    func rename(_ name: String, to: String) throws(SpoolDiskError) {}
    func freeBytes() -> Int? { nil }

    /// Whether somebody holds the directory's lock. Asking for the lock, even for a moment, could keep a daemon from starting; so
    /// the kernel's list is read (proc_locks(5)), where there is one.
    var isLocked: Bool? {
        var about = stat()
        guard stat("\(path)/lock", &about) == 0 else { return false }
        // The kernel lists locks a page at a time; one that goes away in between moves the others up, and one of them is left out.
        var isRead = false
        for _ in 0..<Self.looksMax {
            guard let text = try? String(contentsOfFile: "/proc/locks", encoding: .utf8) else { continue }
            isRead = true
            let isThere = text.split(separator: "\n").contains { line in
                let fields = line.split(separator: " ")
                return fields.contains("FLOCK") && fields.contains { $0.hasSuffix(":\(about.st_ino)") }
            }
            if isThere { return true }
        }
        return isRead ? false : nil
    }

    /// Times that a lock is looked for.
    private static let looksMax = 32
}

/// nil: a file that was never made.
private final class ReadOnlySpoolFile: SpoolFile {
    private let file: SystemSpoolFile?

    init(_ file: SystemSpoolFile?) { self.file = file }

    func length() throws(SpoolDiskError) -> Int { try file?.length() ?? 0 }
    func read(at offset: Int, count: Int, into buffer: inout ByteBuffer) throws(SpoolDiskError) {
        try file?.read(at: offset, count: count, into: &buffer)
    }
    func write(_ bytes: ByteBuffer, at offset: Int) throws(SpoolDiskError) {}
    func sync() throws(SpoolDiskError) {}
    func truncate(to length: Int) throws(SpoolDiskError) {}
}

/// A file by its descriptor; reads and writes name their offsets, so several threads may use it.
private final class SystemSpoolFile: SpoolFile {
    /// Of one call: IOV_MAX of Linux.
    private static let piecesAtOnceMax = 1024

    private let descriptor: Int32
    private let name: String

    init(descriptor: Int32, name: String) {
        self.descriptor = descriptor
        self.name = name
    }

    deinit { close(descriptor) }

    func length() throws(SpoolDiskError) -> Int {
        var about = stat()
        guard fstat(descriptor, &about) == 0 else { throw SpoolDiskError(.read, name, errno) }
        return Int(about.st_size)
    }

    func write(_ pieces: [ByteBuffer], at offset: Int) throws(SpoolDiskError) {
        var offset = offset
        var left = pieces[...]
        while !left.isEmpty {
            let some = left.prefix(Self.piecesAtOnceMax)
            let bytes = some.reduce(0) { $0 + $1.readableBytes }
            let done = try writeOnce(Array(some), at: offset)
            if done < bytes {
                // The disk is full, or a signal came. What is left is written piece by piece, which tells.
                var skipped = done
                var at = offset
                for piece in some {
                    let skips = min(skipped, piece.readableBytes)
                    skipped -= skips
                    let rest = piece.getSlice(
                        at: piece.readerIndex + skips, length: piece.readableBytes - skips)
                    if let rest, rest.readableBytes > 0 { try write(rest, at: at + skips) }
                    at += piece.readableBytes
                }
            }
            offset += bytes
            left = left.dropFirst(some.count)
        }
    }

    /// - Returns: How many bytes were written.
    private func writeOnce(_ pieces: [ByteBuffer], at offset: Int) throws(SpoolDiskError) -> Int {
        var vectors: [iovec] = []
        vectors.reserveCapacity(pieces.count)
        // The pieces live until the call is over, and nobody writes to them.
        for piece in pieces {
            piece.withUnsafeReadableBytes { bytes in
                vectors.append(
                    iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count))
            }
        }
        return try withExtendedLifetime(pieces) { () throws(SpoolDiskError) -> Int in
            while true {
                let count = pwritev(descriptor, vectors, Int32(vectors.count), off_t(offset))
                if count >= 0 { return count }
                guard errno == EINTR else { throw SpoolDiskError(.write, name, errno) }
            }
        }
    }

    func write(_ bytes: ByteBuffer, at offset: Int) throws(SpoolDiskError) {
        let failure = bytes.withUnsafeReadableBytes { all -> Int32? in
            var done = 0
            while done < all.count {
                let count = pwrite(descriptor, all.baseAddress! + done, all.count - done, off_t(offset + done))
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return count == 0 ? ENOSPC : errno }
                done += count
            }
            return nil
        }
        if let failure { throw SpoolDiskError(.write, name, failure) }
    }

    func read(at offset: Int, count: Int, into buffer: inout ByteBuffer) throws(SpoolDiskError) {
        var failure: Int32?
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { room in
            var done = 0
            while done < count {
                let got = pread(descriptor, room.baseAddress! + done, count - done, off_t(offset + done))
                if got < 0, errno == EINTR { continue }
                if got < 0 { failure = errno }
                guard got > 0 else { break }
                done += got
            }
            return done
        }
        if let failure { throw SpoolDiskError(.read, name, failure) }
    }

    func sync() throws(SpoolDiskError) {
        #if os(Linux)
            let result = fdatasync(descriptor)
        #else
            let result = fcntl(descriptor, F_FULLFSYNC)
        #endif
        guard result == 0 else { throw SpoolDiskError(.sync, name, errno) }
    }

    func truncate(to length: Int) throws(SpoolDiskError) {
        guard ftruncate(descriptor, off_t(length)) == 0 else { throw SpoolDiskError(.truncate, name, errno) }
    }
}
