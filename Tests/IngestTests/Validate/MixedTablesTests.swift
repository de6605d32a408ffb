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
    private func read(
        _ lines: [String], with reader: ChunkReader, pool: BlockPool, number: UInt64 = 0,
        numbering: Chunk.Numbering? = nil, endsLastLine: Bool = true, apart: Int = 0
    ) throws {
        let text = lines.dropFirst(apart).joined(separator: "\n") + (endsLastLine ? "\n" : "")
        let head = lines.prefix(apart).map { $0 + "\n" }.joined()
        let chunk = Chunk(
            session: 1, number: number, table: nil, head: apart > 0 ? ByteBuffer(string: head) : nil,
            bytes: ByteBuffer(string: text), received: .now, numbering: numbering)
        var offset = 0
        while true {
            switch reader.read(chunk, from: offset) {
            case .done: return
            case .needsTable(let table, let at):
                offset = at
                if table.table.utf8.count == 2, table.table.hasPrefix("t") {
                    reader.add(
                        try TableWriter(table: table, structure: Self.structure, plans: reader.plans, pool: pool))
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

    /// What waits is read, and is there to be taken; the catalog knows nothing new.
    private func readGathered(_ reader: ChunkReader) {
        while let writer = reader.readGathered() { writer.hasAsked() }
    }

    /// A line that two reads brought lies apart from those behind it.
    @Test(arguments: Seeds.some(6), [2, 100]) func linesThatLieApartAreReadFirst(seed: UInt64, tablesMin: Int) throws {
        var random = SeededRandom(seed: seed)
        let pool = BlockPool(bytesMax: 1 << 20)
        let reader = ChunkReader(settings: ValidateSettings(), pool: pool, gatherTablesMin: tablesMin, now: { 0 })
        var expected: [String: [UInt64]] = [:]
        var refused = 0
        var id: UInt64 = 0
        var got: [String: [UInt64]] = [:]
        for number in 0..<10 as Range<UInt64> {
            let lines = (0..<random.int(2...40)).map { _ in
                id += 1
                let table = random.one(in: 8) ? "other\(random.int(0...3))" : "t\(random.int(0...9))"
                if table.hasPrefix("t") { expected[table, default: []].append(id) } else { refused += 1 }
                return #"{"table":"\#(table)","id":\#(id)}"#
            }
            try read(lines, with: reader, pool: pool, number: number, apart: random.int(1...lines.count - 1))
            if random.one(in: 3) { readGathered(reader) }
            if random.one(in: 3) { got.merge(ids(reader)) { $0 + $1 } }
        }
        got.merge(ids(reader)) { $0 + $1 }
        #expect(got == expected)
        #expect(reader.takeRejections().count == refused)
    }

    /// - Parameter tablesMin: of those whose mixed rows are read table by table.
    @Test(arguments: Seeds.some(8), [2, 100]) func eachRowGoesToTheTableThatItNames(
        seed: UInt64, tablesMin: Int
    ) throws {
        var random = SeededRandom(seed: seed)
        let pool = BlockPool(bytesMax: 1 << 20)
        var settings = ValidateSettings()
        settings.defaultTable = "t0"
        let reader = ChunkReader(settings: settings, pool: pool, gatherTablesMin: tablesMin, now: { 0 })
        let producer = try ProducerRegistry(wallClock: { 0 }).attach(name: "p", epoch: 1, session: 1, wake: {}).get()
        var expected: [String: [UInt64]] = [:]
        var got: [String: [UInt64]] = [:]
        // By their numbers, which count all lines.
        var refused: [UInt64: String] = [:]
        var number: UInt64 = 0
        var id: UInt64 = 0
        for chunk in 0..<20 {
            var lines: [String] = []
            var table = 0
            for _ in 0..<random.int(1...100) {
                id += 1
                number += 1
                // Runs of one table, and tables that alternate.
                if !random.one(in: 3) { table = random.int(0...9) }
                let name = "t\(table)"
                switch random.int(0...9) {
                case 0:
                    lines.append("{\"table\":\"t\\u003\(table)\",\"id\":\(id)}")
                case 1:
                    lines.append("{\"id\":\(id),\"table\":\"\(name)\"}")
                case 2:
                    let space = String(repeating: " ", count: random.one(in: 3) ? random.int(50...80) : 1)
                    lines.append("  {\(space)\"table\" : \"\(name)\" , \"id\" : \(id) }")
                case 3:
                    lines.append("{\"id\":\(id)}")
                    expected["t0", default: []].append(id)
                    continue
                case 4:
                    lines.append("{\"table\":\"other\(table)\",\"id\":\(id)}")
                    refused[number] = lines.last
                    continue
                case 5:
                    lines.append("{\"table\":\"\(name)\",\"id\":\"no number\"}")
                    refused[number] = lines.last
                    continue
                case 6:
                    lines.append("{\"table\":\"\(name)\",\"id\":\(id),\"table\":\"zz\"}")
                    refused[number] = lines.last
                    // A line that is no row has a number, too.
                    lines.append("")
                    number += 1
                    continue
                default:
                    lines.append("{\"table\":\"\(name)\",\"id\":\(id)}")
                }
                expected[name, default: []].append(id)
            }
            let range = RowRange(first: number + 1 - UInt64(lines.count), last: number)
            try read(
                lines, with: reader, pool: pool, number: UInt64(chunk),
                numbering: Chunk.Numbering(producer: producer, range: range), endsLastLine: chunk < 19)
            if random.one(in: 3) { readGathered(reader) }
            guard random.one(in: 3) || chunk == 19 else { continue }
            got.merge(ids(reader)) { $0 + $1 }
        }
        let rejections = reader.takeRejections()
        #expect(rejections.count == refused.count)
        for rejection in rejections {
            #expect(rejection.number.flatMap { refused[$0] } == String(buffer: rejection.bytes))
            #expect(rejection.producer?.name == "p" && rejection.session == 1)
        }
        #expect(got == expected, "in their order")
    }

    /// - Parameter tablesMin: of those whose mixed rows are read table by table.
    @Test(arguments: Seeds.some(8), [2, 100]) func eachRowGoesWhereItsRouteSays(seed: UInt64, tablesMin: Int) throws {
        var random = SeededRandom(seed: seed)
        let pool = BlockPool(bytesMax: 1 << 20)
        var rules = TableRules()
        rules.route.field = "to"
        rules.route.tables = ["first": "t0", "7": "t7"]
        rules.route.patterns = ["t*"]
        var settings = ValidateSettings()
        settings.rules = ["in": rules]
        let isDefault = random.one(in: 2)
        settings.defaultTable = isDefault ? "in" : "t9"
        let reader = ChunkReader(settings: settings, pool: pool, gatherTablesMin: tablesMin, now: { 0 })
        var expected: [String: [UInt64]] = [:]
        var got: [String: [UInt64]] = [:]
        var refused: [String] = []
        var id: UInt64 = 0
        for chunk in 0..<20 {
            var lines: [String] = []
            for _ in 0..<random.int(1...60) {
                id += 1
                let table = random.int(0...9)
                // For the table with the route: by its name, or because it is for those that name none.
                let named = isDefault && random.one(in: 2) ? "" : "\"table\":\"in\","
                let late = named.isEmpty || random.one(in: 2) ? "" : ",\"table\":\"in\""
                let head = late.isEmpty ? named : ""
                var goesTo: String? = "t\(table)"
                switch random.int(0...9) {
                case 0:
                    lines.append("{\"table\":\"t\(table)\",\"id\":\(id),\"to\":\"t1\"}")
                case 1:
                    lines.append("{\(head)\"to\":\"t\\u003\(table)\",\"id\":\(id)\(late)}")
                case 2:
                    lines.append("{\(head)\"to\":\"first\",\"id\":\(id)\(late)}")
                    goesTo = "t0"
                case 3:
                    lines.append("{\(head)\"id\":\(id),\"to\":7\(late)}")
                    goesTo = "t7"
                case 4:
                    let value = random.one(in: 2) ? "null" : "\"elsewhere\""
                    lines.append("{\(head)\"id\":\(id),\"to\":\(value)\(late)}")
                    goesTo = nil
                case 5:
                    lines.append("{\(head)\"id\":\(id)\(late)}")
                    goesTo = nil
                case 6:
                    lines.append("{\(head)\"id\":\"no number\",\"to\":\"t\(table)\"\(late)}")
                    goesTo = nil
                default:
                    // Only the first counts.
                    let again = random.one(in: 4) ? ",\"to\":\"t0\"" : ""
                    lines.append("{\(head)\"id\":\(id),\"to\":\"t\(table)\"\(again)\(late)}")
                }
                if let goesTo { expected[goesTo, default: []].append(id) } else { refused.append(lines.last ?? "") }
            }
            reader.gathersLines = !random.one(in: 4)
            try read(lines, with: reader, pool: pool, number: UInt64(chunk))
            if random.one(in: 3) { readGathered(reader) }
            guard random.one(in: 3) || chunk == 19 else { continue }
            got.merge(ids(reader)) { $0 + $1 }
        }
        #expect(got == expected, "in their order")
        #expect(reader.takeRejections().map { String(buffer: $0.bytes) }.sorted() == refused.sorted())
    }

    @Test func rowsThatARouteDistributesAreReadTableByTable() throws {
        let pool = BlockPool(bytesMax: 1 << 20)
        var rules = TableRules()
        rules.route.field = "to"
        rules.route.patterns = ["t*"]
        var settings = ValidateSettings()
        settings.rules = ["in": rules]
        settings.defaultTable = "in"
        let reader = ChunkReader(settings: settings, pool: pool, now: { 0 })
        func rows(_ count: Int) -> [String] { (0..<count).map { "{\"id\":\($0),\"to\":\"t\($0 % 3)\"}" } }
        try read(rows(9), with: reader, pool: pool)
        #expect(reader.hasGathered)
        #expect(ids(reader) == ["t0": [0, 3, 6], "t1": [1, 4, 7], "t2": [2, 5, 8]])
        // Also those of one table: where each goes has to be seen before it is read.
        try read(rows(30).filter { $0.contains("t1") }, with: reader, pool: pool, number: 1)
        #expect(reader.hasGathered && ids(reader).mapValues(\.count) == ["t1": 10])
        reader.gathersLines = false
        try read(rows(9), with: reader, pool: pool, number: 2)
        #expect(!reader.hasGathered && reader.rowsByTable.values.reduce(0, +) == 9)
    }

    @Test func rowsThatAlternateWaitUntilThereAreEnoughOfEachTable() throws {
        let pool = BlockPool(bytesMax: 1 << 20)
        var settings = ValidateSettings()
        settings.rowBatchRowsMax = 80
        let reader = ChunkReader(settings: settings, pool: pool, now: { 0 })
        func row(_ table: Int) -> String { "{\"table\":\"t\(table)\",\"id\":1}" }
        // Two producers, each with a table of its own: their rows are read as they come.
        for number in 0..<6 as Range<UInt64> {
            try read((0..<10).map { _ in row(Int(number % 2)) }, with: reader, pool: pool, number: number)
            #expect(!reader.hasGathered)
        }
        #expect(!reader.isFull)
        try read((0..<12).map { row($0 % 2) }, with: reader, pool: pool, number: 6)
        #expect(reader.hasGathered && !reader.isFull)
        try read((0..<30).map { row($0 % 2) }, with: reader, pool: pool, number: 7)
        #expect(reader.isFull, "twenty of each, a quarter of what a row batch may have")
        #expect(ids(reader).mapValues(\.count) == ["t0": 51, "t1": 51])
        #expect(!reader.isFull && !reader.hasGathered)
    }

    @Test func rowsOfFewTablesAreReadWhileTheyAreNearAndTakenTogether() throws {
        let pool = BlockPool(bytesMax: 1 << 20)
        var settings = ValidateSettings()
        settings.rowBatchBytesMax = 64 << 10
        let reader = ChunkReader(settings: settings, pool: pool, now: { 0 })
        // Few bytes in much text: the text is what has to be near.
        let space = String(repeating: " ", count: 1000)
        func rows(_ count: Int, of tables: Int) -> [String] {
            (0..<count).map { "{\"table\":\"t\($0 % tables)\",\"id\":\(space)1}" }
        }
        try read(rows(200, of: 10), with: reader, pool: pool)
        #expect(reader.hasGathered && reader.isMixed && !reader.hasEnoughGathered, "they lie near, more may come")
        try read(rows(400, of: 10), with: reader, pool: pool, number: 1)
        #expect(reader.hasEnoughGathered)
        readGathered(reader)
        #expect(!reader.hasGathered && !reader.hasEnoughGathered && reader.isMixed && !reader.isFull)
        #expect(reader.rowsByTable.values.reduce(0, +) == 600)
        // More of one go on with them, in their order.
        try read(rows(100, of: 10), with: reader, pool: pool, number: 2)
        #expect(ids(reader).mapValues(\.count) == Dictionary(uniqueKeysWithValues: (0..<10).map { ("t\($0)", 70) }))
        #expect(!reader.isMixed)
    }

    @Test func mixedRowsThatWereReadGoOnWhenTheyAreManyBytes() throws {
        let pool = BlockPool(bytesMax: 1 << 20)
        var settings = ValidateSettings()
        settings.rowBatchBytesMax = 800
        let reader = ChunkReader(settings: settings, pool: pool, now: { 0 })
        let rows = (0..<110).map { "{\"table\":\"t\($0 % 2)\",\"id\":1}" }
        try read(rows, with: reader, pool: pool)
        readGathered(reader)
        #expect(!reader.isFull, "half as many again as of one table")
        try read(rows, with: reader, pool: pool, number: 1)
        readGathered(reader)
        #expect(reader.isFull)
        #expect(ids(reader).mapValues(\.count) == ["t0": 110, "t1": 110])
        #expect(!reader.isFull)
    }

    @Test func manyRowsOfOneTableAmongOthersComeInSeveralRowBatches() throws {
        let pool = BlockPool(bytesMax: 1 << 20)
        var settings = ValidateSettings()
        settings.rowBatchRowsMax = 10
        let reader = ChunkReader(settings: settings, pool: pool, gatherTablesMin: 2, now: { 0 })
        let lines = (0..<60).map { "{\"table\":\"t\($0 % 3 == 0 ? 1 : 0)\",\"id\":\($0)}" }
        for round in 0..<2 { try read(lines, with: reader, pool: pool, number: UInt64(round)) }
        var rows: [String: [Int]] = [:]
        while let step = reader.takeNext() {
            guard case .batches(let batches) = step else { continue }
            for batch in batches { rows[batch.table.table, default: []].append(batch.rows) }
        }
        #expect(rows.values.allSatisfy { $0.allSatisfy { $0 <= 10 + 2 } } && rows["t0"]?.reduce(0, +) == 80)
        #expect(rows["t1"]?.reduce(0, +) == 40)
    }

    /// - Parameter early: before anything is taken.
    @Test(arguments: [false, true]) func aRowWithANewFieldWaitsForItsTableAlsoWhenItIsReadLater(early: Bool) throws {
        let pool = BlockPool(bytesMax: 1 << 20)
        let reader = ChunkReader(settings: ValidateSettings(), pool: pool, gatherTablesMin: 2, now: { 0 })
        try read((0..<10).map { "{\"table\":\"t\($0 % 5)\",\"id\":\($0)}" }, with: reader, pool: pool)
        try read(
            (10..<20).map { "{\"table\":\"t\($0 % 5)\",\"id\":\($0)\($0 == 13 ? ",\"more\":7" : "")}" }, with: reader,
            pool: pool, number: 1)
        let wider = TableStructure(
            columns: Self.structure.columns + [TableStructure.Column(ColumnDefinition(name: "more", type: .uint8))])
        var asked: [String] = []
        var batches: [RowBatch] = []
        while early, let writer = reader.readGathered() {
            asked.append(writer.table.table)
            try writer.follow(wider, pool: pool)
        }
        while let step = reader.takeNext() {
            switch step {
            case .batches(let more): batches += more
            case .needsStructure(let writer):
                asked.append(writer.table.table)
                try writer.follow(wider, pool: pool)
            }
        }
        #expect(asked == ["t3"])
        let changed = batches.filter { $0.table.table == "t3" }
        #expect(changed.map(\.layout.columns.count) == [1, 2], "rows before it as they were, in their order")
        #expect(changed.last.map { $0.block.nodes[1].data.load(UInt8.self, at: 0) } == 7)
        #expect(batches.reduce(0) { $0 + $1.rows } == 20)
    }

    @Test func tablesOfTheSameColumnsTakeTurnsWithOneBlock() throws {
        let pool = BlockPool(bytesMax: 1 << 20)
        let reader = ChunkReader(settings: ValidateSettings(), pool: pool, gatherTablesMin: 2, now: { 0 })
        try read((0..<50).map { "{\"table\":\"t\($0 % 10)\",\"id\":\($0)}" }, with: reader, pool: pool)
        // What the first rows of each table were read into.
        var blocks: Set<ObjectIdentifier> = []
        while let step = reader.takeNext() {
            guard case .batches(let batches) = step else { continue }
            pool.give(batches.map(\.block))
        }
        try read((0..<50).map { "{\"table\":\"t\($0 % 10)\",\"id\":\($0)}" }, with: reader, pool: pool, number: 1)
        while let step = reader.takeNext() {
            guard case .batches(let batches) = step else { continue }
            blocks.formUnion(batches.map { ObjectIdentifier($0.block) })
            pool.give(batches.map(\.block))
        }
        // One, and that of the table whose rows were read as they came before it showed that they alternate.
        #expect(blocks.count <= 2)
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
