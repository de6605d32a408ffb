// Unsafe by design: reads the bytes of a cell, [p, end), and compares with `end` before each; none is written to. `out` belongs
// to whoever made the writer.

import CSluice
import ClickHouseNative

/// Writes values of cells as JSON.
///
/// It says what a text stands for and leaves it to the reader of JSON whether that is a value of the column: so rows of all formats are
/// held to the same.
struct CellWriter {
    var out = ByteRun()
    /// A cell whose quotes or escapes were undone.
    private var text = ByteRun()

    mutating func deallocate() {
        out.deallocate()
        text.deallocate()
    }

    // MARK: - Cells

    /// A cell of CSV that is one value.
    mutating func csv(_ cell: Cell, _ form: CellForm) throws(ParseFault) {
        if case .string = form.kind, !cell.hasDoubledQuotes { return quoted(cell.bytes) }
        // ClickHouse looks for the delimiter right behind the word.
        if case .bool = form.kind, cell.endsInBlanks { throw ParseFault(.notABool) }
        if form.isChosen { return try chosen(cell, form) }
        try whole(undoubled(cell), form)
    }

    /// What stands between the quotes of a cell; may be in `text`.
    mutating func undoubled(_ cell: Cell) -> UnsafeRawBufferPointer {
        guard cell.hasDoubledQuotes else { return cell.bytes }
        text.truncate(to: 0)
        var wasQuote = false
        for byte in cell.bytes {
            wasQuote = byte == UInt8(ascii: "\"") && !wasQuote
            if !wasQuote { text.append(byte) }
        }
        return text.bytes
    }

    /// A cell of TSV.
    mutating func tsv(_ bytes: UnsafeRawBufferPointer, _ form: CellForm) throws(ParseFault) {
        if form.isChosen { return try chosen(tsv: bytes, form) }
        switch form.kind {
        case .string, .name, .json:
            guard let base = bytes.baseAddress, memchr(base, 0x5C, bytes.count) != nil else {
                return try whole(bytes, form)
            }
            text.truncate(to: 0)
            var cursor = SQLCursor(bytes)
            while cursor.p < cursor.end { try cursor.takeCharacter(into: &text) }
            try whole(text.bytes, form)
        default: try whole(bytes, form)
        }
    }

    /// All of a cell is one value, its quotes and escapes undone.
    mutating func whole(_ bytes: UnsafeRawBufferPointer, _ form: CellForm) throws(ParseFault) {
        switch form.kind {
        case .string, .name: quoted(bytes)
        case .word, .time:
            guard !bytes.contains(UInt8(ascii: "\\")) else { throw ParseFault(.malformedCell) }
            quoted(bytes)
        case .integer, .decimal: try number(bytes, letters: false)
        case .float: try number(bytes, letters: true)
        case .bool: append(try BoolWord.value(of: bytes) ? "true" : "false")
        case .json: try json(bytes)
        case .array, .map, .tuple:
            // `text` may be what is read.
            var cursor = SQLCursor(bytes)
            try parts(&cursor, form)
            guard cursor.p == cursor.end else { throw ParseFault(.malformedCell) }
        // Those of a column are written elsewhere, and there are no others.
        case .unread, .alternatives, .inferred: throw ParseFault(.unreadType)
        }
    }

    // MARK: - Scalars

    mutating func append(_ word: StaticString) { out.append(word.utf8Start, count: word.utf8CodeUnitCount) }

    mutating func null() { append("null") }

    /// A JSON string of these bytes.
    mutating func quoted(_ bytes: UnsafeRawBufferPointer) {
        out.append(UInt8(ascii: "\""))
        if var p = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) {
            let end = p + bytes.count
            while p < end {
                let special = sluice_scan_string(p, end)!
                out.append(p, count: special - p)
                p = special
                guard p < end else { break }
                escaped(p.pointee)
                p += 1
            }
        }
        out.append(UInt8(ascii: "\""))
    }

    private mutating func escaped(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): append("\\\"")
        case UInt8(ascii: "\\"): append("\\\\")
        case 0x0A: append("\\n")
        // Other control characters are part of strings, as ClickHouse has it.
        default: out.append(byte)
        }
    }

    /// In quotes, so that it ends where the cell does.
    mutating func number(_ bytes: UnsafeRawBufferPointer, letters: Bool) throws(ParseFault) {
        guard let first = bytes.first else { throw ParseFault(.notANumber) }
        let hasSign = first == UInt8(ascii: "-") || first == UInt8(ascii: "+")
        let head = hasSign ? bytes.dropFirst().first ?? 0 : first
        // true and false are numbers of JSON only.
        guard head | 0x20 != UInt8(ascii: "t"), head | 0x20 != UInt8(ascii: "f") else { throw ParseFault(.notANumber) }
        let isPlain = bytes.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "e"),
                UInt8(ascii: "E"):
                true
            case 0x41...0x5A, 0x61...0x7A: letters
            default: false
            }
        }
        guard isPlain else { throw ParseFault(.notANumber) }
        out.append(UInt8(ascii: "\""))
        out.append(bytes)
        out.append(UInt8(ascii: "\""))
    }

    /// An object, as it stands.
    private mutating func json(_ bytes: UnsafeRawBufferPointer) throws(ParseFault) {
        guard let base = bytes.baseAddress else { throw ParseFault(.notAnObject) }
        let start = out.count
        out.append(bytes)
        if memchr(base, 0x0A, bytes.count) != nil {
            let copy = UnsafeMutableRawBufferPointer(start: out.base.unsafelyUnwrapped + start, count: bytes.count)
            guard JSONLine.joinLines(copy) else { throw ParseFault(.lineBreakInJSON) }
        }
        out.append(UInt8(0x0A))
        let first = UnsafeRawPointer(out.base.unsafelyUnwrapped + start).assumingMemoryBound(to: UInt8.self)
        var cursor = LineCursor(first, end: first + bytes.count + 1)
        cursor.skipSpace()
        guard cursor.p.pointee == UInt8(ascii: "{") else { throw ParseFault(.notAnObject) }
        // What is wrong within is found where it is read; here it must be one value.
        try cursor.skipValue(depthMax: .max)
        cursor.skipSpace()
        guard cursor.p.pointee == 0x0A else { throw ParseFault(.notAnObject) }
        out.truncate(to: out.count - 1)
    }

    // MARK: - Values within text

    /// A value as it stands in arrays, maps and tuples (ClickHouse's deserializeTextQuoted).
    mutating func value(_ cursor: inout SQLCursor, _ form: CellForm) throws(ParseFault) {
        if cursor.takeNull() { null() } else { try parts(&cursor, form) }
    }

    private mutating func parts(_ cursor: inout SQLCursor, _ form: CellForm) throws(ParseFault) {
        switch form.kind {
        case .array(let element):
            try list(&cursor, "[", "]") { writer, cursor, _ throws(ParseFault) in try writer.value(&cursor, element) }
        case .tuple(let elements, let keys): try tuple(&cursor, elements, keys)
        case .map(let key, let value):
            try list(&cursor, "{", "}") { writer, cursor, _ throws(ParseFault) in
                try writer.key(&cursor, key)
                cursor.skipSpace()
                guard cursor.take(UInt8(ascii: ":")) else { throw ParseFault(.malformedCell) }
                cursor.skipSpace()
                writer.out.append(UInt8(ascii: ":"))
                try writer.value(&cursor, value)
            }
        case .integer, .decimal: try number(cursor.takeWord(), letters: false)
        case .float: try number(cursor.takeWord(), letters: true)
        case .bool: append(try BoolWord.value(within: cursor.takeWord()) ? "true" : "false")
        case .time where cursor.p < cursor.end && cursor.p.pointee &- 0x30 <= 9:
            let digits = cursor.takeWord()
            guard digits.allSatisfy({ $0 &- 0x30 <= 9 }) else { throw ParseFault(.notATime) }
            out.append(digits)
        case .word, .time: quoted(try cursor.takePlainString())
        case .string, .name, .json:
            var text = ByteRun()
            defer { text.deallocate() }
            try cursor.takeString(into: &text)
            if case .json = form.kind { try json(text.bytes) } else { quoted(text.bytes) }
        case .unread, .alternatives, .inferred: throw ParseFault(.unreadType)
        }
    }

    /// JSON's keys are strings.
    private mutating func key(_ cursor: inout SQLCursor, _ form: CellForm) throws(ParseFault) {
        switch form.kind {
        case .string, .name, .word, .time:
            guard cursor.p < cursor.end, cursor.p.pointee == UInt8(ascii: "'") else { throw ParseFault(.malformedCell) }
            try value(&cursor, form)
        case .integer, .decimal, .float: try value(&cursor, form)
        default: throw ParseFault(.malformedCell)
        }
    }

    private mutating func list(
        _ cursor: inout SQLCursor, _ open: Unicode.Scalar, _ close: Unicode.Scalar,
        _ element: (inout CellWriter, inout SQLCursor, Int) throws(ParseFault) -> Void
    ) throws(ParseFault) {
        let (open, close) = (UInt8(ascii: open), UInt8(ascii: close))
        guard cursor.take(open) else { throw ParseFault(.malformedCell) }
        out.append(open)
        cursor.skipSpace()
        var count = 0
        while !cursor.take(close) {
            if count > 0 {
                guard cursor.take(UInt8(ascii: ",")) else { throw ParseFault(.malformedCell) }
                cursor.skipSpace()
                out.append(UInt8(ascii: ","))
            }
            try element(&self, &cursor, count)
            cursor.skipSpace()
            count += 1
        }
        out.append(close)
    }

    private mutating func tuple(
        _ cursor: inout SQLCursor, _ elements: [CellForm], _ keys: [[UInt8]]
    ) throws(ParseFault) {
        guard cursor.take(UInt8(ascii: "(")) else { throw ParseFault(.malformedCell) }
        openTuple(keys)
        for (place, element) in elements.enumerated() {
            cursor.skipSpace()
            if place > 0 {
                guard cursor.take(UInt8(ascii: ",")) else { throw ParseFault(.malformedCell) }
                cursor.skipSpace()
            }
            beginElement(place, keys)
            try value(&cursor, element)
        }
        cursor.skipSpace()
        // As a tuple of one element may be written.
        if elements.count == 1, cursor.take(UInt8(ascii: ",")) { cursor.skipSpace() }
        guard cursor.take(UInt8(ascii: ")")) else { throw ParseFault(.malformedCell) }
        closeTuple(keys)
    }

    mutating func openTuple(_ keys: [[UInt8]]) { append(keys.isEmpty ? "[" : "{") }
    mutating func closeTuple(_ keys: [[UInt8]]) { append(keys.isEmpty ? "]" : "}") }

    mutating func beginElement(_ place: Int, _ keys: [[UInt8]]) {
        if place > 0 { out.append(UInt8(ascii: ",")) }
        if !keys.isEmpty { key(keys[place]) }
    }

    mutating func key(_ bytes: [UInt8]) { bytes.withUnsafeBytes { out.append($0) } }
}

/// A cell of CSV.
struct Cell {
    /// Between its quotes, or without the blanks around it.
    var bytes: UnsafeRawBufferPointer
    var isQuoted: Bool
    var hasDoubledQuotes = false
    /// Blanks stood behind it.
    var endsInBlanks = false

    var isEmpty: Bool { !isQuoted && bytes.isEmpty }
    /// `\N`, which ClickHouse takes for a NULL only where the delimiter is right behind it.
    var isNull: Bool {
        !isQuoted && !endsInBlanks && bytes.count == 2 && bytes[0] == UInt8(ascii: "\\")
            && bytes[1] == UInt8(ascii: "N")
    }
}

/// The words that ClickHouse takes for true and false (SerializationBool.cpp).
private enum BoolWord {
    private static let words: [(text: [UInt8], value: Bool)] = [
        ("true", true), ("false", false), ("1", true), ("0", false), ("t", true), ("f", false), ("yes", true),
        ("y", true), ("no", false), ("n", false), ("on", true), ("off", false), ("enable", true), ("enabled", true),
        ("disable", false), ("disabled", false),
    ].map { (Array($0.utf8), $1) }

    static func value(of bytes: UnsafeRawBufferPointer) throws(ParseFault) -> Bool { try value(of: bytes, words[...]) }

    /// Of those that stand bare in an array, a map or a tuple.
    static func value(within bytes: UnsafeRawBufferPointer) throws(ParseFault) -> Bool {
        try value(of: bytes, words.prefix(4))
    }

    private static func value(
        of bytes: UnsafeRawBufferPointer, _ words: ArraySlice<(text: [UInt8], value: Bool)>
    ) throws(ParseFault) -> Bool {
        let found = words.first { word in
            word.text.count == bytes.count
                && zip(word.text, bytes).allSatisfy { $0 == $1 || $0 >= 0x61 && $0 == $1 | 0x20 }
        }
        guard let found else { throw ParseFault(.notABool) }
        return found.value
    }
}
