import ClickHouseNative
import Foundation
import Ingest
import NIOCore
import Pipeline
import TestSupport
import Testing

/// Value by value against ClickHouse's own JSONEachRow: what is taken is what ClickHouse would have stored.
@Suite struct RowFidelityTests {
    /// A type, and values of all shapes for it as they stand in JSON.
    struct Border: Sendable {
        let type: String
        let values: [String]
        /// Of the values, those which ClickHouse takes and sluice refuses on purpose.
        var refused: Set<String> = []
    }

    /// What became of a value: the text of what was stored; nil: it was refused.
    private typealias Verdicts = [String: String]

    @Test(
        .timeLimit(.minutes(3)), .enabled { await ClickHouseServer.isAvailable(.modern) },
        arguments: [ValidateSettings.DateTimeFormat.bestEffort, .basic])
    func whatIsTakenIsWhatClickHouseWouldHaveStored(format: ValidateSettings.DateTimeFormat) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-rows-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }

        var borders = RowBorders.all
        if format == .basic { borders = borders.filter { $0.type.contains("Time") } }
        var sql = "SET date_time_input_format = '\(format.rawValue)', session_timezone = 'UTC', "
        sql += "input_format_allow_errors_num = 1000000, allow_suspicious_low_cardinality_types = 1;\n"
        for (number, border) in borders.enumerated() {
            let lines = border.values.enumerated().map { "{\"n\":\($0.offset),\"v\":\($0.element)}" }
            try Data((lines.joined(separator: "\n") + "\n").utf8).write(
                to: folder.appendingPathComponent("\(number).ndjson"))

            var fixture = try RowFixture([("n", "UInt32", nil), ("v", border.type, nil)])
            fixture.settings.input.dateTimeInputFormat = format
            let outcome = try fixture.read(lines)
            #expect(outcome.blocks.reduce(0) { $0 + $1.rows } + outcome.rejections.count == lines.count)
            for block in outcome.blocks {
                try Data(block.native).write(to: folder.appendingPathComponent("\(number).native"))
            }
            let type = border.type.replacing("\\", with: "\\\\").replacing("'", with: "\\'")
            let theirs = "file('\(folder.path)/\(number).ndjson', JSONEachRow, 'n UInt32, v \(type)')"
            sql += "SELECT 'theirs', \(number), n, hex(toString(v)) FROM \(theirs);\n"
            guard !outcome.blocks.isEmpty else { continue }
            sql +=
                "SELECT 'ours', \(number), n, hex(toString(v)) FROM file('\(folder.path)/\(number).native', Native);\n"
        }
        let answer = try await ClickHouseOracle.query(sql)
        var found: [String: Verdicts] = ["theirs": [:], "ours": [:]]
        for line in answer.split(separator: "\n") {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
            found[String(fields[0])]?["\(fields[1]) \(fields[2])"] = String(fields[3])
        }
        for (number, border) in borders.enumerated() {
            for (place, value) in border.values.enumerated() {
                let key = "\(number) \(place)"
                let theirs = found["theirs"]?[key]
                let ours = found["ours"]?[key]
                if let ours {
                    #expect(ours.text == theirs?.text, "\(border.type) \(value)")
                } else if format == .bestEffort {
                    #expect(
                        (theirs != nil) == border.refused.contains(value),
                        "\(border.type) \(value) is refused; ClickHouse reads \(theirs?.text ?? "nothing")")
                }
            }
        }
    }
}

extension String {
    /// Of hexadecimal digits, as far as it is UTF-8.
    fileprivate var text: String {
        var bytes: [UInt8] = []
        var rest = self[...]
        while let byte = UInt8(rest.prefix(2), radix: 16) {
            bytes.append(byte)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self) ?? self
    }
}
