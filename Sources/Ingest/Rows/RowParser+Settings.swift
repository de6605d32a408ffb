// Unsafe by design, under RowParser's invariant: operations are found by numbers that the plan made, and input is read under
// LineCursor's.

import CSluice
import ClickHouseNative

/// What only a table with settings of its own needs.
extension RowParser {
    /// A value of which some sorts are not taken.
    mutating func restricted(
        _ op: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor
    ) throws(ParseFault) {
        try checkRestrictions(op.pointee.restrictions, cursor)
        var operation = op.pointee
        operation.kind = operation.restricted
        // What stands for "not null" is written.
        operation.isNullable = false
        try value(&operation, &cursor)
    }

    /// Whether a column takes a value of the sort that is at the cursor.
    func checkRestrictions(_ restrictions: Restrictions, _ cursor: LineCursor) throws(ParseFault) {
        let first = cursor.p.pointee
        if restrictions.contains(.noBools) {
            let byte = first == UInt8(ascii: "\"") ? cursor.p[1] : first
            guard byte != UInt8(ascii: "t"), byte != UInt8(ascii: "f") else { throw ParseFault(.notANumber) }
        } else {
            let needed: Restrictions =
                switch first {
                case UInt8(ascii: "\""): []
                case UInt8(ascii: "{"): .noObjectsInText
                case UInt8(ascii: "["): .noArraysInText
                case UInt8(ascii: "t"), UInt8(ascii: "f"): .noBoolsInText
                default: .noNumbersInText
                }
            guard restrictions.isDisjoint(with: needed) else { throw ParseFault(.notAString) }
        }
    }

    /// The fields of one Nested, as an object (`input_format_import_nested_json`; ClickHouse's JSONEachRowRowInputFormat.cpp,
    /// readNestedData).
    mutating func nested(_ place: Int, _ rows: Int, _ cursor: inout LineCursor) throws(ParseFault) {
        guard let nested = plan.nestedFields, cursor.take(UInt8(ascii: "{")) else { throw ParseFault(.notAnObject) }
        cursor.skipSpace()
        if cursor.take(UInt8(ascii: "}")) { return }
        while true {
            guard cursor.p.pointee == UInt8(ascii: "\"") else { throw ParseFault(.malformed) }
            let column: Int
            if let plain = try cursor.plainString() {
                column = nested.column(place, plain)
                if column < 0 { unknownName = KeyIndex.hash(of: plain) }
            } else {
                try cursor.unescapedString(into: &scratch)
                column = nested.column(place, scratch.bytes)
                if column < 0 { unknownName = KeyIndex.hash(of: scratch.bytes) }
            }
            cursor.skipSpace()
            guard cursor.take(UInt8(ascii: ":")) else { throw ParseFault(.malformed) }
            cursor.skipSpace()
            switch column {
            case ..<0: try unknown(&cursor)
            case ..<plan.columnCount: try field(column, rows, &cursor)
            default: throw ParseFault(.computedColumn, column: Int32(column))
            }
            cursor.skipSpace()
            if cursor.take(UInt8(ascii: ",")) {
                cursor.skipSpace()
                continue
            }
            guard cursor.take(UInt8(ascii: "}")) else { throw ParseFault(.malformed) }
            return
        }
    }
}

/// The columns `a.b` that an object `a` may have the fields of.
struct NestedFields {
    /// What stands before the first point.
    let names: KeyIndex
    private let prefixes: Set<String>
    private let fields: [(names: KeyIndex, columns: [Int])]

    /// - Parameter names: of all columns, in the structure's order.
    init(_ names: [String]) {
        var order: [String] = []
        var found: [String: [(String, Int)]] = [:]
        for (place, name) in names.enumerated() {
            guard let point = name.firstIndex(of: "."), point > name.startIndex,
                name.index(after: point) < name.endIndex
            else { continue }
            let prefix = String(name[..<point])
            if found[prefix] == nil { order.append(prefix) }
            found[prefix, default: []].append((String(name[name.index(after: point)...]), place))
        }
        self.names = KeyIndex(order)
        prefixes = Set(order)
        fields = order.map { prefix in
            let members = found[prefix] ?? []
            return (KeyIndex(members.map(\.0)), members.map(\.1))
        }
    }

    var isEmpty: Bool { fields.isEmpty }

    func has(_ name: String) -> Bool { prefixes.contains(name) }

    /// The place of the column; -1: there is none.
    func column(_ place: Int, _ name: UnsafeRawBufferPointer) -> Int {
        guard let base = name.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return -1 }
        let found = Int(fields[place].names.find(base, name.count))
        return found < 0 ? -1 : fields[place].columns[found]
    }

    func deallocate() {
        names.deallocate()
        for field in fields { field.names.deallocate() }
    }
}
