// Unsafe by design: moves over [p, end) and compares with `end` before each byte that it looks at.

import ClickHouseNative

/// Reads the text of values as ClickHouse writes them within arrays, maps and tuples, and the escapes of TSV.
struct SQLCursor {
    private(set) var p: Bytes
    let end: Bytes

    /// - Parameter bytes: without any, of nowhere.
    init(_ bytes: UnsafeRawBufferPointer) {
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        p = start ?? Self.nowhere
        end = p + (start == nil ? 0 : bytes.count)
    }

    /// Something to point to where there is nothing to read; never written to again.
    nonisolated(unsafe) private static let nowhere: Bytes = {
        let byte = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)
        byte.initialize(to: 0)
        return Bytes(byte)
    }()

    mutating func skipSpace() {
        while p < end, p.pointee == 0x20 || (0x09...0x0D).contains(p.pointee) { p += 1 }
    }

    mutating func take(_ byte: UInt8) -> Bool {
        guard p < end, p.pointee == byte else { return false }
        p += 1
        return true
    }

    /// `NULL` in letters of any case, with nothing of a word behind it.
    mutating func takeNull() -> Bool {
        guard end - p >= 4 else { return false }
        for (place, letter) in "null".utf8.enumerated() where p[place] | 0x20 != letter { return false }
        guard end - p == 4 || !Self.isOfWord(p[4]) else { return false }
        p += 4
        return true
    }

    private static func isOfWord(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."): true
        default: false
        }
    }

    /// A number, or a word without quotes.
    mutating func takeWord() -> UnsafeRawBufferPointer {
        let start = p
        while p < end, Self.isOfWord(p.pointee) { p += 1 }
        return UnsafeRawBufferPointer(start: start, count: p - start)
    }

    /// A text between single quotes, its escapes undone; `''` is a quote.
    mutating func takeString(into text: inout ByteRun) throws(ParseFault) {
        guard take(UInt8(ascii: "'")) else { throw ParseFault(.malformedCell) }
        while true {
            guard p < end else { throw ParseFault(.malformedCell) }
            if take(UInt8(ascii: "'")) {
                guard take(UInt8(ascii: "'")) else { return }
                text.append(UInt8(ascii: "'"))
                continue
            }
            try takeCharacter(into: &text)
        }
    }

    /// A text between single quotes that has neither quotes nor escapes.
    mutating func takePlainString() throws(ParseFault) -> UnsafeRawBufferPointer {
        guard take(UInt8(ascii: "'")) else { throw ParseFault(.malformedCell) }
        let start = p
        while p < end, p.pointee != UInt8(ascii: "'") {
            guard p.pointee != UInt8(ascii: "\\") else { throw ParseFault(.malformedCell) }
            p += 1
        }
        let text = UnsafeRawBufferPointer(start: start, count: p - start)
        guard take(UInt8(ascii: "'")) else { throw ParseFault(.malformedCell) }
        return text
    }

    /// One byte, or what an escape stands for (ClickHouse's IO/ReadHelpers.cpp, parseComplexEscapeSequence).
    mutating func takeCharacter(into text: inout ByteRun) throws(ParseFault) {
        let byte = p.pointee
        p += 1
        guard byte == UInt8(ascii: "\\") else { return text.append(byte) }
        guard p < end else { throw ParseFault(.malformedCell) }
        let escape = p.pointee
        p += 1
        switch escape {
        case UInt8(ascii: "x"):
            guard end - p >= 2, let high = Self.digit(p[0]), let low = Self.digit(p[1]) else {
                throw ParseFault(.malformedCell)
            }
            p += 2
            text.append(high << 4 | low)
        // It stands for nothing.
        case UInt8(ascii: "N"): break
        case UInt8(ascii: "a"): text.append(UInt8(0x07))
        case UInt8(ascii: "b"): text.append(UInt8(0x08))
        case UInt8(ascii: "e"): text.append(UInt8(0x1B))
        case UInt8(ascii: "f"): text.append(UInt8(0x0C))
        case UInt8(ascii: "n"): text.append(UInt8(0x0A))
        case UInt8(ascii: "r"): text.append(UInt8(0x0D))
        case UInt8(ascii: "t"): text.append(UInt8(0x09))
        case UInt8(ascii: "v"): text.append(UInt8(0x0B))
        case UInt8(ascii: "0"): text.append(UInt8(0))
        case UInt8(ascii: "\\"), UInt8(ascii: "`"), UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "/"), 0..<0x20,
            0x7F:
            text.append(escape)
        default:
            text.append(UInt8(ascii: "\\"))
            text.append(escape)
        }
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }
}
