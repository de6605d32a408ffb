import Foundation
import Pipeline

/// JSON that is only written. Keys keep their order, for people read these answers, too.
enum JSONValue: Sendable {
    case object([(String, JSONValue)])
    case array([JSONValue])
    case text(String)
    case whole(Int64)
    case count(UInt64)
    /// Rounded to so many decimal places, without an exponent: `0.000017`. What no JSON number can be is written as 0.
    case fraction(Double, places: Int)
    case flag(Bool)
    case null

    /// On one line, ended by a line break.
    var line: String {
        var text = ""
        write(to: &text)
        return text + "\n"
    }

    /// An error's body: a word for programs, and a sentence for people.
    static func error(_ code: String, _ message: String) -> JSONValue {
        .object([("error", .text(code)), ("message", .text(message))])
    }

    /// Without a line break at its end.
    func write(to text: inout String) {
        switch self {
        case .object(let members):
            text += "{"
            for (index, member) in members.enumerated() {
                if index > 0 { text += "," }
                text += JSONText.quoted(member.0)
                text += ":"
                member.1.write(to: &text)
            }
            text += "}"
        case .array(let items):
            text += "["
            for (index, item) in items.enumerated() {
                if index > 0 { text += "," }
                item.write(to: &text)
            }
            text += "]"
        case .text(let value): text += JSONText.quoted(value)
        case .whole(let value): text += String(value)
        case .count(let value): text += String(value)
        case .fraction(let value, let places): text += Self.fraction(value, places: places)
        case .flag(let value): text += value ? "true" : "false"
        case .null: text += "null"
        }
    }

    private static func fraction(_ value: Double, places: Int) -> String {
        guard value.isFinite else { return "0" }
        var digits = String(format: "%.\(places)f", value)
        guard digits.contains(".") else { return digits }
        while digits.hasSuffix("0") { digits.removeLast() }
        if digits.hasSuffix(".") { digits.removeLast() }
        return digits == "-0" ? "0" : digits
    }
}
