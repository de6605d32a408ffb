// Unsafe by design: reads byte by byte under the cursor's invariant; a newline is no digit.

import CSluice

extension LineCursor {
    /// The largest Time, 999:59:59, in seconds.
    private static let clockMax: Int64 = 3_599_999

    /// A Time: `"12:34:56"` with one to three digits of hours, `"34:56"` or `"56"`, with a sign or not, and for Time64 a
    /// fraction; or a number of ticks (ClickHouse's IO/ReadHelpers.h, readTimeTextImpl).
    ///
    /// - Parameter precision: digits behind the second's point; nil: there is no point.
    /// - Returns: ticks of 10^-precision s, or seconds.
    mutating func clock(precision: Int?) throws(ParseFault) -> Int64 {
        let unit = sluice_power10(Int32(precision ?? 0))
        guard take(UInt8(ascii: "\"")) else {
            guard p.pointee != UInt8(ascii: "t"), p.pointee != UInt8(ascii: "f") else { throw ParseFault(.notATime) }
            let ticks = try integer(Int64.self)
            guard ticks.magnitude < UInt64((Self.clockMax + 1) * unit) else { throw ParseFault(.outOfRange) }
            return ticks
        }
        let negative = take(UInt8(ascii: "-"))
        var digits = 0
        while p[digits] &- 0x30 <= 9 { digits += 1 }
        guard (1...3).contains(digits) else { throw ParseFault(.notATime) }
        var parts: (Int64, Int64, Int64) = (0, 0, 0)
        for _ in 0..<digits {
            parts.0 = parts.0 * 10 + Int64(p.pointee &- 0x30)
            p += 1
        }
        var count = 1
        if p.pointee == UInt8(ascii: ":") {
            parts.1 = try twoDigits()
            count = 2
            if p.pointee == UInt8(ascii: ":") {
                parts.2 = try twoDigits()
                count = 3
            }
        }
        guard count == 3 || digits <= 2 else { throw ParseFault(.notATime) }
        let (hours, minutes, seconds) =
            count == 3 ? parts : count == 2 ? (0, parts.0, parts.1) : (0, 0, parts.0)
        guard minutes <= 59, seconds <= 59 else { throw ParseFault(.outOfRange) }
        var ticks = (hours * 3600 + minutes * 60 + seconds) * unit
        if let precision, take(UInt8(ascii: ".")) {
            var left = precision
            while p.pointee &- 0x30 <= 9 {
                if left > 0 {
                    left -= 1
                    ticks += Int64(p.pointee &- 0x30) * sluice_power10(Int32(left))
                }
                p += 1
            }
        }
        guard take(UInt8(ascii: "\"")) else { throw ParseFault(.notATime) }
        return negative ? -ticks : ticks
    }

    /// A colon and two digits.
    private mutating func twoDigits() throws(ParseFault) -> Int64 {
        p += 1
        let high = p.pointee &- 0x30
        guard high <= 9 else { throw ParseFault(.notATime) }
        let low = p[1] &- 0x30
        guard low <= 9 else { throw ParseFault(.notATime) }
        p += 2
        return Int64(high) * 10 + Int64(low)
    }
}
