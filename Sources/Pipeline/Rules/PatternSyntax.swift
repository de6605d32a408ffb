/// Why an expression cannot be used.
public struct TextPatternError: Error, Sendable, Hashable {
    public let message: String
}

/// A set of bytes.
struct ByteSet: Hashable, Sendable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    init() {}

    init(_ ranges: ClosedRange<UInt8>...) {
        for range in ranges { insert(range) }
    }

    mutating func insert(_ range: ClosedRange<UInt8>) {
        for byte in range { insert(byte) }
    }

    mutating func insert(_ byte: UInt8) {
        let bit: UInt64 = 1 << UInt64(byte & 63)
        switch byte >> 6 {
        case 0: words.0 |= bit
        case 1: words.1 |= bit
        case 2: words.2 |= bit
        default: words.3 |= bit
        }
    }

    func contains(_ byte: UInt8) -> Bool {
        let word =
            switch byte >> 6 {
            case 0: words.0
            case 1: words.1
            case 2: words.2
            default: words.3
            }
        return word >> UInt64(byte & 63) & 1 != 0
    }

    mutating func formUnion(_ other: ByteSet) {
        words = (
            words.0 | other.words.0, words.1 | other.words.1, words.2 | other.words.2, words.3 | other.words.3
        )
    }

    /// Of the bytes below 0x80, those that are not in it.
    var otherASCII: ByteSet {
        var result = ByteSet()
        (result.words.0, result.words.1) = (~words.0, ~words.1)
        return result
    }

    /// With both cases of each letter of ASCII.
    var caseless: ByteSet {
        var result = self
        for byte in UInt8(0x41)...0x5A where contains(byte) || contains(byte | 0x20) {
            result.insert(byte)
            result.insert(byte | 0x20)
        }
        return result
    }

    static func == (a: ByteSet, b: ByteSet) -> Bool { a.words == b.words }
    func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
        hasher.combine(words.2)
        hasher.combine(words.3)
    }

    static let digits = ByteSet(0x30...0x39)
    static let words = ByteSet(0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x5F...0x5F)
    /// As RE2's `\s`: no vertical tab.
    static let spaces = ByteSet(0x09...0x0A, 0x0C...0x0D, 0x20...0x20)
}

/// What an expression says.
indirect enum PatternNode: Sendable {
    case bytes(ByteSet)
    case sequence([PatternNode])
    case either([PatternNode])
    /// `most` nil: any number.
    case repeated(PatternNode, least: Int, most: Int?)
    case start, end

    /// A character of UTF-8 beyond ASCII.
    static let beyondASCII: PatternNode = {
        let tail = PatternNode.bytes(ByteSet(0x80...0xBF))
        func after(_ first: ClosedRange<UInt8>, _ second: ClosedRange<UInt8>, _ more: Int) -> PatternNode {
            .sequence([.bytes(ByteSet(first)), .bytes(ByteSet(second))] + Array(repeating: tail, count: more))
        }
        return .either([
            after(0xC2...0xDF, 0x80...0xBF, 0), after(0xE0...0xE0, 0xA0...0xBF, 1), after(0xE1...0xEC, 0x80...0xBF, 1),
            after(0xED...0xED, 0x80...0x9F, 1), after(0xEE...0xEF, 0x80...0xBF, 1), after(0xF0...0xF0, 0x90...0xBF, 2),
            after(0xF1...0xF3, 0x80...0xBF, 2), after(0xF4...0xF4, 0x80...0x8F, 2),
        ])
    }()

    /// All characters but some of ASCII.
    static func allBut(_ ascii: ByteSet) -> PatternNode { .either([.bytes(ascii.otherASCII), beyondASCII]) }

    static func character(_ scalar: Unicode.Scalar) -> PatternNode {
        .sequence(String(scalar).utf8.map { .bytes(ByteSet($0...$0)) })
    }
}

/// Reads expressions: a part of RE2's syntax.
struct PatternReader {
    /// Of `{n,m}`, as RE2 has it.
    static let repetitionsMax = 1000
    static let depthMax = 100

    private let text: [Unicode.Scalar]
    private var place = 0
    private var isCaseless = false
    private var depth = 0

    init(_ text: String) { self.text = Array(text.unicodeScalars) }

    mutating func read() throws(TextPatternError) -> PatternNode {
        if text.starts(with: "(?i)".unicodeScalars) {
            isCaseless = true
            place = 4
        }
        let node = try alternatives()
        guard place == text.count else { throw fault("a ) without its (") }
        return node
    }

    private func fault(_ message: String) -> TextPatternError {
        TextPatternError(message: "character \(min(place, text.count) + 1): \(message)")
    }

    private var next: Unicode.Scalar? { place < text.count ? text[place] : nil }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard next == scalar else { return false }
        place += 1
        return true
    }

    private mutating func alternatives() throws(TextPatternError) -> PatternNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthMax else { throw fault("groups are nested deeper than \(Self.depthMax)") }
        var branches = [try sequence()]
        while take("|") { branches.append(try sequence()) }
        return branches.count == 1 ? branches[0] : .either(branches)
    }

    private mutating func sequence() throws(TextPatternError) -> PatternNode {
        var nodes: [PatternNode] = []
        while let scalar = next, scalar != "|", scalar != ")" {
            let atom = try atom()
            nodes.append(try quantified(atom))
        }
        return nodes.count == 1 ? nodes[0] : .sequence(nodes)
    }

    private mutating func quantified(_ atom: PatternNode) throws(TextPatternError) -> PatternNode {
        let bounds: (least: Int, most: Int?)
        switch next {
        case "{":
            guard let found = try braces() else { return atom }
            bounds = found
        case "*", "+", "?":
            bounds = next == "*" ? (0, nil) : next == "+" ? (1, nil) : (0, 1)
            place += 1
        default: return atom
        }
        // As few as possible, or as many: it is the same where only a match counts.
        _ = take("?")
        let end = place
        var isRepeated = next == "*" || next == "+" || next == "?"
        if next == "{", try braces() != nil { isRepeated = true }
        guard !isRepeated else {
            place = end
            throw fault("a repetition cannot be repeated; use (?:…)")
        }
        return .repeated(atom, least: bounds.least, most: bounds.most)
    }

    /// `{n}`, `{n,}`, `{n,m}`; nil, and nothing is taken, where the brace stands for itself.
    private mutating func braces() throws(TextPatternError) -> (Int, Int?)? {
        let start = place
        place += 1
        let least = number()
        var most = least
        if least != nil, take(",") { most = next == "}" ? nil : number() ?? -1 }
        guard let least, most != -1, take("}") else {
            place = start
            return nil
        }
        guard max(least, most ?? 0) <= Self.repetitionsMax, least <= most ?? least else {
            throw fault("a repetition must be at most \(Self.repetitionsMax), its first number not above the second")
        }
        return (least, most)
    }

    private mutating func number() -> Int? {
        var digits = ""
        while let scalar = next, ("0"..."9").contains(scalar), digits.utf8.count < 6 {
            digits.unicodeScalars.append(scalar)
            place += 1
        }
        return Int(digits)
    }

    private mutating func atom() throws(TextPatternError) -> PatternNode {
        guard let scalar = next else { throw fault("something is missing") }
        switch scalar {
        case "(": return try group()
        case "[": return try characterClass()
        case "\\": return try escape()
        case "*", "+", "?": throw fault("\(scalar) has nothing to repeat")
        case ".":
            // A newline, too: as ClickHouse's `match` has it.
            place += 1
            return .allBut(ByteSet())
        case "^":
            place += 1
            return .start
        case "$":
            place += 1
            return .end
        default:
            place += 1
            // A brace that begins no repetition is one.
            return literal(scalar)
        }
    }

    private func literal(_ scalar: Unicode.Scalar) -> PatternNode {
        guard scalar.isASCII else { return .character(scalar) }
        let byte = UInt8(scalar.value)
        return .bytes(isCaseless ? ByteSet(byte...byte).caseless : ByteSet(byte...byte))
    }

    private mutating func group() throws(TextPatternError) -> PatternNode {
        place += 1
        if take("?") {
            guard take(":") else {
                throw fault("of groups with (? there are (?:…), and (?i) at the beginning")
            }
        }
        let inner = try alternatives()
        guard take(")") else { throw fault("a ( without its )") }
        return inner
    }

    /// What a backslash and a letter stand for, of ASCII.
    private func shorthand(_ scalar: Unicode.Scalar) -> (set: ByteSet, isNegated: Bool)? {
        switch scalar {
        case "d": (.digits, false)
        case "D": (.digits, true)
        case "w": (.words, false)
        case "W": (.words, true)
        case "s": (.spaces, false)
        case "S": (.spaces, true)
        default: nil
        }
    }

    private mutating func escape() throws(TextPatternError) -> PatternNode {
        place += 1
        guard let scalar = next else { throw fault("a backslash at the end") }
        if let (set, isNegated) = shorthand(scalar) {
            place += 1
            return isNegated ? .allBut(set) : .bytes(set)
        }
        switch scalar {
        case "A":
            place += 1
            return .start
        case "z":
            place += 1
            return .end
        default: return literal(try escapedCharacter())
        }
    }

    /// The character behind a backslash.
    private mutating func escapedCharacter() throws(TextPatternError) -> Unicode.Scalar {
        guard let scalar = next else { throw fault("a backslash at the end") }
        switch scalar {
        case "n", "t", "r", "f":
            place += 1
            return ["n": "\n", "t": "\t", "r": "\r", "f": "\u{0C}"][scalar] ?? scalar
        case "x":
            let digits = text.dropFirst(place + 1).prefix(2)
            guard digits.count == 2, let value = UInt8(String(String.UnicodeScalarView(digits)), radix: 16),
                value < 0x80
            else { throw fault("\\x takes two hexadecimal digits, up to 7F") }
            place += 3
            return Unicode.Scalar(value)
        case _ where scalar.isASCII && !scalar.properties.isAlphabetic && !("0"..."9").contains(scalar):
            place += 1
            return scalar
        default: throw fault("\\\(scalar) is not supported")
        }
    }

    private mutating func characterClass() throws(TextPatternError) -> PatternNode {
        place += 1
        let isNegated = take("^")
        var ascii = ByteSet()
        var others: [Unicode.Scalar] = []
        var isFirst = true
        while true {
            guard let scalar = next else { throw fault("a [ without its ]") }
            if scalar == "]", !isFirst { break }
            isFirst = false
            guard scalar != "[" || place + 1 >= text.count || text[place + 1] != ":" else {
                throw fault("classes with names, such as [:alpha:], are not supported")
            }
            if scalar == "\\", place + 1 < text.count, let (set, negated) = shorthand(text[place + 1]) {
                guard !negated else { throw fault("\\\(text[place + 1]) within brackets is not supported") }
                ascii.formUnion(set)
                place += 2
                continue
            }
            let low = try classCharacter()
            guard next == "-", place + 1 < text.count, text[place + 1] != "]" else {
                if low.isASCII { ascii.insert(UInt8(low.value)) } else { others.append(low) }
                continue
            }
            place += 1
            let high = try classCharacter()
            guard low.isASCII, high.isASCII else { throw fault("ranges beyond ASCII are not supported") }
            guard low <= high else { throw fault("a range ends before it begins") }
            ascii.insert(UInt8(low.value)...UInt8(high.value))
        }
        place += 1
        if isCaseless { ascii = ascii.caseless }
        guard isNegated else { return .either([.bytes(ascii)] + others.map { .character($0) }) }
        guard others.isEmpty else { throw fault("characters beyond ASCII in [^…] are not supported") }
        return .allBut(ascii)
    }

    private mutating func classCharacter() throws(TextPatternError) -> Unicode.Scalar {
        guard let scalar = next else { throw fault("a [ without its ]") }
        place += 1
        return scalar == "\\" ? try escapedCharacter() : scalar
    }
}
