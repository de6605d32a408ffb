import Foundation

/// The figures of `sluice send`, in words.
struct ProgressLine {
    let progress: Sending.Progress
    /// Since the start.
    let elapsed: Duration
    let rowsTotal: Int?
    let bytesTotal: Int?

    private static let barWidth = 24

    /// `[########----------------]  34%  340,000 rows  165.0 MB  812,345 rows/s  ETA 0:01`
    var text: String {
        var parts: [String] = []
        if let share {
            let full = Int(share * Double(Self.barWidth))
            let bar = String(repeating: "#", count: full) + String(repeating: "-", count: Self.barWidth - full)
            parts.append("[\(bar)] " + String(format: "%3d%%", Int(share * 100)))
        }
        parts += ["\(Self.grouped(progress.rows)) rows", megabytes, "\(Self.grouped(rate)) rows/s"]
        if let share, share > 0, share < 1 {
            let left = Int((seconds / share * (1 - share)).rounded(.up))
            parts.append("ETA \(left / 60):" + String(format: "%02d", left % 60))
        }
        return parts.joined(separator: "  ")
    }

    /// `1000000 rows, 485.2 MB in 1.23 s: 812,345 rows/s`
    var summary: String {
        "\(progress.rows) \(progress.rows == 1 ? "row" : "rows"), \(megabytes) in " + String(format: "%.2f", seconds)
            + " s: \(Self.grouped(rate)) rows/s"
    }

    /// Of everything, between 0 and 1.
    private var share: Double? {
        if let rowsTotal, rowsTotal > 0 { return min(1, Double(progress.rows) / Double(rowsTotal)) }
        if let bytesTotal, bytesTotal > 0 { return min(1, Double(progress.bytes) / Double(bytesTotal)) }
        return nil
    }

    private var seconds: Double { Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18 }

    private var rate: Int { seconds > 0 ? Int(Double(progress.rows) / seconds) : 0 }

    private var megabytes: String { String(format: "%.1f MB", Double(progress.bytes) / 1e6) }

    /// `812,345`, whatever the locale.
    static func grouped(_ number: Int) -> String {
        let digits = String(number)
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return text
    }
}
