// Unsafe by design. The invariant: `plan` and `block` have the same layout and outlive the parser, which is made for one
// chunk at a time; `nodes` is the block's and `operations` the plan's, indexed only by numbers that the plan made;
// `successors` has a word for each key and one more. Input is read under LineCursor's invariant.

import CSluice
import ClickHouseNative
import Pipeline

/// Reads rows of one table straight into the columns of a block: no objects, no allocation for a row.
struct RowParser {
    let plan: FieldPlan
    let block: Block
    /// The plan's, but for what is another one with each chunk.
    let options: RowOptions
    /// The key that names the table; nothing else is its business here.
    let tableKey: KeyIndex
    /// The name of the table that the rows go to, to compare with.
    let tableName: KeyIndex
    /// Which key came after which in the rows before: the next is looked for there first.
    let successors: UnsafeMutablePointer<Int32>
    var scratch: ByteRun
    /// What reads the fields of the usual shape.
    var reading: sluice_row
    /// The day of the time that was read last.
    var lastDay = KnownDay()
    /// The row that is being read had the field that names its table.
    private(set) var namedTable = false
    /// Fields that the table lacks and that it was asked for already, by hashes of their names: another one may be a new column, and
    /// its row waits until the table was looked at. nil: none waits.
    var askedFields: Set<UInt64>?
    /// The hash of the name of the last such field.
    var unknownName: UInt64 = 0
    /// The row came for another table, which it may name, and a route led it here.
    var isRouted = false
    /// Where the value of the Variant that is being read ends.
    var variantEnd: Bytes?
    /// For each of the plan's dictionary plans, a block of one value, filled anew for each.
    private let dictionaryBlocks: [Block]

    // Copies of what the plan and the block have: reading it through them costs a check each time.
    let nodes: UnsafeMutablePointer<ColumnNode>
    let operations: UnsafeMutablePointer<FieldOperation>
    let quickEnumerations: UnsafeMutablePointer<QuickEnumeration>
    let keys: KeyIndex
    let columnCount: Int
    private let enumerations: [(names: KeyIndex, values: [Int16])]

    init(
        plan: FieldPlan, block: Block, options: RowOptions, tableKey: KeyIndex, tableName: KeyIndex,
        successors: UnsafeMutablePointer<Int32>, scratch: ByteRun
    ) {
        self.plan = plan
        self.block = block
        self.options = options
        self.tableKey = tableKey
        self.tableName = tableName
        self.successors = successors
        self.scratch = scratch
        reading = sluice_row(plan, block, successors)
        nodes = block.nodes
        operations = plan.operations
        quickEnumerations = plan.quickEnumerations
        keys = plan.keys
        columnCount = plan.columnCount
        enumerations = plan.enumerations
        dictionaryBlocks = plan.dictionaryPlans.map { Block(layout: $0.layout) }
    }

    // MARK: - A row

    /// One object, its opening brace at the cursor; the cursor is left behind its closing brace. On a fault, the block
    /// has what was read so far: `Block.rollback()` takes it back.
    mutating func row(_ cursor: inout LineCursor) throws(ParseFault) {
        namedTable = false
        let rows = block.rows
        guard cursor.take(UInt8(ascii: "{")) else { throw ParseFault(.malformed) }
        cursor.skipSpace()
        if !cursor.take(UInt8(ascii: "}")) {
            try withUnsafeMutablePointer(to: &self) { (parser) throws(ParseFault) in
                try Self.fields(parser, rows, &cursor)
            }
        }
        if plan.hasRules, let rules = plan.rules { try finishRules(rules, rows) }
        if plan.hasExpressions { try checkExpressions(rows) }
        if plan.hasNestedGroups { try checkNestedGroups(rows) }
    }

    /// The value of a column, at the cursor.
    @inline(never)
    mutating func field(_ key: Int, _ rows: Int, _ cursor: inout LineCursor) throws(ParseFault) {
        let root = Int(operations[key].root)
        if root >= 0, nodes[root].rows != rows {
            guard nodes[root].rows < rows else { throw ParseFault(.duplicateKey, column: Int32(key)) }
            block.pad(root, to: rows)
        }
        // What stands for a null is written already, or follows at the row's end.
        if cursor.p.pointee == UInt8(ascii: "n"), try null(&cursor, key) { return }
        do throws(ParseFault) {
            try value(operations + key, &cursor)
        } catch {
            throw ParseFault(error.code, column: error.column < 0 ? Int32(key) : error.column)
        }
    }

    /// A key that is no column of the table.
    mutating func other(_ key: Int, _ rows: Int, _ cursor: inout LineCursor) throws(ParseFault) {
        if key == Self.tableField {
            guard cursor.p.pointee == UInt8(ascii: "\"") else { throw ParseFault(.badTableName) }
            let length = tableName.matches(0, cursor.p + 1, left: cursor.end - cursor.p - 1)
            if length >= 0 {
                cursor.p += length + 2
            } else {
                // Near the input's end, or with escapes, the quick look says no.
                try cursor.unescapedString(into: &scratch)
                let name = scratch.base?.assumingMemoryBound(to: UInt8.self)
                let isNamed = name.map { tableName.find($0, scratch.count) >= 0 } ?? false
                guard isNamed || isRouted else { throw ParseFault(.otherTable) }
            }
            namedTable = true
            return
        }
        if let rules = plan.rules {
            if key >= rules.firstKey { return try ruledKey(key, rules, rows, &cursor) }
            if key == Self.unknownField, rules.collecting >= 0 { return try collect(rules, &cursor) }
        }
        guard key < 0 else { throw ParseFault(.computedColumn, column: Int32(key)) }
        if key <= Self.nestedField { return try nested(Self.nestedField - key, rows, &cursor) }
        try unknown(&cursor)
    }

    /// The value of a field that is no column.
    mutating func unknown(_ cursor: inout LineCursor) throws(ParseFault) {
        if let asked = askedFields, !asked.contains(unknownName) { throw ParseFault(.unknownColumn) }
        guard options.skipUnknownFields else { throw ParseFault(.unknownField) }
        try cursor.skipValue(depthMax: options.depthMax)
    }

    /// A row that leaves out a column which the server computes does not belong into a block that has it. Other columns
    /// that a row leaves out lag behind, until a later row or the block's end brings them up with defaults.
    private mutating func checkExpressions(_ rows: Int) throws(ParseFault) {
        for column in plan.expressionColumns {
            let root = Int(operations[column].root)
            if root >= 0, nodes[root].rows == rows { throw ParseFault(.otherVariant) }
        }
    }

    /// Reads a null; false when the word is another one (`nan`).
    private mutating func null(_ cursor: inout LineCursor, _ column: Int) throws(ParseFault) -> Bool {
        guard cursor.takeWord("null") else { return false }
        let operation = operations + column
        if operation.pointee.kind == .ruled, try ruledNull(operation) { return true }
        switch operation.pointee.kind {
        case .omitted:
            guard !operation.pointee.takesNull else { throw ParseFault(.otherVariant) }
            guard options.nullAsDefault else { throw ParseFault(.nullValue, column: Int32(column)) }
        case _ where operation.pointee.takesNull:
            let place = Int(operation.pointee.root)
            if operation.pointee.isNullable, operation.pointee.kind != .lowCardinality {
                block.appendNull(place)
            } else {
                block.appendDefault(place)
            }
        default:
            guard options.nullAsDefault else { throw ParseFault(.nullValue, column: Int32(column)) }
            guard !operation.pointee.hasExpression else { throw ParseFault(.otherVariant) }
            block.appendDefault(Int(operation.pointee.root))
        }
        return true
    }

    // MARK: - A value

    mutating func value(
        _ operation: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor
    ) throws(ParseFault) {
        let kind = operation.pointee.kind
        if operation.pointee.isNullable, kind != .lowCardinality {
            let map = nodes + Int(operation.pointee.root)
            map.pointee.appendFixed(UInt8(0))
        }
        let node = nodes + Int(operation.pointee.value)
        switch kind {
        case .int8: node.pointee.appendFixed(try cursor.integer(Int8.self))
        case .int16: node.pointee.appendFixed(try cursor.integer(Int16.self))
        case .int32: node.pointee.appendFixed(try cursor.integer(Int32.self))
        case .int64: node.pointee.appendFixed(try cursor.integer(Int64.self))
        case .uint8: node.pointee.appendFixed(try cursor.integer(UInt8.self))
        case .uint16: node.pointee.appendFixed(try cursor.integer(UInt16.self))
        case .uint32: node.pointee.appendFixed(try cursor.integer(UInt32.self))
        case .uint64: node.pointee.appendFixed(try cursor.integer(UInt64.self))
        case .float32: node.pointee.appendFixed(try cursor.float32())
        case .float64: node.pointee.appendFixed(try cursor.float64())
        case .bool: node.pointee.appendFixed(try bool(&cursor))
        case .string:
            let bytes = try text(&cursor, orRaw: true)
            node.pointee.appendString(
                bytes.baseAddress ?? UnsafeRawPointer(cursor.p), count: bytes.count, node: operation.pointee.node)
        case .fixedString:
            let bytes = try text(&cursor, orRaw: false)
            guard bytes.count <= Int(operation.pointee.scale) else { throw ParseFault(.tooLong) }
            node.pointee.data.append(bytes)
            node.pointee.data.appendZeros(Int(operation.pointee.scale) - bytes.count)
            node.pointee.rows &+= 1
        case .uuid: try uuid(node, &cursor)
        case .date:
            let day = try cursor.date()
            guard day >= 0, day <= Int32(UInt16.max) else { throw ParseFault(.outOfRange) }
            node.pointee.appendFixed(UInt16(truncatingIfNeeded: day))
        case .date32:
            let day = try cursor.date()
            guard day >= TimeZoneRules.dayMin, day <= TimeZoneRules.dayMax else { throw ParseFault(.outOfRange) }
            node.pointee.appendFixed(day)
        case .dateTime:
            let time = try time(operation, &cursor)
            guard time.seconds >= 0, time.nanoseconds >= 0, time.seconds <= Int64(UInt32.max) else {
                throw ParseFault(.outOfRange)
            }
            node.pointee.appendFixed(UInt32(truncatingIfNeeded: time.seconds))
        case .dateTime64:
            node.pointee.appendFixed(try ticks(operation, &cursor))
        case .enum8: node.pointee.appendFixed(Int8(truncatingIfNeeded: try member(operation, &cursor)))
        case .enum16: node.pointee.appendFixed(try member(operation, &cursor))
        case .decimal32:
            node.pointee.appendFixed(
                Int32(
                    truncatingIfNeeded: try cursor.decimal(
                        precision: Int(operation.pointee.precision), scale: Int(operation.pointee.scale))))
        case .decimal64:
            node.pointee.appendFixed(
                Int64(
                    truncatingIfNeeded: try cursor.decimal(
                        precision: Int(operation.pointee.precision), scale: Int(operation.pointee.scale))))
        case .decimal128:
            node.pointee.appendFixed(
                try cursor.decimal(precision: Int(operation.pointee.precision), scale: Int(operation.pointee.scale)))
        case .array: try array(operation, &cursor)
        case .lowCardinality: try lowCardinality(operation, &cursor)
        case .omitted: throw ParseFault(.otherVariant)
        case .computed: throw ParseFault(.computedColumn)
        case .int128:
            node.pointee.appendFixed(try cursor.wideInteger(bits: 128, isSigned: true).low)
        case .uint128:
            node.pointee.appendFixed(try cursor.wideInteger(bits: 128, isSigned: false).low)
        case .int256: node.pointee.appendFixed(try cursor.wideInteger(bits: 256, isSigned: true))
        case .uint256: node.pointee.appendFixed(try cursor.wideInteger(bits: 256, isSigned: false))
        case .decimal256:
            node.pointee.appendFixed(
                try cursor.wideDecimal(precision: Int(operation.pointee.precision), scale: Int(operation.pointee.scale))
            )
        case .bfloat16:
            // The lower half is cut off, as ClickHouse does (base/base/BFloat16.h).
            node.pointee.appendFixed(UInt16(truncatingIfNeeded: try cursor.float32().bitPattern >> 16))
        case .ipv4: node.pointee.appendFixed(try cursor.ipv4())
        case .ipv6:
            let words = try cursor.ipv6()
            node.pointee.data.append(words.0)
            node.pointee.data.append(words.1)
            node.pointee.rows &+= 1
        case .time: node.pointee.appendFixed(Int32(truncatingIfNeeded: try cursor.clock(precision: nil)))
        case .time64: node.pointee.appendFixed(try cursor.clock(precision: Int(operation.pointee.scale)))
        case .tuple: try tuple(operation, &cursor)
        case .map: try map(operation, &cursor)
        case .variant: try variant(operation, &cursor)
        case .json: try json(node, operation, &cursor)
        case .nothing: throw ParseFault(.noValue)
        case .tried: try tried(operation, &cursor)
        case .restricted: try restricted(operation, &cursor)
        case .ruled: try ruled(operation, &cursor)
        case .dynamic: try dynamic(node, operation, &cursor)
        }
    }

    /// The bytes of a string, or (for String columns) the text of any other value, as ClickHouse keeps it
    /// (`input_format_json_read_numbers_as_strings` and its siblings, on by default).
    @inline(__always)
    mutating func text(
        _ cursor: inout LineCursor, orRaw: Bool
    ) throws(ParseFault) -> UnsafeRawBufferPointer {
        guard cursor.p.pointee == UInt8(ascii: "\"") else {
            guard orRaw else { throw ParseFault(.notAString) }
            let start = cursor.p
            try cursor.skipValue(depthMax: options.depthMax)
            return UnsafeRawBufferPointer(start: start, count: cursor.p - start)
        }
        if let plain = try cursor.plainString() { return plain }
        try cursor.unescapedString(into: &scratch)
        return scratch.bytes
    }

    private mutating func bool(_ cursor: inout LineCursor) throws(ParseFault) -> UInt8 {
        switch cursor.p.pointee {
        case UInt8(ascii: "t") where cursor.takeWord("true"): return 1
        case UInt8(ascii: "f") where cursor.takeWord("false"): return 0
        case UInt8(ascii: "1") where !(cursor.p[1] &- 0x30 <= 9):
            cursor.p += 1
            return 1
        case UInt8(ascii: "0") where !(cursor.p[1] &- 0x30 <= 9):
            cursor.p += 1
            return 0
        default: throw ParseFault(.notABool)
        }
    }

    /// Two words, the high one first, each little-endian (ClickHouse's base/UUID.h).
    private func uuid(_ node: UnsafeMutablePointer<ColumnNode>, _ cursor: inout LineCursor) throws(ParseFault) {
        guard cursor.take(UInt8(ascii: "\"")), cursor.end - cursor.p > 32 else {
            throw ParseFault(.notAUUID)
        }
        let dashes = cursor.p[8] == UInt8(ascii: "-")
        let place = node.pointee.data.claim(16)
        guard cursor.end - cursor.p > (dashes ? 36 : 32),
            sluice_uuid(cursor.p, dashes ? 1 : 0, place.assumingMemoryBound(to: UInt8.self)) != 0
        else { throw ParseFault(.notAUUID) }
        cursor.p += dashes ? 36 : 32
        guard cursor.take(UInt8(ascii: "\"")) else { throw ParseFault(.notAUUID) }
        node.pointee.data.commit(16)
        node.pointee.rows &+= 1
    }

    @inline(__always)
    private func time(
        _ op: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor
    ) throws(ParseFault) -> ParsedTime {
        let (reading, takesFraction) = (options.times, op.pointee.kind == .dateTime64)
        guard let zone = op.pointee.zone else {
            return try cursor.time(zone: nil, reading: reading, takesFraction: takesFraction, now: options.now)
        }
        let result = zone._withUnsafeGuaranteedRef { rules in
            Result<ParsedTime, ParseFault> { () throws(ParseFault) in
                try cursor.time(zone: rules, reading: reading, takesFraction: takesFraction, now: options.now)
            }
        }
        return try result.get()
    }

    /// Ticks of 10^-scale s; digits beyond the scale are cut off, as ClickHouse does.
    private func ticks(_ op: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor) throws(ParseFault)
        -> Int64
    {
        let time = try time(op, &cursor)
        let day = time.seconds.quotientAndRemainder(dividingBy: 86400).quotient
        guard day >= Int64(TimeZoneRules.dayMin), day <= Int64(TimeZoneRules.dayMax) else {
            throw ParseFault(.outOfRange)
        }
        let unit = sluice_power10(op.pointee.scale)
        let (whole, over) = time.seconds.multipliedReportingOverflow(by: unit)
        let (sum, more) = whole.addingReportingOverflow(time.nanoseconds / sluice_power10(9 - op.pointee.scale))
        guard !over, !more else { throw ParseFault(.outOfRange) }
        return sum
    }

    /// By name, or by number.
    private mutating func member(_ op: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor)
        throws(ParseFault) -> Int16
    {
        guard cursor.p.pointee == UInt8(ascii: "\"") else {
            // A boolean stands for no member, though it is a number elsewhere.
            guard cursor.p.pointee != UInt8(ascii: "t"), cursor.p.pointee != UInt8(ascii: "f") else {
                throw ParseFault(.notAnEnumMember)
            }
            let number = try cursor.integer(Int16.self)
            guard enumerations[Int(op.pointee.detail)].values.contains(number) else {
                throw ParseFault(.notAnEnumMember)
            }
            return number
        }
        let name = try text(&cursor, orRaw: false)
        let bytes = name.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? cursor.p
        let place = enumerations[Int(op.pointee.detail)].names.find(bytes, name.count)
        if place >= 0 { return enumerations[Int(op.pointee.detail)].values[Int(place)] }
        // A number in quotes, where it is no name.
        guard let number = Int16(String(decoding: name, as: UTF8.self)),
            enumerations[Int(op.pointee.detail)].values.contains(number)
        else { throw ParseFault(.notAnEnumMember) }
        return number
    }

    private mutating func lowCardinality(_ op: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor)
        throws(ParseFault)
    {
        if op.pointee.detail < 0 {
            let bytes = try text(&cursor, orRaw: true)
            block.appendLowCardinality(
                Int(op.pointee.root), bytes.baseAddress ?? UnsafeRawPointer(cursor.p), count: bytes.count)
            return
        }
        // Anything else is read into a column of its own first, whose bytes are then looked up.
        let nested = plan.dictionaryPlans[Int(op.pointee.detail)]
        let single = dictionaryBlocks[Int(op.pointee.detail)]
        single.removeAll()
        var parser = RowParser(
            plan: nested, block: single, options: options, tableKey: tableKey, tableName: tableName,
            successors: successors, scratch: scratch)
        parser.variantEnd = variantEnd
        let result = Result<Void, ParseFault> { () throws(ParseFault) in
            try parser.value(nested.operations, &cursor)
        }
        scratch = parser.scratch
        try result.get()
        let bytes = single.nodes[0].data.bytes
        block.appendLowCardinality(Int(op.pointee.root), bytes.baseAddress!, count: bytes.count)
    }
}
