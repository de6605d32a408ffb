import ClickHouseNative
import NIOCore
import Pipeline
import TestSupport
import Testing

@testable import Ingest

/// Rows of many tables in one chunk: each is for the table that it names, however it names it.
@Suite struct MixedTablesTests {
    private static let structure = TableStructure(
        columns: [TableStructure.Column(ColumnDefinition(name: "id", type: .uint64))])

    /// Reads lines as a worker does that knows the tables `t0` to `t9`, and no other.
    private func read(_ lines: [String], with reader: ChunkReader, pool: BlockPool) throws {
        let chunk = Chunk(
            session: 1, number: 0, table: nil, bytes: ByteBuffer(string: lines.joined(separator: "\n") + "\n"),
            received: .now)
        var offset = 0
        while true {
            switch reader.read(chunk, from: offset) {
            case .done: return
            case .needsTable(let table, let at):
                offset = at
                if table.table.utf8.count == 2, table.table.hasPrefix("t") {
                    reader.add(try TableWriter(table: table, structure: Self.structure, pool: pool))
                } else {
                    reader.refuse(table, because: CatalogError(.unknownTable, table: table, message: "no such table"))
                }
            case .needsStructure(let writer, let at):
                offset = at
                writer.hasAsked()
            }
        }
    }

    private func ids(_ reader: ChunkReader) -> [String: [UInt64]] {
        var ids: [String: [UInt64]] = [:]
        for batch in reader.takeBatches() {
            let run = batch.block.nodes[0].data
            ids[batch.table.table, default: []] += (0..<batch.rows).map { run.load(UInt64.self, at: $0 * 8) }
        }
        return ids
    }

    @Test(arguments: Seeds.some(8)) func eachRowGoesToTheTableThatItNames(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let pool = BlockPool(bytesMax: 1 << 20)
        var settings = ValidateSettings()
        settings.defaultTable = "t0"
        let reader = ChunkReader(settings: settings, pool: pool, now: { 0 })
        var expected: [String: [UInt64]] = [:]
        var refused = 0
        var id: UInt64 = 0
        for _ in 0..<20 {
            var lines: [String] = []
            var table = 0
            for _ in 0..<random.int(1...100) {
                id += 1
                // Runs of one table, and tables that alternate.
                if !random.one(in: 3) { table = random.int(0...9) }
                let name = "t\(table)"
                switch random.int(0...9) {
                case 0:
                    lines.append("{\"table\":\"t\\u003\(table)\",\"id\":\(id)}")
                case 1:
                    lines.append("{\"id\":\(id),\"table\":\"\(name)\"}")
                case 2:
                    lines.append("  { \"table\" : \"\(name)\" , \"id\" : \(id) }")
                case 3:
                    lines.append("{\"id\":\(id)}")
                    expected["t0", default: []].append(id)
                    continue
                case 4:
                    lines.append("{\"table\":\"other\(table)\",\"id\":\(id)}")
                    refused += 1
                    continue
                case 5:
                    lines.append("{\"table\":\"\(name)\",\"id\":\"no number\"}")
                    refused += 1
                    continue
                case 6:
                    lines.append("{\"table\":\"\(name)\",\"id\":\(id),\"table\":\"zz\"}")
                    refused += 1
                    continue
                default:
                    lines.append("{\"table\":\"\(name)\",\"id\":\(id)}")
                }
                expected[name, default: []].append(id)
            }
            try read(lines, with: reader, pool: pool)
        }
        #expect(reader.takeRejections().count == refused)
        #expect(ids(reader) == expected)
    }

    @Test func aTableThatIsGoneGetsNoMoreRows() throws {
        let pool = BlockPool(bytesMax: 1 << 20)
        let reader = ChunkReader(settings: ValidateSettings(), pool: pool, now: { 0 })
        let mixed = (0..<10).map { "{\"table\":\"t\($0 % 2)\",\"id\":\($0)}" }
        try read(mixed, with: reader, pool: pool)
        #expect(ids(reader) == ["t0": [0, 2, 4, 6, 8], "t1": [1, 3, 5, 7, 9]])
        reader.remove(TableName(table: "t1"))
        reader.refuse(
            TableName(table: "t1"),
            because: CatalogError(.unknownTable, table: TableName(table: "t1"), message: "dropped"))
        try read(mixed, with: reader, pool: pool)
        #expect(ids(reader) == ["t0": [0, 2, 4, 6, 8]])
        #expect(reader.takeRejections().count == 5)
    }
}
