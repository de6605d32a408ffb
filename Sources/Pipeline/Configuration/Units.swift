/// Sizes as people write them: `4096`, `64KiB`, `64MiB`, `10MB`.
enum ByteSize {
    private static let units: [(name: String, factor: Int)] = [
        ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10),
        ("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000), ("KB", 1000), ("B", 1),
    ]

    /// Nil when the text is no size, or one beyond 64 bits.
    static func parse(_ text: String) -> Int? {
        let unit = units.first { text.hasSuffix($0.name) }
        let digits = unit.map { text.dropLast($0.name.count) } ?? text[...]
        return number(digits, times: unit?.factor ?? 1)
    }

    /// The largest binary unit that divides the size: `64MiB`, `1000`.
    static func format(_ bytes: Int) -> String {
        guard bytes > 0, let unit = units.first(where: { $0.name.hasSuffix("iB") && bytes % $0.factor == 0 }) else {
            return String(bytes)
        }
        return "\(bytes / unit.factor)\(unit.name)"
    }
}

/// Durations as people write them: `250ms`, `5s`, `2m`, `1h`, `7d`.
enum TimeSpan {
    private static let units: [(name: String, milliseconds: Int)] = [
        ("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000),
    ]

    /// Nil when the text is no duration with a unit. A bare number is none, except 0: whoever reads it could not tell
    /// seconds from milliseconds.
    static func parse(_ text: String) -> Duration? {
        if text == "0" { return .zero }
        guard let unit = units.first(where: { text.hasSuffix($0.name) }) else { return nil }
        return number(text.dropLast(unit.name.count), times: unit.milliseconds).map(Duration.milliseconds)
    }

    /// The largest unit that divides the duration: `90s`, `250ms`.
    static func format(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        let milliseconds = Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000)
        guard milliseconds > 0 else { return "0s" }
        let unit = units.filter { milliseconds % $0.milliseconds == 0 }.max { $0.milliseconds < $1.milliseconds }
        return unit.map { "\(milliseconds / $0.milliseconds)\($0.name)" } ?? "\(milliseconds)ms"
    }
}

/// ASCII digits with `_` between them, times a factor; nil on overflow or anything else.
private func number(_ text: Substring, times factor: Int) -> Int? {
    guard let value = wholeNumber(text) else { return nil }
    let (product, overflow) = value.multipliedReportingOverflow(by: factor)
    return overflow ? nil : product
}

/// A number without a sign or with `-`; `16_384` is allowed, as YAML does.
func wholeNumber(_ text: Substring) -> Int? {
    let digits = text.filter { $0 != "_" }
    guard text.first != "_", text.last != "_", digits.first != "+" else { return nil }
    return Int(digits)
}
