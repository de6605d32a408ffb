import Foundation

/// Counts of work that are the same in every run: what a change did to the code shows in them, and what the machine did does not.
struct CountReport: Codable, Sendable {
    struct Line: Codable, Sendable {
        let name: String
        let rows: Int
        let allocations: Double
        let allocatedBytes: Double
        let copiedBytes: Double
        let outputBytes: Double
        /// nil: valgrind is not installed.
        let instructions: Double?

        /// For a row, in the order of `CountKind`.
        subscript(kind: CountKind) -> Double? {
            let total: Double? =
                switch kind {
                case .allocations: allocations
                case .allocatedBytes: allocatedBytes
                case .copiedBytes: copiedBytes
                case .outputBytes: outputBytes
                case .instructions: instructions
                }
            return total.map { $0 / Double(max(1, rows)) }
        }
    }

    let machine: String
    var counts: [Line] = []

    static func read(_ path: String) throws -> CountReport {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            return try decoder.decode(CountReport.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        } catch {
            throw CountError("\(path) is no report of counts; `Benchmarks count --json > \(path)` makes one")
        }
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

/// Why nothing could be counted or compared.
struct CountError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// What is counted, for each row.
enum CountKind: String, CaseIterable, Sendable {
    case allocations
    case allocatedBytes = "allocated bytes"
    case copiedBytes = "copied bytes"
    case outputBytes = "output bytes"
    case instructions

    /// What may change without anybody having made the code worse: hashes and dictionaries with seeds of the process, the library's
    /// own versions.
    var tolerance: (relative: Double, absolute: Double) {
        switch self {
        case .allocations: (0.02, 0.001)
        case .allocatedBytes: (0.05, 1)
        case .copiedBytes: (0.03, 1)
        case .outputBytes: (0.01, 1)
        case .instructions: (0.015, 2)
        }
    }

    enum Verdict: String, Sendable { case same, better, worse }

    func compare(_ before: Double, _ after: Double) -> Verdict {
        let room = max(before * tolerance.relative, tolerance.absolute)
        return after > before + room ? .worse : after < before - room ? .better : .same
    }
}
