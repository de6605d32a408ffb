// Unsafe by design, under RowParser's invariant: operations and nodes are found by numbers that the plan made, and input is
// read under LineCursor's.

import CSluice
import ClickHouseNative

/// Values that are made of values.
extension RowParser {
    /// A value within another, or a null in its place.
    @inline(__always)
    private mutating func element(
        _ operation: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor
    ) throws(ParseFault) {
        if let next = quickElement(operation, cursor) {
            cursor.p = next
        } else if cursor.p.pointee == UInt8(ascii: "n"), cursor.takeWord("null") {
            guard operation.pointee.takesNull || options.nullAsDefault else { throw ParseFault(.nullValue) }
            block.appendDefault(Int(operation.pointee.root))
        } else {
            try value(operation, &cursor)
        }
    }

    mutating func array(_ op: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor) throws(ParseFault) {
        guard cursor.take(UInt8(ascii: "[")) else { throw ParseFault(.notAnArray) }
        let item = operations + Int(op.pointee.detail)
        cursor.skipSpace()
        if !cursor.take(UInt8(ascii: "]")) {
            while true {
                try element(item, &cursor)
                cursor.skipSpace()
                if cursor.take(UInt8(ascii: ",")) {
                    cursor.skipSpace()
                    continue
                }
                guard cursor.take(UInt8(ascii: "]")) else { throw ParseFault(.notAnArray) }
                break
            }
        }
        nodes[Int(op.pointee.value)].appendFixed(UInt64(nodes[Int(item.pointee.root)].rows))
    }

    // MARK: - Tuples

    /// An object where the elements have names, else an array with each of them
    /// (ClickHouse's DataTypes/Serializations/SerializationTuple.cpp, deserializeTupleJSONImpl).
    mutating func tuple(_ op: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor) throws(ParseFault) {
        let tuple = plan.tuples[Int(op.pointee.detail)]
        if let names = tuple.names {
            try namedElements(tuple, names, op, &cursor)
        } else {
            guard cursor.take(UInt8(ascii: "[")) else { throw ParseFault(.notATuple) }
            cursor.skipSpace()
            for number in 0..<tuple.count {
                if number > 0 {
                    guard cursor.take(UInt8(ascii: ",")) else { throw ParseFault(.notATuple) }
                    cursor.skipSpace()
                }
                try element(operations + tuple.first + number, &cursor)
                cursor.skipSpace()
            }
            guard cursor.take(UInt8(ascii: "]")) else { throw ParseFault(.notATuple) }
        }
        let node = nodes + Int(op.pointee.value)
        // Of a tuple without elements a byte stands for each.
        if tuple.count == 0 { node.pointee.data.append(UInt8(ascii: "0")) }
        node.pointee.rows &+= 1
    }

    private mutating func namedElements(
        _ tuple: TuplePlan, _ names: KeyIndex, _ op: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor
    ) throws(ParseFault) {
        guard cursor.take(UInt8(ascii: "{")) else { throw ParseFault(.notATuple) }
        let rows = nodes[Int(op.pointee.value)].rows
        cursor.skipSpace()
        var read = 0
        var expected = 0
        if !cursor.take(UInt8(ascii: "}")) {
            while true {
                let number = try elementName(names, expected: expected, &cursor)
                cursor.skipSpace()
                guard cursor.take(UInt8(ascii: ":")) else { throw ParseFault(.malformed) }
                cursor.skipSpace()
                if number >= 0 {
                    let operation = operations + tuple.first + number
                    guard nodes[Int(operation.pointee.root)].rows == rows else { throw ParseFault(.duplicateKey) }
                    try element(operation, &cursor)
                    read += 1
                    expected = number + 1
                } else {
                    guard options.ignoresUnknownElements else { throw ParseFault(.unknownElement) }
                    try cursor.skipValue(depthMax: options.depthMax)
                }
                cursor.skipSpace()
                if cursor.take(UInt8(ascii: ",")) {
                    cursor.skipSpace()
                    continue
                }
                guard cursor.take(UInt8(ascii: "}")) else { throw ParseFault(.malformed) }
                break
            }
        }
        guard read < tuple.count else { return }
        guard options.defaultsForMissingElements else { throw ParseFault(.missingElement) }
        for number in 0..<tuple.count {
            let root = Int(operations[tuple.first + number].root)
            if nodes[root].rows == rows { block.appendDefault(root) }
        }
    }

    /// The number of the element whose name is at the cursor, which is left behind its closing quote; -1: the tuple has no
    /// such element.
    private mutating func elementName(
        _ names: KeyIndex, expected: Int, _ cursor: inout LineCursor
    ) throws(ParseFault) -> Int {
        guard cursor.p.pointee == UInt8(ascii: "\"") else { throw ParseFault(.malformed) }
        if expected < names.count {
            let length = names.matches(expected, cursor.p + 1, left: cursor.end - cursor.p - 1)
            if length >= 0 {
                cursor.p += length + 2
                return expected
            }
        }
        // ClickHouse reads these names by other rules than JSON's, so that those with escapes would be others.
        guard let name = try cursor.plainString() else { throw ParseFault(.badEscape) }
        return Int(names.find(name.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? cursor.p, name.count))
    }

    // MARK: - Maps

    /// An object; keys are read as values of their type in quotes, and may repeat
    /// (ClickHouse's DataTypes/Serializations/SerializationMap.cpp).
    mutating func map(_ op: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor) throws(ParseFault) {
        guard cursor.take(UInt8(ascii: "{")) else { throw ParseFault(.notAMap) }
        let key = operations + Int(op.pointee.detail)
        let entries = nodes + (Int(op.pointee.value) + 1)
        cursor.skipSpace()
        if !cursor.take(UInt8(ascii: "}")) {
            while true {
                guard cursor.p.pointee == UInt8(ascii: "\"") else { throw ParseFault(.notAMap) }
                try value(key, &cursor)
                cursor.skipSpace()
                guard cursor.take(UInt8(ascii: ":")) else { throw ParseFault(.notAMap) }
                cursor.skipSpace()
                try element(key + 1, &cursor)
                entries.pointee.rows &+= 1
                cursor.skipSpace()
                if cursor.take(UInt8(ascii: ",")) {
                    cursor.skipSpace()
                    continue
                }
                guard cursor.take(UInt8(ascii: "}")) else { throw ParseFault(.notAMap) }
                break
            }
        }
        nodes[Int(op.pointee.value)].appendFixed(UInt64(entries.pointee.rows))
    }

    // MARK: - Nested

    /// Columns of one Nested must have arrays of one length in each row: the server would refuse the whole block.
    func checkNestedGroups(_ rows: Int) throws(ParseFault) {
        for group in plan.nestedGroups {
            var length: UInt64?
            for root in group {
                let ends = nodes[root]
                let isGiven = ends.rows > rows
                let last = isGiven ? ends.data.load(UInt64.self, at: rows * 8) : 0
                let before = isGiven && rows > 0 ? ends.data.load(UInt64.self, at: rows * 8 - 8) : 0
                let found = last - before
                guard length == nil || length == found else { throw ParseFault(.unequalLengths) }
                length = found
            }
        }
    }
}
