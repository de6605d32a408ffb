/// Which of the two forms of `/metrics` a client would rather have, by its Accept header (RFC 9110, 12.5.1).
struct AcceptHeader {
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
    var prefersPrometheus: Bool {
        let text = max(
            quality(of: "text/plain", within: "text/*"),
            quality(of: "application/openmetrics-text", within: "application/*"))
        return text > quality(of: "application/json", within: "application/*")
    }

    private func quality(of type: String, within group: String) -> Double {
        for name in [type, group, "*/*"] {
            if let range = ranges.first(where: { $0.type == name }) { return range.quality }
        }
        return 0
    }
}
