import ClickHouseNative
import Foundation
import Ingest
import NIOCore
import Pipeline
import ProducerProtocol
import TestSupport
import Testing

/// Random tables and rows in every format: what ClickHouse writes is read back as it was, and of text that is changed at random, what
/// sluice stores is what ClickHouse itself stores. `SLUICE_TEST_ROWS` says how many rows, `SLUICE_TEST_SEED` replays one seed.
@Suite(.serialized) struct FormatDifferentialTests {
    static let tables = 6
    static let rowsOfATable = Seeds.isLong ? 100 : 12
    static let formats: [RowFormat] = [
        .csv, .csvWithNamesAndTypes, .tsv, .tsvWithNames, .rowBinary, .rowBinaryWithNamesAndTypes, .native,
    ]
    static let seeds = Seeds.some(max(1, (Seeds.rows ?? 500) / (tables * rowsOfATable)))

    private struct Sample {
        let oracle: FormatOracle
        let lines: [String]
        let format: RowFormat
        let path: String

        /// Types of some values are found by trying.
        var isTried: Bool { format.isText && oracle.types.contains { if case .variant = $0 { true } else { false } } }
    }

    private static func isRead(_ type: DataType, in format: RowFormat) -> Bool {
        func has(_ name: String) -> Bool { type.contains { $0.description.hasPrefix(name) } }
        // Dynamic is compared by other tests (`TriedCellTests`, `DynamicBinaryTests`): what it prints depends on who read it.
        if has("Dynamic") || has("Nothing") { return false }
        // Of an element that is left out ClickHouse stores a 0 that it cannot print where the enumeration has none.
        if has("Enum"), has("Tuple") { return false }
        // In a header ClickHouse writes a tuple's elements as columns, with points between the names: one name might stand twice.
        if format.isText, format.headerRows > 0, type.hasPointInName { return false }
        guard has("Variant") || has("Geometry") else { return true }
        // JSON beside a Variant cannot be checked by itself.
        guard format.isText else { return !has("JSON") }
        // In text a Variant is a whole column, and none of its types is a tuple, which ClickHouse writes as cells that it does not read again.
        guard case .variant(let types) = type else { return false }
        return !types.contains {
            $0.contains { part in part.description.hasPrefix("Tuple") || part.description.hasPrefix("Variant") }
                || isGeo($0)
        }
    }

    private static func isGeo(_ type: DataType) -> Bool {
        type.contains { if case .named = $0 { true } else { false } }
    }

    private static func samples(seed: UInt64, _ formats: [RowFormat], in folder: URL) -> [Sample] {
        var types = RandomTypes(random: SeededRandom(seed: seed))
        var values = RandomValues(random: SeededRandom(seed: seed &+ 1))
        return (0..<tables).flatMap { number in
            formats.map { format in
                var columns: [DataType] = []
                while columns.count < types.random.int(1...4) {
                    let type = types.type(depth: 3)
                    if isRead(type, in: format) { columns.append(type) }
                }
                let lines = (0..<rowsOfATable).map { row in
                    values.begin(.plain)
                    let members = columns.enumerated().map { "\"c\($0)\":\(values.value(of: $1))" }
                    return "{" + (["\"n\":\(row)"] + members).joined(separator: ",") + "}"
                }
                return Sample(
                    oracle: FormatOracle(types: columns), lines: lines, format: format,
                    path: folder.appendingPathComponent("\(number).\(format.rawValue)").path)
            }
        }
    }

    /// Writes each sample's file; those for which ClickHouse refuses its own values are left out.
    private static func withSamples(
        seed: UInt64, _ formats: [RowFormat],
        _ body: ([(sample: Sample, bytes: [UInt8], cells: [Int: String])], URL) async throws -> Void
    ) async throws {
        let server = try await ClickHouseServer.modern()
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "sluice-formats-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let samples = samples(seed: seed, formats, in: folder)
        var written: [(Sample, [UInt8], [Int: String])] = []
        for sample in samples {
            guard (try? await sample.oracle.write(sample.lines, as: sample.format, to: sample.path, server)) != nil,
                let cells = try? await sample.oracle.cells(sample.path, sample.format, server),
                let data = FileManager.default.contents(atPath: sample.path)
            else { continue }
            written.append((sample, Array(data), cells))
        }
        #expect(written.count > samples.count / 2, "seed \(seed)")
        try await body(written, folder)
    }

    /// What ClickHouse finds in the blocks that sluice made.
    private static func stored(_ blocks: [(oracle: FormatOracle, blocks: [Block])], in folder: URL) async throws
        -> [[Int: String]]
    {
        let server = try await ClickHouseServer.modern()
        var found: [[Int: String]] = []
        for item in blocks {
            var cells: [Int: String] = [:]
            for block in item.blocks {
                let file = folder.appendingPathComponent("ours.native")
                try Data(block.native).write(to: file)
                try await cells.merge(item.oracle.cells(file.path, .native, isTyped: false, server)) { $1 }
            }
            found.append(cells)
        }
        return found
    }

    @Test(.enabled { await ClickHouseServer.isAvailable(.modern) }, arguments: seeds)
    func whatClickHouseWritesIsReadBackAsItWas(seed: UInt64) async throws {
        try await Self.withSamples(seed: seed, Self.formats) { samples, folder in
            var made: [(FormatOracle, [Block])] = []
            for (sample, bytes, _) in samples {
                let format = SessionFormat(
                    sample.format,
                    columns: sample.format.headerRows == 0 && sample.format != .native
                        ? ["n"] + sample.oracle.columns.map(\.name) : nil)
                let outcome = try sample.oracle.fixture().read(bytes, as: format, rows: sample.lines.count)
                // Of a Variant's cells some are not certain, some ClickHouse itself reads as another type than it wrote.
                for rejection in outcome.rejections where !sample.isTried {
                    Issue.record(
                        "seed \(seed): \(sample.format.rawValue) \(sample.oracle.columns): \(rejection.reason) \(rejection.column ?? "") \(rejection.message): \(String(buffer: rejection.bytes))"
                    )
                }
                made.append((sample.oracle, outcome.blocks))
            }
            let stored = try await Self.stored(made.map { (oracle: $0.0, blocks: $0.1) }, in: folder)
            for ((sample, _, theirs), ours) in zip(samples, stored) {
                for (row, cells) in theirs where ours[row] != nil && ours[row] != cells {
                    Issue.record(
                        "seed \(seed): \(sample.format.rawValue) \(sample.oracle.columns): \(ours[row] ?? "") is stored, ClickHouse reads \(cells)"
                    )
                }
            }
        }
    }

    @Test(.enabled { await ClickHouseServer.isAvailable(.modern) }, arguments: seeds)
    func changedTextIsStoredAsClickHouseStoresIt(seed: UInt64) async throws {
        let server = try await ClickHouseServer.modern()
        try await Self.withSamples(seed: seed, [.csv, .tsv]) { samples, folder in
            var random = SeededRandom(seed: seed &+ 3)
            var counts = (both: 0, neither: 0, refusedHere: 0)
            var all: [(sample: Sample, row: [UInt8], number: Int)] = []
            var made: [(FormatOracle, [Block])] = []
            for (sample, bytes, _) in samples {
                let format = SessionFormat(sample.format)
                for row in try #require(Self.rows(bytes, format)) {
                    let changed = Self.changed(row, sample.format, &random)
                    // Two rows are another matter: the frame would say so.
                    guard Self.rows(changed + [10], format)?.count == 1 else { continue }
                    let outcome = try sample.oracle.fixture().read(changed + [10], as: format, rows: 1)
                    all.append((sample, changed, all.count))
                    made.append((sample.oracle, outcome.blocks))
                }
            }
            let stored = try await Self.stored(made.map { (oracle: $0.0, blocks: $0.1) }, in: folder)
            for (item, ours) in zip(all, stored.map { $0.values.first }) {
                let theirs = await item.sample.oracle.read(item.row, as: item.sample.format, server)
                switch (ours, theirs) {
                case (nil, nil): counts.neither += 1
                case (nil, _?): counts.refusedHere += 1
                case (let ours?, let theirs) where ours == theirs: counts.both += 1
                case (let ours?, let theirs):
                    if Self.isDeliberate(item.row, item.sample.oracle.types, theirs) { continue }
                    Issue.record(
                        "seed \(seed): \(item.sample.format.rawValue) \(item.sample.oracle.columns) \(String(decoding: item.row, as: UTF8.self).debugDescription): \(ours.debugDescription) is stored, ClickHouse reads \((theirs ?? "nothing").debugDescription)"
                    )
                }
            }
            #expect(counts.both > all.count / 4, "seed \(seed): \(counts)")
        }
    }

    /// See docs/fidelity.md: what is stored where ClickHouse rejects, or stores an enumeration's 0 that it cannot read.
    private static func isDeliberate(_ row: [UInt8], _ types: [DataType], _ theirs: String?) -> Bool {
        guard theirs == nil else { return false }
        let text = String(decoding: row, as: UTF8.self)
        let hasEnum = types.contains { $0.contains { $0.description.hasPrefix("Enum") } }
        return hasEnum || ["-0", "0e100"].contains { text.contains($0) }
    }

    private static func rows(_ bytes: [UInt8], _ format: SessionFormat) -> [[UInt8]]? {
        var scanner = RowScanner(delimiter: format.format.isCSV ? format.delimiter : nil)
        return bytes.withUnsafeBytes { raw in
            var rows: [[UInt8]] = []
            var place = 0
            while place < raw.count {
                guard let end = scanner.end(in: raw, from: place) else { return nil }
                rows.append(Array(raw[place..<end - 1]))
                place = end
            }
            return rows
        }
    }

    private static let pieces = [
        "", "\\N", "\"\"", "\"", "'", "\\", "\\n", "\\x41", "\\N", ",", "\t", " ", "1", "-", "+", ".", "e5", "nan",
        "NULL",
        "[", "]", "(", ")", "{", "}", ":", "true", "2024-02-29", "2024-02-29 12:34:56.789", "''", "\\'", "x", "é", "\r",
        "0", "00", "1.5",
    ]

    /// A row in which something behind its number is another thing.
    private static func changed(_ row: [UInt8], _ format: RowFormat, _ random: inout SeededRandom) -> [UInt8] {
        let delimiter = format.isCSV ? UInt8(ascii: ",") : 9
        guard !random.one(in: 4), let first = row.firstIndex(of: delimiter) else { return row }
        var row = row
        for _ in 0..<random.int(1...2) {
            let start = first + 1
            let piece = Array(pieces.randomElement(using: &random)!.utf8)
            switch random.int(0...3) {
            // A whole cell, or what looks like one.
            case 0:
                let cells = row[start...].split(separator: delimiter, omittingEmptySubsequences: false).map {
                    Array($0)
                }
                let place = random.int(0...cells.count - 1)
                var changed = cells
                changed[place] = piece
                row = Array(row[..<start]) + changed.joined(separator: [delimiter])
            case 1 where start < row.count:
                let place = random.int(start...row.count - 1)
                row.insert(contentsOf: piece, at: place)
            case 2 where start < row.count: row.remove(at: random.int(start...row.count - 1))
            default: row += piece
            }
        }
        return row
    }
}

extension DataType {
    fileprivate var hasPointInName: Bool {
        contains { type in
            switch type {
            case .tuple(let elements), .nested(let elements): elements.contains { $0.name?.contains(".") == true }
            default: false
            }
        }
    }
}
