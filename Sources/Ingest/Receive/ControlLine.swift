import NIOCore
import Pipeline

/// What a session says about itself in its first line: `#sluice table=mstore`.
struct ControlLine: Hashable, Sendable {
    static let prefix = Array("#sluice ".utf8)
    /// Longest control line, in bytes, without its newline.
    static let bytesMax = 1024

    var table: TableName?

    /// - Parameter line: Begins with `prefix`; without its newline.
    static func parse(_ line: ByteBuffer) -> Result<ControlLine, ControlLineError> {
        guard let text = String(validating: line.readableBytesView, as: UTF8.self) else {
            return .failure(ControlLineError("the control line is not UTF-8"))
        }
        var control = ControlLine()
        var seen: Set<Substring> = []
        let words = text.dropFirst(prefix.count).split(whereSeparator: { $0 == " " || $0 == "\t" || $0.isNewline })
        for word in words {
            guard let equals = word.firstIndex(of: "=") else {
                return .failure(ControlLineError("\(quoted(word)) in the control line is not key=value"))
            }
            let key = word[..<equals]
            let value = word[word.index(after: equals)...]
            guard seen.insert(key).inserted else {
                return .failure(ControlLineError("key \(quoted(key)) twice in the control line"))
            }
            switch key {
            case "table":
                guard let table = TableName(parsing: value) else {
                    return .failure(ControlLineError("\(quoted(value)) is not the name of a table"))
                }
                control.table = table
            default:
                return .failure(
                    ControlLineError("unknown key \(quoted(key)) in the control line (there is: table)"))
            }
        }
        return .success(control)
    }

    /// Quoted for an answer of one line.
    private static func quoted(_ text: Substring) -> String {
        let shown = String(text).cut(toBytes: 64)
        return "\"" + String(String.UnicodeScalarView(shown.unicodeScalars.map { $0.value < 0x20 ? "?" : $0 })) + "\""
    }
}

/// What is wrong with a control line; one line, for the producer.
struct ControlLineError: Error, Hashable, Sendable, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
