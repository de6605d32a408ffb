import CSluice
import Foundation
import NIOCore

// Unsafe code: each pointer lives only within `withUnsafeReadableBytes`, and only bytes of the given range are searched.

extension ByteBuffer {
    static let newline = UInt8(ascii: "\n")

    /// Offset of the last newline from the reader index; nil: there is none.
    var lastNewline: Int? { lastNewline(within: 0..<readableBytes) }

    /// Offset of the last newline in this range of the readable bytes, counted from the reader index.
    func lastNewline(within range: Range<Int>) -> Int? {
        withUnsafeReadableBytes { bytes in
            guard !range.isEmpty, let base = bytes.baseAddress else { return nil }
            let found = sluice_find_last(base + range.lowerBound, range.count, Self.newline)
            return found < 0 ? nil : range.lowerBound + found
        }
    }

    /// Offset from the reader index of the first newline at or after `start`; nil: there is none.
    func firstNewline(from start: Int = 0) -> Int? {
        withUnsafeReadableBytes { bytes in
            guard start < bytes.count, let base = bytes.baseAddress else { return nil }
            return memchr(base + start, Int32(Self.newline), bytes.count - start).map { UnsafeRawPointer($0) - base }
        }
    }

    /// The first readable bytes, at most so many, in memory of their own.
    func compactPrefix(_ bytesMax: Int = .max) -> ByteBuffer {
        let length = min(bytesMax, readableBytes)
        var copy = ByteBufferAllocator().buffer(capacity: length)
        copy.writeBytes(readableBytesView.prefix(length))
        return copy
    }

    /// The same bytes, in memory of their own if they would keep more than four times of it alive.
    func compactIfSparse() -> ByteBuffer { readableBytes < storageCapacity / 4 ? compactPrefix() : self }
}
