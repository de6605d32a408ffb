#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What the system counted of a process (getrusage(2)).
struct SystemCounts: Codable, Sendable {
    /// A thread gave its core up because it had to wait: for input, the disk, a lock, another thread.
    var waits: Int
    /// A thread lost its core to another one.
    var preemptions: Int
    /// Pages that were used for the first time, or again after they were given back.
    var pageFaults: Int

    static var ofThisProcess: SystemCounts {
        var usage = rusage()
        #if canImport(Darwin)
            getrusage(RUSAGE_SELF, &usage)
        #else
            getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        #endif
        return SystemCounts(waits: usage.ru_nvcsw, preemptions: usage.ru_nivcsw, pageFaults: usage.ru_minflt)
    }

    static func - (after: SystemCounts, before: SystemCounts) -> SystemCounts {
        SystemCounts(
            waits: after.waits - before.waits, preemptions: after.preemptions - before.preemptions,
            pageFaults: after.pageFaults - before.pageFaults)
    }
}
