import Foundation

/// Standard output and standard error, written at once.
enum Output {
    /// To standard output.
    ///
    /// - Returns: False when nobody reads it any more, as behind `| head`.
    @discardableResult
    static func write(_ text: String) -> Bool { writeAll(Array(text.utf8), to: STDOUT_FILENO) }

    /// One line to standard error. It may quote files and answers: a terminal must not obey them.
    static func complain(_ line: String) {
        writeAll(Array((LogLine.escaped(LogLine.cut(line)) + "\n").utf8), to: STDERR_FILENO)
    }

    /// - Returns: False when it could not be written.
    @discardableResult
    static func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        bytes.withUnsafeBytes { all in
            var offset = 0
            while offset < all.count {
                let count = Foundation.write(descriptor, all.baseAddress! + offset, all.count - offset)
                if count > 0 {
                    offset += count
                } else if errno == EAGAIN {
                    // Somebody made the terminal or pipe non-blocking.
                    var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    poll(&waiting, 1, 1000)
                } else if errno != EINTR {
                    return false
                }
            }
            return true
        }
    }

    /// Writing to a socket or pipe that nobody reads shall be an error, not the end of the process.
    static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }
}
