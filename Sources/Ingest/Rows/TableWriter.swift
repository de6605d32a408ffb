// Unsafe by design: a parser reads the words of a `LearnedPlan` and the lines of a `HeldChunk`; the writer's variant and the caller hold
// them for as long as it does.

import CSluice
import ClickHouseNative
import Pipeline

/// Why reading rows stopped.
enum ReadingStop {
    /// The input is at its end.
    case end
    /// The row at the cursor is not for this table, does not say for which, or cannot be read before it has said so.
    case otherTable
    /// The row at the cursor, which is for this table, has a field that it lacks: the table should be looked at first.
    case unknownColumn
}

/// Fills blocks of one table with rows. Belongs to one worker.
///
/// A table may have columns whose DEFAULT only the server can compute. A row that leaves such a column out goes into a
/// block without it: each set of omitted columns is a variant with a block of its own.
final class TableWriter {
    private struct Variant {
        let learned: LearnedPlan
        var plan: FieldPlan { learned.plan }
        /// nil: no row came since the last were taken. So few tables have one at a time where rows are read table by table, and it is warm.
        var block: Block?
        var firstReceived: ContinuousClock.Instant?
    }

    /// What reading needs to know besides the input.
    struct Context {
        let tableKey: KeyIndex
        let pool: BlockPool
        let variantsMax: Int
        var received: ContinuousClock.Instant
        /// Seconds since 1970.
        let now: Int64
        /// See `RowOptions`.
        var takesChosen = false
    }

    let table: TableName
    /// Among those of a `ChunkReader`, which sets it.
    var number = -1
    private(set) var structure: TableStructure
    /// The next row with a field that the table lacks makes reading stop.
    var asksForUnknownFields = true
    /// Fields that the table lacks, as far as it was asked for them.
    private var askedFields: Set<UInt64> = []
    private var unknownName: UInt64 = 0
    /// So many fields are remembered; for others the table is not asked, until it changes.
    static let askedFieldsMax = 256
    let options: RowOptions
    private let asked: TableRules?
    /// What is asked of rows, made ready for the structure.
    private var rules: RuleSet?
    private let seed: UInt64
    /// Rows that were taken and not kept, since `takeSampled()`.
    private var sampled = 0
    private let tableName: KeyIndex
    private var variants: [Variant]
    private var current = 0
    /// What was read when the table had another structure, and not taken yet.
    private var retired: [Variant] = []
    private let plans: KnownPlans
    private var scratch = ByteRun()
    /// Whoever collects row batches knows of the rows here.
    var isFilled = false
    /// Of rows that leave nothing out.
    var layout: BlockLayout { variants[0].plan.layout }

    /// - Parameters:
    ///   - rules: what is asked of the table's rows.
    ///   - seed: of chance, where they leave something to it.
    ///   - plans: of all tables that the worker reads.
    /// - Throws: `TimeZoneError` for a zone of the structure's that this host does not know, `RuleProblems` for rules that do not fit it.
    init(
        table: TableName, structure: TableStructure, options: RowOptions = RowOptions(), rules: TableRules? = nil,
        seed: UInt64 = .random(in: .min ... .max), plans: KnownPlans = KnownPlans(), pool: BlockPool
    ) throws {
        self.table = table
        self.structure = structure
        let options = options.under(rules)
        self.options = options
        asked = rules
        let set = try Self.set(of: rules, structure, options)
        self.rules = set
        self.seed = seed
        self.plans = plans
        let plan = try plans.plan(of: structure, options: options, rules: set, seed: seed, pool: pool)
        tableName = KeyIndex([table.description])
        variants = [Variant(learned: plan)]
    }

    private static func set(
        of rules: TableRules?, _ structure: TableStructure, _ options: RowOptions
    ) throws(RuleProblems) -> RuleSet? {
        guard let rules, !rules.areAboutRoutesOnly else { return nil }
        return try RuleSet(rules, for: structure, options: options)
    }

    /// Goes on with another structure: rows from here on are read by it. What was read so far stays as it is.
    ///
    /// - Throws: as `init`; nothing has changed then.
    func follow(_ structure: TableStructure, pool: BlockPool) throws {
        let set = try Self.set(of: asked, structure, options)
        let plan = try plans.plan(of: structure, options: options, rules: set, seed: seed, pool: pool)
        rules = set
        retired += variants.filter { $0.block.map { $0.rows > 0 } ?? false }
        for variant in variants { pool.forget(variant.plan.layout) }
        variants = [Variant(learned: plan)]
        current = 0
        self.structure = structure
        askedFields.removeAll()
    }

    /// The table was looked at because of the field that made reading stop.
    func hasAsked() { askedFields.insert(unknownName) }

    deinit {
        scratch.deallocate()
        tableName.deallocate()
    }

    /// Rows that were read and not taken yet.
    var rows: Int { sum { $0.rows } }
    var bytes: Int { sum { $0.byteCount } }

    /// Asked for each row where rows are of many tables: a variant is not copied for it.
    @inline(__always)
    private func sum(_ value: (Block) -> Int) -> Int {
        var sum = 0
        for place in variants.indices { sum += variants[place].block.map(value) ?? 0 }
        for place in retired.indices { sum += retired[place].block.map(value) ?? 0 }
        return sum
    }

    private func currentBlock(_ pool: BlockPool) -> Block {
        if let block = variants[current].block { return block }
        let block = pool.take(variants[current].plan.layout)
        variants[current].block = block
        return block
    }

    /// Reads lines until the input ends or a row is for another table.
    ///
    /// - Parameters:
    ///   - takesUnnamed: a row that names no table is for this one.
    ///   - decided: the row at the cursor is for this table, whatever else it says; it alone is read.
    ///   - routed: it is decided by a route, and the row may name the table that it came for.
    ///   - reject: called with the fault and the row's bytes for each row that is refused.
    func read(
        _ cursor: inout LineCursor, _ context: Context, takesUnnamed: Bool, decided: Bool, routed: Bool = false,
        reject: (ParseFault, TableWriter, UnsafeRawBufferPointer) -> Void
    ) -> ReadingStop {
        var variantChosenFor: Bytes?
        while cursor.p < cursor.end {
            let block = currentBlock(context.pool)
            let before = block.rows
            let stop = readRun(
                &cursor, context, takesUnnamed: takesUnnamed, decided: decided, routed: routed, reject: reject)
            if block.rows > before, variants[current].firstReceived == nil {
                variants[current].firstReceived = context.received
            }
            switch stop {
            case .finished: return .end
            case .otherTable: return .otherTable
            case .unknownColumn: return .unknownColumn
            case .otherVariant:
                // A row for which a variant was chosen and that does not fit it either would go round for ever.
                let start = cursor.p
                let fault = variantChosenFor == start ? ParseFault(.malformed) : selectVariant(cursor, context)
                variantChosenFor = start
                if let fault {
                    guard decided else { return .otherTable }
                    reject(fault, self, cursor.takeLine())
                    return .end
                }
            }
        }
        return .end
    }

    private enum RunStop { case finished, otherTable, otherVariant, unknownColumn }

    /// Rows of one variant, one after the other.
    private func readRun(
        _ cursor: inout LineCursor, _ context: Context, takesUnnamed: Bool, decided: Bool, routed: Bool,
        reject: (ParseFault, TableWriter, UnsafeRawBufferPointer) -> Void
    ) -> RunStop {
        let block = currentBlock(context.pool)
        var parser = parser(for: block, context)
        parser.isRouted = routed
        defer { scratch = parser.scratch }
        let rules = variants[current].plan.rules
        while cursor.p < cursor.end {
            cursor.skipSpace()
            if cursor.p.pointee == 0x0A {
                cursor.p += 1
                continue
            }
            let stop = readRow(
                &cursor, &parser, block, rules, takesUnnamed: takesUnnamed, decided: decided, reject: reject)
            if let stop { return stop }
            if decided { return .finished }
        }
        return .finished
    }

    private func parser(for block: Block, _ context: Context) -> RowParser {
        var options = self.options
        options.now = context.now
        options.takesChosen = context.takesChosen
        let learned = variants[current].learned
        var parser = RowParser(
            plan: learned.plan, block: block, options: options, tableKey: context.tableKey,
            tableName: tableName, successors: learned.successors, scratch: scratch)
        if asksForUnknownFields, askedFields.count < Self.askedFieldsMax { parser.askedFields = askedFields }
        return parser
    }

    /// The row at the cursor.
    ///
    /// - Returns: nil: it is taken, or refused.
    @inline(__always)
    private func readRow(
        _ cursor: inout LineCursor, _ parser: inout RowParser, _ block: Block, _ rules: RulePlan?, takesUnnamed: Bool,
        decided: Bool, reject: (ParseFault, TableWriter, UnsafeRawBufferPointer) -> Void
    ) -> RunStop? {
        let start = cursor.p
        rules?.begin()
        do throws(ParseFault) {
            try parser.row(&cursor)
            cursor.skipSpace()
            guard cursor.p.pointee == 0x0A else { throw ParseFault(.trailingText) }
            guard takesUnnamed || decided || parser.namedTable else { throw ParseFault(.otherTable) }
            cursor.p += 1
            if let rules, !rules.keepsRow() {
                block.rollback()
                sampled += 1
            } else {
                block.commitRow()
            }
        } catch {
            block.rollback()
            cursor.p = start
            switch error.code {
            case .otherVariant: return .otherVariant
            // The fault may be another table's virtue: the row may name its table further behind.
            case _ where !decided && (error.code == .otherTable || !parser.namedTable): return .otherTable
            case .unknownColumn:
                unknownName = parser.unknownName
                return .unknownColumn
            default:
                let fault = error.code == .otherTable ? ParseFault(.duplicateKey) : error
                reject(fault, self, cursor.takeLine())
            }
        }
        return nil
    }

    // MARK: - Lines that lie apart

    /// How much of a line is asked for while the one before it is read.
    private static let prefetchBytes = 512
    /// Lines whose pages are asked for together. Each lies in a page of its own, and to ask for a byte waits until the processor has found
    /// where that is; it looks for two at a time.
    private static let pagesAtOnce = 8

    /// Reads lines each of which is for this table, in their order.
    ///
    /// - Parameters:
    ///   - chunks: where they lie.
    ///   - context: `received` is that of each line's chunk.
    /// - Returns: How many of them were dealt with; fewer than all: the next one has a field that the table lacks.
    func read(
        _ lines: ArraySlice<GatheredLine>, of chunks: [HeldChunk], _ context: Context,
        reject: (ParseFault, TableWriter, GatheredLine, UnsafeRawBufferPointer) -> Void
    ) -> Int {
        var next = lines.startIndex
        var variantChosenFor = -1
        while next < lines.endIndex {
            switch readRun(lines, &next, of: chunks, context, reject: reject) {
            case .finished, .otherTable: break
            case .unknownColumn: return next - lines.startIndex
            case .otherVariant:
                var cursor = chunks[lines[next].chunk].cursor(at: lines[next])
                let fault = variantChosenFor == next ? ParseFault(.malformed) : selectVariant(cursor, context)
                variantChosenFor = next
                if let fault {
                    reject(fault, self, lines[next], cursor.takeLine())
                    next += 1
                }
            }
        }
        return lines.count
    }

    private func readRun(
        _ lines: ArraySlice<GatheredLine>, _ next: inout Int, of chunks: [HeldChunk], _ context: Context,
        reject: (ParseFault, TableWriter, GatheredLine, UnsafeRawBufferPointer) -> Void
    ) -> RunStop {
        let block = currentBlock(context.pool)
        var parser = parser(for: block, context)
        defer { scratch = parser.scratch }
        let rules = variants[current].plan.rules
        // Not asked of the time itself for each row: what it is, only the system's library knows.
        var isFirst = variants[current].firstReceived == nil
        let first = next
        Self.findPages(of: lines, from: next, chunks)
        while next < lines.endIndex {
            let line = lines[next]
            if (next - first) % Self.pagesAtOnce == 0 {
                Self.findPages(of: lines, from: next + Self.pagesAtOnce, chunks)
            }
            if next + 1 < lines.endIndex {
                let ahead = lines[next + 1]
                sluice_prefetch(chunks[ahead.chunk].place(of: ahead), Self.prefetchBytes)
            }
            var cursor = chunks[line.chunk].cursor(at: line)
            parser.isRouted = line.isRouted
            let stop = readRow(&cursor, &parser, block, rules, takesUnnamed: true, decided: true) {
                reject($0, $1, line, $2)
            }
            if let stop { return stop }
            next += 1
            if isFirst, block.rows > 0 {
                variants[current].firstReceived = chunks[line.chunk].chunk.received
                isFirst = false
            }
        }
        return .finished
    }

    private static func findPages(of lines: ArraySlice<GatheredLine>, from start: Int, _ chunks: [HeldChunk]) {
        guard start < lines.endIndex else { return }
        for place in start..<min(start + pagesAtOnce, lines.endIndex) {
            let line = lines[place]
            sluice_prefetch(chunks[line.chunk].place(of: line), 1)
        }
    }

    // MARK: - Variants

    /// Finds, or makes, the variant for the row at the cursor.
    private func selectVariant(_ cursor: LineCursor, _ context: Context) -> ParseFault? {
        let base = variants[0].plan
        var omitted = Set(base.expressionColumns)
        // A null for a column that cannot hold one is an omission, too; for a Nullable one it is a value.
        func found(_ column: Int, _ value: LineCursor) {
            var value = value
            if column >= 0, base.operations[column].takesNull || !value.takeWord("null") { omitted.remove(column) }
        }
        var ahead = cursor
        var inner = ByteRun()
        defer { inner.deallocate() }
        let depthMax = options.depthMax
        do throws(ParseFault) {
            try ahead.forEachField(scratch: &scratch, depthMax: depthMax) { name, value in
                let bytes = name.baseAddress!.assumingMemoryBound(to: UInt8.self)
                found(base.column(ofKey: Int(base.keys.find(bytes, name.count))), value)
                guard let nested = base.nestedFields else { return true }
                let place = Int(nested.names.find(bytes, name.count))
                guard place >= 0 else { return true }
                // What is wrong with it is found where it is read.
                var value = value
                try? value.forEachField(scratch: &inner, depthMax: depthMax) { name, value in
                    found(nested.column(place, name), value)
                    return true
                }
                return true
            }
        } catch {
            return error
        }
        return choose(omitted, context)
    }

    /// Goes on with the block of rows that leave these columns to the server.
    private func choose(_ omitted: Set<Int>, _ context: Context) -> ParseFault? {
        if let known = variants.firstIndex(where: { $0.plan.omitted == omitted }) {
            current = known
            return nil
        }
        guard variants.count < context.variantsMax else { return ParseFault(.tooManyVariants) }
        let plan = try? plans.plan(
            of: structure, omitting: omitted, options: options, rules: rules, seed: seed &+ UInt64(variants.count),
            pool: context.pool)
        guard let plan else {
            return ParseFault(.malformed)
        }
        variants.append(Variant(learned: plan))
        current = variants.count - 1
        return nil
    }

    // MARK: - Columns

    var plan: FieldPlan { variants[0].plan }

    /// Appends rows that lie in columns already: of the table's types, and of a table without rules.
    ///
    /// - Parameter columns: each of a complete block with so many rows.
    func append(_ columns: [ColumnFit.Column], rows: Int, _ context: Context) -> ParseFault? {
        let omitted = Set(plan.expressionColumns).subtracting(columns.map(\.column))
        if let fault = choose(omitted, context) { return fault }
        let (block, plan) = (currentBlock(context.pool), variants[current].plan)
        for column in columns {
            block.append(
                column: column.block.layout.roots[column.place], of: column.block,
                to: Int(plan.operations[column.column].root))
        }
        block.commitRows(rows)
        if variants[current].firstReceived == nil { variants[current].firstReceived = context.received }
        return nil
    }

    /// Whether a field that the table lacks makes reading stop, and the table be asked for.
    func waits(forField name: String) -> Bool {
        var name = name
        unknownName = name.withUTF8 { KeyIndex.hash(of: UnsafeRawBufferPointer($0)) }
        return asksForUnknownFields && askedFields.count < Self.askedFieldsMax && !askedFields.contains(unknownName)
    }

    /// Rows since the last call that are acked, and kept nowhere.
    func takeSampled() -> Int {
        defer { sampled = 0 }
        return sampled
    }

    /// What was read since the last call, in row batches; blocks with no rows stay.
    func takeBatches() -> [RowBatch] {
        var batches = retired.compactMap { batch(of: $0) }
        retired = []
        for place in variants.indices {
            guard let batch = batch(of: variants[place]) else { continue }
            batches.append(batch)
            variants[place].block = nil
            variants[place].firstReceived = nil
        }
        return batches
    }

    private func batch(of variant: Variant) -> RowBatch? {
        guard let block = variant.block, block.rows > 0 else { return nil }
        block.complete()
        return RowBatch(table: table, block: block, firstReceived: variant.firstReceived ?? .now)
    }

    func name(ofColumn column: Int32) -> String? { variants[0].plan.name(ofColumn: column) }
}

extension LineCursor {
    /// Calls `body` with each key of the object at the cursor (its bytes, escapes undone) and a cursor at its value, until it
    /// returns false.
    mutating func forEachField(
        scratch: inout ByteRun, depthMax: Int, _ body: (UnsafeRawBufferPointer, LineCursor) -> Bool
    ) throws(ParseFault) {
        guard take(UInt8(ascii: "{")) else { throw ParseFault(.malformed) }
        skipSpace()
        if take(UInt8(ascii: "}")) { return }
        while true {
            guard p.pointee == UInt8(ascii: "\"") else { throw ParseFault(.malformed) }
            var name: UnsafeRawBufferPointer
            if let plain = try plainString() {
                name = plain
            } else {
                try unescapedString(into: &scratch)
                name = scratch.bytes
            }
            if name.baseAddress == nil { name = UnsafeRawBufferPointer(start: p, count: 0) }
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw ParseFault(.malformed) }
            skipSpace()
            guard body(name, self) else { return }
            try skipValue(depthMax: depthMax)
            skipSpace()
            if take(UInt8(ascii: ",")) {
                skipSpace()
                continue
            }
            guard take(UInt8(ascii: "}")) else { throw ParseFault(.malformed) }
            return
        }
    }
}
