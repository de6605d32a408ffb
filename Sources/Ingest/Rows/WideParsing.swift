// Unsafe by design: reads byte by byte under the cursor's invariant; a newline is no digit.

import ClickHouseNative

extension LineCursor {
    /// An integer of 128 or 256 bits, bare or in quotes, or a boolean that stands for 1 or 0; what does not fit is refused,
    /// as `integer(_:)` has it.
    ///
    /// - Parameters:
    ///   - bits: of the type, 128 or 256.
    ///   - isSigned: its values are in two's complement.
    mutating func wideInteger(bits: Int, isSigned: Bool) throws(ParseFault) -> WideInteger {
        let start = self
        let quoted = take(UInt8(ascii: "\""))
        let negative = p.pointee == UInt8(ascii: "-")
        if negative || p.pointee == UInt8(ascii: "+") { p += 1 }
        guard p.pointee &- 0x30 <= 9 else {
            // A word, or nothing that is a number.
            self = start
            return WideInteger(low: try integer(UInt8.self) == 0 ? 0 : 1)
        }
        var value = WideInteger.zero
        while p.pointee &- 0x30 <= 9 {
            guard value.multiply(by: 10, adding: UInt64(p.pointee &- 0x30)) else { throw ParseFault(.outOfRange) }
            p += 1
        }
        try endScalar(quoted: quoted)
        var limit = WideInteger(low: bits == 128 ? 0 : .max, high: bits == 128 ? 0 : .max)
        if bits == 128 { limit.low = .max }
        if isSigned {
            if bits == 128 { limit.low >>= 1 } else { limit.high >>= 1 }
            // One more below zero.
            if negative { _ = limit.multiply(by: 1, adding: 1) }
        } else if negative, !value.isZero {
            throw ParseFault(.outOfRange)
        }
        guard !(limit < value) else { throw ParseFault(.outOfRange) }
        return negative ? value.negated : value
    }

    /// A decimal of 39 to 76 digits as an integer of 10^-scale, as `decimal(precision:scale:)` reads shorter ones.
    mutating func wideDecimal(precision: Int, scale: Int) throws(ParseFault) -> WideInteger {
        let quoted = take(UInt8(ascii: "\""))
        let negative = p.pointee == UInt8(ascii: "-")
        if negative || p.pointee == UInt8(ascii: "+") { p += 1 }
        var value = WideInteger.zero
        var significant = 0
        var seen = 0
        // Places behind the point that are in `value`.
        var fraction = 0
        var behindPoint = false
        while true {
            let byte = p.pointee
            if byte &- 0x30 <= 9 {
                seen += 1
                if significant < 76 {
                    _ = value.multiply(by: 10, adding: UInt64(byte &- 0x30))
                    if !value.isZero { significant += 1 }
                    if behindPoint { fraction += 1 }
                } else if !behindPoint {
                    throw ParseFault(.outOfRange)
                }
            } else if byte == UInt8(ascii: "."), !behindPoint {
                behindPoint = true
            } else {
                break
            }
            p += 1
        }
        guard seen > 0 else { throw ParseFault(.notANumber) }
        fraction -= try power()
        try endScalar(quoted: quoted)
        var shift = scale - fraction
        if value.isZero { shift = 0 }
        while shift < 0, !value.isZero {
            _ = value.divide(by: 10)
            shift += 1
        }
        let limit = WideInteger.powerOfTen(precision)
        while shift > 0 {
            // Ten times 10^76 still fits; more must not be asked for.
            guard value < limit else { throw ParseFault(.outOfRange) }
            _ = value.multiply(by: 10)
            shift -= 1
        }
        guard value < limit else { throw ParseFault(.outOfRange) }
        return negative ? value.negated : value
    }
}
