import CSluice
import NIOCore

// Unsafe code: each pointer lives only within `withUnsafeReadableBytes`, and the C functions read only the bytes given.

extension ByteBuffer {
    /// CRC-32 (IEEE 802.3) of the readable bytes.
    public func crc32() -> UInt32 { withUnsafeReadableBytes { sluice_crc32(0, $0.baseAddress, $0.count) } }

    /// How many newlines the readable bytes have.
    public func countNewlines() -> Int {
        withUnsafeReadableBytes { bytes in
            guard let base = bytes.baseAddress else { return 0 }
            return sluice_count(base, bytes.count, UInt8(ascii: "\n"))
        }
    }

    /// Bytes up to and with so many newlines; all of them if there are fewer.
    public func length(ofLines lines: Int) -> Int {
        withUnsafeReadableBytes { bytes in
            guard let base = bytes.baseAddress else { return 0 }
            var length = 0
            var left = lines
            while left > 0, length < bytes.count {
                let found = sluice_find_first(base + length, bytes.count - length, 10)
                guard found >= 0 else { return bytes.count }
                length += found + 1
                left -= 1
            }
            return length
        }
    }

    /// The offset behind the last newline among the first so many readable bytes; 0: there is none.
    public func lengthOfWholeLines(within bytesMax: Int) -> Int {
        withUnsafeReadableBytes { bytes in
            guard let base = bytes.baseAddress else { return 0 }
            return sluice_find_last(base, min(bytesMax, bytes.count), 10) + 1
        }
    }

    /// The offset behind the first newline; nil: there is none.
    public func lengthOfFirstLine() -> Int? {
        withUnsafeReadableBytes { bytes in
            guard let base = bytes.baseAddress else { return nil }
            let found = sluice_find_first(base, bytes.count, 10)
            return found < 0 ? nil : found + 1
        }
    }
}
