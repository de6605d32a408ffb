// Unsafe by design, under RowParser's invariant: nodes are found by numbers that the plan made, and input is read under
// LineCursor's.

import CSluice
import ClickHouseNative

/// Dynamic columns: the type of each value is found as ClickHouse finds it, then the value is read as that type. Where that
/// is not certain the row is refused.
extension RowParser {
    mutating func dynamic(
        _ node: UnsafeMutablePointer<ColumnNode>, _ op: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor
    ) throws(ParseFault) {
        var end: Bytes?
        let type: DataType?
        if options.takesChosen {
            type = try chosenType(&cursor)
        } else {
            var ahead = cursor
            type = try inferred(&ahead, depth: 1).dataType
            end = ahead.p
        }
        guard let type, let typed = try? plan.plan(ofDynamic: type) else { throw ParseFault(.uncertainType) }
        let block = Block(layout: typed.layout)
        var parser = RowParser(
            plan: typed, block: block, options: options, tableKey: tableKey, tableName: tableName,
            successors: successors, scratch: scratch)
        let result = Result<Void, ParseFault> { () throws(ParseFault) in
            try parser.value(typed.operations, &cursor)
        }
        scratch = parser.scratch
        try result.get()
        if let end {
            // The inference and the reading must have looked at the same text.
            guard cursor.p == end else { throw ParseFault(.uncertainType) }
        } else {
            guard cursor.take(UInt8(ascii: "]")) else { throw ParseFault(.uncertainType) }
        }
        block.commitRow()
        block.complete()
        do {
            try DynamicValue.write(block, into: &scratch)
        } catch {
            throw ParseFault(.uncertainType)
        }
        node.pointee.appendString(
            scratch.base ?? UnsafeMutableRawPointer(mutating: cursor.p), count: scratch.count, node: op.pointee.node)
    }

    /// What the value at the cursor, which is left behind it, is found to be.
    private mutating func inferred(_ cursor: inout LineCursor, depth: Int) throws(ParseFault) -> InferredType {
        guard depth <= min(options.depthMax, DataType.depthMax) else { throw ParseFault(.tooDeep) }
        switch cursor.p.pointee {
        case UInt8(ascii: "n"):
            guard cursor.takeWord("null") else { throw ParseFault(.malformed) }
            return .null
        case UInt8(ascii: "t"):
            guard cursor.takeWord("true") else { throw ParseFault(.malformed) }
            return .bool
        case UInt8(ascii: "f"):
            guard cursor.takeWord("false") else { throw ParseFault(.malformed) }
            return .bool
        case UInt8(ascii: "\""):
            let text = try text(&cursor, orRaw: false)
            return try TextInference(options).type(of: text)
        case UInt8(ascii: "["):
            cursor.p += 1
            cursor.skipSpace()
            var elements: [InferredType] = []
            if cursor.take(UInt8(ascii: "]")) { return .array([]) }
            while true {
                elements.append(try inferred(&cursor, depth: depth + 1))
                cursor.skipSpace()
                if cursor.take(UInt8(ascii: ",")) {
                    cursor.skipSpace()
                    continue
                }
                guard cursor.take(UInt8(ascii: "]")) else { throw ParseFault(.notAnArray) }
                return .array(elements)
            }
        case UInt8(ascii: "{"): return try inferredObject(&cursor, depth: depth)
        default: return try inferredNumber(&cursor)
        }
    }

    private mutating func inferredObject(_ cursor: inout LineCursor, depth: Int) throws(ParseFault) -> InferredType {
        cursor.p += 1
        cursor.skipSpace()
        if cursor.take(UInt8(ascii: "}")) { return .emptyObject }
        var members: [InferredType.Member] = []
        while true {
            guard cursor.p.pointee == UInt8(ascii: "\"") else { throw ParseFault(.malformed) }
            // Names with escapes are read by other rules later (see `tuple`); none may be empty, or `null`, which names
            // a subcolumn.
            guard let bytes = try cursor.plainString() else { throw ParseFault(.badEscape) }
            guard bytes.count > 0, let name = String(validating: bytes, as: UTF8.self), name != "null" else {
                throw ParseFault(.uncertainType)
            }
            guard !members.contains(where: { $0.name == name }) else { throw ParseFault(.duplicateKey) }
            cursor.skipSpace()
            guard cursor.take(UInt8(ascii: ":")) else { throw ParseFault(.malformed) }
            cursor.skipSpace()
            members.append(.init(name: name, type: try inferred(&cursor, depth: depth + 1)))
            cursor.skipSpace()
            if cursor.take(UInt8(ascii: ",")) {
                cursor.skipSpace()
                continue
            }
            guard cursor.take(UInt8(ascii: "}")) else { throw ParseFault(.malformed) }
            let sorted = members.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
            return .object(sorted)
        }
    }

    private func inferredNumber(_ cursor: inout LineCursor) throws(ParseFault) -> InferredType {
        var whole = cursor
        try whole.skipNumber()
        defer { cursor = whole }
        var p = cursor.p
        let isNegative = p.pointee == UInt8(ascii: "-")
        if isNegative || p.pointee == UInt8(ascii: "+") { p += 1 }
        let digits = p
        while p.pointee &- 0x30 <= 9 { p += 1 }
        guard p == whole.p, p > digits else { return .float }
        var attempt = cursor
        if (try? attempt.integer(Int64.self)) != nil { return .int(isNegative: isNegative && digits.pointee != 0x30) }
        attempt = cursor
        if !isNegative, (try? attempt.integer(UInt64.self)) != nil { return .uint }
        // Too large for either: what becomes of it depends on the rows before.
        throw ParseFault(.uncertainType)
    }
}
