/// One thing that was looked at, on a host or of a table, and what there is to do about it.
public struct Finding: Sendable, Hashable, Codable {
    public enum Level: String, Sendable, Codable, Comparable {
        case ok, warn, fail

        private var weight: Int { self == .ok ? 0 : self == .warn ? 1 : 2 }
        public static func < (one: Level, other: Level) -> Bool { one.weight < other.weight }
    }

    /// What was looked at; names of this kind do not change.
    public enum Check: String, Sendable, Codable {
        case reachable, clock, settings, exists, columns, types, deduplication, defaults, partitions, parts, views
        case permissions, replica
    }

    public let level: Level
    public let host: String
    /// nil: it is about the host.
    public let table: String?
    public let check: Check
    /// What is so.
    public let message: String
    /// What to do, ready to be typed where possible.
    public let advice: String?
}

/// All findings, in the order in which they were made.
public struct InspectionReport: Sendable, Codable {
    public private(set) var findings: [Finding] = []

    public init() {}

    public var worst: Finding.Level { findings.map(\.level).max() ?? .ok }
    public func count(_ level: Finding.Level) -> Int { findings.count { $0.level == level } }

    mutating func add(_ more: [Finding]) { findings += more }

    /// For people: a heading for each host and table, a line for each finding, what to do below it.
    ///
    /// - Parameter quiet: leaves out what is well.
    public func text(quiet: Bool = false) -> String {
        var lines: [String] = []
        var heading = ""
        for finding in findings where !quiet || finding.level != .ok {
            let own = "\(finding.host)\(finding.table.map { "  table \($0)" } ?? "")"
            if own != heading {
                heading = own
                lines.append(own)
            }
            let level = finding.level.rawValue.uppercased()
            lines.append("  \(level)\(String(repeating: " ", count: 5 - level.count))\(finding.message)")
            if let advice = finding.advice { lines.append("       -> \(advice)") }
        }
        lines.append("\(count(.ok)) OK, \(count(.warn)) WARN, \(count(.fail)) FAIL")
        return lines.joined(separator: "\n") + "\n"
    }
}
