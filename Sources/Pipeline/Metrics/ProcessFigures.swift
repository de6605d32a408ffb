#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What the process as a whole uses, asked of the kernel when somebody looks: a few system calls and no lock. Under the
/// names that Prometheus' own client libraries give them, so that existing dashboards find them.
public struct ProcessFigures: Hashable, Sendable {
    /// User and system together.
    public var cpu: Duration = .zero
    public var residentBytes = 0
    public var virtualBytes = 0
    public var openFiles = 0
    /// The soft limit of `RLIMIT_NOFILE`.
    public var openFilesMax = 0
    public var threads = 0

    public init() {}

    /// Of this process, now. Where there is no /proc, what only it tells stays 0.
    public static func current() -> ProcessFigures {
        var figures = ProcessFigures()
        var time = timespec()
        if clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 {
            figures.cpu = .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
        }
        var limit = rlimit()
        #if canImport(Glibc)
            let hasLimit = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0
        #else
            let hasLimit = getrlimit(RLIMIT_NOFILE, &limit) == 0
        #endif
        if hasLimit { figures.openFilesMax = Int(clamping: UInt64(limit.rlim_cur)) }
        // statm: sizes in pages, of all that is mapped and of what is resident (proc(5)).
        let pages = words(of: "/proc/self/statm").prefix(2).compactMap { Int($0) }
        if pages.count == 2 {
            let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))
            (figures.virtualBytes, figures.residentBytes) = (pages[0] * pageBytes, pages[1] * pageBytes)
        }
        figures.openFiles = entries(of: "/proc/self/fd")
        figures.threads = threadCount
        return figures
    }

    /// Field 20 of `stat`, counted behind the name, which may have blanks in it.
    private static var threadCount: Int {
        guard let rest = text(of: "/proc/self/stat").split(separator: ")").last else { return 0 }
        let fields = rest.split(separator: " ")
        return fields.count > 17 ? Int(fields[17]) ?? 0 : 0
    }

    /// Descriptors that are open. Linux 6.2 and later say so as the directory's size; before, it has to be listed.
    private static func entries(of directory: String) -> Int {
        var status = stat()
        if stat(directory, &status) == 0, status.st_size > 0 { return Int(status.st_size) }
        guard let stream = opendir(directory) else { return 0 }
        defer { closedir(stream) }
        var count = 0
        while readdir(stream) != nil { count += 1 }
        // Not `.`, `..`, nor the descriptor that lists.
        return max(0, count - 3)
    }

    private static func words(of path: String) -> [Substring] { text(of: path).split(separator: " ") }

    /// The first KiB of a file of /proc, which is all of those that are read here.
    private static func text(of path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        return withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 1) { buffer in
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            return count > 0 ? String(decoding: buffer.prefix(count), as: UTF8.self) : ""
        }
    }
}
