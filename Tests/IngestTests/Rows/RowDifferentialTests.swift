import ClickHouseNative
import Foundation
import Ingest
import Pipeline
import TestSupport
import Testing

/// Random tables of every type, nested, read by random settings, and random rows for them: what sluice stores is what ClickHouse's own JSONEachRow
/// stores, cell by cell. `SLUICE_TEST_ROWS` says how many rows, `SLUICE_TEST_SEED` replays one seed.
@Suite(.serialized) struct RowDifferentialTests {
    static let tables = 12
    static let rowsOfATable = Seeds.isLong ? 200 : 40
    static let seeds = Seeds.some(max(1, (Seeds.rows ?? 2_000) / (tables * rowsOfATable)))

    /// A table, and which of its rows must be stored.
    private struct Sample {
        let table: RowOracle.Table
        let input: ValidateSettings.Input
        /// A row of values that are read by the default settings, and of no type of which less is certain.
        let isPlain: [Bool]
        let types: [DataType]

        var isByDefault: Bool { input == ValidateSettings.Input() }
        var changes: [String] {
            let defaults = ValidateSettings.Input().named
            return input.named.filter { defaults[$0.key] != $0.value }.map { "\($0.key)=\($0.value)" }.sorted()
        }
    }

    @Test(.enabled { await ClickHouseServer.isAvailable(.modern) }, arguments: seeds)
    func randomRowsAreStoredAsClickHouseStoresThem(seed: UInt64) async throws {
        let server = try await ClickHouseServer.modern()
        let samples = Self.samples(seed: seed)
        var counts = (both: 0, neither: 0, refusedHere: 0)
        for (sample, ours) in zip(samples, try await RowOracle.stored(samples.map { ($0.table, $0.input) })) {
            let oracle = RowOracle(sample.input)
            let theirs = await oracle.read(sample.table, server)
            for row in ours.indices where ours[row] != theirs[row] || ours[row] == nil {
                // Again alone: after a bad row ClickHouse is not always where it should be.
                let alone =
                    ours[row] == nil && theirs[row] == nil ? nil : await oracle.read(sample.table, row: row, server)
                let about =
                    "seed \(seed): \(sample.changes) \(sample.table.columns.map { "\($0.name) \($0.type)" }) \(sample.table.rows[row])"
                switch (ours[row], alone) {
                case (nil, nil):
                    counts.neither += 1
                    if sample.isPlain[row], sample.isByDefault { Issue.record("\(about): refused by both") }
                case (nil, let theirs?):
                    counts.refusedHere += 1
                    if sample.isPlain[row] { Issue.record("\(about): refused, ClickHouse reads \(theirs)") }
                case (let ours?, let theirs) where ours != theirs && !Self.isDeliberate(sample, ours, theirs):
                    // What a path of JSON is depends on the rows before in the block: alone, both must agree.
                    let table = RowOracle.Table(columns: sample.table.columns, rows: [sample.table.rows[row]])
                    guard try await RowOracle.stored([(table, sample.input)]) != [[theirs]] else { continue }
                    Issue.record("\(about): \(ours) is stored, ClickHouse reads \(theirs ?? "nothing")")
                default: counts.both += 1
                }
            }
            counts.both += ours.indices.count { ours[$0] == theirs[$0] && ours[$0] != nil }
        }
        #expect(counts.both > Self.tables * Self.rowsOfATable / 8, "seed \(seed): \(counts)")
    }

    /// See docs/fidelity.md: zeros with a sign or an exponent, texts with half a surrogate pair that are kept as they are, and
    /// enumerations without a value, for which ClickHouse stores what it cannot read.
    private static func isDeliberate(_ sample: Sample, _ ours: String, _ theirs: String?) -> Bool {
        guard theirs == nil else { return false }
        let row = sample.table.rows.joined()
        let hasEnum = sample.types.contains { $0.contains { type in type.description.hasPrefix("Enum") } }
        return hasEnum || ["-0", "0e100", "nan", #"\ud83d"#].contains { row.contains($0) }
    }

    private static func samples(seed: UInt64) -> [Sample] {
        var types = RandomTypes(random: SeededRandom(seed: seed))
        var values = RandomValues(random: SeededRandom(seed: seed &+ 1))
        var settings = SeededRandom(seed: seed &+ 2)
        var blanks = SeededRandom(seed: seed &+ 3)
        return (0..<tables).map { _ in
            var columns = (0..<types.random.int(1...4)).map { (name: "c\($0)", type: types.type(depth: 4)) }
            let hasNested = settings.one(in: 6)
            if hasNested {
                for name in ["n.a", "n.b"] { columns.append((name, .array(types.type(depth: 2)))) }
            }
            var input = input(&settings)
            // A text at a path of JSON may be a time or, where the rows before had texts there, a text. Of dates both look the same, unless
            // they are taken for times.
            let hasJSON = columns.contains { $0.type.contains { type in if case .json = type { true } else { false } } }
            if hasJSON, !input.tryInferDates { input.tryInferDatetimes = false }
            let isCertain = !columns.contains { column in
                column.type.contains { type in
                    switch type {
                    case .variant: true
                    case .dynamic: input != ValidateSettings.Input()
                    default: false
                    }
                }
            }
            var rows: [String] = []
            var isPlain: [Bool] = []
            let isSpaced = blanks.one(in: 2)
            func blank() -> String { isSpaced ? ["", "", " ", "\t", "  "].randomElement(using: &blanks)! : "" }
            for _ in 0..<rowsOfATable {
                values.begin([.plain, .plain, .plain, .border, .broken].randomElement(using: &values.random)!)
                var members: [String] = []
                var nested: [String] = []
                let isObject = hasNested && values.random.one(in: 2)
                for column in columns where !values.random.one(in: 10) {
                    if isObject, column.name.hasPrefix("n.") {
                        nested.append("\"\(column.name.dropFirst(2))\":" + values.value(of: column.type))
                    } else {
                        members.append("\"\(column.name)\"\(blank()):\(blank())" + values.value(of: column.type))
                    }
                }
                if isObject {
                    if values.random.one(in: 6) { nested.append(#""unknown":[1]"#) }
                    members.append("\"n\":{" + nested.shuffled(using: &values.random).joined(separator: ",") + "}")
                }
                if values.random.one(in: 10) { members.append(#""unknown":[{"x":"}"}]"#) }
                rows.append(
                    members.shuffled(using: &values.random).map { blank() + $0 + blank() }.joined(separator: ","))
                // Arrays of one Nested must be of one length.
                isPlain.append(values.isPlain && isCertain && !hasNested)
            }
            return Sample(
                table: RowOracle.Table(columns: columns.map { ($0.name, $0.type.description) }, rows: rows),
                input: input, isPlain: isPlain, types: columns.map(\.type))
        }
    }

    /// The defaults as often as not.
    private static func input(_ random: inout SeededRandom) -> ValidateSettings.Input {
        var input = ValidateSettings.Input()
        guard random.one(in: 2) else { return input }
        input.dateTimeInputFormat = [.basic, .bestEffort, .bestEffort, .bestEffortUS].randomElement(using: &random)!
        let flags: [WritableKeyPath<ValidateSettings.Input, Bool>] = [
            \.nullAsDefault, \.skipUnknownFields, \.defaultsForOmittedFields, \.importNestedJSON, \.readBoolsAsNumbers,
            \.readBoolsAsStrings, \.readNumbersAsStrings, \.readObjectsAsStrings, \.readArraysAsStrings,
            \.namedTuplesAsObjects, \.ignoreUnknownKeysInNamedTuple, \.defaultsForMissingElementsInNamedTuple,
            \.tryInferDates, \.tryInferDatetimes,
        ]
        for flag in flags where random.one(in: 4) { input[keyPath: flag].toggle() }
        return input
    }
}
