// Unsafe by design: owns the words that `RowParser` learns the order of keys in; they are as many as the plan has keys,
// and two, for as long as the writer lives.

import ClickHouseNative
import Pipeline

/// Why reading rows stopped.
enum ReadingStop {
    /// The input is at its end.
    case end
    /// The row at the cursor is not for this table, does not say for which, or cannot be read before it has said so.
    case otherTable
}

/// Fills blocks of one table with rows. Belongs to one worker.
///
/// A table may have columns whose DEFAULT only the server can compute. A row that leaves such a column out goes into a
/// block without it: each set of omitted columns is a variant with a block of its own.
final class TableWriter {
    private struct Variant {
        let plan: FieldPlan
        var block: Block
        var firstReceived: ContinuousClock.Instant?
    }

    /// What reading needs to know besides the input.
    struct Context {
        let options: RowOptions
        let tableKey: KeyIndex
        let pool: BlockPool
        let variantsMax: Int
        let received: ContinuousClock.Instant
    }

    let table: TableName
    let structure: TableStructure
    private let tableName: KeyIndex
    private var variants: [Variant]
    private var current = 0
    private let successors: UnsafeMutablePointer<Int32>
    private var scratch = ByteRun()
    /// Whoever collects row batches knows of the rows here.
    var isFilled = false
    /// Of rows that leave nothing out.
    var layout: BlockLayout { variants[0].plan.layout }

    /// - Throws: `TimeZoneError` for a zone of the structure's that this host does not know.
    init(table: TableName, structure: TableStructure, pool: BlockPool) throws {
        self.table = table
        self.structure = structure
        let plan = try FieldPlan(structure)
        tableName = KeyIndex([table.description])
        variants = [Variant(plan: plan, block: pool.take(plan.layout))]
        let words = plan.keys.count + 2
        successors = .allocate(capacity: words)
        successors.initialize(repeating: -1, count: words)
    }

    deinit {
        successors.deallocate()
        scratch.deallocate()
        tableName.deallocate()
    }

    /// Rows that were read and not taken yet.
    var rows: Int { variants.reduce(0) { $0 + $1.block.rows } }
    var bytes: Int { variants.reduce(0) { $0 + $1.block.byteCount } }

    /// Reads lines until the input ends or a row is for another table.
    ///
    /// - Parameters:
    ///   - takesUnnamed: a row that names no table is for this one.
    ///   - decided: the row at the cursor is for this table, whatever else it says; it alone is read.
    ///   - reject: called with the fault and the row's bytes for each row that is refused.
    func read(
        _ cursor: inout LineCursor, _ context: Context, takesUnnamed: Bool, decided: Bool,
        reject: (ParseFault, TableWriter, UnsafeRawBufferPointer) -> Void
    ) -> ReadingStop {
        var variantChosenFor: Bytes?
        while cursor.p < cursor.end {
            let before = variants[current].block.rows
            let stop = readRun(&cursor, context, takesUnnamed: takesUnnamed, decided: decided, reject: reject)
            if variants[current].block.rows > before, variants[current].firstReceived == nil {
                variants[current].firstReceived = context.received
            }
            switch stop {
            case .finished: return .end
            case .otherTable: return .otherTable
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

    private enum RunStop { case finished, otherTable, otherVariant }

    /// Rows of one variant, one after the other.
    private func readRun(
        _ cursor: inout LineCursor, _ context: Context, takesUnnamed: Bool, decided: Bool,
        reject: (ParseFault, TableWriter, UnsafeRawBufferPointer) -> Void
    ) -> RunStop {
        let block = variants[current].block
        var parser = RowParser(
            plan: variants[current].plan, block: block, options: context.options, tableKey: context.tableKey,
            tableName: tableName, successors: successors, scratch: scratch)
        defer { scratch = parser.scratch }
        while cursor.p < cursor.end {
            cursor.skipSpace()
            if cursor.p.pointee == 0x0A {
                cursor.p += 1
                continue
            }
            let start = cursor.p
            do throws(ParseFault) {
                try parser.row(&cursor)
                cursor.skipSpace()
                guard cursor.p.pointee == 0x0A else { throw ParseFault(.trailingText) }
                guard takesUnnamed || decided || parser.namedTable else { throw ParseFault(.otherTable) }
                cursor.p += 1
                block.commitRow()
            } catch {
                block.rollback()
                cursor.p = start
                switch error.code {
                case .otherVariant: return .otherVariant
                // The fault may be another table's virtue: the row may name its table further behind.
                case _ where !decided && (error.code == .otherTable || !parser.namedTable): return .otherTable
                default:
                    let fault = error.code == .otherTable ? ParseFault(.duplicateKey) : error
                    reject(fault, self, cursor.takeLine())
                }
            }
            if decided { return .finished }
        }
        return .finished
    }

    // MARK: - Variants

    /// Finds, or makes, the variant for the row at the cursor.
    private func selectVariant(_ cursor: LineCursor, _ context: Context) -> ParseFault? {
        let base = variants[0].plan
        var omitted = Set(base.expressionColumns)
        var ahead = cursor
        do throws(ParseFault) {
            try ahead.forEachKey(scratch: &scratch, depthMax: context.options.depthMax) { name, isNull in
                let column = Int(base.keys.find(name.baseAddress!.assumingMemoryBound(to: UInt8.self), name.count))
                // A null for a column that cannot hold one is an omission, too; for a Nullable one it is a value.
                if column >= 0, !isNull || base.operations[column].takesNull { omitted.remove(column) }
            }
        } catch {
            return error
        }
        if let known = variants.firstIndex(where: { $0.plan.omitted == omitted }) {
            current = known
            return nil
        }
        guard variants.count < context.variantsMax else { return ParseFault(.tooManyVariants) }
        guard let plan = try? FieldPlan(structure, omitting: omitted) else { return ParseFault(.malformed) }
        variants.append(Variant(plan: plan, block: context.pool.take(plan.layout)))
        current = variants.count - 1
        return nil
    }

    /// What was read since the last call, in row batches; blocks with no rows stay.
    func takeBatches(pool: BlockPool) -> [RowBatch] {
        var batches: [RowBatch] = []
        for place in variants.indices where variants[place].block.rows > 0 {
            let variant = variants[place]
            variant.block.complete()
            batches.append(
                RowBatch(table: table, block: variant.block, firstReceived: variant.firstReceived ?? .now))
            variants[place].block = pool.take(variant.plan.layout)
            variants[place].firstReceived = nil
        }
        return batches
    }

    func name(ofColumn column: Int32) -> String? { variants[0].plan.name(ofColumn: column) }
}

extension LineCursor {
    /// Calls `body` with each key of the object at the cursor (its bytes, escapes undone) and whether its value is null.
    mutating func forEachKey(
        scratch: inout ByteRun, depthMax: Int, _ body: (UnsafeRawBufferPointer, _ isNull: Bool) -> Void
    ) throws(ParseFault) {
        try forEachField(scratch: &scratch, depthMax: depthMax) { name, cursor in
            var value = cursor
            body(name, value.takeWord("null"))
            return true
        }
    }

    /// Calls `body` with each key of the object at the cursor and a cursor at its value, until it returns false.
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
