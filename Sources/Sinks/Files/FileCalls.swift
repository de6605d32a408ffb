import Foundation
import Pipeline

/// Why a file cannot be written.
public struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable {
        case openFailed = "open_failed"
        case writeFailed = "write_failed"
        case syncFailed = "sync_failed"
        case truncateFailed = "truncate_failed"
        case renameFailed = "rename_failed"
        /// Another process writes to the directory.
        case directoryInUse = "directory_in_use"
        case compressionFailed = "compression_failed"
    }

    public let code: Code
    public let path: String
    /// errno, where the system refused.
    public let number: Int32?

    init(_ code: Code, path: String, number: Int32? = nil) {
        self.code = code
        self.path = path
        self.number = number
    }

    public var description: String {
        let reason = number.map { ": \(String(cString: strerror($0))) (errno \($0))" } ?? ""
        return "\(code.rawValue.replacing("_", with: " ")) \(path)\(reason)"
    }
}

/// The calls of the system that write files. Injected, so that tests decide when a disk is full.
///
/// Each returns what the system does; -1 means that errno tells why.
struct FileCalls: Sendable {
    var write: @Sendable (_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int
    var sync: @Sendable (_ descriptor: Int32) -> Int32

    static let system = FileCalls(
        write: { Foundation.write($0, $1.baseAddress, $1.count) },
        sync: { descriptor in
            #if os(Linux)
                fdatasync(descriptor)
            #else
                fsync(descriptor)
            #endif
        })
}

/// Makes what was done to the names in a directory last.
func syncDirectory(_ path: String) throws {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileError(.openFailed, path: path, number: errno) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw FileError(.syncFailed, path: path, number: errno) }
}

/// Keeps other processes from writing to the same directory, as long as it lives.
final class DirectoryLock: Sendable {
    private let descriptor: Int32

    /// - Throws: `FileError` with code `.directoryInUse`.
    init(directory: String) throws {
        let path = directory + "/.lock"
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
        // From here on all is initialized: an error that is thrown runs `deinit`, which closes.
        guard descriptor >= 0 else { throw FileError(.openFailed, path: path, number: errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let number = errno
            throw FileError(number == EWOULDBLOCK ? .directoryInUse : .openFailed, path: directory, number: number)
        }
    }

    deinit { close(descriptor) }
}

/// Makes a directory, and those above it that are missing; only its owner and group may see what is in it.
func makeDirectory(_ path: String) throws {
    do {
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o750])
    } catch {
        throw FileError(.openFailed, path: path, number: errno)
    }
}
