// Unsafe by design: reads and writes bytes of the buffer that it is lent, and no others.

/// Text of JSON on one line: rows go on as lines, and in a dead letter a row is one.
enum JSONLine {
    /// Turns line breaks between tokens, which are blank space, into spaces. A raw one within a string is none that
    /// JSON has, nor ClickHouse (its parser refuses it).
    ///
    /// - Returns: false where one stands within a string: the text stays as far as it was looked at then.
    static func joinLines(_ text: UnsafeMutableRawBufferPointer) -> Bool {
        forEachBreak(UnsafeRawBufferPointer(text)) { text[$0] = 0x20 }
    }

    /// Whether a line break stands within a string.
    static func hasBrokenString(_ text: UnsafeRawBufferPointer) -> Bool { !forEachBreak(text) { _ in } }

    /// - Returns: false where a line break stands within a string; what is behind it is not looked at.
    private static func forEachBreak(_ text: UnsafeRawBufferPointer, _ found: (Int) -> Void) -> Bool {
        var place = 0
        var isInString = false
        while place < text.count {
            switch text[place] {
            case UInt8(ascii: "\""): isInString.toggle()
            // What is escaped ends no string; a line break behind a backslash is looked at like any other.
            case UInt8(ascii: "\\") where isInString && place + 1 < text.count && text[place + 1] != 0x0A: place += 1
            case 0x0A:
                guard !isInString else { return false }
                found(place)
            default: break
            }
            place += 1
        }
        return true
    }
}
