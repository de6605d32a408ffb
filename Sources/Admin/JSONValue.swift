import Foundation

/// JSON that is only written. Keys keep their order, for people read these answers, too.
enum JSONValue: Sendable {
    case object([(String, JSONValue)])
    case array([JSONValue])
    case text(String)
    case whole(Int64)
    case count(UInt64)
    /// Rounded to so many decimal places, without an exponent: `0.000017`. What no JSON number can be is written as 0.
    case fraction(Double, places: Int)

    /// On one line, ended by a line break.
    var line: String {
        var text = ""
        write(to: &text)
        return text + "\n"
    }

    private func write(to text: inout String) {
        switch self {
        case .object(let members):
            text += "{"
            for (index, member) in members.enumerated() {
                if index > 0 { text += "," }
                Self.quote(member.0, to: &text)
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
        case .text(let value): Self.quote(value, to: &text)
        case .whole(let value): text += String(value)
        case .count(let value): text += String(value)
        case .fraction(let value, let places): text += Self.fraction(value, places: places)
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

    private static func quote(_ value: String, to text: inout String) {
        text += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
