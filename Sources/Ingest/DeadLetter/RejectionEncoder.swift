import Foundation
import NIOCore
import Pipeline

/// A rejection as one line of JSON: `{"time","table","column","reason","message","session","producer",
/// "epoch","number","format","columns","types","delimiter","rows","row"|"row_base64","truncated","redacted"}`.
struct RejectionEncoder: Sendable {
    /// Longest message that is kept, in bytes; messages are ours, but names in them are not.
    static let messageBytesMax = 1024

    /// Original bytes kept of one row.
    let rowBytesMax: Int

    /// Appends the line and its newline.
    func encode(_ rejection: Rejection, time: String, into line: inout ByteBuffer) {
        let kept = keptBytes(of: rejection)
        line.reserveCapacity(minimumWritableBytes: kept.count + rejection.message.utf8.count + 192)
        line.writeStaticString("{\"time\":")
        line.writeJSONString(time.utf8)
        line.writeStaticString(",\"table\":")
        line.writeJSONString(optional: rejection.table?.description)
        line.writeStaticString(",\"column\":")
        line.writeJSONString(optional: rejection.column)
        line.writeStaticString(",\"reason\":")
        line.writeJSONString(rejection.reason.rawValue.utf8)
        line.writeStaticString(",\"message\":")
        line.writeJSONString(rejection.message.cut(toBytes: Self.messageBytesMax).utf8)
        line.writeStaticString(",\"session\":")
        line.writeString("\(rejection.session)")
        if let producer = rejection.producer, producer.isNamed {
            line.writeStaticString(",\"producer\":")
            line.writeJSONString(producer.name.utf8)
            line.writeString(",\"epoch\":\(producer.epoch)")
        }
        if let number = rejection.number { line.writeString(",\"number\":\(number)") }
        if let form = rejection.form { encode(form, into: &line) }
        if let rows = rejection.undividedRows { line.writeString(",\"rows\":\(rows)") }
        if String(validating: kept, as: UTF8.self) != nil {
            line.writeStaticString(",\"row\":")
            line.writeJSONString(kept)
        } else {
            line.writeStaticString(",\"row_base64\":\"")
            line.writeString(Data(kept).base64EncodedString())
            line.writeStaticString("\"")
        }
        if kept.count < rejection.length { line.writeString(",\"truncated\":\(rejection.length)") }
        if rejection.isRedacted { line.writeStaticString(",\"redacted\":true") }
        line.writeStaticString("}\n")
    }

    private func encode(_ form: SessionFormat, into line: inout ByteBuffer) {
        line.writeStaticString(",\"format\":")
        line.writeJSONString(form.format.bare.rawValue.utf8)
        if let columns = form.columns { Self.encode(columns, as: "columns", into: &line) }
        if form.format.isBinary, let types = form.types { Self.encode(types, as: "types", into: &line) }
        if form.format.isCSV, form.delimiter != UInt8(ascii: ",") {
            line.writeStaticString(",\"delimiter\":")
            line.writeJSONString([form.delimiter])
        }
    }

    private static func encode(_ names: [String], as key: String, into line: inout ByteBuffer) {
        line.writeString(",\"\(key)\":[")
        for (place, name) in names.enumerated() {
            if place > 0 { line.writeInteger(UInt8(ascii: ",")) }
            line.writeJSONString(name.utf8)
        }
        line.writeInteger(UInt8(ascii: "]"))
    }

    /// The beginning of the row; a cut does not go through a character, or a cut row of text would no longer be text.
    private func keptBytes(of rejection: Rejection) -> ArraySlice<UInt8> {
        let bytes = rejection.bytes.readableBytesView.prefix(rowBytesMax + 1)
        var kept = Array(bytes)[...]
        guard kept.count < rejection.length || kept.count > rowBytesMax else { return kept }
        kept = kept.prefix(rowBytesMax)
        // A character takes up to 4 bytes, of which all but the first are 0b10xx_xxxx.
        guard let start = kept.suffix(4).lastIndex(where: { $0 & 0b1100_0000 != 0b1000_0000 }) else { return kept }
        let needed =
            switch kept[start] {
            case 0xC2...0xDF: 2
            case 0xE0...0xEF: 3
            case 0xF0...0xF4: 4
            default: 1
            }
        return kept.endIndex - start < needed ? kept[..<start] : kept
    }
}

extension ByteBuffer {
    /// A JSON string of bytes that are UTF-8; all but quotes, backslashes and control characters stay as they are.
    mutating func writeJSONString(_ bytes: some Sequence<UInt8>) {
        writeInteger(UInt8(ascii: "\""))
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): writeBytes([UInt8(ascii: "\\"), byte])
            case UInt8(ascii: "\n"): writeStaticString("\\n")
            case UInt8(ascii: "\r"): writeStaticString("\\r")
            case UInt8(ascii: "\t"): writeStaticString("\\t")
            case 0..<0x20:
                let digits = Array("0123456789abcdef".utf8)
                writeStaticString("\\u00")
                writeBytes([digits[Int(byte >> 4)], digits[Int(byte & 15)]])
            default: writeInteger(byte)
            }
        }
        writeInteger(UInt8(ascii: "\""))
    }

    mutating func writeJSONString(optional text: String?) {
        guard let text else {
            writeStaticString("null")
            return
        }
        writeJSONString(text.utf8)
    }
}

extension String {
    /// The longest beginning of whole characters (Unicode scalars) with at most so many bytes.
    func cut(toBytes bytesMax: Int) -> String {
        guard utf8.count > bytesMax else { return self }
        var end = utf8.index(startIndex, offsetBy: bytesMax)
        while end > startIndex, end.samePosition(in: unicodeScalars) == nil { end = utf8.index(before: end) }
        return String(self[..<end])
    }
}

/// UTC with milliseconds, as people and ClickHouse read it (`2026-11-23T12:44:03.120Z`) or as it suits a file's name
/// (`20261123T124403.120Z`).
struct TimeText: Sendable {
    let text: String
    let name: String

    init(_ date: Date) {
        let milliseconds = Int64((date.timeIntervalSince1970 * 1000).rounded(.down))
        var seconds = time_t(milliseconds / 1000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func digits(_ value: some BinaryInteger, _ width: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, width - text.count)) + text
        }
        let year = digits(parts.tm_year + 1900, 4)
        let month = digits(parts.tm_mon + 1, 2)
        let day = digits(parts.tm_mday, 2)
        let hour = digits(parts.tm_hour, 2)
        let minute = digits(parts.tm_min, 2)
        let second = digits(parts.tm_sec, 2) + "." + digits(milliseconds % 1000, 3) + "Z"
        text = "\(year)-\(month)-\(day)T\(hour):\(minute):\(second)"
        name = "\(year)\(month)\(day)T\(hour)\(minute)\(second)"
    }
}
