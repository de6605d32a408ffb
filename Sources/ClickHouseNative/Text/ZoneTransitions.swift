import Foundation

/// When the offset of a time zone changes, from the introduction of standard time to 2500, from when on the last 400
/// years repeat, as the calendar does.
struct ZoneTransitions: Sendable {
    struct Transition: Sendable {
        /// Seconds since the epoch.
        var instant: Int64
        /// Seconds east of Greenwich, until then and from then on.
        var before: Int64
        var after: Int64

        /// Local time, in seconds as if it were UTC, at which the clock is put forward or back.
        var from: Int64 { instant + before }
        /// Local time that it is put to.
        var to: Int64 { instant + after }
    }

    /// More transitions than any zone has in these years, thrice.
    private static let countMax = 4096
    /// 1700-01-01: no clock showed anything but local mean time.
    private static let start: Int64 = -8_520_336_000
    /// 2500-01-01.
    private static let end: Int64 = 16_725_225_600
    /// 400 years of the Gregorian calendar.
    private static let cycle: Int64 = 146_097 * 86_400

    /// The offset before the first transition, seconds east of Greenwich.
    let first: Int64
    let transitions: [Transition]

    static let none = ZoneTransitions()

    private init() {
        first = 0
        transitions = []
    }

    /// Nil when Foundation knows no such zone.
    init?(zone name: String) {
        guard let zone = TimeZone(identifier: name) else { return nil }
        var instant = Self.start
        var offset = Self.offset(of: zone, at: instant)
        first = offset
        var found: [Transition] = []
        while found.count < Self.countMax,
            let next = zone.nextDaylightSavingTimeTransition(after: Date(timeIntervalSince1970: Double(instant)))
        {
            let moved = Int64(next.timeIntervalSince1970.rounded())
            guard moved > instant, moved < Self.end else { break }
            instant = moved
            let after = Self.offset(of: zone, at: instant)
            // A change of name only, such as from standard to summer time under the same offset, is none for us.
            if after != offset { found.append(Transition(instant: instant, before: offset, after: after)) }
            offset = after
        }
        transitions = found
    }

    /// Seconds east of Greenwich at an instant.
    func offset(at instant: Int64) -> Int64 {
        let moved = instant < Self.end ? instant : instant - ((instant - Self.end) / Self.cycle + 1) * Self.cycle
        let over = count { $0.instant <= moved }
        return over == 0 ? first : transitions[over - 1].after
    }

    /// The instant at which a clock shows a local time (seconds as if it were UTC): the later one if there are two, and
    /// if there is none, the one that the offset behind the gap gives.
    func lastInstant(local: Int64) -> Int64 {
        // A year more than `end`, for the sake of offsets.
        let end = Self.end - 366 * 86_400
        let moved = local < end ? local : local - ((local - end) / Self.cycle + 1) * Self.cycle
        let over = count { min($0.from, $0.to) <= moved }
        return local - (over == 0 ? first : transitions[over - 1].after)
    }

    /// How many of the first transitions fit.
    private func count(where fits: (Transition) -> Bool) -> Int {
        var low = 0
        var high = transitions.count
        while low < high {
            let middle = (low + high) / 2
            if fits(transitions[middle]) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private static func offset(of zone: TimeZone, at instant: Int64) -> Int64 {
        Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(instant))))
    }

    /// The names of the IANA database that have no region before a slash. Foundation takes abbreviations (`PST`) and offsets
    /// (`GMT+2`) for names too, which ClickHouse does not know.
    static let namesWithoutRegion: Set<String> = [
        "CET", "CST6CDT", "Cuba", "EET", "EST", "EST5EDT", "Egypt", "Eire", "Factory", "GB", "GB-Eire", "GMT",
        "GMT+0", "GMT-0", "GMT0", "Greenwich", "HST", "Hongkong", "Iceland", "Iran", "Israel", "Jamaica", "Japan",
        "Kwajalein", "Libya", "MET", "MST", "MST7MDT", "NZ", "NZ-CHAT", "Navajo", "PRC", "PST8PDT", "Poland",
        "Portugal", "ROC", "ROK", "Singapore", "Turkey", "UCT", "UTC", "Universal", "W-SU", "WET", "Zulu",
    ]
}
