#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Clocks of the system, in seconds.
enum Clocks {
    static var wall: Double { read(CLOCK_MONOTONIC) }
    /// What this process has used of all cores, in user and system time.
    static var processCPU: Double { read(CLOCK_PROCESS_CPUTIME_ID) }
    /// What the calling thread has used.
    static var threadCPU: Double { read(CLOCK_THREAD_CPUTIME_ID) }

    /// What child processes have used that have ended.
    static var childrenCPU: Double {
        var usage = rusage()
        #if canImport(Darwin)
            getrusage(RUSAGE_CHILDREN, &usage)
        #else
            getrusage(__rusage_who_t(RUSAGE_CHILDREN.rawValue), &usage)
        #endif
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }

    private static func read(_ clock: clockid_t) -> Double {
        var time = timespec()
        clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
