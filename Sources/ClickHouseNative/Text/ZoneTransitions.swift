import Foundation

/// When the offset of a time zone changes, between 1900 and 2300: what `DayTable` is made of.
struct ZoneTransitions {
    struct Transition {
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

    /// More transitions than any zone has in 400 years, thrice.
    private static let countMax = 4096

    /// The offset before the first transition, seconds east of Greenwich.
    let first: Int64
    let transitions: [Transition]

    /// Nil when Foundation knows no such zone.
    init?(zone name: String) {
        guard let zone = TimeZone(identifier: name) else { return nil }
        var instant = TimeZoneRules.epochMin - 40 * 86400
        var offset = Self.offset(of: zone, at: instant)
        first = offset
        var found: [Transition] = []
        while found.count < Self.countMax,
            let next = zone.nextDaylightSavingTimeTransition(after: Date(timeIntervalSince1970: Double(instant)))
        {
            let moved = Int64(next.timeIntervalSince1970.rounded())
            guard moved > instant, moved < TimeZoneRules.epochMax + 40 * 86400 else { break }
            instant = moved
            let after = Self.offset(of: zone, at: instant)
            // A change of name only, such as from standard to summer time under the same offset, is none for us.
            if after != offset { found.append(Transition(instant: instant, before: offset, after: after)) }
            offset = after
        }
        transitions = found
    }

    private static func offset(of zone: TimeZone, at instant: Int64) -> Int64 {
        Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(instant))))
    }
}
