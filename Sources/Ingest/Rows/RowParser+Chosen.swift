// Unsafe by design, under RowParser's invariant: nodes are found by numbers that the plan made, and input is read under
// LineCursor's.

import CSluice
import ClickHouseNative

/// Values of Variant and Dynamic columns in lines that were made of rows of text (`CellWriter`): of which type they may be was found
/// by the rules of their format.
extension RowParser {
    /// Stands in the place of a type that ClickHouse would take for another value.
    static let storedOtherwise: Int = 255

    /// `[0,"5",2,"5"]`: places of types in the Variant, and the value as each would have it, in the order in which they are tried.
    mutating func chosenVariant(
        _ op: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor
    ) throws(ParseFault) {
        let variant = plan.variants[Int(op.pointee.detail)]
        guard cursor.take(UInt8(ascii: "[")) else { throw ParseFault(.malformed) }
        var isWritten = false
        while !cursor.take(UInt8(ascii: "]")) {
            _ = cursor.take(UInt8(ascii: ","))
            let number = Int(try cursor.integer(UInt8.self))
            guard cursor.take(UInt8(ascii: ",")) else { throw ParseFault(.malformed) }
            var whole = cursor
            try whole.skipValue(depthMax: .max)
            if !isWritten {
                guard number != Self.storedOtherwise else { throw ParseFault(.storedOtherwise) }
                guard variant.order.contains(number) else { throw ParseFault(.malformed) }
                isWritten = try alternative(number, of: variant, cursor, end: whole.p)
                if isWritten { nodes[Int(op.pointee.value)].appendFixed(UInt8(number)) }
            }
            cursor = whole
        }
        guard isWritten else { throw ParseFault(.noAlternative) }
    }

    /// `["Array(Int64)",["1","2"]]`.
    mutating func chosenType(_ cursor: inout LineCursor) throws(ParseFault) -> DataType {
        guard cursor.take(UInt8(ascii: "[")) else { throw ParseFault(.malformed) }
        let name = String(decoding: try text(&cursor, orRaw: false), as: UTF8.self)
        guard let type = try? DataType(parsing: name), cursor.take(UInt8(ascii: ",")) else {
            throw ParseFault(.uncertainType)
        }
        return type
    }
}
