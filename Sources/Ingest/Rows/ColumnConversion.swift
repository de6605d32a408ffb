// Unsafe by design: hands LineCursor lines that end with a newline, for as long as they are lent.

import CSluice
import ClickHouseNative
import NIOCore
import Pipeline

/// Values of columns whose types were changed: what rows hold that were read when the table still had the old ones.
///
/// A value is converted by being printed as JSON and read as the new type, and only where the way back gives the same text:
/// nothing is lost, and what lands is what would have landed had the row been read a moment later. There is no table of pairs of
/// types that could be wrong for one of them.
public enum ColumnConversion {
    /// What became of some rows.
    public enum Outcome {
        /// All of them, in their order.
        case converted(Block)
        /// Rows that cannot be converted, ascending; the others could.
        case impossible([Int])
    }

    /// - Parameters:
    ///   - rows: complete; nobody writes to it any more.
    ///   - target: a type for each of its columns.
    ///   - timeZone: of times of types without one.
    /// - Throws: `TimeZoneError`.
    public static func convert(_ rows: Block, to target: [DataType], timeZone: String) throws -> Outcome {
        let columns = rows.layout.columns
        guard rows.rows > 0 else {
            // No rows are of any type, of such as nothing is converted to as well.
            let none = Block(
                layout: BlockLayout(zip(columns, target).map { ColumnDefinition(name: $0.name, type: $1) }))
            none.complete()
            return .converted(none)
        }
        let changed = columns.indices.filter { columns[$0].type != target[$0] }
        var impossible = Set<Int>()
        var converted: [(block: Block, place: Int)] = columns.indices.map { (rows, $0) }
        for place in changed {
            let column = rows.selecting([place])
            switch try convert(column, from: columns[place].type, to: target[place], timeZone) {
            case .converted(let block): converted[place] = (block, 0)
            case .impossible(let rows): impossible.formUnion(rows)
            }
        }
        guard impossible.isEmpty else { return .impossible(impossible.sorted()) }
        let definitions = zip(columns, target).map { ColumnDefinition(name: $0.name, type: $1) }
        return .converted(Block.joining(converted, as: definitions))
    }

    private static func convert(
        _ column: Block, from old: DataType, to new: DataType, _ timeZone: String
    ) throws -> Outcome {
        let all = Array(0..<column.rows)
        // What these hold goes by the text of the value that was written, which is not here any more.
        guard !old.isFoundByTrying, !new.isFoundByTrying else { return .impossible(all) }
        // A time stays the same moment, whatever zone it is shown in; as a text it is that of its column's zone.
        let inUTC = new.hasZones
        let (from, to) = inUTC ? (old.inUTC, new.inUTC) : (old, new)
        let before = try lines(Block.joining([(column, 0)], as: [ColumnDefinition(name: "c", type: from)]), timeZone)
        let there = try read(before, as: to, timeZone)
        var bad = Set(there.refused)
        let after = try lines(there.block, timeZone)
        let back = try read(after, as: from, timeZone)
        let kept = all.filter { !bad.contains($0) }
        bad.formUnion(back.refused.map { kept[$0] })
        let again = try lines(back.block, timeZone)
        let hasFloats = old.hasFloats
        for (row, line) in zip(kept.filter { !bad.contains($0) }, again) {
            // Of floats, null may stand for nan.
            if line != before[row] || hasFloats && line.isNullWithin { bad.insert(row) }
        }
        guard bad.isEmpty else { return .impossible(bad.sorted()) }
        return .converted(Block.joining([(there.block, 0)], as: [ColumnDefinition(name: "c", type: new)]))
    }

    private static func lines(_ block: Block, _ timeZone: String) throws -> [[UInt8]] {
        var printer = try RowPrinter(block, timeZone: timeZone)
        var lines: [[UInt8]] = []
        lines.reserveCapacity(block.rows)
        var line: [UInt8] = []
        while printer.appendRow(to: &line) {
            lines.append(line)
            line.removeAll(keepingCapacity: true)
        }
        return lines
    }

    /// Reads each line into a block of one column, `c`; lines that cannot be read are left out and named.
    private static func read(
        _ lines: [[UInt8]], as type: DataType, _ timeZone: String
    ) throws -> (block: Block, refused: [Int]) {
        var options = RowOptions()
        options.nullAsDefault = false
        options.depthMax = DataType.depthMax
        let structure = TableStructure(
            columns: [TableStructure.Column(ColumnDefinition(name: "c", type: type))], timeZone: timeZone)
        let plan = try FieldPlan(structure, options: options)
        let block = Block(layout: plan.layout)
        let none = KeyIndex([])
        let successors = UnsafeMutablePointer<Int32>.allocate(capacity: plan.keys.count + 2)
        successors.initialize(repeating: -1, count: plan.keys.count + 2)
        var parser = RowParser(
            plan: plan, block: block, options: options, tableKey: none, tableName: none, successors: successors,
            scratch: ByteRun())
        defer {
            parser.scratch.deallocate()
            successors.deallocate()
            none.deallocate()
        }
        var refused: [Int] = []
        for (number, line) in lines.enumerated() {
            let isRead = line.withUnsafeBufferPointer { line in
                var cursor = LineCursor(line.baseAddress!, end: line.baseAddress! + line.count)
                do throws(ParseFault) {
                    try parser.row(&cursor)
                    return cursor.p.pointee == 0x0A
                } catch {
                    return false
                }
            }
            if isRead {
                block.commitRow()
            } else {
                block.rollback()
                refused.append(number)
            }
        }
        block.complete()
        return (block, refused)
    }
}

extension [UInt8] {
    fileprivate var isNullWithin: Bool {
        let word = Array("null".utf8)
        return indices.dropLast(3).contains { self[$0..<$0 + 4].elementsEqual(word) }
    }
}

extension DataType {
    /// Whether it, or a type within it, is such a one.
    func contains(_ test: (DataType) -> Bool) -> Bool {
        if test(self) { return true }
        switch self {
        case .nullable(let inner), .lowCardinality(let inner), .array(let inner), .named(_, let inner):
            return inner.contains(test)
        case .tuple(let elements), .nested(let elements): return elements.contains { $0.type.contains(test) }
        case .map(let key, let value): return key.contains(test) || value.contains(test)
        case .variant(let types): return types.contains { $0.contains(test) }
        default: return false
        }
    }

    /// The type of each value was found when it was read.
    fileprivate var isFoundByTrying: Bool {
        contains { type in
            switch type {
            case .variant, .dynamic, .json: true
            default: false
            }
        }
    }

    fileprivate var hasFloats: Bool { contains { [.float32, .float64, .bfloat16].contains($0) } }

    fileprivate var hasZones: Bool {
        contains { type in
            switch type {
            case .dateTime, .dateTime64: true
            default: false
            }
        }
    }

    /// The same with its times in UTC; their values are the same bytes.
    fileprivate var inUTC: DataType {
        func elements(_ elements: [TupleElement]) -> [TupleElement] {
            elements.map { TupleElement(name: $0.name, type: $0.type.inUTC) }
        }
        return switch self {
        case .dateTime: .dateTime(timeZone: "UTC")
        case .dateTime64(let precision, _): .dateTime64(precision: precision, timeZone: "UTC")
        case .nullable(let inner): .nullable(inner.inUTC)
        case .lowCardinality(let inner): .lowCardinality(inner.inUTC)
        case .array(let inner): .array(inner.inUTC)
        case .named(_, let inner): inner.inUTC
        case .tuple(let parts): .tuple(elements(parts))
        case .nested(let parts): .nested(elements(parts))
        case .map(let key, let value): .map(key: key.inUTC, value: value.inUTC)
        default: self
        }
    }
}
