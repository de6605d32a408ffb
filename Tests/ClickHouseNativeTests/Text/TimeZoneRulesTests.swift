import Foundation
import Testing

@testable import ClickHouseNative

/// Clocks as ClickHouse 26.9 has them; see `Golden/zones/make-golden`.
@Suite("Time zones")
struct TimeZoneRulesTests {
    static let zones = [
        "Africa/Casablanca", "America/New_York", "America/St_Johns", "Asia/Kolkata", "Australia/Lord_Howe",
        "Europe/Berlin",
    ]

    /// Morocco's clock from 2027 on was decided in 2026; Foundation's data may be older than the engine's.
    static func lastYear(_ zone: String) -> Int32 { zone == "Africa/Casablanca" ? 2025 : 9999 }

    static func lines(_ zone: String, _ kind: String) throws -> [[Substring]] {
        let file = zone.replacing("/", with: "-") + ".tsv"
        let url = Bundle.module.resourceURL!.appending(path: "Golden/zones/\(file)")
        return try String(contentsOf: url, encoding: .utf8).split(separator: "\n").map { $0.split(separator: "\t") }
            .filter { $0[0] == kind }
    }

    @Test(
        "Around every change of the clock, local times are the instants that ClickHouse makes of them", arguments: zones
    )
    func changes(zone: String) throws {
        let rules = try TimeZoneRules.named(zone)
        let lines = try Self.lines(zone, "change")
        #expect(lines.count >= 5)
        for line in lines {
            let day = Self.day(line[1])
            guard civilFromDays(day).year <= Self.lastYear(zone) else { continue }
            let midnight = Int64(day) * 86_400
            let locals = (0..<96).map { quarter in
                let local = midnight + Int64(quarter) * 900
                return local - rules.epochSeconds(localDay: day, secondOfDay: Int32(quarter) * 900)
            }
            let instants = (0..<96).map { quarter in
                let instant = midnight + Int64(quarter) * 900
                return Self.local(rules.civil(epochSeconds: instant)) - instant
            }
            #expect(Self.runs(locals) == line[2], "local times of \(line[1])")
            #expect(Self.runs(instants) == line[3], "instants of \(line[1])")
        }
    }

    @Test("Every day from 1900 to 2299 begins and ends as in ClickHouse", arguments: zones)
    func years(zone: String) throws {
        let rules = try TimeZoneRules.named(zone)
        let lines = try Self.lines(zone, "year")
        #expect(lines.count == 400)
        for line in lines {
            guard let year = Int32(line[1]), year <= Self.lastYear(zone) else { continue }
            var sum: UInt64 = 0
            for day in daysFromCivil(year: year, month: 1, day: 1)..<daysFromCivil(year: year + 1, month: 1, day: 1) {
                for second: Int32 in [0, 5_400, 45_296, 86_399] {
                    let instant = rules.epochSeconds(localDay: day, secondOfDay: second)
                    sum &+= UInt64(bitPattern: instant) &* UInt64(day + 25_567 + second)
                }
            }
            #expect(String(sum) == line[2], "\(year)")
        }
    }

    @Test("The years 0001 to 1899 and 2300 to 9999 agree with ClickHouse", arguments: zones)
    func farYears(zone: String) throws {
        let rules = try TimeZoneRules.named(zone)
        let lines = try Self.lines(zone, "far")
        #expect(lines.count > 200)
        for line in lines {
            let (day, second) = Self.dayAndSecond(line[1])
            guard civilFromDays(day).year <= Self.lastYear(zone) else { continue }
            let instant = try #require(Int64(line[2]))
            #expect(rules.epochSeconds(localDay: day, secondOfDay: second) == instant, "\(line[1])")
            #expect(rules.civil(epochSeconds: instant) == Self.dayAndSecond(line[3]), "\(instant)")
        }
    }

    @Test("UTC is arithmetic, clamped to the years that ClickHouse knows")
    func utc() throws {
        let rules = try TimeZoneRules.named("UTC")
        #expect(rules.isUTC)
        #expect(try TimeZoneRules.named("Etc/UTC").isUTC)
        #expect(try TimeZoneRules.named("Europe/London").isUTC == false)
        for day in stride(from: TimeZoneRules.dayMin, through: TimeZoneRules.dayMax, by: 9_973) {
            let instant = rules.epochSeconds(localDay: day, secondOfDay: 86_399)
            #expect(instant == Int64(day) * 86_400 + 86_399)
            #expect(rules.civil(epochSeconds: instant) == (day, 86_399))
            #expect(rules.civil(epochSeconds: instant + 1) == (min(day + 1, TimeZoneRules.dayMax), 0))
        }
        #expect(rules.civil(epochSeconds: .min) == (TimeZoneRules.dayMin, 0))
        #expect(rules.civil(epochSeconds: .max) == (TimeZoneRules.dayMax, 86_399))
    }

    @Test("A zone has one set of rules, and unknown ones are refused by name")
    func names() throws {
        #expect(try TimeZoneRules.named("Europe/Berlin") === TimeZoneRules.named("Europe/Berlin"))
        for name in ["Europe/Nowhere", "GMT+3", "GMT+0300", "europe/berlin", "PST", "+02:00", "/", "../etc/passwd"] {
            let error = #expect(throws: TimeZoneError.self) { try TimeZoneRules.named(name) }
            #expect(error?.description.contains(name) == true)
        }
        #expect(throws: TimeZoneError.self) { try TimeZoneRules.named("") }
        for name in ["GMT", "GMT0", "Zulu", "EST5EDT", "US/Eastern", "Etc/GMT+3", "Asia/Calcutta", "EST"] {
            #expect(throws: Never.self) { try TimeZoneRules.named(name) }
        }
    }

    @Test("Days and dates of the calendar are inverse, across eras and leap years")
    func calendar() {
        #expect(daysFromCivil(year: 1970, month: 1, day: 1) == 0)
        #expect(daysFromCivil(year: 0, month: 1, day: 1) == TimeZoneRules.dayMin)
        #expect(daysFromCivil(year: 9999, month: 12, day: 31) == TimeZoneRules.dayMax)
        var expected = daysFromCivil(year: -401, month: 1, day: 1)
        for year: Int32 in -401...2801 {
            for month: Int32 in 1...12 {
                for day in 1...CivilDate.daysInMonth(year: year, month: month) {
                    guard daysFromCivil(year: year, month: month, day: day) == expected,
                        civilFromDays(expected) == CivilDate(year: year, month: month, day: day)
                    else {
                        Issue.record("\(year)-\(month)-\(day)")
                        return
                    }
                    expected += 1
                }
            }
        }
    }

    // MARK: - Lines

    private static func runs(_ offsets: [Int64]) -> String {
        offsets.indices.filter { $0 == 0 || offsets[$0] != offsets[$0 - 1] }.map { "\($0):\(offsets[$0])" }
            .joined(separator: ",")
    }

    private static func local(_ civil: (day: Int32, second: Int32)) -> Int64 {
        Int64(civil.day) * 86_400 + Int64(civil.second)
    }

    private static func day(_ text: Substring) -> Int32 {
        let parts = text.split(separator: "-").map { Int32($0) ?? 0 }
        return daysFromCivil(year: parts[0], month: parts[1], day: parts[2])
    }

    private static func dayAndSecond(_ text: Substring) -> (day: Int32, second: Int32) {
        let halves = text.split(separator: " ")
        let parts = halves[1].split(separator: ":").map { Int32($0) ?? 0 }
        return (day(halves[0]), parts[0] * 3600 + parts[1] * 60 + parts[2])
    }
}
