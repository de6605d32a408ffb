import ClickHouseNative
import CountedMemory
import Ingest
import NIOCore
import Pipeline
import Workloads

/// What work asked of the heap, by its own thread.
public struct Counted: Codable, Sendable {
    public let rows: Int
    public let allocations: UInt64
    public let allocatedBytes: UInt64
    public let copiedBytes: UInt64
    /// That came of the work.
    public let outputBytes: Int
}

/// Work on a fixed number of rows, on the calling thread.
public struct CountedWork {
    public let rows: Int
    /// Returns the bytes that came of it.
    let run: () throws -> Int

    /// Whether this program can count.
    public static var isPossible: Bool { counted_memory_works() != 0 }
    static let rows = 20_000
    public static let names = [
        "parse/mstore", "parse/plain", "parse/low-cardinality", "parse/plain-shuffled", "encode/lz4", "encode/spool",
        "encode/joined", "path/spool",
    ]

    public static func make(_ name: String, _ schema: SchemaFolder) throws -> CountedWork {
        switch name {
        case "parse/mstore": try parse(.mstore, schema)
        case "parse/plain": try parse(.plain, schema)
        case "parse/low-cardinality": try parse(.lowCardinality, schema)
        case "parse/plain-shuffled": try parse(.plain, schema, disorder: true)
        case "encode/lz4": try encode(schema)
        case "encode/spool": try store(schema)
        case "encode/joined": try join(schema)
        case "path/spool": try path(schema)
        default: throw BenchmarkError("no such work: \(name)")
        }
    }

    /// Does the work three times and counts the last time, when all memory that is kept is there: the blocks of two are used by turns.
    public func count() throws -> Counted {
        var output = 0
        var failure: (any Error)?
        let body = {
            do { output = try run() } catch { failure = error }
        }
        body()
        body()
        let before = counted_memory_now()
        withoutActuallyEscaping(body) { body in
            var body = body
            withUnsafeMutablePointer(to: &body) { context in
                sluice_counted_work({ $0!.assumingMemoryBound(to: (() -> Void).self).pointee() }, context)
            }
        }
        let after = counted_memory_now()
        if let failure { throw failure }
        return Counted(
            rows: rows, allocations: after.allocations - before.allocations,
            allocatedBytes: after.bytes - before.bytes, copiedBytes: after.copied - before.copied, outputBytes: output)
    }

    // MARK: Kinds of work

    private static func reader(_ table: Workload.Table, _ schema: SchemaFolder) throws -> RowReader {
        try RowReader(table: table.name, structure: try schema.catalog(for: table).structure(of: table.name))
    }

    private static func parse(
        _ table: Workload.Table, _ schema: SchemaFolder, disorder: Bool = false
    ) throws -> CountedWork {
        let chunks = Workload(rows: rows, shufflesKeys: disorder, variesWhitespace: disorder).chunks()
        let reader = try reader(table, schema)
        return CountedWork(rows: rows) {
            var bytes = 0
            for chunk in chunks {
                guard reader.read(chunk).isEmpty else { throw BenchmarkError("a row was rejected") }
            }
            let blocks = reader.takeBlocks()
            for block in blocks { bytes += block.byteCount }
            reader.recycle(blocks)
            return bytes
        }
    }

    /// The rows in blocks as they leave validation, of some 4,000 rows each.
    private static func blocks(_ schema: SchemaFolder) throws -> [Block] {
        let reader = try reader(.mstore, schema)
        var blocks: [Block] = []
        for (number, chunk) in Workload(rows: rows).chunks().enumerated() {
            guard reader.read(chunk).isEmpty else { throw BenchmarkError("a row was rejected") }
            if number % 10 == 9 { blocks += reader.takeBlocks() }
        }
        return blocks + reader.takeBlocks()
    }

    private static let stored = BlockEncoding(revision: Revision(54412), compression: .lz4)
    private static let sent = BlockEncoding(revision: .newest, compression: .lz4)

    private static func encode(_ schema: SchemaFolder) throws -> CountedWork {
        let blocks = try blocks(schema)
        return CountedWork(rows: rows) { try BlockEncoder.encode(blocks, as: sent).bytes.readableBytes }
    }

    private static func store(_ schema: SchemaFolder) throws -> CountedWork {
        let blocks = try blocks(schema)
        return CountedWork(rows: rows) {
            try blocks.reduce(0) { $0 + (try BlockEncoder.encodeAsPart($1, as: stored).body.readableBytes) }
        }
    }

    private static func join(_ schema: SchemaFolder) throws -> CountedWork {
        let parts = try blocks(schema).map { try BlockEncoder.encodeAsPart($0, as: stored).part }
        return CountedWork(rows: rows) { try BlockEncoder.encode(parts, as: sent).bytes.readableBytes }
    }

    /// All that happens to a row between the socket and the server, but for what the system does.
    private static func path(_ schema: SchemaFolder) throws -> CountedWork {
        let chunks = Workload(rows: rows).chunks()
        let reader = try reader(.mstore, schema)
        return CountedWork(rows: rows) {
            var parts: [BlockPart] = []
            for (number, chunk) in chunks.enumerated() {
                guard reader.read(chunk).isEmpty else { throw BenchmarkError("a row was rejected") }
                guard number % 10 == 9 || number == chunks.count - 1 else { continue }
                let blocks = reader.takeBlocks()
                parts += try blocks.map { try BlockEncoder.encodeAsPart($0, as: stored).part }
                reader.recycle(blocks.filter { block in !parts.contains { $0.whole === block } })
            }
            return try BlockEncoder.encode(parts, as: sent).bytes.readableBytes
        }
    }
}
