// Unsafe by design, as RowParser+Quick.swift: no more than `SLUICE_VALUE_BYTES` are read from a value's first byte on.

import CSluice
import ClickHouseNative

/// The day of a time as text, and as a number.
struct KnownDay {
    /// The first and the last eight bytes of `2024-02-29`. No text has zeros there.
    var first: UInt64 = 0
    var last: UInt64 = 0
    var day: Int32 = 0
}

/// Times in the shape that they mostly have.
extension RowParser {
    private struct QuickTime {
        let seconds: Int64
        /// What stands behind the second's point, and how many digits that is, eight at most.
        let fraction: UInt64
        let digits: Int32
        let next: Bytes
    }

    /// `"2024-02-29 12:34:56"`, with a T or a fraction or not: what `LineCursor.time` takes for the usual shape.
    @inline(__always)
    private static func quickTime(
        _ op: UnsafeMutablePointer<FieldOperation>, _ p: Bytes, _ lastDay: inout KnownDay
    ) -> QuickTime? {
        guard p.pointee == UInt8(ascii: "\"") else { return nil }
        if _slowPath(sluice_word(p + 1) != lastDay.first || sluice_word(p + 3) != lastDay.last) {
            guard learnDay(p + 1, &lastDay) else { return nil }
        }
        let second = sluice_read_clock(p + 12)
        guard second >= 0, p[11] == UInt8(ascii: " ") || p[11] == UInt8(ascii: "T") else { return nil }
        let seconds: Int64
        if let zone = op.pointee.zone {
            let day = lastDay.day
            seconds = zone._withUnsafeGuaranteedRef { $0.epochSeconds(localDay: day, secondOfDay: second) }
        } else {
            seconds = Int64(lastDay.day) &* 86400 &+ Int64(second)
        }
        var next = p + 20
        var (fraction, digits): (UInt64, Int32) = (0, 0)
        if next.pointee == UInt8(ascii: ".") {
            let read = sluice_read_digits(next + 1)
            guard read.digits > 0 else { return nil }
            (fraction, digits) = (read.value, read.digits)
            next += 1 + Int(digits)
        }
        guard next.pointee == UInt8(ascii: "\"") else { return nil }
        return QuickTime(seconds: seconds, fraction: fraction, digits: digits, next: next + 1)
    }

    /// False: that is no day, or no time behind it.
    @inline(never)
    private static func learnDay(_ p: Bytes, _ lastDay: inout KnownDay) -> Bool {
        var civil = sluice_civil()
        guard sluice_civil_time(p, &civil) != 0, 1...12 ~= civil.month, civil.day >= 1,
            civil.day <= CivilDate.daysInMonth(year: civil.year, month: civil.month)
        else { return false }
        lastDay.first = sluice_word(p)
        lastDay.last = sluice_word(p + 2)
        lastDay.day = daysFromCivil(year: civil.year, month: civil.month, day: civil.day)
        return true
    }

    @inline(__always)
    static func quickDateTime(
        _ op: UnsafeMutablePointer<FieldOperation>, _ node: UnsafeMutablePointer<ColumnNode>, _ p: Bytes,
        _ lastDay: inout KnownDay
    ) -> Bytes? {
        guard let time = quickTime(op, p, &lastDay), time.seconds >= 0, time.seconds <= Int64(UInt32.max) else {
            return nil
        }
        guard node.pointee.data.hasRoom(8) else { return nil }
        node.pointee.appendFixed(UInt32(truncatingIfNeeded: time.seconds))
        return time.next
    }

    /// The first and the last second that `ticks` takes.
    private static let secondMin = Int64(TimeZoneRules.dayMin) * 86400 - 86399
    private static let secondMax = Int64(TimeZoneRules.dayMax) * 86400 + 86399

    @inline(__always)
    static func quickDateTime64(
        _ op: UnsafeMutablePointer<FieldOperation>, _ node: UnsafeMutablePointer<ColumnNode>, _ p: Bytes,
        _ lastDay: inout KnownDay
    ) -> Bytes? {
        guard let time = quickTime(op, p, &lastDay), time.seconds >= Self.secondMin, time.seconds <= Self.secondMax
        else {
            return nil
        }
        let scale = op.pointee.scale
        let (whole, over) = time.seconds.multipliedReportingOverflow(by: sluice_power10(scale))
        var fraction = Int64(truncatingIfNeeded: time.fraction)
        if time.digits < scale {
            fraction &*= sluice_power10(scale &- time.digits)
        } else if time.digits > scale {
            fraction /= sluice_power10(time.digits &- scale)
        }
        let (sum, more) = whole.addingReportingOverflow(fraction)
        guard !over, !more else { return nil }
        guard node.pointee.data.hasRoom(8) else { return nil }
        node.pointee.appendFixed(sum)
        return time.next
    }
}
