import Foundation

/// A status as lines for a terminal.
struct TopScreen {
    let status: TopStatus
    let width: Int
    let height: Int
    let isColored: Bool

    /// At most `height` lines of at most `width` columns.
    func lines() -> [String] {
        var lines = head + [""] + flow + [""] + rows + [""] + latencies
        if !status.hosts.isEmpty { lines += [""] + hosts }
        let rest = height - lines.count
        if rest > 3, !rejections.isEmpty {
            lines += [""] + rejections.prefix(min(rest - 1, max(3, rest / 2)))
        }
        if height - lines.count > 3 { lines += [""] + tables.prefix(height - lines.count - 1) }
        return lines.prefix(height).map(fitted)
    }

    // MARK: Parts

    private var head: [String] {
        let color: Color =
            switch status.health {
            case "healthy", "connected": .good
            case "degraded", "initializing": .warn
            default: .bad
            }
        let health = status.health.replacing("_", with: " ")
        var first = "sluice \(status.version)  \(colored(health, color)) for \(time(status.healthAgeSeconds))"
        first += "  sink \(status.sink)  up \(time(status.uptimeSeconds))"
        if status.intake != "open" { first += "  intake \(colored(status.intake, .warn))" }
        if let rates = status.rates {
            first += "  cpu \(String(format: "%.1f", rates.cores * 100)) %"
        }
        first += "  memory \(Figure.bytes(status.process.residentBytes))"
        let second: String
        if let held = status.backpressure {
            second = colored("backpressure: \(held.message)", .warn)
        } else if status.spool?.full == true {
            second = colored("the spool is full (spool.bytes_max)", .bad)
        } else {
            second = "no backpressure: nobody waits for room"
        }
        return [first, second]
    }

    private var flow: [String] {
        [
            colored(
                "STAGE      OUT              QUEUE                 BYTES                  ELEMENTS       ROWS", .quiet)
        ]
            + status.stages.filter { !["dead-letter", "direct"].contains($0.stage) }.map(stage)
    }

    private func stage(_ stage: TopStatus.Stage) -> String {
        var line = pad(stage.stage, 9)
        let pressure = status.backpressure
        if pressure?.stage == stage.stage {
            line = colored(line, .bad)
        } else if pressure?.waiting.contains(stage.stage) == true {
            line = colored(line, .warn)
        }
        line += "  " + pad(out(of: stage.stage), 15) + "  "
        guard let queue = stage.queue else { return line + "\(status.connections.producers) producers" }
        let full = Int((queue.fill * 20).rounded())
        let bar = String(repeating: "#", count: full) + String(repeating: ".", count: 20 - full)
        line += colored(bar, queue.fill > 0.9 ? .bad : .plain) + "  "
        line += pad("\(Figure.bytes(queue.bytes)) of \(Figure.bytes(queue.bytesMax))", 21) + "  "
        line += pad("\(queue.elements) of \(queue.elementsMax)", 13) + "  "
        return line + Figure.count(Double((queue.rows ?? 0) + stage.rows))
    }

    private func out(of stage: String) -> String {
        guard let rates = status.rates else { return "-" }
        return switch stage {
        case "receive": "\(Figure.bytes(Int(rates.receivedBytes)))/s"
        case "validate": "\(Figure.count(rates.acceptedRows)) rows/s"
        case "spool": "\(Figure.count(rates.durableGroups)) syncs/s"
        case "batch": "\(Figure.count(rates.sealedBlocks)) blocks/s"
        case "compress": "\(Figure.bytes(Int(rates.encodedBytes)))/s"
        default: "\(Figure.count(rates.committedRows)) rows/s"
        }
    }

    private var rows: [String] {
        let rows = status.rows
        func figure(_ name: String, _ value: UInt64, _ color: Color = .plain) -> String {
            colored("\(name) \(Figure.count(Double(value)))", value > 0 ? color : .plain)
        }
        var second = [
            figure("dead-lettered", rows.deadLettered, .bad), figure("discarded", rows.discarded, .bad),
            "connections \(status.connections.sink)",
        ]
        if !status.errors.isEmpty {
            let errors = status.errors.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
            second.append(colored("errors: \(errors.joined(separator: ", "))", .warn))
        }
        if let spool = status.spool {
            second.append(
                "spool \(Figure.bytes(spool.bytes)) of \(Figure.bytes(spool.bytesMax)), oldest \(time(spool.oldestAgeSeconds))"
            )
        }
        return [
            [
                figure("received", rows.received), figure("accepted", rows.accepted),
                figure("rejected", rows.rejected, .warn), figure("committed", rows.committed),
                "in flight \(Figure.count(Double(rows.inFlight)))",
            ].joined(separator: "  "), second.joined(separator: "  "),
        ]
    }

    private var latencies: [String] {
        let all = status.latencyMs
        let named = [
            ("accept", all.accept), ("durable", all.durable), ("seal", all.seal), ("encode", all.encode),
            ("insert", all.insert),
            ("end to end", all.endToEnd),
        ]
        return [colored("LATENCY ms     average        p50        p99        max", .quiet)]
            + named.filter { $0.1.count > 0 }.map { name, latency in
                pad(name, 12)
                    + [latency.average, latency.p50, latency.p99, latency.max].map { value in
                        let text = String(format: value >= 100 ? "%.0f" : "%.2f", value)
                        return String(repeating: " ", count: max(1, 11 - text.count)) + text
                    }.joined()
            }
    }

    private var hosts: [String] {
        [colored("HOST                          BREAKER    CONNECTIONS  BLOCKS     FAILURES", .quiet)]
            + status.hosts.map { host in
                pad(safe(host.host), 28) + "  "
                    + colored(pad(host.breaker, 9), host.breaker == "closed" ? .plain : .bad)
                    + "  " + pad("\(host.connections)", 11) + "  " + pad(Figure.count(Double(host.committedBlocks)), 9)
                    + "  \(host.failures)"
            }
    }

    private var rejections: [String] {
        var counts: [String: UInt64] = [:]
        for table in status.tables { counts.merge(table.rejectedRows) { $0 + $1 } }
        guard !counts.isEmpty else { return [] }
        return [colored("REJECTED             ROWS      NEWEST", .quiet)]
            + counts.sorted { ($0.value, $1.key) > ($1.value, $0.key) }.map { reason, rows in
                let sample = status.rejections.first { $0.reason == reason }
                let place = [sample?.table, sample?.column].compactMap(\.self).joined(separator: ".")
                let text = sample.map { (place.isEmpty ? "" : "\(place): ") + $0.message } ?? ""
                return pad(reason, 19) + "  " + pad(Figure.count(Double(rows)), 8) + "  " + safe(text)
            }
    }

    private var tables: [String] {
        [colored("TABLE                         ACCEPTED   COMMITTED  BLOCKS     ROWS/BLOCK  REJECTED", .quiet)]
            + status.tables.sorted { $0.acceptedRows > $1.acceptedRows }.map { table in
                let rejected = table.rejectedRows.values.reduce(0, +)
                let size =
                    table.committedBlocks == 0
                    ? "-"
                    : Figure.count(
                        (Double(table.committedRows) / Double(table.committedBlocks)).rounded())
                return pad(safe(table.table), 28) + "  " + pad(Figure.count(Double(table.acceptedRows)), 9) + "  "
                    + pad(Figure.count(Double(table.committedRows)), 9) + "  "
                    + pad(Figure.count(Double(table.committedBlocks)), 9) + "  " + pad(size, 10) + "  "
                    + Figure.count(Double(rejected))
            }
    }

    // MARK: Text

    private enum Color: String { case plain = "", good = "32", warn = "33", bad = "31", quiet = "2" }

    private func colored(_ text: String, _ color: Color) -> String {
        isColored && color != .plain ? "\u{1B}[\(color.rawValue)m\(text)\u{1B}[0m" : text
    }

    /// Names and messages come from outside: a terminal must not obey them.
    private func safe(_ text: String) -> String { LogLine.escaped(text) }

    private func pad(_ text: String, _ width: Int) -> String {
        text.count < width ? text + String(repeating: " ", count: width - text.count) : text
    }

    /// Cut to the width; colors take none.
    private func fitted(_ line: String) -> String {
        var columns = 0
        var isEscape = false
        var result = ""
        for character in line {
            if character == "\u{1B}" { isEscape = true }
            if !isEscape {
                guard columns < width else { return result + (isColored ? "\u{1B}[0m" : "") }
                columns += 1
            }
            result.append(character)
            if isEscape, character == "m" { isEscape = false }
        }
        return result
    }

    private func time(_ seconds: Double) -> String {
        switch seconds {
        case 86_400...: String(format: "%.1f d", seconds / 86_400)
        case 3_600...: String(format: "%.1f h", seconds / 3_600)
        case 60...: String(format: "%.1f min", seconds / 60)
        default: String(format: "%.0f s", seconds)
        }
    }
}

/// Figures that people read.
enum Figure {
    /// `1.23 M`, `45.6 k`, `789`.
    static func count(_ value: Double) -> String {
        switch abs(value) {
        case 1e9...: String(format: "%.2f G", value / 1e9)
        case 1e6...: String(format: "%.2f M", value / 1e6)
        case 1e4...: String(format: "%.1f k", value / 1e3)
        case 100...: String(format: "%.0f", value)
        default: value == value.rounded() ? String(format: "%.0f", value) : String(format: "%.1f", value)
        }
    }

    /// `1.5 MiB`.
    static func bytes(_ value: Int) -> String {
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] where value >= 1 << shift {
            return String(format: "%.1f \(unit)", Double(value) / Double(1 << shift))
        }
        return "\(value) B"
    }
}
