/// A day of the proleptic Gregorian calendar.
///
/// The arithmetic counts in eras of 400 years (146,097 days) that begin on March 1st, so that the leap day is the last
/// of its year and needs no case of its own.
@frozen
public struct CivilDate: Hashable, Sendable {
    public var year: Int32
    /// 1 to 12.
    public var month: Int32
    /// 1 to 31.
    public var day: Int32

    @inlinable
    public init(year: Int32, month: Int32, day: Int32) {
        self.year = year
        self.month = month
        self.day = day
    }

    /// Days of a month, 1 to 12.
    @inlinable
    public static func daysInMonth(year: Int32, month: Int32) -> Int32 {
        if month == 2 { return isLeap(year) ? 29 : 28 }
        // 31, 30, 31, ... up to July, and again from August.
        return 30 &+ ((month ^ (month &>> 3)) & 1)
    }

    @inlinable
    public static func isLeap(_ year: Int32) -> Bool { year & 3 == 0 && (year % 100 != 0 || year % 400 == 0) }
}

/// Days from 1970-01-01 to a day of the calendar. Years from -1,000,000 to 1,000,000.
@inlinable
public func daysFromCivil(year: Int32, month: Int32, day: Int32) -> Int32 {
    let shifted = month <= 2 ? year &- 1 : year
    let era = (shifted >= 0 ? shifted : shifted &- 399) / 400
    let yearOfEra = shifted &- era &* 400
    let dayOfYear = (153 &* (month > 2 ? month &- 3 : month &+ 9) &+ 2) / 5 &+ day &- 1
    let dayOfEra = yearOfEra &* 365 &+ yearOfEra / 4 &- yearOfEra / 100 &+ dayOfYear
    return era &* 146_097 &+ dayOfEra &- 719_468
}

/// The day of the calendar that lies so many days after 1970-01-01. Any count within 700,000,000 days.
@inlinable
public func civilFromDays(_ days: Int32) -> CivilDate {
    let shifted = days &+ 719_468
    let era = (shifted >= 0 ? shifted : shifted &- 146_096) / 146_097
    let dayOfEra = shifted &- era &* 146_097
    let yearOfEra = (dayOfEra &- dayOfEra / 1460 &+ dayOfEra / 36_524 &- dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra &- (365 &* yearOfEra &+ yearOfEra / 4 &- yearOfEra / 100)
    let shiftedMonth = (5 &* dayOfYear &+ 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth &+ 3 : shiftedMonth &- 9
    return CivilDate(
        year: yearOfEra &+ era &* 400 &+ (month <= 2 ? 1 : 0), month: month,
        day: dayOfYear &- (153 &* shiftedMonth &+ 2) / 5 &+ 1)
}
