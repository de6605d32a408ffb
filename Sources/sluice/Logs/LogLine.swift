import Foundation
import Logging
import Pipeline

/// One log entry as a line of text or JSON. Whatever producers and servers put into it, it stays one line, and a terminal
/// does not obey it.
struct LogLine {
    /// Of a message or value; what is longer is cut off.
    static let valueBytesMax = 4 << 10

    let time: Date
    let level: Logger.Level
    let message: String
    let metadata: Logger.Metadata

    func formatted(as format: LogSettings.Format) -> String {
        switch format {
        case .text: text
        case .json: json
        }
    }

    /// `2026-11-23T13:00:00.123Z info receive: listening path=/run/sluice.sock mode=660`
    private var text: String {
        var line = "\(timestamp) \(level.rawValue) "
        if let stage = metadata["stage"] { line += Self.word("\(stage)") + ": " }
        line += Self.escaped(Self.cut(message))
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) where key != "stage" {
            line += " \(Self.word(key))=\(Self.word("\(value)"))"
        }
        return line + "\n"
    }

    /// `{"time":"…","level":"info","stage":"receive","message":"listening","mode":"660"}`
    private var json: String {
        var line = "{\"time\":\"\(timestamp)\",\"level\":\"\(level.rawValue)\""
        if let stage = metadata["stage"] { line += ",\"stage\":\(Self.quoted("\(stage)"))" }
        line += ",\"message\":\(Self.quoted(message))"
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) where key != "stage" {
            let isTaken = ["time", "level", "message"].contains(key)
            line += ",\(Self.quoted(isTaken ? key + "_" : key)):\(Self.quoted("\(value)"))"
        }
        return line + "}\n"
    }

    private var timestamp: String {
        time.formatted(
            .iso8601.year().month().day().time(includingFractionalSeconds: true).timeZone(separator: .omitted))
    }

    /// Bare when it is one plain word, quoted otherwise.
    private static func word(_ value: String) -> String {
        let isPlain =
            !value.isEmpty && value.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x3D && $0 != 0x5C }
        return isPlain ? cut(value) : quoted(value)
    }

    /// As JSON writes strings.
    private static func quoted(_ value: String) -> String { "\"" + escaped(cut(value), quotes: true) + "\"" }

    static func escaped(_ value: String, quotes: Bool = false) -> String {
        var text = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"" where quotes: text += "\\\""
            case "\\" where quotes: text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case _ where mustBeEscaped(scalar):
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16)
                    text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }

    /// Control characters, line separators, and what turns the direction of text around.
    private static func mustBeEscaped(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }

    static func cut(_ value: String) -> String {
        guard value.utf8.count > valueBytesMax else { return value }
        // What the cut leaves of a character at the end becomes a replacement character.
        return String(decoding: value.utf8.prefix(valueBytesMax), as: UTF8.self) + "…"
    }
}
