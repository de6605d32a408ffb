// Unsafe by design: reads the bytes of a cell that `CellWriter` was lent.

import ClickHouseNative

/// Variants in cells of text.
///
/// ClickHouse takes a whole cell, and tries type after type in an order of its own until one reads all of it
/// (DataTypes/Serializations/SerializationVariant.cpp), by the rules of the format, which are partly stricter than for a column of that
/// type. Here a cell becomes the list of types that may read it, each with the JSON that it would read (`RowParser.chosenVariant`). A type that ClickHouse
/// might take for another value ends the list: no later type may have the cell.
extension CellWriter {
    /// A cell of CSV.
    mutating func chosen(_ cell: Cell, _ form: CellForm) throws(ParseFault) {
        // Of a Variant ClickHouse takes the cell first, without the blanks around it, and looks then whether that is a NULL.
        if case .alternatives = form.kind, !cell.isQuoted, cell.bytes.elementsEqual("\\N".utf8) { return null() }
        // `text` may have it, and is needed below.
        var copy = ByteRun()
        defer { copy.deallocate() }
        copy.append(undoubled(cell))
        let found = CellText(bytes: copy.bytes, isCSV: true, isQuoted: cell.isQuoted, endsInBlanks: cell.endsInBlanks)
        try chosen(found, form)
    }

    /// A cell of TSV.
    mutating func chosen(tsv bytes: UnsafeRawBufferPointer, _ form: CellForm) throws(ParseFault) {
        var copy = ByteRun()
        defer { copy.deallocate() }
        var cursor = SQLCursor(bytes)
        while cursor.p < cursor.end { try cursor.takeCharacter(into: &copy) }
        // ClickHouse undoes escapes twice there: what is left of them makes another text, or ends it.
        let hasMore = copy.bytes.contains { $0 == UInt8(ascii: "\\") || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D }
        guard !hasMore else { throw ParseFault(.escapedTwice) }
        try chosen(CellText(bytes: copy.bytes, isCSV: false), form)
    }

    private mutating func chosen(_ cell: CellText, _ form: CellForm) throws(ParseFault) {
        switch form.kind {
        case .alternatives(let alternatives):
            append("[")
            for alternative in alternatives { candidate(cell, alternative) }
            append("]")
        case .inferred(let inference, let namesElements):
            try inferred(cell, CellInference(inference, isCSV: cell.isCSV), namesElements: namesElements)
        default: throw ParseFault(.unreadType)
        }
    }

    /// Appends a type and what it would read, or nothing where it reads nothing.
    private mutating func candidate(_ cell: CellText, _ alternative: CellForm.Alternative) {
        let start = out.count
        if out.bytes.last != UInt8(ascii: "[") { append(",") }
        switch reading(cell, alternative.form.kind) {
        case .none: out.truncate(to: start)
        case .other:
            number(RowParser.storedOtherwise)
            append(",0")
        case .all:
            let place = out.count
            number(alternative.place)
            append(",")
            do throws(ParseFault) {
                try whole(cell.bytes, alternative.form)
            } catch {
                out.truncate(to: place)
                guard isTakenOtherwise(cell, alternative.form, error) else { return out.truncate(to: start) }
                number(RowParser.storedOtherwise)
                append(",0")
            }
        }
    }

    private mutating func number(_ value: Int) {
        for digit in String(value).utf8 { out.append(digit) }
    }

    /// What ClickHouse does with a cell that is tried as a type.
    private enum Reading {
        /// It reads none of it.
        case none
        /// It reads it, but not as what it says, or that is not known.
        case other
        /// What it reads is the value, if it is one.
        case all
    }

    private func reading(_ cell: CellText, _ kind: CellForm.Kind) -> Reading {
        let first = cell.bytes.first
        let isSingleQuoted = first == UInt8(ascii: "'")
        // Only in CSV does it take them off, where they are around a number.
        let inSingleQuotes: Reading =
            cell.isCSV && (cell.bytes.count < 2 || cell.bytes[1] <= UInt8(ascii: "9")) ? .other : .none
        switch kind {
        case .string, .name: return .all
        case .integer:
            // Nothing is 0 in CSV.
            if first == nil { return cell.isCSV ? .other : .none }
            return isSingleQuoted ? inSingleQuotes : .all
        case .decimal:
            // In quotes one is taken with an exponent only, or what looks as if it had one.
            if cell.isQuoted { return Self.looksLikeAnExponent(cell.bytes) ? .other : .none }
            return first == nil || isSingleQuoted ? .none : .all
        case .float: return first == nil ? .none : isSingleQuoted ? inSingleQuotes : .all
        case .bool:
            guard !cell.isQuoted, cell.bytes.elementsEqual("true".utf8) || cell.bytes.elementsEqual("false".utf8) else {
                return .none
            }
            return cell.endsInBlanks ? .other : .all
        case .word, .time:
            // None of them has a backslash.
            return cell.bytes.contains(UInt8(ascii: "\\")) ? .none : isSingleQuoted ? .other : .all
        case .json, .map: return begins(cell, with: "{")
        case .tuple: return begins(cell, with: "(")
        case .array(let element):
            guard cell.isCSV, first != UInt8(ascii: "[") else { return begins(cell, with: "[") }
            return isListWithoutBrackets(cell, element) ? .other : .none
        case .unread, .alternatives, .inferred: return .other
        }
    }

    private func begins(_ cell: CellText, with bracket: Unicode.Scalar) -> Reading {
        guard let first = cell.bytes.first(where: { $0 != 0x20 && $0 != 0x09 }), first == UInt8(ascii: bracket) else {
            return .none
        }
        return cell.bytes.first == first ? .all : .other
    }

    /// ClickHouse takes a cell of CSV for the inside of an array where it can.
    private func isListWithoutBrackets(_ cell: CellText, _ element: CellForm) -> Bool {
        var writer = CellWriter()
        defer { writer.deallocate() }
        var cursor = SQLCursor(cell.bytes)
        cursor.skipSpace()
        while cursor.p < cursor.end {
            // A word is not looked at as long as nobody reads it.
            let mayBeNumber = Self.mayBeginFloat(cursor.p.pointee)
            if case .float = element.kind, !mayBeNumber { return false }
            if element.takesNumber, mayBeNumber { return true }
            guard (try? writer.value(&cursor, element)) != nil else { return false }
            cursor.skipSpace()
            guard cursor.p == cursor.end || cursor.take(UInt8(ascii: ",")) else { return false }
            cursor.skipSpace()
        }
        return true
    }

    private static func looksLikeAnExponent(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.contains { $0 | 0x20 == UInt8(ascii: "e") } && bytes.allSatisfy(\.isOfNumber)
    }

    private static func mayBeginFloat(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "n"), UInt8(ascii: "N"),
            UInt8(ascii: "i"), UInt8(ascii: "I"):
            true
        default: false
        }
    }

    /// Whether ClickHouse may read what is none of the type here. Of lists and the like that is as good as certain where no part can begin
    /// as the first one does.
    private func isTakenOtherwise(_ cell: CellText, _ form: CellForm, _ fault: ParseFault) -> Bool {
        switch form.kind {
        case .array, .map, .tuple:
            var cursor = SQLCursor(cell.bytes)
            return Self.mayBegin(&cursor, form)
        default: return fault.isFinal
        }
    }

    private static func mayBegin(_ cursor: inout SQLCursor, _ form: CellForm) -> Bool {
        cursor.skipSpace()
        guard cursor.p < cursor.end else { return true }
        let byte = cursor.p.pointee
        // NULL, or the end.
        let isAny =
            byte | 0x20 == UInt8(ascii: "n") || byte == UInt8(ascii: "]") || byte == UInt8(ascii: "}")
            || byte == UInt8(ascii: ")")
        let isText = byte == UInt8(ascii: "'")
        switch form.kind {
        case .array(let element): return isAny || cursor.take(UInt8(ascii: "[")) && mayBegin(&cursor, element)
        case .map(let key, _): return isAny || cursor.take(UInt8(ascii: "{")) && mayBegin(&cursor, key)
        case .tuple(let elements, _): return isAny || cursor.take(UInt8(ascii: "(")) && mayBegin(&cursor, elements[0])
        case .string, .name, .json, .word:
            return isAny || isText || form.takesNumber && (mayBeginFloat(byte) || byte == UInt8(ascii: ","))
        default:
            let isDigit =
                byte &- 0x30 <= 9 || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
            let isWord = [
                UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "i"), UInt8(ascii: "y"), UInt8(ascii: "o"),
            ].contains(byte | 0x20)
            return isAny || isText || isDigit || isWord || byte == UInt8(ascii: ",")
        }
    }
}

/// A cell, its quotes or escapes undone.
struct CellText {
    let bytes: UnsafeRawBufferPointer
    let isCSV: Bool
    var isQuoted = false
    var endsInBlanks = false
}
