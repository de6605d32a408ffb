// Unsafe by design: writes into a scratch run through its checked appends, reads under the cursor's invariant.

import CSluice
import ClickHouseNative

extension LineCursor {
    /// Bytes that are made room for at once.
    private static let pieceBytes = 1 << 10

    /// The inside of the string whose opening quote is at `p`, with its escapes undone, into `scratch` (which is
    /// emptied first). Escapes as ClickHouse reads them (IO/ReadHelpers.cpp, parseJSONEscapeSequence): JSON's own, and
    /// any other character stands for itself.
    mutating func unescapedString(into scratch: inout ByteRun) throws(ParseFault) {
        scratch.truncate(to: 0)
        var from = p + 1
        while true {
            // What strings are mostly made of, in one go; the rest is looked at below.
            scratch.append(atMost: min(end - from, Self.pieceBytes)) { room in
                let out = room.assumingMemoryBound(to: UInt8.self)
                let stop = sluice_unescape(from, end, out, out + min(end - from, Self.pieceBytes))
                from = stop.from
                return stop.to - out
            }
            let q = sluice_scan_string(from, end)!
            scratch.append(UnsafeRawBufferPointer(start: from, count: q - from))
            switch q.pointee {
            case UInt8(ascii: "\""):
                p = q + 1
                return
            case UInt8(ascii: "\\"):
                p = q + 1
                try escape(into: &scratch)
                from = p
            case 0x0A: throw ParseFault(.unterminatedString)
            default:
                scratch.append(q.pointee)
                from = q + 1
            }
        }
    }

    /// `p` is behind a backslash.
    private mutating func escape(into scratch: inout ByteRun) throws(ParseFault) {
        let byte = p.pointee
        guard byte != 0x0A else { throw ParseFault(.unterminatedString) }
        p += 1
        switch byte {
        case UInt8(ascii: "n"): scratch.append(UInt8(0x0A))
        case UInt8(ascii: "t"): scratch.append(UInt8(0x09))
        case UInt8(ascii: "r"): scratch.append(UInt8(0x0D))
        case UInt8(ascii: "b"): scratch.append(UInt8(0x08))
        case UInt8(ascii: "f"): scratch.append(UInt8(0x0C))
        case UInt8(ascii: "u"):
            let unit = try hexUnit()
            switch unit {
            case 0xD800...0xDBFF:
                guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else { throw ParseFault(.badEscape) }
                let low = try hexUnit()
                guard (0xDC00...0xDFFF).contains(low) else { throw ParseFault(.badEscape) }
                appendUTF8(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00), to: &scratch)
            case 0xDC00...0xDFFF: throw ParseFault(.badEscape)
            default: appendUTF8(unit, to: &scratch)
            }
        default: scratch.append(byte)
        }
    }

    private mutating func hexUnit() throws(ParseFault) -> UInt32 {
        var unit: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = hexValue(p.pointee) else { throw ParseFault(.badEscape) }
            unit = unit << 4 | UInt32(digit)
            p += 1
        }
        return unit
    }

    private func appendUTF8(_ scalar: UInt32, to scratch: inout ByteRun) {
        func put(_ byte: UInt32) { scratch.append(UInt8(truncatingIfNeeded: byte)) }
        switch scalar {
        case 0..<0x80: put(scalar)
        case 0x80..<0x800:
            put(0xC0 | scalar >> 6)
            put(0x80 | scalar & 0x3F)
        case 0x800..<0x10000:
            put(0xE0 | scalar >> 12)
            put(0x80 | scalar >> 6 & 0x3F)
            put(0x80 | scalar & 0x3F)
        default:
            put(0xF0 | scalar >> 18)
            put(0x80 | scalar >> 12 & 0x3F)
            put(0x80 | scalar >> 6 & 0x3F)
            put(0x80 | scalar & 0x3F)
        }
    }
}

/// The value of a hexadecimal digit.
@inline(__always)
func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
}
