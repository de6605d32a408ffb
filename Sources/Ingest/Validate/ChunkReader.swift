// Unsafe by design: hands LineCursor the bytes of a chunk inside withUnsafeReadableBytes, and only when their last byte
// is a newline.

import ClickHouseNative
import NIOCore
import Pipeline

/// Reads chunks into the blocks of their tables. Belongs to one worker; knows nothing of streams or time.
final class ChunkReader {
    /// What became of a chunk so far.
    enum Progress {
        case done
        /// The row at `offset` is for a table whose structure is not known here; ask the catalog, `add` it, go on there.
        case needsTable(TableName, offset: Int)
        /// The row at `offset` has a field that its table lacks: ask the catalog anew, `follow` what it says, go on there.
        case needsStructure(TableWriter, offset: Int)
    }

    let settings: ValidateSettings
    /// Seconds since 1970.
    let now: @Sendable () -> Int64
    let tableKey: KeyIndex
    let pool: BlockPool
    let plans = KnownPlans()
    let defaultTable: TableName?
    let routes: Routes
    /// Some table's rules keep only a sample of its rows.
    private let samples: Bool
    private(set) var writers: [TableName: TableWriter] = [:]
    /// The same by their numbers.
    var numbered: [TableWriter] = []
    /// Tables that rows cannot go to, and why.
    private(set) var refused: [TableName: CatalogError] = [:]
    private var last: TableWriter?
    var names = KnownNames()
    /// Those that have rows, in the order in which they got the first of them; while they are taken, the other way round.
    var filled: [TableWriter] = []
    /// Rows of many tables, which are read later.
    var gathered = GatheredLines()
    var reading: Reading?
    /// Rows that were gathered, and read, have not been taken.
    var hasReadGathered = false
    /// Whether rows of many tables may wait for being read; those that are there are read in any case.
    var gathersLines = true
    private let gatherTablesMin: Int
    /// At least as many bytes as the rows take in memory.
    var bytesBound = 0
    var hasFullTable = false
    var scratch = ByteRun()
    /// Rows that were refused since `takeRejections()`.
    var rejections: [Rejection] = []

    // Of other formats than NDJSON (Sources/Ingest/Formats), which have no field that names a table:
    let noTableKey = KeyIndex(["\n"])
    var cells = CellWriter()
    var textPlans: [TextPlanKey: (structure: TableStructure, plan: TextPlan)] = [:]

    /// From so many tables on, mixed rows are gathered: to change the table costs as much as to read a row, and with many of them their columns
    /// are in no cache any more when the next row for them comes.
    static let gatherTablesMin = 2
    /// Lines of so many bytes are still near when they are read, if there are enough of each table: what is read into is changed for them.
    static let nearBytes = 512 << 10
    static let nearRowsMin = 24
    /// Rows of more tables are read only when they are taken: then they take turns with a few blocks, which stay near.
    static let nearTablesMax = 32
    /// Of more tables, so few gathered rows of each are better read with more.
    static let fewRowsMax = 1000

    init(
        settings: ValidateSettings, pool: BlockPool, gatherTablesMin: Int = ChunkReader.gatherTablesMin,
        now: @escaping @Sendable () -> Int64
    ) {
        self.settings = settings
        self.gatherTablesMin = gatherTablesMin
        self.pool = pool
        self.now = now
        tableKey = KeyIndex([settings.tableField])
        defaultTable = settings.defaultTable.flatMap { TableName(parsing: $0) }
        routes = Routes(settings.rules)
        samples = settings.rules.values.contains { $0.sample.keepOneIn != nil }
    }

    deinit {
        tableKey.deallocate()
        scratch.deallocate()
        noTableKey.deallocate()
        cells.deallocate()
    }

    // MARK: - Tables

    func add(_ writer: TableWriter) {
        if let old = writers.updateValue(writer, forKey: writer.table) {
            precondition(!gathered.has(old.number), "what was read for a table is taken before it is another one")
            writer.number = old.number
            numbered[old.number] = writer
            names.forget()
        } else {
            writer.number = numbered.count
            numbered.append(writer)
        }
    }

    /// The tables that are read into.
    var tables: [TableWriter] { Array(writers.values) }

    /// The table is not there any more; all that was read must have been taken.
    func remove(_ table: TableName) {
        precondition(gathered.isEmpty, "all that was read is taken before a table goes")
        writers[table] = nil
        numbered = Array(writers.values)
        for (number, writer) in numbered.enumerated() { writer.number = number }
        names.forget()
        if last?.table == table { last = nil }
    }

    /// From now on, rows for the table are rejected, until `forgetRefusals()`.
    func refuse(_ table: TableName, because error: CatalogError) {
        if refused.count >= settings.tablesMax { refused.removeAll() }
        refused[table] = error
        names.forget()
    }

    func forgetRefusals() { refused.removeAll(keepingCapacity: true) }

    var hasRefusals: Bool { !refused.isEmpty }

    /// Rows of each table that were read and not taken yet.
    var rowsByTable: [TableName: Int] {
        Dictionary(uniqueKeysWithValues: filled.map { ($0.table, $0.rows) })
    }

    /// Rows since the last call that are acked, and kept nowhere.
    func takeSampled() -> [(table: TableName, rows: Int)] {
        guard samples else { return [] }
        return writers.values.map { ($0.table, $0.takeSampled()) }.filter { $0.rows > 0 }
    }

    /// Whether what was read should go on before more is read.
    ///
    /// Asked after each chunk, so it costs nothing: bytes are counted only when the bound of what they can be is reached.
    var isFull: Bool {
        if hasFullTable || gathered.memory >= settings.gatherBytesMax { return true }
        // Enough of each table: what is gathered should still be in the processor's caches when it is read.
        if !gathered.isEmpty, gathered.count >= settings.gatherRowsMax * gathered.tables { return true }
        let bytesMax = hasReadGathered ? settings.mixedBytesMax : settings.rowBatchBytesMax
        guard bytesBound >= bytesMax else { return false }
        countBytes()
        return bytesBound >= bytesMax
    }

    func countBytes() { bytesBound = filled.reduce(0) { $0 + $1.bytes } }

    /// Whether rows wait for being read because they are of many tables, mixed.
    var hasGathered: Bool { !gathered.isEmpty }

    /// Whether what was read, and not taken, is of many tables, mixed.
    var isMixed: Bool { hasGathered || hasReadGathered }

    /// Whether `readGathered()` should be called before more is read.
    var hasEnoughGathered: Bool {
        gathered.memory >= Self.nearBytes && gathered.tables <= Self.nearTablesMax
            && gathered.count >= Self.nearRowsMin * gathered.tables
    }

    /// Whether the gathered rows are of many tables, and few of each.
    var hasFewGathered: Bool {
        gathered.tables > Self.nearTablesMax && gathered.count < Self.fewRowsMax * gathered.tables
    }

    /// About as many bytes as the columns of all that was read take.
    var bytesExpected: Int { filled.reduce(0) { $0 + $1.bytes } + gathered.memory / 2 }

    /// Rows were read from so much text.
    func note(_ writer: TableWriter, rowsBefore: Int, textBytes: Int) {
        let rows = writer.rows
        guard rows > rowsBefore else { return }
        note(writer)
        bytesBound += writer.layout.bytesMax(rows: rows - rowsBefore, textBytes: textBytes)
    }

    func note(_ writer: TableWriter) {
        let rows = writer.rows
        if rows > 0, !writer.isFilled {
            writer.isFilled = true
            filled.append(writer)
        }
        if rows >= settings.rowBatchRowsMax { hasFullTable = true }
    }

    func takeRejections() -> [Rejection] {
        defer { rejections = [] }
        return rejections
    }

    // MARK: - Chunks

    /// Reads a chunk from an offset on.
    func read(_ chunk: Chunk, from offset: Int = 0) -> Progress {
        if var rejection = chunk.rejection {
            rejection.producer = chunk.numbering?.producer.identity
            rejections.append(rejection)
            return .done
        }
        if let format = chunk.format { return read(chunk, as: format, from: offset) }
        guard let head = chunk.head else { return read(chunk.bytes, of: chunk, from: offset) }
        if offset < head.readableBytes {
            let progress = read(head, of: chunk, from: offset)
            guard case .done = progress else { return progress }
        }
        // Offsets go over both.
        switch read(chunk.bytes, of: chunk, from: max(0, offset - head.readableBytes)) {
        case .done: return .done
        case .needsTable(let table, let at): return .needsTable(table, offset: at + head.readableBytes)
        case .needsStructure(let writer, let at): return .needsStructure(writer, offset: at + head.readableBytes)
        }
    }

    private func read(_ lines: ByteBuffer, of chunk: Chunk, from offset: Int) -> Progress {
        var bytes = lines
        if bytes.getInteger(at: bytes.writerIndex - 1, as: UInt8.self) != 0x0A {
            // Only the last line of a session comes without its newline.
            bytes.reserveCapacity(minimumWritableBytes: 1)
            bytes.writeInteger(UInt8(0x0A))
        }
        let whole = bytes
        return whole.withUnsafeReadableBytes { raw in
            let start = raw.baseAddress!.assumingMemoryBound(to: UInt8.self)
            var cursor = LineCursor(start + offset, end: start + raw.count)
            return read(&cursor, start: start, chunk: chunk, whole: whole)
        }
    }

    private func read(_ cursor: inout LineCursor, start: Bytes, chunk: Chunk, whole: ByteBuffer) -> Progress {
        let context = TableWriter.Context(
            tableKey: tableKey, pool: pool, variantsMax: settings.variantsMax, received: chunk.received,
            now: now())
        let fallback = chunk.table.flatMap { TableName(parsing: $0) } ?? defaultTable
        var counted = LineCount(at: start, number: chunk.numbering?.range.first)
        func refuse(
            _ reason: RejectReason, _ table: TableName?, column: String? = nil, _ message: String,
            _ line: UnsafeRawBufferPointer
        ) {
            rejections.append(
                Rejection(
                    table: table, column: column, reason: reason, message: message, session: chunk.session,
                    bytes: slice(whole, start, line),
                    number: line.baseAddress.flatMap { counted.number(at: $0.assumingMemoryBound(to: UInt8.self)) },
                    producer: chunk.numbering?.producer.identity))
        }
        func reject(_ fault: ParseFault, _ writer: TableWriter?, _ line: UnsafeRawBufferPointer) {
            refuse(
                fault.reason, writer?.table, column: writer?.name(ofColumn: fault.column), fault.message, line)
        }

        // Held from the first row that is gathered on.
        var held: UInt32?
        func hold(_ cursor: LineCursor) -> UInt32 {
            let place = held ?? gathered.hold(chunk, whole, start: start, end: cursor.end)
            held = place
            return place
        }
        func gather(_ table: Int, _ cursor: inout LineCursor, isRouted: Bool = false) {
            let place = hold(cursor)
            gathered.takeLine(
                &cursor, table: table, isRouted: isRouted, chunk: place, start: start, &counted)
        }
        let canHold = gathersLines && whole.readableBytes < 1 << 31
        let mayGather = canHold && writers.count >= gatherTablesMin

        // The table of the last rows is the likeliest for the next; a row that names another says so. With a route each row does.
        let route = fallback.flatMap { routes.route(of: $0) }
        var writer = route != nil ? nil : fallback.flatMap { writers[$0] } ?? last
        // Rows of many tables, mixed: the row before says nothing.
        var alternates = false
        // From here on every row of the chunk is. Rows of a table that has some already wait behind them.
        var gathers = !gathered.isEmpty && (writer.map { gathered.has($0.number) } ?? mayGather)
        while cursor.p < cursor.end {
            if gathers {
                cursor.skipSpace()
                if let known = namedFirst(cursor) {
                    gather(known, &cursor)
                    gatherNamed(&cursor, start: start, &counted, into: hold(cursor))
                    continue
                }
            } else if alternates, let table = namedFirst(cursor) {
                let known = numbered[table]
                // Another table once more: not just rows of one behind those of another.
                if mayGather && known !== writer || gathered.has(table) {
                    gathers = true
                    continue
                }
                alternates = known !== writer
                last = known
                writer = known
                let (rows, begin) = (known.rows, cursor.p)
                let stop = known.read(&cursor, context, takesUnnamed: true, decided: true, reject: reject)
                note(known, rowsBefore: rows, textBytes: cursor.p - begin)
                if case .unknownColumn = stop { return .needsStructure(known, offset: cursor.p - start) }
                continue
            }
            if let writer, !gathers, route == nil, !routes.has(writer.table) {
                last = writer
                let takesUnnamed = writer.table == fallback
                let (rows, begin) = (writer.rows, cursor.p)
                let stop = writer.read(&cursor, context, takesUnnamed: takesUnnamed, decided: false, reject: reject)
                note(writer, rowsBefore: rows, textBytes: cursor.p - begin)
                switch stop {
                case .end: return .done
                case .unknownColumn: return .needsStructure(writer, offset: cursor.p - start)
                case .otherTable: alternates = alternates || cursor.p == begin
                }
            }
            cursor.skipSpace()
            if cursor.p.pointee == 0x0A {
                cursor.p += 1
                continue
            }
            let named: TableName?
            // What the route goes by, if the row names no table; nil: it was not looked for.
            var routed: LineCursor??
            switch table(ofRow: cursor, orRouteBy: route) {
            case .success((let table, let value)):
                named = table
                if table == nil { routed = .some(value) }
            // No JSON: the table that it would go to says what is wrong, and where.
            case .failure(let fault) where fault.code != .badTableName && fallback != nil: named = nil
            case .failure(let fault):
                reject(fault, nil, cursor.takeLine())
                continue
            }
            guard var table = named ?? fallback else {
                reject(ParseFault(.noTable), nil, cursor.takeLine())
                continue
            }
            let own = named == nil ? route : routes.route(of: table)
            let target = own?.target(
                of: cursor, value: routed, for: table, in: routes, depthMax: settings.depthMax
            ) { writers[$0] != nil }
            switch target {
            case nil: break
            case .table(let other): table = other
            case .refused(let fault):
                refuse(fault.reason, table, fault.message, cursor.takeLine())
                continue
            case .oneTooMany(let other):
                refuse(.tooManyTables, other, "more than route.tables_max", cursor.takeLine())
                continue
            }
            if let error = refused[table] {
                refuse(error.code.rejectReason, table, error.message, cursor.takeLine())
                continue
            }
            guard let known = writers[table] else {
                if writers.count >= settings.tablesMax {
                    self.refuse(
                        table, because: CatalogError(.tooManyTables, table: table, message: "more than tables_max"))
                    continue
                }
                return .needsTable(table, offset: cursor.p - start)
            }
            // The row has been looked at by itself, and the next one will be, whatever table it is for.
            if target != nil, canHold { gathers = true }
            writer = known
            if target == nil, named != nil, let name = names.firstName(of: cursor, key: tableKey) {
                names.note(name, known.number)
            }
            if gathers || gathered.has(known.number) {
                gathers = true
                gather(known.number, &cursor, isRouted: target != nil)
                continue
            }
            let (rows, begin) = (known.rows, cursor.p)
            let stop = known.read(
                &cursor, context, takesUnnamed: true, decided: true, routed: target != nil, reject: reject)
            note(known, rowsBefore: rows, textBytes: cursor.p - begin)
            if case .unknownColumn = stop { return .needsStructure(known, offset: cursor.p - start) }
        }
        return .done
    }

    func slice(_ whole: ByteBuffer, _ start: Bytes, _ line: UnsafeRawBufferPointer) -> ByteBuffer {
        guard let base = line.baseAddress else { return ByteBuffer() }
        let offset = base - UnsafeRawPointer(start)
        return whole.getSlice(at: whole.readerIndex + offset, length: line.count) ?? ByteBuffer()
    }
}

extension CatalogError.Code {
    var rejectReason: RejectReason {
        switch self {
        case .unknownTable: .unknownTable
        case .unsupportedType: .unsupportedType
        case .accessDenied: .accessDenied
        case .tooManyTables: .tooManyTables
        case .invalidRules: .ruleInvalid
        }
    }
}
