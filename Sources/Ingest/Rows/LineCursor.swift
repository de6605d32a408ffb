// Unsafe by design. The invariant: a cursor moves over [start, end) whose last byte is a newline. No token of JSON goes
// over a newline, so every loop below stops at the latest there; and the cursor never moves past a byte that has not
// been looked at and found not to be a newline (but for whole spans that a scan has delimited). Reads of more than one
// byte compare with `end` first. Hence no read is outside the input.

import CSluice

typealias Bytes = UnsafePointer<UInt8>

/// Reads JSON's tokens from lines.
struct LineCursor {
    var p: Bytes
    let end: Bytes

    @inline(__always)
    init(_ p: Bytes, end: Bytes) {
        self.p = p
        self.end = end
    }

    @inline(__always)
    mutating func skipSpace() {
        while p.pointee <= 0x20, p.pointee == 0x20 || p.pointee == 0x09 || p.pointee == 0x0D { p += 1 }
    }

    @inline(__always)
    mutating func take(_ byte: UInt8) -> Bool {
        guard p.pointee == byte else { return false }
        p += 1
        return true
    }

    /// A word such as `null`, whose first byte was seen.
    mutating func takeWord(_ word: StaticString) -> Bool {
        let length = word.utf8CodeUnitCount
        guard end - p > length, memcmp(p, word.utf8Start, length) == 0 else { return false }
        p += length
        return true
    }

    /// A word whose letters may be of either case.
    mutating func takeLetters(_ word: StaticString) -> Bool {
        let length = word.utf8CodeUnitCount
        guard end - p > length else { return false }
        for place in 0..<length where p[place] | 0x20 != word.utf8Start[place] { return false }
        p += length
        return true
    }

    /// The plain inside of a string whose opening quote is at `p`; nil (and nothing moves) when it has escapes.
    /// Control characters other than a newline are part of it, as ClickHouse has it (IO/ReadHelpers.cpp).
    @inline(__always)
    mutating func plainString() throws(ParseFault) -> UnsafeRawBufferPointer? {
        let start = p + 1
        var q = sluice_scan_string(start, end)!
        while q.pointee < 0x20 {
            guard q.pointee != 0x0A else { throw ParseFault(.unterminatedString) }
            q = sluice_scan_string(q + 1, end)!
        }
        guard q.pointee == UInt8(ascii: "\"") else { return nil }
        p = q + 1
        return UnsafeRawBufferPointer(start: start, count: q - start)
    }

    /// Moves over the string whose opening quote is at `p`.
    mutating func skipString() throws(ParseFault) {
        var q = p + 1
        while true {
            q = sluice_scan_string(q, end)!
            switch q.pointee {
            case UInt8(ascii: "\""):
                p = q + 1
                return
            case UInt8(ascii: "\\"):
                guard q[1] != 0x0A else { throw ParseFault(.unterminatedString) }
                q += 2
            case 0x0A: throw ParseFault(.unterminatedString)
            default: q += 1
            }
        }
    }

    /// Moves over a value of any kind.
    ///
    /// - Parameter depthMax: deepest nesting of objects and arrays.
    mutating func skipValue(depthMax: Int) throws(ParseFault) {
        var open = OpenBrackets()
        while true {
            skipSpace()
            switch p.pointee {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                let isObject = p.pointee == UInt8(ascii: "{")
                p += 1
                skipSpace()
                if p.pointee == (isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) {
                    p += 1
                    break
                }
                guard open.count < depthMax else { throw ParseFault(.tooDeep) }
                open.append(isObject)
                if isObject { try skipKey() }
                continue
            case UInt8(ascii: "\""): try skipString()
            case UInt8(ascii: "t"): guard takeWord("true") else { throw ParseFault(.malformed) }
            case UInt8(ascii: "f"): guard takeWord("false") else { throw ParseFault(.malformed) }
            case UInt8(ascii: "n"): guard takeWord("null") else { throw ParseFault(.malformed) }
            default: try skipNumber()
            }
            // Behind a value: close what ends here, or go on with the next.
            while true {
                guard open.count > 0 else { return }
                let isObject = open.isObject
                skipSpace()
                if take(UInt8(ascii: ",")) {
                    skipSpace()
                    if isObject { try skipKey() }
                    break
                }
                guard take(isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) else { throw ParseFault(.malformed) }
                open.removeLast()
            }
        }
    }

    private mutating func skipKey() throws(ParseFault) {
        guard p.pointee == UInt8(ascii: "\"") else { throw ParseFault(.malformed) }
        try skipString()
        skipSpace()
        guard take(UInt8(ascii: ":")) else { throw ParseFault(.malformed) }
    }

    /// A number as ClickHouse passes over one: signs, points and leading zeros stand where JSON has none, but there are
    /// digits, and digits behind an `e`.
    mutating func skipNumber() throws(ParseFault) {
        if p.pointee == UInt8(ascii: "-") || p.pointee == UInt8(ascii: "+") { p += 1 }
        var digits = skipDigits()
        if take(UInt8(ascii: ".")) { digits += skipDigits() }
        guard digits > 0 else { throw ParseFault(.malformed) }
        if p.pointee | 0x20 == UInt8(ascii: "e") {
            p += 1
            if p.pointee == UInt8(ascii: "-") || p.pointee == UInt8(ascii: "+") { p += 1 }
            guard skipDigits() > 0 else { throw ParseFault(.malformed) }
        }
        switch p.pointee {
        case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"), UInt8(ascii: "-"), UInt8(ascii: "+"):
            throw ParseFault(.malformed)
        default: return
        }
    }

    private mutating func skipDigits() -> Int {
        let start = p
        while p.pointee &- 0x30 <= 9 { p += 1 }
        return p - start
    }

    /// The rest of the line, without its newline; the cursor is left at the next line.
    mutating func takeLine() -> UnsafeRawBufferPointer {
        let start = p
        let newline = Bytes(memchr(p, 0x0A, end - p)!.assumingMemoryBound(to: UInt8.self))
        p = newline + 1
        return UnsafeRawBufferPointer(start: start, count: newline - start)
    }

    /// A scalar ends here: nothing that belongs to it follows.
    @inline(__always)
    var isAtDelimiter: Bool {
        Self.isDelimiter(p.pointee)
    }

    @inline(__always)
    static func isDelimiter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), 0x20, 0x09, 0x0A, 0x0D: true
        default: false
        }
    }
}

/// What is open while a value is passed over: no memory but for what is deeper than most.
private struct OpenBrackets {
    /// The innermost in the lowest bit: 1 for an object, 0 for an array.
    private var kinds: UInt64 = 0
    /// Those outside of the 64 in `kinds`, by 64.
    private var outer: [UInt64] = []
    private(set) var count = 0

    var isObject: Bool { kinds & 1 != 0 }

    mutating func append(_ isObject: Bool) {
        if count > 0, count % 64 == 0 { outer.append(kinds) }
        kinds = kinds << 1 | (isObject ? 1 : 0)
        count += 1
    }

    mutating func removeLast() {
        count -= 1
        kinds >>= 1
        if count > 0, count % 64 == 0 { kinds = outer.removeLast() }
    }
}
