import Foundation

/// One open file of the audit log. Closed when it goes out of use.
final class AuditFile {
    private let path: String
    private let descriptor: Int32

    /// - Throws: `AuditError`, also for what is no plain file (a link that somebody laid there), or not ours.
    init(path: String) throws {
        self.path = path
        let flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW
        descriptor = open(path, flags, 0o600)
        // From here on all is initialized: an error that is thrown runs `deinit`, which closes.
        guard descriptor >= 0 else { throw Self.failure(path) }
        let status = try Self.status(of: descriptor, path)
        guard status.st_mode & S_IFMT == S_IFREG else { throw AuditError(path: path, reason: "it is no plain file") }
        guard status.st_uid == geteuid() else { throw AuditError(path: path, reason: "it belongs to another user") }
        // One that an earlier version, or a person, made readable for others.
        guard fchmod(descriptor, 0o600) == 0 else { throw Self.failure(path) }
    }

    deinit { close(descriptor) }

    /// Whether the path still leads here.
    func isCurrent() throws -> Bool {
        var there = stat()
        guard lstat(path, &there) == 0 else { return false }
        let own = try Self.status(of: descriptor, path)
        return there.st_ino == own.st_ino && there.st_dev == own.st_dev
    }

    /// Appends a line in one write and brings it to the disk.
    func append(_ line: [UInt8]) throws {
        var written: Int
        repeat {
            written = line.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        } while written < 0 && errno == EINTR
        guard written >= 0 else { throw Self.failure(path) }
        // Half a line would spoil the next one: a disk that is full may do that.
        guard written == line.count else {
            _ = write(descriptor, "\n", 1)
            throw AuditError(path: path, reason: "only \(written) of \(line.count) bytes were written")
        }
        guard fdatasync(descriptor) == 0 || errno == EINVAL else { throw Self.failure(path) }
    }

    func size() throws -> Int { Int(try Self.status(of: descriptor, path).st_size) }

    /// `….3` to `….4`, …, the file itself to `….1`. What would be one too many is overwritten.
    ///
    /// - Returns: false when another process holds the lock, or has renamed the file: it rotates.
    func rotate(filesMax: Int) throws -> Bool {
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { return false }
        defer { flock(descriptor, LOCK_UN) }
        guard try isCurrent() else { return false }
        guard filesMax > 1 else {
            guard unlink(path) == 0 else { throw Self.failure(path) }
            return true
        }
        for number in stride(from: filesMax - 2, through: 1, by: -1) {
            guard rename("\(path).\(number)", "\(path).\(number + 1)") == 0 || errno == ENOENT else {
                throw Self.failure(path)
            }
        }
        guard rename(path, "\(path).1") == 0 else { throw Self.failure(path) }
        return true
    }

    private static func status(of descriptor: Int32, _ path: String) throws -> stat {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure(path) }
        return status
    }

    private static func failure(_ path: String) -> AuditError {
        AuditError(path: path, reason: String(cString: strerror(errno)))
    }
}
