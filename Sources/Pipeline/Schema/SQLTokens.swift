/// Words and signs of ClickHouse's SQL, as far as CREATE TABLE needs them.
struct SQLToken: Equatable {
    enum Kind: Equatable {
        /// A bare word: keyword or identifier.
        case word
        /// In backticks or double quotes; always an identifier.
        case quotedName
        case string
        case number
        /// One byte of anything else.
        case sign(UInt8)
    }

    let kind: Kind
    /// Without quotes and escapes for names and strings, as written otherwise.
    let text: String
    /// Byte offsets in the source.
    let range: Range<Int>

    func isWord(_ keyword: String) -> Bool { kind == .word && text.uppercased() == keyword }
    func isSign(_ sign: Unicode.Scalar) -> Bool { kind == .sign(UInt8(ascii: sign)) }
}

/// Cuts SQL into tokens; comments and space fall away.
struct SQLTokenizer {
    struct Failure: Error, Equatable {
        let message: String
        let offset: Int
    }

    private let bytes: [UInt8]
    private var position = 0
    private var tokens: [SQLToken] = []

    static func tokens(of bytes: [UInt8]) throws(Failure) -> [SQLToken] {
        var tokenizer = SQLTokenizer(bytes: bytes)
        try tokenizer.run()
        return tokenizer.tokens
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private mutating func run() throws(Failure) {
        if starts(with: "\u{FEFF}") { position = 3 }
        while position < bytes.count {
            let start = position
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0B, 0x0C, 0x0D: position += 1
            case _ where starts(with: "--") || starts(with: "#!") || starts(with: "# "): skip(to: 0x0A)
            case _ where starts(with: "/*"): try skipBlockComment()
            case UInt8(ascii: "`"), UInt8(ascii: "\""):
                let name = try quoted("quoted name")
                add(.quotedName, name, from: start)
            case UInt8(ascii: "'"):
                let text = try quoted("string")
                add(.string, text, from: start)
            case let byte where Self.isDigit(byte):
                // `1e-5` is cut in three, which does no harm: texts are put together again from the source.
                position = end { Self.isDigit($0) || Self.isLetter($0) || $0 == UInt8(ascii: ".") }
                add(.number, from: start)
            case let byte where Self.isLetter(byte):
                position = end { Self.isDigit($0) || Self.isLetter($0) }
                add(.word, from: start)
            case let byte:
                position += 1
                add(.sign(byte), from: start)
            }
        }
    }

    private mutating func add(_ kind: SQLToken.Kind, _ text: String? = nil, from start: Int) {
        let range = start..<position
        let text = text ?? String(decoding: bytes[range], as: UTF8.self)
        tokens.append(SQLToken(kind: kind, text: text, range: range))
    }

    private func starts(with text: String) -> Bool { bytes[position...].starts(with: text.utf8) }

    private func end(_ belongs: (UInt8) -> Bool) -> Int {
        bytes[position...].firstIndex { !belongs($0) } ?? bytes.count
    }

    private mutating func skip(to byte: UInt8) { position = end { $0 != byte } }

    private mutating func skipBlockComment() throws(Failure) {
        let start = position
        position += 2
        while position < bytes.count {
            if starts(with: "*/") {
                position += 2
                return
            }
            position += 1
        }
        throw Failure(message: "the comment has no end", offset: start)
    }

    /// A quote within is doubled or has a backslash before it.
    private mutating func quoted(_ what: String) throws(Failure) -> String {
        let start = position
        let quote = bytes[position]
        var content: [UInt8] = []
        position += 1
        while position < bytes.count {
            let byte = bytes[position]
            let next = position + 1 < bytes.count ? bytes[position + 1] : nil
            position += 1
            if byte == quote {
                guard next == quote else { return String(decoding: content, as: UTF8.self) }
                position += 1
            } else if byte == UInt8(ascii: "\\"), let next {
                content.append(Self.escapes[next] ?? next)
                position += 1
                continue
            }
            content.append(byte)
        }
        throw Failure(message: "the \(what) has no end", offset: start)
    }

    private static let escapes: [UInt8: UInt8] = [
        UInt8(ascii: "n"): 0x0A, UInt8(ascii: "t"): 0x09, UInt8(ascii: "r"): 0x0D, UInt8(ascii: "0"): 0,
        UInt8(ascii: "b"): 0x08, UInt8(ascii: "f"): 0x0C,
    ]

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    /// `_` and all of non-ASCII count as letters.
    private static func isLetter(_ byte: UInt8) -> Bool {
        (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == 0x5F || byte >= 0x80
    }
}
