import Foundation
import Testing

@testable import Pipeline

/// docs/specs/metrics.md lists every family, and no other.
@Suite struct MetricsContractTests {
    private struct Entry: Hashable, CustomStringConvertible {
        let name: String
        let kind: String
        let labels: [String]
        var description: String { "\(name) \(kind) \(labels)" }
    }

    private static let page = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "docs/specs/metrics.md")

    /// Rows of the page's tables whose first cell is a metric's name: name, kind, labels.
    private func documented() throws -> [Entry] {
        try String(contentsOf: Self.page, encoding: .utf8).split(separator: "\n").compactMap { line in
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard cells.count == 4, cells[0].hasPrefix("`sluice_") || cells[0].hasPrefix("`process_") else {
                return nil
            }
            let labels = cells[2].split(separator: ",").map {
                $0.trimmingCharacters(in: CharacterSet(charactersIn: " `"))
            }
            return Entry(name: cells[0].replacing("`", with: ""), kind: cells[1], labels: labels.filter { !$0.isEmpty })
        }
    }

    /// A daemon that has something of everything.
    private func families() -> [MetricFamily] {
        let telemetry = Telemetry()
        let table = telemetry.table(TableName(table: "t"))
        table.rejectedRows.add(reason: "r")
        telemetry.sealedBlocks.add(reason: "r")
        telemetry.adminRequests.add(reason: "ok")
        telemetry.observe(BoundedStream<Int>(elementsMax: 1, bytesMax: 1) { $0 }, as: "batch", rows: { $0 })
        telemetry.observe { $0.recycledBytes = { ["blocks": 1] } }
        let stage = Nothing()
        telemetry.observe(stage)
        defer { withExtendedLifetime(stage) {} }
        telemetry.spool.bytesMax.set(1)
        telemetry.sessionErrors.add(reason: "c")
        telemetry.splitBlocks.add(reason: "r")
        telemetry.duplicateBlocks.add(reason: "r")
        telemetry.refittedBlocks.add(reason: "r")
        telemetry.observe(hosts: [HostTelemetry(host: "h:9000")])
        telemetry.observe {
            $0.deadLetter = { DeadLetterStatus(rows: 1, blocks: 1, discardedRows: ["r": 1], diskErrors: 1) }
        }
        return telemetry.snapshot().families + ProcessFigures.current().families(startTimeUnix: 0)
    }

    private final class Nothing: Stage {
        let name = "batch"
        func run() async throws {}
    }

    @Test func thePageListsWhatTheProgramHas() throws {
        let actual = families().map { family in
            let labels = family.samples.first?.labels.map(\.name).filter { $0 != "le" } ?? []
            return Entry(name: family.name, kind: family.kind.rawValue, labels: labels)
        }
        let documented = try documented()
        #expect(Set(documented).count == documented.count)
        let missing = Set(actual).subtracting(documented).map(\.description).sorted()
        let extra = Set(documented).subtracting(actual).map(\.description).sorted()
        #expect(missing == [], "not on the page, or otherwise")
        #expect(extra == [], "on the page, and not in the program")
        for family in families() { #expect(!family.samples.isEmpty, "\(family.name) has no sample to look at") }
    }

    /// What alerts look at is there before it happens: a counter that begins with its first event never increases.
    @Test func whatAlertsAreMadeOfBeginsAtZero() {
        let telemetry = Telemetry()
        telemetry.spool.bytesMax.set(1)
        telemetry.observe {
            $0.deadLetter = { DeadLetterStatus(rows: 0, blocks: 0, discardedRows: [:], diskErrors: 0) }
        }
        let families = Dictionary(telemetry.snapshot().families.map { ($0.name, $0.samples) }) { $1 }
        for name in [
            "sluice_discarded_rows_total", "sluice_sessions_refused_total", "sluice_rate_limited_total",
            "sluice_dead_letter_discarded_rows_total", "sluice_spool_errors_total", "sluice_dead_lettered_rows_total",
            "sluice_insert_errors_total", "sluice_audit_errors_total", "sluice_spool_damaged_places_total",
        ] {
            let samples = families[name] ?? []
            #expect(!samples.isEmpty && samples.allSatisfy { $0.value == 0 }, "\(name)")
        }
    }

    @Test func whatHappenedIsCountedAndTheRestStaysZero() {
        let telemetry = Telemetry()
        telemetry.discardedRows.add(50, reason: "too_old")
        let family = telemetry.snapshot().families.first { $0.name == "sluice_discarded_rows_total" }
        #expect(family?.samples.map(\.value) == [0, 0, 50])
    }
}
