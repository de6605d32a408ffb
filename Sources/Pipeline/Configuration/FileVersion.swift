import Foundation

/// Which file a path leads to, as it was when one looked: another time, size or file means that it changed.
public struct FileVersion: Hashable, Sendable {
    private let seconds: Int
    private let nanoseconds: Int
    private let bytes: Int
    private let inode: UInt64

    /// Follows links. nil: there is no such file, or it cannot be looked at.
    public init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        #if canImport(Darwin)
            seconds = status.st_mtimespec.tv_sec
            nanoseconds = status.st_mtimespec.tv_nsec
        #else
            seconds = status.st_mtim.tv_sec
            nanoseconds = status.st_mtim.tv_nsec
        #endif
        bytes = Int(status.st_size)
        inode = UInt64(status.st_ino)
    }
}
