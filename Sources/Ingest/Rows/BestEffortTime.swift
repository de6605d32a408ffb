// Unsafe by design: reads byte by byte through a cursor of its own. The text ends with a quote or a newline, neither of which is a
// digit, a letter or a sign of a time, so every loop stops there, and the cursor never moves past it.

import CSluice
import ClickHouseNative

/// How a text becomes a time: ClickHouse's `date_time_input_format`.
enum TimeReading: UInt8 {
    case basic, bestEffort
    /// As `bestEffort`, but 02/03/2024 is in February.
    case bestEffortUS
}

/// A time as it stands in a text of nearly any shape, piece by piece: the language of ClickHouse's `best_effort`
/// (IO/parseDateTimeBestEffort.cpp). Pieces are told by their digits and what stands around them; what that gives for odd texts, such
/// as pieces that stand twice and add up, is ClickHouse's, too.
struct BestEffortTime {
    private var p: Bytes
    private let isUS: Bool
    /// For finding out what a text is, rather than reading it: numbers alone are no times, and the whole date must be there.
    private let isStrict: Bool
    private let takesFraction: Bool

    private var year: UInt16 = 0
    private var month: UInt8 = 0
    private var day: UInt8 = 0
    private var hour: UInt8 = 0
    private var minute: UInt8 = 0
    private var second: UInt8 = 0
    private var nanoseconds: Int64 = 0
    private var hasTime = false
    private var hasFraction = false
    private var hasOffset = false
    private var isBehindUTC = false
    private var offsetHour: UInt8 = 0
    private var offsetMinute: UInt8 = 0
    private var isAM = false
    private var isPM = false
    private var hasComma = false
    /// The text is a number of seconds since 1970.
    private var epoch: Int64?
    /// Digits of the number read last, at most `digitsMax`, and where it begins.
    private var count = 0
    private var digits: Bytes

    /// Longest run of digits that is read as one.
    private static let digitsMax = 19

    /// - Parameters:
    ///   - p: the first byte of the text, behind its quote.
    ///   - takesFraction: digits behind the second's point count, and may follow seconds since 1970.
    init(_ p: Bytes, isUS: Bool, takesFraction: Bool, isStrict: Bool = false) {
        self.p = p
        digits = p
        self.isUS = isUS
        self.takesFraction = takesFraction
        self.isStrict = isStrict
    }

    private static var fault: ParseFault { ParseFault(.notATime) }

    /// - Parameters:
    ///   - zone: in which a text without an offset is read; nil: UTC.
    ///   - now: seconds since 1970, which say the year where a text does not.
    /// - Returns: the time, and where the text that was understood ends: the caller sees whether that is all of it.
    mutating func read(zone: TimeZoneRules?, now: Int64) throws(ParseFault) -> (time: ParsedTime, end: Bytes) {
        while epoch == nil, !isAtEnd {
            guard try piece() else { break }
        }
        if let epoch { return (ParsedTime(seconds: epoch, nanoseconds: nanoseconds), p) }
        return (try whole(zone: zone, now: now), p)
    }

    // MARK: - Pieces

    private var isAtEnd: Bool { p.pointee == UInt8(ascii: "\"") || p.pointee == 0x0A }

    /// One piece; false where none begins.
    private mutating func piece() throws(ParseFault) -> Bool {
        if (year != 0) != hasTime, take(UInt8(ascii: ",")) {
            hasComma = true
            if isAtEnd { return false }
        }
        count = 0
        if year == 0 || !hasTime {
            readDigits()
            if year == 0, !hasTime, try isEpoch() { return true }
            switch count {
            case 0: break
            case 14 where year == 0 && !hasTime:
                try refuseIfStrict()
                readDate(count: 8)
                readClock(from: 8)
            case 8 where year == 0:
                try refuseIfStrict()
                readDate(count: 8)
            case 6:
                try refuseIfStrict()
                if year == 0, month == 0 {
                    readDate(count: 6)
                } else if !hasTime {
                    readClock(from: 0)
                } else {
                    throw Self.fault
                }
            case 4 where year == 0:
                switch try yearFirst() {
                case .next: return true
                case .end: return false
                case .goOn: break
                }
            case 1, 2: try shortNumber()
            default: throw Self.fault
            }
        }
        return count == 0 ? try sign() : true
    }

    private func refuseIfStrict() throws(ParseFault) { if isStrict { throw Self.fault } }

    /// Seconds since 1970: nine or ten digits, or with milli-, micro- or nanoseconds in the same number.
    private mutating func isEpoch() throws(ParseFault) -> Bool {
        switch count {
        case 9, 10:
            try refuseIfStrict()
            epoch = number(0, count)
            if takesFraction, take(UInt8(ascii: ".")) {
                readDigits()
                readFraction()
            }
        case 13, 16, 19:
            guard takesFraction || !isStrict else { throw Self.fault }
            epoch = number(0, 10)
            nanoseconds = number(10, count - 10) * sluice_power10(Int32(19 - count))
        default: return false
        }
        return true
    }

    private enum Step { case next, end, goOn }

    /// Four digits: the year, and the month and day behind it with whatever stands between.
    private mutating func yearFirst() throws(ParseFault) -> Step {
        year &+= UInt16(number(0, 4))
        guard !isAtEnd else { return .goOn }
        let delimiter = p.pointee
        if Int8(bitPattern: delimiter) < 0x20 { return .end }
        switch delimiter {
        case UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: "'"): return .end
        default: break
        }
        if month != 0 { return .next }
        p += 1
        readDigits()
        switch count {
        case 1, 2: month &+= short
        case _ where delimiter == 0x20: return .next
        default: throw Self.fault
        }
        if day == 0, take(delimiter) {
            readDigits()
            switch count {
            case 1, 2: day &+= short
            case _ where delimiter == 0x20: return .next
            default: throw Self.fault
            }
        }
        guard isDateSign(delimiter) else { throw Self.fault }
        return .goOn
    }

    /// One or two digits: an hour with minutes behind it, a day or month with others behind it, or either alone.
    private mutating func shortNumber() throws(ParseFault) {
        let value = short
        if take(UInt8(ascii: ":")) {
            guard !hasTime else { throw Self.fault }
            hour = value
            hasTime = true
            minute &+= try shortDigits()
            if take(UInt8(ascii: ":")) { second &+= try shortDigits() }
        } else if take(UInt8(ascii: ",")) {
            if month != 0, day == 0 { day = value }
        } else if takeDateSeparator() {
            try dayAndMonth(value)
        } else if day != 0 {
            if isStrict, hour != 0 { throw Self.fault }
            hour = value
        } else {
            day = value
        }
    }

    /// `DD/MM/YYYY` and the like, behind the first separator; in the US the month is first.
    private mutating func dayAndMonth(_ value: UInt8) throws(ParseFault) {
        guard day == 0, month == 0 else { throw Self.fault }
        if isUS {
            month = value
            day &+= try shortDigits()
        } else {
            day = value
            readDigits()
            switch count {
            case 1, 2: month &+= short
            case 0: try monthName()
            default: throw Self.fault
            }
        }
        if month > 12 { swap(&month, &day) }
        guard takeDateSeparator() else { return }
        guard year == 0 else { throw Self.fault }
        readDigits()
        switch count {
        case 4: year &+= UInt16(number(0, 4))
        case 2:
            year &+= UInt16(short)
            year += year >= 70 ? 1900 : 2000
        default: throw Self.fault
        }
    }

    private mutating func monthName() throws(ParseFault) {
        let word = word()
        guard word.count >= 3, let found = TimeWord.month(word), !isLetter(p.pointee),
            word.count == 3 || TimeWord.isFullName(word)
        else { throw Self.fault }
        month = found
    }

    // MARK: - Signs and words

    /// What stands between numbers, or behind them; false where the time ends.
    private mutating func sign() throws(ParseFault) -> Bool {
        switch p.pointee {
        case 0x20: p += 1
        case UInt8(ascii: "T") where year != 0 && !hasTime: p += 1
        case UInt8(ascii: "Z"):
            p += 1
            hasOffset = true
        case UInt8(ascii: "."):
            guard hasTime, !hasFraction else { throw Self.fault }
            hasFraction = true
            p += 1
            readDigits()
            if takesFraction { readFraction() } else { try refuseIfStrict() }
        case UInt8(ascii: "+"), UInt8(ascii: "-"): try offset(isBehind: p.pointee == UInt8(ascii: "-"))
        case let byte where isLetter(byte): try letters()
        default: return false
        }
        return true
    }

    private mutating func offset(isBehind: Bool) throws(ParseFault) {
        p += 1
        readDigits()
        if count == 6, !hasTime, year != 0, month != 0, day != 0 { return readClock(from: 0) }
        hasOffset = true
        if isBehind { isBehindUTC = true }
        switch count {
        case 3, 4:
            offsetHour &+= UInt8(number(0, count - 2))
            offsetMinute &+= UInt8(number(count - 2, 2))
        case 1, 2:
            offsetHour &+= short
            if take(UInt8(ascii: ":")) { offsetMinute &+= try shortDigits() }
        default: throw Self.fault
        }
    }

    private mutating func letters() throws(ParseFault) {
        let start = p
        let length = word().count
        // The first three decide; what is behind them must make a whole name of a month or a day.
        let head = UnsafeBufferPointer(start: start, count: min(3, length))
        switch length {
        case 2:
            guard start[1] | 0x20 == UInt8(ascii: "m") else { throw Self.fault }
            switch start[0] | 0x20 {
            case UInt8(ascii: "a"): isAM = true
            case UInt8(ascii: "p"): isPM = true
            default: throw Self.fault
            }
        case 3...:
            var isDay = false
            if let found = TimeWord.month(head) {
                month = found
            } else if let hours = TimeWord.zone(head) {
                hasOffset = true
                if let hours { offsetHour = hours }
            } else if TimeWord.isDay(head) {
                isDay = true
            } else {
                throw Self.fault
            }
            guard length == 3 || TimeWord.isFullName(UnsafeBufferPointer(start: start, count: length)) else {
                throw Self.fault
            }
            if isDay { _ = take(UInt8(ascii: ",")) }
        default: throw Self.fault
        }
    }

    // MARK: - The whole

    private mutating func whole(zone: TimeZoneRules?, now: Int64) throws(ParseFault) -> ParsedTime {
        if hasComma, !hasTime || year == 0 || month == 0 || day == 0 { throw Self.fault }
        guard year != 0 || month != 0 || day != 0 || hasTime else { throw Self.fault }
        if day == 0 || month == 0 || year == 0 { try refuseIfStrict() }
        if day == 0 { day = 1 }
        if month == 0 { month = 1 }
        if year == 0 { year = likelyYear(zone: zone, now: now) }
        guard (1...12).contains(month), day <= CivilDate.daysInMonth(year: Int32(year), month: Int32(month)) else {
            throw Self.fault
        }
        if isAM, hour == 12 { hour = 0 }
        if isPM, hour < 12 { hour += 12 }
        // ClickHouse would roll over into the next day.
        guard hour <= 23, minute <= 59, second <= 59 else { throw ParseFault(.outOfRange) }
        let date = daysFromCivil(year: Int32(year), month: Int32(month), day: Int32(day))
        let clock = Int32(hour) * 3600 + Int32(minute) * 60 + Int32(second)
        var seconds: Int64
        if hasOffset {
            let offset = Int64(offsetHour) * 3600 + Int64(offsetMinute) * 60
            seconds = Int64(date) * 86400 + Int64(clock) + (isBehindUTC ? offset : -offset)
        } else if let zone {
            seconds = zone.epochSeconds(localDay: date, secondOfDay: clock)
        } else {
            seconds = Int64(date) * 86400 + Int64(clock)
        }
        return ParsedTime(seconds: seconds, nanoseconds: nanoseconds)
    }

    /// Of a text without one, as logs have it: this year, or the last one where the day is still to come.
    private func likelyYear(zone: TimeZoneRules?, now: Int64) -> UInt16 {
        let today = (zone ?? .utc).civil(epochSeconds: now).day
        let year = civilFromDays(today).year
        // A day that does not exist is the one behind it here; it is refused later.
        guard (1...12).contains(month), day <= 31 else { return UInt16(clamping: year) }
        let first = daysFromCivil(year: year, month: Int32(month), day: 1)
        return UInt16(clamping: first + Int32(day) - 1 <= today ? year : year - 1)
    }

    // MARK: - Bytes

    private mutating func take(_ byte: UInt8) -> Bool {
        guard p.pointee == byte else { return false }
        p += 1
        return true
    }

    private func isDateSign(_ byte: UInt8) -> Bool {
        !isStrict || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "/") || byte == UInt8(ascii: ":")
    }

    private mutating func takeDateSeparator() -> Bool {
        guard isDateSign(p.pointee) else { return false }
        return take(UInt8(ascii: "/")) || take(UInt8(ascii: ".")) || take(UInt8(ascii: "-"))
    }

    private mutating func readDigits() {
        digits = p
        while p.pointee &- 0x30 <= 9, p - digits < Self.digitsMax { p += 1 }
        count = p - digits
    }

    /// Digits of the number read last.
    private func number(_ start: Int, _ length: Int) -> Int64 {
        var value: Int64 = 0
        for place in start..<start + length { value = value * 10 + Int64(digits[place] &- 0x30) }
        return value
    }

    private var short: UInt8 { UInt8(truncatingIfNeeded: number(0, count)) }

    /// One or two digits.
    private mutating func shortDigits() throws(ParseFault) -> UInt8 {
        readDigits()
        guard count == 1 || count == 2 else { throw Self.fault }
        return short
    }

    private mutating func readDate(count: Int) {
        year &+= UInt16(number(0, 4))
        month &+= UInt8(number(4, 2))
        if count == 8 { day &+= UInt8(number(6, 2)) }
    }

    private mutating func readClock(from start: Int) {
        hour &+= UInt8(number(start, 2))
        minute &+= UInt8(number(start + 2, 2))
        second &+= UInt8(number(start + 4, 2))
        hasTime = true
    }

    private mutating func readFraction() {
        let kept = min(count, 9)
        nanoseconds = number(0, kept) * sluice_power10(Int32(9 - kept))
    }

    private func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- 0x61 <= 25 }

    /// A run of letters, of which at most as many are taken as the longest name has.
    private mutating func word() -> UnsafeBufferPointer<UInt8> {
        let start = p
        while isLetter(p.pointee) { p += 1 }
        return UnsafeBufferPointer(start: start, count: p - start)
    }
}
