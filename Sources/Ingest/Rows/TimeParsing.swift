// Unsafe by design: works on a string that the cursor has delimited, through a cursor of its own whose end is the
// string's closing quote: no quote is a digit or a separator, so every loop stops there.

import CSluice
import ClickHouseNative

/// A point in time as text had it: seconds since the epoch, and up to nine digits behind the point.
struct ParsedTime {
    var seconds: Int64
    /// Nanoseconds, counted upwards; below zero only for a number below zero, which is cut off towards zero.
    var nanoseconds: Int64 = 0
}

extension LineCursor {
    /// A date without a time: `2024-02-29`, `2024-2-9`, any separator, or `20240229`; or a number of days.
    ///
    /// - Returns: days since 1970-01-01.
    mutating func date() throws(ParseFault) -> Int32 {
        guard p.pointee == UInt8(ascii: "\"") else { return try integer(Int32.self) }
        p += 1
        let day = try calendarDay(orFault: .notADate)
        guard take(UInt8(ascii: "\"")) else { throw ParseFault(.notADate) }
        return day
    }

    private mutating func twoDigits(orFault code: ParseFault.Code) throws(ParseFault) -> Int32 {
        let high = p.pointee &- 0x30
        guard high <= 9 else { throw ParseFault(code) }
        let low = p[1] &- 0x30
        guard low <= 9 else { throw ParseFault(code) }
        p += 2
        return Int32(high) * 10 + Int32(low)
    }

    private mutating func oneOrTwoDigits(orFault code: ParseFault.Code) throws(ParseFault) -> Int32 {
        let first = p.pointee &- 0x30
        guard first <= 9 else { throw ParseFault(code) }
        p += 1
        let second = p.pointee &- 0x30
        guard second <= 9 else { return Int32(first) }
        p += 1
        return Int32(first) * 10 + Int32(second)
    }

    private mutating func calendarDay(orFault code: ParseFault.Code) throws(ParseFault) -> Int32 {
        let year = try twoDigits(orFault: code) * 100 + twoDigits(orFault: code)
        let month: Int32
        let day: Int32
        if p.pointee &- 0x30 <= 9 {
            month = try twoDigits(orFault: code)
            day = try twoDigits(orFault: code)
        } else {
            guard p.pointee == UInt8(ascii: "-") || p.pointee == UInt8(ascii: "/") || p.pointee == UInt8(ascii: ".")
            else { throw ParseFault(code) }
            let separator = p.pointee
            p += 1
            month = try oneOrTwoDigits(orFault: code)
            guard take(separator) else { throw ParseFault(code) }
            day = try oneOrTwoDigits(orFault: code)
        }
        guard (1...12).contains(month), day >= 1, day <= CivilDate.daysInMonth(year: year, month: month) else {
            throw ParseFault(.outOfRange)
        }
        return daysFromCivil(year: year, month: month, day: day)
    }

    /// A time: seconds since the epoch as a number, or a text in the shapes that `reading` takes.
    ///
    /// - Parameters:
    ///   - zone: in which a text without an offset is read; nil: UTC.
    ///   - takesFraction: the column has digits behind the second, which `basic`, and numbers in quotes, may name then.
    ///   - now: seconds since 1970, for texts that leave out the year.
    mutating func time(
        zone: TimeZoneRules?, reading: TimeReading, takesFraction: Bool, now: Int64
    ) throws(ParseFault) -> ParsedTime {
        guard p.pointee == UInt8(ascii: "\"") else { return try epochTime(quoted: false) }
        if reading != .basic || takesFraction, let time = try usualTime(zone: zone) { return time }
        p += 1
        guard reading != .basic else { return try basicTime(zone: zone, takesFraction: takesFraction) }
        var text = BestEffortTime(p, isUS: reading == .bestEffortUS, takesFraction: takesFraction)
        let (time, end) = try text.read(zone: zone, now: now)
        p = end
        guard take(UInt8(ascii: "\"")) else { throw ParseFault(.notATime) }
        return time
    }

    /// Behind the 366 days of the year 0.
    private static let firstDayOfYear1 = TimeZoneRules.dayMin + 366

    /// With its opening quote: beyond 19 digits behind the point, ClickHouse reads no such time.
    private static let usualBytesMax = 40

    /// `"2024-02-29 12:34:56"`, with a T and a fraction or not; nil (and nothing moves) for every other text.
    @inline(__always)
    private mutating func usualTime(zone: TimeZoneRules?) throws(ParseFault) -> ParsedTime? {
        var civil = sluice_civil()
        guard end - p > 21, sluice_civil_time(p + 1, &civil) != 0, 1...12 ~= civil.month, civil.day >= 1,
            civil.day <= CivilDate.daysInMonth(year: civil.year, month: civil.month)
        else { return nil }
        let start = p
        p += 20
        var time = ParsedTime(seconds: 0)
        if p.pointee == UInt8(ascii: ".") { time.nanoseconds = try fraction() }
        guard p - start <= Self.usualBytesMax, take(UInt8(ascii: "\"")) else {
            p = start
            return nil
        }
        let day = daysFromCivil(year: civil.year, month: civil.month, day: civil.day)
        if let zone {
            time.seconds = zone.epochSeconds(localDay: day, secondOfDay: civil.second_of_day)
        } else {
            time.seconds = Int64(day) * 86400 + Int64(civil.second_of_day)
        }
        return time
    }

    private mutating func epochTime(quoted: Bool) throws(ParseFault) -> ParsedTime {
        let negative = p.pointee == UInt8(ascii: "-")
        if negative { p += 1 }
        var time = ParsedTime(seconds: 0)
        var digits = 0
        while p.pointee &- 0x30 <= 9 {
            guard digits < 18 else { throw ParseFault(.outOfRange) }
            time.seconds = time.seconds * 10 + Int64(p.pointee &- 0x30)
            digits += 1
            p += 1
        }
        guard digits > 0 else { throw ParseFault(.notATime) }
        if p.pointee == UInt8(ascii: ".") {
            time.nanoseconds = try fraction()
        }
        if negative {
            time.seconds = -time.seconds
            time.nanoseconds = -time.nanoseconds
        }
        if quoted {
            guard take(UInt8(ascii: "\"")) else { throw ParseFault(.notATime) }
        } else {
            guard isAtDelimiter else { throw ParseFault(.notATime) }
        }
        return time
    }

    /// `p` is at the point. Digits beyond the ninth are cut off.
    private mutating func fraction() throws(ParseFault) -> Int64 {
        p += 1
        var value: Int64 = 0
        var digits: Int32 = 0
        while p.pointee &- 0x30 <= 9 {
            if digits < 9 {
                value = value * 10 + Int64(p.pointee &- 0x30)
                digits += 1
            }
            p += 1
        }
        return value * sluice_power10(9 - digits)
    }

    /// `basic` (ClickHouse's IO/ReadHelpers.h, readDateTimeTextImpl): `YYYY-MM-DD`, with ` hh:mm:ss` behind it or not; or
    /// seconds since the epoch. What else ClickHouse makes of longer numbers is refused.
    private mutating func basicTime(zone: TimeZoneRules?, takesFraction: Bool) throws(ParseFault) -> ParsedTime {
        let start = p
        var digits = 0
        while start[digits] &- 0x30 <= 9 { digits += 1 }
        if (5...10).contains(digits) {
            guard takesFraction || start[digits] != UInt8(ascii: ".") else { throw ParseFault(.notATime) }
            return try epochTime(quoted: true)
        }
        guard digits == 4 else { throw ParseFault(.notATime) }
        let day = try calendarDay(orFault: .notATime)
        guard p - start == 10 else { throw ParseFault(.notATime) }
        // ClickHouse makes 1970 of the year 0.
        guard day >= Self.firstDayOfYear1 else { throw ParseFault(.outOfRange) }
        var second: Int32 = 0
        var nanoseconds: Int64 = 0
        if take(UInt8(ascii: " ")) || take(UInt8(ascii: "T")) {
            let hour = try twoDigits(orFault: .notATime)
            guard take(UInt8(ascii: ":")) else { throw ParseFault(.notATime) }
            let minute = try twoDigits(orFault: .notATime)
            guard take(UInt8(ascii: ":")) else { throw ParseFault(.notATime) }
            let seconds = try twoDigits(orFault: .notATime)
            guard hour <= 23, minute <= 59, seconds <= 59 else { throw ParseFault(.outOfRange) }
            second = hour * 3600 + minute * 60 + seconds
            if takesFraction, p.pointee == UInt8(ascii: ".") { nanoseconds = try fraction() }
        }
        guard take(UInt8(ascii: "\"")) else { throw ParseFault(.notATime) }
        let seconds = zone?.epochSeconds(localDay: day, secondOfDay: second) ?? Int64(day) * 86400 + Int64(second)
        return ParsedTime(seconds: seconds, nanoseconds: nanoseconds)
    }
}
