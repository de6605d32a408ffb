#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The files that the configuration is read from; tests put their own in its place.
public protocol ConfigurationFiles: Sendable {
    /// The bytes of a file, at most `bytesMax`.
    func read(_ path: String, bytesMax: Int) throws(ConfigurationFileError) -> [UInt8]
    /// Whether anybody on the machine may read it; nil where that cannot be told.
    func isWorldReadable(_ path: String) -> Bool?
    /// Names in a directory, sorted, without `.` and `..`.
    func list(_ directory: String) throws(ConfigurationFileError) -> [String]
}

public struct ConfigurationFileError: Error, Sendable, Hashable, CustomStringConvertible {
    public enum Code: Sendable, Hashable { case notFound, other }

    public let code: Code
    public let description: String

    public init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}

/// Files of this machine.
public struct LocalFiles: ConfigurationFiles {
    public init() {}

    public func read(_ path: String, bytesMax: Int) throws(ConfigurationFileError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure() }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = chunk.withUnsafeMutableBytes { readOnce(descriptor, $0) }
            if count == 0 { return content }
            if count < 0 {
                if errno == EINTR { continue }
                throw Self.failure()
            }
            content += chunk[..<count]
            guard content.count <= bytesMax else {
                throw ConfigurationFileError(.other, "larger than \(ByteSize.format(bytesMax))")
            }
        }
    }

    public func isWorldReadable(_ path: String) -> Bool? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return status.st_mode & 0o004 != 0
    }

    public func list(_ directory: String) throws(ConfigurationFileError) -> [String] {
        guard let stream = opendir(directory) else { throw Self.failure() }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            // The name is a C string within a fixed array; the kernel ends it with a NUL.
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    private static func failure() -> ConfigurationFileError {
        let code = errno
        return ConfigurationFileError(
            code == ENOENT ? .notFound : .other, String(cString: strerror(code)).lowercasedFirst)
    }
}

private func readOnce(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
    read(descriptor, buffer.baseAddress, buffer.count)
}

extension String {
    fileprivate var lowercasedFirst: String { prefix(1).lowercased() + dropFirst() }
}

/// Paths as text; nothing is looked up.
enum FilePath {
    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "" }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// `path` as seen from `directory`, unless it is absolute.
    static func resolve(_ path: String, in directory: String) -> String {
        if path.hasPrefix("/") || directory.isEmpty { return path }
        return directory.hasSuffix("/") ? directory + path : "\(directory)/\(path)"
    }

    /// Whether a file name fits a pattern with `*` and `?`; a leading dot must be given.
    static func matches(_ name: String, pattern: String) -> Bool {
        if name.hasPrefix("."), !pattern.hasPrefix(".") { return false }
        let name = Array(name)
        let pattern = Array(pattern)
        var (position, index) = (0, 0)
        var retry: (position: Int, index: Int)?
        while position < name.count {
            if index < pattern.count, pattern[index] == "*" {
                retry = (position, index)
                index += 1
            } else if index < pattern.count, pattern[index] == "?" || pattern[index] == name[position] {
                (position, index) = (position + 1, index + 1)
            } else if let last = retry {
                // The last star takes one character more.
                (position, index) = (last.position + 1, last.index + 1)
                retry = (last.position + 1, last.index)
            } else {
                return false
            }
        }
        return pattern[index...].allSatisfy { $0 == "*" }
    }
}
