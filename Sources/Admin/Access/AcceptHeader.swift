/// Which form of the metrics a client would rather have, by its Accept header (RFC 9110, 12.5.1).
struct AcceptHeader {
    enum MetricsFormat { case json, prometheus, openMetrics }

    private let ranges: [(type: Substring, quality: Double)]

    /// A missing header accepts all.
    init(_ value: String?) {
        ranges = (value ?? "*/*").lowercased().split(separator: ",").map { range in
            let parts = range.split(separator: ";").map { part in
                part.drop { $0 == " " || $0 == "\t" }.prefix { $0 != " " && $0 != "\t" }
            }
            let quality = parts.dropFirst().first { $0.hasPrefix("q=") }.map { Double($0.dropFirst(2)) ?? 0 }
            return (parts.first ?? "", quality ?? 1)
        }
    }

    /// JSON wherever it is as welcome as text, for that is what stood at this address first. Prometheus asks for
    /// OpenMetrics and plain text before all else.
    var metricsFormat: MetricsFormat {
        max(text, openMetrics) > quality(of: "application/json", within: "application/*") ? textFormat : .json
    }

    /// Of the two text formats, where JSON is not offered: the older one, unless the other is asked for by name.
    var textFormat: MetricsFormat { openMetrics > 0 && openMetrics >= text ? .openMetrics : .prometheus }

    private var text: Double { quality(of: "text/plain", within: "text/*") }

    /// By name only: who takes anything knows no more of it than of any other.
    private var openMetrics: Double {
        ranges.filter { $0.type == "application/openmetrics-text" }.map(\.quality).max() ?? 0
    }

    private func quality(of type: String, within group: String) -> Double {
        for name in [type, group, "*/*"] {
            if let range = ranges.first(where: { $0.type == name }) { return range.quality }
        }
        return 0
    }
}
