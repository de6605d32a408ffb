// Unsafe by design: `days` points to `Self.dayCount` initialized entries that are written in `init` and only read
// until `deinit`; every index is clamped into them first.

import NIOConcurrencyHelpers

/// No such time zone.
public struct TimeZoneError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The name, cut to 100 characters.
    public let name: String

    init(_ name: String) { self.name = String(name.prefix(100)) }

    public var description: String { "time zone \(DataType.quoted(name)) is not known" }
}

/// How a time zone's clock runs from 0000-01-01 to 9999-12-31, with ClickHouse's own answers to local times that occur
/// twice or never (Common/DateLUTImpl.h, Common/DateLUTImpl.cpp; older engines than 26.9 may end at 1900 and 2299).
///
/// From 1900 to 2299 there is an entry for each day, which says when it begins and how far the clock is put at which
/// time of it: finding either direction costs a division and a load. 1.2 MB a zone, nothing for UTC. Other years take a
/// search among the zone's changes. These come from Foundation, so they are of its time zone data's year, which need not
/// be that of the server's.
///
/// What ClickHouse does, and we with it: from 1900 to 2299 a day has one change at most; amount and time of a change
/// are cut down to 15 minutes, which falsifies some local mean times before about 1930; a repeated local time means
/// the first of the two, and a skipped one is moved back by the gap. In other years a repeated time means the second.
/// Days outside the range are clamped into it.
public final class TimeZoneRules: Sendable {
    /// What a day looks like on the clock.
    @usableFromInline
    struct Day {
        /// Seconds by which the day begins before midnight UTC.
        @usableFromInline var offset: Int32
        /// Local time of the change, in 15 minutes.
        @usableFromInline var changeAt: UInt8
        /// How far the clock is put forward, in 15 minutes; 0 on most days.
        @usableFromInline var change: Int8

        @usableFromInline
        init(offset: Int32, changeAt: UInt8, change: Int8) {
            self.offset = offset
            self.changeAt = changeAt
            self.change = change
        }
    }

    /// 0000-01-01, in days since the epoch.
    public static let dayMin: Int32 = -719_528
    /// 9999-12-31.
    public static let dayMax: Int32 = 2_932_896
    /// 1900-01-01.
    @usableFromInline static let tableDayMin: Int32 = -25_567
    /// Days to 2299-12-31.
    @usableFromInline static let dayCount = 146_097

    /// The zone's name, as it was asked for.
    public let name: String
    /// No offset at all, ever.
    public let isUTC: Bool

    /// Entries from `tableDayMin` on; nil for UTC.
    @usableFromInline nonisolated(unsafe) let days: UnsafePointer<Day>?
    private let transitions: ZoneTransitions

    private static let known = NIOLockedValueBox<[String: TimeZoneRules]>([:])

    /// UTC.
    public static let utc = TimeZoneRules(name: "UTC", ZoneTransitions.none)

    /// The rules of a zone by its name in the IANA database, such as `Europe/Berlin`; made once in a process.
    public static func named(_ name: String) throws(TimeZoneError) -> TimeZoneRules {
        if name == "UTC" { return utc }
        if let rules = known.withLockedValue({ $0[name] }) { return rules }
        guard name.contains("/") || ZoneTransitions.namesWithoutRegion.contains(name),
            let transitions = ZoneTransitions(zone: name)
        else { throw TimeZoneError(name) }
        let made = TimeZoneRules(name: name, transitions)
        // Whoever came first wins, so that a name has one object.
        return known.withLockedValue { known in
            if let rules = known[name] { return rules }
            known[name] = made
            return made
        }
    }

    private static let knownNames = NIOLockedValueBox<Set<String>>(["UTC"])

    /// Whether this host knows a zone of this name. Costs no table, and little more than a look-up when it was asked before.
    static func isKnown(_ name: String) -> Bool {
        if knownNames.withLockedValue({ $0.contains(name) }) { return true }
        guard name.contains("/") || ZoneTransitions.namesWithoutRegion.contains(name),
            ZoneTransitions(zone: name) != nil
        else { return false }
        // As many as there are zones at most.
        knownNames.withLockedValue { _ = $0.insert(name) }
        return true
    }

    private init(name: String, _ transitions: ZoneTransitions) {
        self.name = name
        self.transitions = transitions
        isUTC = transitions.first == 0 && transitions.transitions.isEmpty
        days = isUTC ? nil : DayTable.make(transitions)
    }

    deinit { days?.deallocate() }

    /// The instant at which a local clock shows this time.
    ///
    /// - Parameters:
    ///   - localDay: days since 1970-01-01; clamped to `dayMin...dayMax`.
    ///   - secondOfDay: 0 to 86,399.
    @inlinable
    public func epochSeconds(localDay: Int32, secondOfDay: Int32) -> Int64 {
        let index = Int(localDay) &- Int(Self.tableDayMin)
        guard let days, index >= 0, index < Self.dayCount else {
            return instantWithoutTable(day: localDay, second: secondOfDay)
        }
        let found = days[index]
        var second = secondOfDay
        if second >= Int32(found.changeAt) &* 900 { second &-= Int32(found.change) &* 900 }
        return Self.start(of: index, found) &+ Int64(second)
    }

    /// What a local clock shows at an instant: days since 1970-01-01, and seconds of that day, 0 to 86,399.
    ///
    /// Before the year 0 it shows that year's first second, after 9999 its last.
    @inlinable
    public func civil(epochSeconds: Int64) -> (day: Int32, second: Int32) {
        guard let days, epochSeconds >= Self.start(of: 0, days[0]),
            epochSeconds < Self.start(of: Self.dayCount, days[Self.dayCount &- 1])
        else { return civilWithoutTable(epochSeconds) }
        var index = Int(epochSeconds / 86_400) &- Int(Self.tableDayMin)
        if epochSeconds < 0 { index &-= 1 }
        index = min(max(index, 0), Self.dayCount &- 1)
        // Offsets are less than a day, so it is this day or a neighbour.
        if epochSeconds < Self.start(of: index, days[index]) {
            index = max(index &- 1, 0)
        } else if index < Self.dayCount &- 1, epochSeconds >= Self.start(of: index &+ 1, days[index &+ 1]) {
            index &+= 1
        }
        let found = days[index]
        var second = epochSeconds &- Self.start(of: index, found)
        if second >= Int64(found.changeAt) &* 900 { second &+= Int64(found.change) &* 900 }
        return (Int32(truncatingIfNeeded: index) &+ Self.tableDayMin, Self.clockSecond(second))
    }

    @inlinable @inline(__always)
    static func start(of index: Int, _ day: Day) -> Int64 {
        Int64(index &+ Int(tableDayMin)) &* 86_400 &- Int64(day.offset)
    }

    /// A day of more than 24 hours shows its last one again.
    @inlinable @inline(__always)
    static func clockSecond(_ second: Int64) -> Int32 {
        if _fastPath(second >= 0 && second < 86_400) { return Int32(truncatingIfNeeded: second) }
        return second < 0 ? 0 : 23 &* 3600 &+ Int32(truncatingIfNeeded: second % 3600)
    }

    @usableFromInline
    func instantWithoutTable(day: Int32, second: Int32) -> Int64 {
        let local = Int64(min(max(day, Self.dayMin), Self.dayMax)) * 86_400 + Int64(second)
        return isUTC ? local : transitions.lastInstant(local: local)
    }

    @usableFromInline
    func civilWithoutTable(_ epochSeconds: Int64) -> (day: Int32, second: Int32) {
        // A day more than the range, so that no offset overflows.
        let instant = min(max(epochSeconds, Int64(Self.dayMin - 2) * 86_400), Int64(Self.dayMax + 2) * 86_400)
        let local = isUTC ? instant : instant + transitions.offset(at: instant)
        var day = local / 86_400
        if day * 86_400 > local { day -= 1 }
        if day < Int64(Self.dayMin) { return (Self.dayMin, 0) }
        if day > Int64(Self.dayMax) { return (Self.dayMax, 86_399) }
        return (Int32(day), Int32(local - day * 86_400))
    }
}

/// Fills in the entries of the days; the caller frees them.
private enum DayTable {
    static func make(_ zone: ZoneTransitions) -> UnsafePointer<TimeZoneRules.Day> {
        let days = UnsafeMutablePointer<TimeZoneRules.Day>.allocate(capacity: TimeZoneRules.dayCount)
        let transitions = zone.transitions[...]
        // Those that are not over yet by local time.
        var rest = transitions
        var offset = zone.first
        for index in 0..<TimeZoneRules.dayCount {
            let midnight = (Int64(index) + Int64(TimeZoneRules.tableDayMin)) * 86_400
            while let next = rest.first, midnight >= max(next.from, next.to) {
                offset = next.after
                rest.removeFirst()
            }
            let start = midnight - Self.offset(atMidnight: midnight, offset, rest.first)
            var day = TimeZoneRules.Day(offset: Int32(midnight - start), changeAt: 0, change: 0)
            // The transition may be the one before `rest`, at this very instant.
            let ahead = transitions[max(rest.startIndex - 1, transitions.startIndex)...]
            if let next = ahead.first(where: { $0.instant >= start }),
                midnight..<midnight + 86_400 ~= next.from || midnight..<midnight + 86_400 ~= next.to
            {
                day.changeAt = UInt8(truncatingIfNeeded: (next.from - midnight) / 900)
                day.change = Int8(clamping: min(max((next.to - next.from) / 900, -96), 96))
                // A clock that is put back into the day before would make times of this day negative.
                if Int(day.changeAt) + Int(day.change) < 0 { day.changeAt = UInt8(-Int(day.change)) }
            }
            (days + index).initialize(to: day)
        }
        return UnsafePointer(days)
    }

    /// The offset that a day begins with whose midnight may be skipped or repeated by the next transition.
    private static func offset(atMidnight midnight: Int64, _ offset: Int64, _ next: ZoneTransitions.Transition?)
        -> Int64
    {
        guard let next, midnight >= min(next.from, next.to) else { return offset }
        // Skipped: as if the clock had not been put forward.
        guard next.from > next.to else { return next.before }
        // Repeated: the first one, unless a piece of the day before lies between the two.
        return midnight > next.to ? next.after : next.before
    }
}
