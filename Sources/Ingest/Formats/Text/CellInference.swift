// Unsafe by design: reads the bytes of a cell that `CellWriter` was lent.

import ClickHouseNative

/// Which type ClickHouse 26.9 finds a cell of text to have that goes into a Dynamic column
/// (Formats/EscapingRuleUtils.cpp and SchemaInferenceUtils.cpp, with default settings). Where that is not certain the row is refused.
struct CellInference {
    private let texts: TextInference
    private let isCSV: Bool

    init(_ texts: TextInference, isCSV: Bool) {
        self.texts = texts
        self.isCSV = isCSV
    }

    /// The type of a cell that is no NULL.
    func type(of cell: CellText) throws(ParseFault) -> DataType {
        let bytes = cell.bytes
        guard let first = bytes.first, let last = bytes.last else { return .string }
        if !cell.isQuoted {
            if let bool = try bool(bytes) { return bool }
            if let number = try number(bytes) { return number }
        }
        if let time = try time(bytes) { return time }
        // ClickHouse looks behind single quotes for the type, but reads it with them.
        if first == UInt8(ascii: "'"), last == first, bytes.count > 1 {
            let inside = UnsafeRawBufferPointer(rebasing: bytes[1..<bytes.count - 1])
            guard try time(inside) == nil, inside.first.map({ !Self.opens($0) }) ?? true else {
                throw ParseFault(.uncertainType)
            }
            return .string
        }
        guard !isCSV || cell.isQuoted else { return .string }
        guard Self.opens(first) else {
            try refuseHalfWord(bytes)
            try refuseBlanks(around: bytes)
            return .string
        }
        // In quotes a tuple is a text.
        if isCSV, first == UInt8(ascii: "(") { return .string }
        var cursor = SQLCursor(bytes)
        guard let type = try value(&cursor, depth: 1) else { return .string }
        cursor.skipSpace()
        guard cursor.p == cursor.end, !type.isIncomplete else { return .string }
        guard !type.hasIncompletePart else { throw ParseFault(.uncertainType) }
        return type
    }

    /// What begins with blanks, or a word that ends in them: ClickHouse looks behind them for the type, but may read it with them.
    private func refuseBlanks(around bytes: UnsafeRawBufferPointer) throws(ParseFault) {
        guard let start = bytes.firstIndex(where: { !Self.isBlank($0) }),
            let end = bytes.lastIndex(where: { !Self.isBlank($0) })
        else { return }
        let inside = UnsafeRawBufferPointer(rebasing: bytes[start...end])
        guard inside.count < bytes.count else { return }
        guard !Self.opens(inside[0]), inside[0] != UInt8(ascii: "'") else { throw ParseFault(.uncertainType) }
        guard !isCSV else { return }
        try refuseHalfWord(inside)
        let isWord = try bool(inside) != nil
        guard !isWord, start == 0 || Number(inside) == nil else { throw ParseFault(.uncertainType) }
    }

    /// A number or a word behind the beginning of such a word as `true`, or of several: ClickHouse takes some for what stands there, and
    /// may fail to read them.
    private func refuseHalfWord(_ bytes: UnsafeRawBufferPointer, depth: Int = 1) throws(ParseFault) {
        for word in Self.words {
            let common = zip(word.utf8, bytes).prefix { $0 == $1 | 0x20 }.count
            for length in 0..<common {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[(length + 1)...])
                let isWord = Self.words.contains { $0.utf8.elementsEqual(rest.lazy.map { $0 | 0x20 }) }
                guard Number(rest) == nil, !isWord, !looksLikeAnExponent(rest) else {
                    throw ParseFault(.uncertainType)
                }
                // Each of them is tried once.
                if depth < Self.words.count { try refuseHalfWord(rest, depth: depth + 1) }
            }
        }
    }

    private static let words = ["true", "false", "null", "nan", "infinity"]

    private func looksLikeAnExponent(_ bytes: UnsafeRawBufferPointer) -> Bool {
        // In this order: of a long text mostly one byte is looked at.
        bytes.allSatisfy(\.isOfNumber) && bytes.contains { $0 &- 0x30 <= 9 }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    private static func opens(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "[") || byte == UInt8(ascii: "{") || byte == UInt8(ascii: "(")
    }

    private func bool(_ bytes: UnsafeRawBufferPointer) throws(ParseFault) -> DataType? {
        guard bytes.count == 4 || bytes.count == 5 else { return nil }
        let word = String(decoding: bytes, as: UTF8.self)
        if word == "true" || word == "false" { return .bool }
        guard !isCSV, word.lowercased() == "true" || word.lowercased() == "false" else { return nil }
        // TSV knows these two forms more.
        guard word == word.uppercased() || word == word.capitalized else { throw ParseFault(.uncertainType) }
        return .bool
    }

    private func time(_ bytes: UnsafeRawBufferPointer) throws(ParseFault) -> DataType? {
        let found = try texts.type(of: bytes)
        return found == .string ? nil : found.dataType
    }

    /// A number that is all of a cell.
    private func number(_ bytes: UnsafeRawBufferPointer) throws(ParseFault) -> DataType? {
        guard let number = Number(bytes) else { return nil }
        switch number.kind {
        case .float: return .float64
        case .integer where !isCSV && number.digits > 1 && number.startsWithZero:
            // Not a number in TSV; with a sign before it that is not known.
            guard !number.hasSign else { throw ParseFault(.uncertainType) }
            return nil
        case .integer: return try integer(bytes, number, tooLarge: isCSV ? .float64 : nil)
        }
    }

    private func integer(
        _ bytes: UnsafeRawBufferPointer, _ number: Number, tooLarge: DataType?
    ) throws(ParseFault) -> DataType? {
        let text = String(decoding: bytes, as: UTF8.self)
        if Int64(text) != nil { return .int64 }
        if UInt64(text) != nil {
            guard !number.hasSign else { throw ParseFault(.uncertainType) }
            return .uint64
        }
        return tooLarge
    }

    // MARK: - Values within text

    /// - Returns: nil: what is there has no type, and all of the cell is a text; `Nothing` for NULL.
    private func value(_ cursor: inout SQLCursor, depth: Int) throws(ParseFault) -> DataType? {
        guard depth <= 32 else { throw ParseFault(.uncertainType) }
        cursor.skipSpace()
        guard cursor.p < cursor.end else { return nil }
        switch cursor.p.pointee {
        case UInt8(ascii: "["): return try list(&cursor, depth).map { .array($0) }
        case UInt8(ascii: "("): return try tuple(&cursor, depth)
        case UInt8(ascii: "{"): return try map(&cursor, depth)
        case UInt8(ascii: "'"): return try text(&cursor)
        // What no value is ClickHouse may take for a 0.
        case UInt8(ascii: ","), UInt8(ascii: ":"), UInt8(ascii: "]"), UInt8(ascii: "}"), UInt8(ascii: ")"):
            throw ParseFault(.uncertainType)
        default: return try word(cursor.takeWord())
        }
    }

    private func text(_ cursor: inout SQLCursor) throws(ParseFault) -> DataType? {
        var text = ByteRun()
        defer { text.deallocate() }
        let start = cursor.p
        guard (try? cursor.takeString(into: &text)) != nil else { return nil }
        let raw = UnsafeRawBufferPointer(start: start + 1, count: cursor.p - start - 2)
        // A doubled quote ends the text there, and another one begins.
        var rest = raw[...]
        while let special = rest.firstIndex(where: { $0 == UInt8(ascii: "\\") || $0 == UInt8(ascii: "'") }) {
            guard raw[special] != UInt8(ascii: "'") else { return nil }
            rest = rest[(special + 1)...].dropFirst()
        }
        // Escapes in what may be a time are not looked at.
        guard !raw.contains(UInt8(ascii: "\\")) else {
            guard !text.bytes.contains(where: { $0 &- 0x30 <= 9 }) else { throw ParseFault(.uncertainType) }
            return .string
        }
        return try time(raw) ?? .string
    }

    private func word(_ bytes: UnsafeRawBufferPointer) throws(ParseFault) -> DataType? {
        let word = String(decoding: bytes, as: UTF8.self)
        switch word.lowercased() {
        case "null": return .nothing
        case "true", "false":
            guard word == word.lowercased() else { throw ParseFault(.uncertainType) }
            return .bool
        default: break
        }
        guard let number = Number(bytes) else {
            try refuseHalfWord(bytes)
            return nil
        }
        guard number.kind == .integer else { return .float64 }
        guard let type = try integer(bytes, number, tooLarge: nil) else { throw ParseFault(.uncertainType) }
        return type
    }

    /// The type that is common to an array's values, `Nothing` where there are none or NULLs only.
    private func list(_ cursor: inout SQLCursor, _ depth: Int) throws(ParseFault) -> DataType? {
        guard let types = try values(&cursor, "[", "]", depth) else { return nil }
        return try common(types, takesNull: true)
    }

    private func tuple(_ cursor: inout SQLCursor, _ depth: Int) throws(ParseFault) -> DataType? {
        guard let types = try values(&cursor, "(", ")", depth) else { return nil }
        guard types.count > 1, !types.contains(where: { $0.hasIncompletePart }) else {
            throw ParseFault(.uncertainType)
        }
        return .tuple(types.map { TupleElement(name: nil, type: $0) })
    }

    private func map(_ cursor: inout SQLCursor, _ depth: Int) throws(ParseFault) -> DataType? {
        var (keys, values): ([DataType], [DataType]) = ([], [])
        let isMap = try parts(&cursor, "{", "}") { (cursor) throws(ParseFault) in
            guard note(&keys, try value(&cursor, depth: depth + 1)) else { return false }
            cursor.skipSpace()
            guard cursor.take(UInt8(ascii: ":")) else { return false }
            return note(&values, try value(&cursor, depth: depth + 1))
        }
        guard isMap, let key = try common(keys, takesNull: false), let value = try common(values, takesNull: false)
        else {
            return nil
        }
        if keys.isEmpty { return .map(key: .string, value: .nothing) }
        guard key == .string || key == .int64 else { throw ParseFault(.uncertainType) }
        return .map(key: key, value: value)
    }

    private func values(
        _ cursor: inout SQLCursor, _ open: Unicode.Scalar, _ close: Unicode.Scalar, _ depth: Int
    ) throws(ParseFault) -> [DataType]? {
        var types: [DataType] = []
        let isWhole = try parts(&cursor, open, close) { (cursor) throws(ParseFault) in
            note(&types, try value(&cursor, depth: depth + 1))
        }
        return isWhole ? types : nil
    }

    private func note(_ types: inout [DataType], _ found: DataType?) -> Bool {
        if let found { types.append(found) }
        return found != nil
    }

    /// Parts between brackets, with commas between them.
    ///
    /// - Returns: false, as `part` does: what is there has no type, and all of the cell is a text.
    private func parts(
        _ cursor: inout SQLCursor, _ open: Unicode.Scalar, _ close: Unicode.Scalar,
        _ part: (inout SQLCursor) throws(ParseFault) -> Bool
    ) throws(ParseFault) -> Bool {
        _ = cursor.take(UInt8(ascii: open))
        cursor.skipSpace()
        var isFirst = true
        while !cursor.take(UInt8(ascii: close)) {
            if !isFirst {
                guard cursor.take(UInt8(ascii: ",")) else { return false }
                try refuseEnd(&cursor)
            }
            guard try part(&cursor) else { return false }
            isFirst = false
            cursor.skipSpace()
        }
        return true
    }

    /// A comma behind which nothing follows: what becomes of it is not known.
    private func refuseEnd(_ cursor: inout SQLCursor) throws(ParseFault) {
        cursor.skipSpace()
        guard cursor.p < cursor.end,
            ![UInt8(ascii: "]"), UInt8(ascii: "}"), UInt8(ascii: ")")].contains(cursor.p.pointee)
        else { throw ParseFault(.uncertainType) }
    }

    /// - Returns: nil: there is none, and all of the cell is a text.
    private func common(_ types: [DataType], takesNull: Bool) throws(ParseFault) -> DataType? {
        let values = types.filter { $0 != .nothing }
        let hasNull = values.count < types.count
        guard let first = values.first else { return .nothing }
        guard !hasNull || takesNull else { throw ParseFault(.uncertainType) }
        let kinds = Set(values)
        var type = first
        if kinds.count > 1 {
            if kinds == [.int64, .float64] {
                guard takesNull else { throw ParseFault(.uncertainType) }
                type = .float64
            } else {
                // Texts among times are texts; other scalars have nothing in common, and of the rest it is not known.
                let times: Set<DataType> = [.date, .dateTime(timeZone: nil), .dateTime64(precision: 9, timeZone: nil)]
                if kinds.contains(.string), kinds.subtracting(times) == [.string], takesNull {
                    type = .string
                } else {
                    guard kinds.isSubset(of: [.string, .bool, .int64]) else { throw ParseFault(.uncertainType) }
                    return nil
                }
            }
        }
        guard hasNull else { return type }
        switch type {
        case .string, .bool, .int64, .float64: return .nullable(type)
        default: throw ParseFault(.uncertainType)
        }
    }

    /// How a text is a number: digits with a sign, a point, or a word for what is none.
    private struct Number {
        enum Kind { case integer, float }
        let kind: Kind
        var hasSign = false
        var digits = 0
        var startsWithZero = false

        init?(_ bytes: UnsafeRawBufferPointer) {
            var rest = bytes[...]
            if let first = rest.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") {
                hasSign = true
                rest = rest.dropFirst()
            }
            let whole = rest.prefix { $0 &- 0x30 <= 9 }
            digits = whole.count
            startsWithZero = whole.first == UInt8(ascii: "0")
            rest = rest.dropFirst(whole.count)
            if rest.isEmpty, digits > 0 {
                kind = .integer
                return
            }
            kind = .float
            if rest.first == UInt8(ascii: ".") {
                let fraction = rest.dropFirst().prefix { $0 &- 0x30 <= 9 }
                guard rest.count == fraction.count + 1, digits + fraction.count > 0 else { return nil }
                return
            }
            let word = String(decoding: rest, as: UTF8.self).lowercased()
            guard digits == 0, word == "nan" || word == "inf" || word == "infinity" else { return nil }
        }
    }
}

extension DataType {
    /// Of nothing, or of NULLs only: a text where it is all of a cell.
    fileprivate var isIncomplete: Bool {
        switch self {
        case .nothing, .array(.nothing), .map(_, .nothing): true
        default: false
        }
    }

    fileprivate var hasIncompletePart: Bool { contains { $0 == .nothing } }
}

extension CellWriter {
    /// A value of a Dynamic column: its type, and what that type reads.
    mutating func inferred(_ cell: CellText, _ inference: CellInference, namesElements: Bool) throws(ParseFault) {
        let type = try inference.type(of: cell)
        append("[")
        quotedName(type)
        append(",")
        try whole(cell.bytes, CellForm.of(type, namesElements: namesElements))
        append("]")
    }

    private mutating func quotedName(_ type: DataType) {
        var name = type.description
        name.withUTF8 { quoted(UnsafeRawBufferPointer($0)) }
    }
}
