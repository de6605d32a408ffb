import Workloads
import ClickHouseNative
import Ingest
import Pipeline

/// NDJSON to columns, on one thread.
enum ParseSuite {
    private static let rows = 200_000

    static let benchmarks: [Benchmark] = [
        benchmark("parse/mstore", "rows of 20 of 24 keys into the tracker's table of 55 columns", .mstore),
        benchmark("parse/plain", "the same rows into 24 columns of plain types", .plain),
        benchmark("parse/low-cardinality", "the same with dictionaries where values are few", .lowCardinality),
        benchmark(
            "parse/plain-shuffled", "the keys of each row in another order, blank space between the tokens", .plain,
            disorder: true),
    ]

    /// - Parameter rules: of the table.
    static func benchmark(
        _ name: String, _ about: String, _ table: Workload.Table, disorder: Bool = false, rules: TableRules? = nil
    ) -> Benchmark {
        Benchmark(name: name, about: about) { plan in
            let structure = try plan.schema.catalog(for: table).structure(of: table.name)
            let workload = Workload(rows: rows, shufflesKeys: disorder, variesWhitespace: disorder)
            let chunks = workload.chunks()
            var settings = ValidateSettings()
            settings.rules[table.name.description] = rules
            let reader = try RowReader(table: table.name, structure: structure, settings: settings)
            var rejected = 0
            var read = 0
            let rounds = plan.rounds.measure {
                read = 0
                rejected = 0
                for chunk in chunks {
                    rejected += reader.read(chunk).count
                    let blocks = reader.takeBlocks()
                    read += blocks.reduce(0) { $0 + $1.rows } + reader.takeSampledRows()
                    reader.recycle(blocks)
                }
            }
            let isWhole = read == rows && rejected == 0
            return Measurement(
                name: name, unit: .row, count: rows, bytes: workload.bytes.count, rounds: rounds,
                fault: isWhole ? nil : "\(read) rows read and \(rejected) rejected of \(rows)")
        }
    }
}

/// Blocks to Native bytes, on one thread. MB/s and the ratio count the bytes before compression.
enum EncodeSuite {
    private static let rows = 65_536
    /// Blocks that are encoded in a round.
    private static let times = 4

    static let benchmarks: [Benchmark] = [
        benchmark("encode/bare", "65,536 rows of mstore without frames", nil),
        benchmark("encode/none", "in frames that are not compressed", Compression.none),
        benchmark("encode/lz4", "in LZ4 frames", .lz4),
        benchmark("encode/zstd", "in ZSTD frames of level 1", .zstd(level: 1)),
        benchmark(
            "encode/lz4-parts", "in LZ4 frames, out of some 150 parts: dictionaries are merged", .lz4, whole: false),
    ]

    private static func benchmark(
        _ name: String, _ about: String, _ compression: Compression?, whole: Bool = true
    ) -> Benchmark {
        Benchmark(name: name, about: about) { plan in
            let blocks = try EncodeSuite.blocks(plan, rows: rows, whole: whole)
            let encoding = BlockEncoding(revision: .newest, compression: compression)
            var (raw, encoded) = (0, 0)
            let rounds = try plan.rounds.measure {
                for _ in 0..<times {
                    let result = try BlockEncoder.encode(blocks, as: encoding)
                    (raw, encoded) = (result.rawBytes, result.bytes.readableBytes)
                }
            }
            return Measurement(
                name: name, unit: .row, count: rows * times, bytes: raw * times, rounds: rounds,
                ratio: Double(encoded) / Double(raw))
        }
    }

    /// Rows of mstore in columns: one block, or a block for each chunk of input.
    static func blocks(_ plan: Plan, rows: Int, whole: Bool) throws -> [Block] {
        let structure = try plan.schema.catalog(for: .mstore).structure(of: Workload.Table.mstore.name)
        let reader = try RowReader(table: Workload.Table.mstore.name, structure: structure)
        var blocks: [Block] = []
        for chunk in Workload(rows: rows).chunks() {
            _ = reader.read(chunk)
            if !whole { blocks += reader.takeBlocks() }
        }
        return blocks + reader.takeBlocks()
    }
}
