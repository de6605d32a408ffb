// Unsafe by design: reads bytes only at offsets below the count of the buffer that it is given, and keeps no pointer.

import CSluice
import NIOCore

/// Finds where rows of CSV and TSV end, in pieces of any size: it remembers whether it is between quotes.
///
/// A quote counts where a value begins, as ClickHouse reads it, so `a"b` has none. Rows of TSV end with each line break.
public struct RowScanner: Sendable {
    private enum State: Sendable {
        /// Where a value begins.
        case start
        case plain
        case quoted
        /// Behind a quote between quotes: the first of two, or the last.
        case closing
    }

    /// Of CSV; nil for TSV.
    public let delimiter: UInt8?
    private var state = State.start

    public init(delimiter: UInt8?) { self.delimiter = delimiter }

    /// The line breaks before the next quote belong to a value.
    public var isBetweenQuotes: Bool { state == .quoted }

    /// The offset behind the line break of the row that `offset` is in; nil: it is not here, and `bytes` end within the row.
    public mutating func end(in bytes: UnsafeRawBufferPointer, from offset: Int) -> Int? {
        guard let base = bytes.baseAddress else { return nil }
        guard let delimiter else {
            let found = offset < bytes.count ? sluice_find_first(base + offset, bytes.count - offset, 10) : -1
            return found < 0 ? nil : offset + found + 1
        }
        var place = offset
        while place < bytes.count {
            let byte = bytes[place]
            place += 1
            switch state {
            case .quoted:
                guard byte != UInt8(ascii: "\"") else {
                    state = .closing
                    break
                }
                let found = sluice_find_first(base + place, bytes.count - place, UInt8(ascii: "\""))
                place = found < 0 ? bytes.count : place + found
            case .start, .plain, .closing:
                if byte == 10 {
                    state = .start
                    return place
                } else if byte == delimiter {
                    state = .start
                } else if byte == UInt8(ascii: "\""), state != .plain {
                    state = .quoted
                } else if state != .start || byte != 0x20 && byte != 0x09 {
                    state = .plain
                }
            }
        }
        return nil
    }

    /// Rows that end in the readable bytes; nil if these do not end with a row.
    public static func count(_ bytes: ByteBuffer, delimiter: UInt8?) -> Int? {
        bytes.withUnsafeReadableBytes { bytes in
            var scanner = RowScanner(delimiter: delimiter)
            var rows = 0
            var place = 0
            while place < bytes.count {
                guard let end = scanner.end(in: bytes, from: place) else { return nil }
                place = end
                rows += 1
            }
            return rows
        }
    }
}
