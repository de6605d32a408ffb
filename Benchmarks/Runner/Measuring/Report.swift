import Foundation

/// Measurements as a table for people or as JSON for machines.
struct Report: Encodable {
    let machine: Machine
    private(set) var measurements: [Measurement] = []

    init(machine: Machine) { self.machine = machine }

    mutating func add(_ measurement: Measurement) { measurements.append(measurement) }

    var hasFaults: Bool { measurements.contains { $0.fault != nil } }

    // MARK: A table

    private static let heads = [
        "benchmark", "unit", "units/s", "MB/s", "CPU-s/M", "min", "max", "peak MiB", "batch", "waits/M", "ratio",
    ]
    private static let widths = [26, 8, 12, 9, 9, 9, 9, 9, 7, 8, 7]

    static var header: String { line(heads) }

    static func line(_ measurement: Measurement) -> String {
        let cpu = measurement.cpu
        let isBytes = measurement.unit == .byte
        var text = line([
            measurement.name, measurement.unit.rawValue,
            isBytes ? "" : number(measurement.unitsPerSecond, 0),
            measurement.bytes > 0 ? number(measurement.megabytesPerSecond, 0) : "",
            number(cpu.median, 3), number(cpu.min, 3), number(cpu.max, 3),
            measurement.peakResidentBytes.map { number(Double($0) / 1_048_576, 0) } ?? "",
            measurement.rowsPerBatch.map { number($0, 0) } ?? "",
            measurement.waitsPerMillion.map { number($0, 0) } ?? "",
            measurement.ratio.map { number($0, 2) } ?? "",
        ])
        if let fault = measurement.fault { text += "  FAULT: \(fault)" }
        return text
    }

    static let footnote =
        "CPU-s/M: CPU seconds for a million units (bytes: for a GB), median, least and most of the rounds; batch: rows of a row batch; waits/M: times that a thread went to sleep."

    /// What peers needed for what sluice needed, each by its median.
    var ratios: String {
        let cpu = Dictionary(measurements.map { ($0.name, $0.cpu.median) }, uniquingKeysWith: { $1 })
        return PeerSuite.pairs.compactMap { pair in
            guard let peer = cpu[pair.peer], let ours = cpu[pair.ours], ours > 0 else { return nil }
            return "\n\(pair.peer) takes \(Self.number(peer / ours, 2)) times the CPU of \(pair.ours)"
        }.joined()
    }

    /// Texts to the left (the first two), numbers to the right.
    private static func line(_ cells: [String]) -> String {
        zip(cells, widths).enumerated().map { place, cell in
            let room = String(repeating: " ", count: max(0, cell.1 - cell.0.count))
            return place < 2 ? cell.0 + room : room + cell.0
        }.joined(separator: " ")
    }

    private static func number(_ value: Double, _ digits: Int) -> String {
        value.formatted(.number.precision(.fractionLength(digits)).locale(Locale(identifier: "en_US")))
    }

    // MARK: JSON

    private struct Line: Encodable {
        let name: String
        let unit: Unit
        let count: Int
        let bytes: Int
        let unitsPerSecond: Double
        let megabytesPerSecond: Double
        let cpuSecondsPerMillion: Spread
        let peakResidentBytes: Int?
        let rowsPerBatch: Double?
        let waitsPerMillion: Double?
        let ratio: Double?
        let fault: String?
        let rounds: [Round]
    }

    private enum Keys: String, CodingKey { case machine, measurements }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Keys.self)
        try container.encode(machine, forKey: .machine)
        try container.encode(
            measurements.map {
                Line(
                    name: $0.name, unit: $0.unit, count: $0.count, bytes: $0.bytes, unitsPerSecond: $0.unitsPerSecond,
                    megabytesPerSecond: $0.megabytesPerSecond, cpuSecondsPerMillion: $0.cpu,
                    peakResidentBytes: $0.peakResidentBytes,
                    rowsPerBatch: $0.rowsPerBatch, waitsPerMillion: $0.waitsPerMillion, ratio: $0.ratio,
                    fault: $0.fault, rounds: $0.rounds)
            }, forKey: .measurements)
    }

    var json: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            encoder.keyEncodingStrategy = .convertToSnakeCase
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        }
    }
}
