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
    }

    /// A value as text, and as JSON: the one tells nan from null, the other texts from numbers.
    private static let cell = "hex(ifNull(toString(v), 'NULL') || ' ' || formatRow('JSONCompactEachRow', v))"

    /// What the oracle needs to have every type, and times of types without a zone in UTC.
    private static let settings = [
        "session_timezone": "UTC", "allow_suspicious_low_cardinality_types": "1", "allow_suspicious_variant_types": "1",
        "allow_experimental_nullable_tuple_type": "1", "enable_time_time64_type": "1",
    ]

    @Test(
        .timeLimit(.minutes(5)), .enabled { await ClickHouseServer.isAvailable(.modern) },
        arguments: [ValidateSettings.DateTimeFormat.bestEffort, .basic])
    func whatIsTakenIsWhatClickHouseWouldHaveStored(format: ValidateSettings.DateTimeFormat) async throws {
        let server = try await ClickHouseServer.modern()
        let borders = RowBorders.all.filter { format == .bestEffort || $0.type.contains("Time") }
        let ours = try await self.ours(borders, format)
        await withTaskGroup(of: Void.self) { group in
            for (border, ours) in zip(borders, ours) {
                group.addTask {
                    for (value, ours) in zip(border.values, ours) {
                        let theirs = await theirs(value, border.type, format, server)
                        // What is refused is in the dead letter and can be mended; what is stored wrongly cannot.
                        guard let ours, ours != theirs, !isKinder(border.type, value, theirs) else { continue }
                        Issue.record(
                            "\(border.type) \(value): \(ours) is stored, ClickHouse reads \(theirs ?? "nothing")")
                    }
                }
            }
        }
    }

    /// What ClickHouse finds in the blocks that sluice makes of each value; nil: it was refused.
    private func ours(
        _ borders: [Border], _ format: ValidateSettings.DateTimeFormat
    ) async throws -> [[String?]] {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-rows-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var sql = "SET \(Self.settings.map { "\($0.key) = '\($0.value)'" }.joined(separator: ", "));\n"
        for (number, border) in borders.enumerated() {
            var fixture = try RowFixture([("n", "UInt32", nil), ("v", border.type, nil)])
            fixture.settings.input.dateTimeInputFormat = format
            let outcome = try fixture.read(
                border.values.enumerated().map { "{\"n\":\($0.offset),\"v\":\($0.element)}" })
            #expect(outcome.rows.count + outcome.rejections.count == border.values.count)
            for block in outcome.blocks {
                let file = folder.appendingPathComponent("\(number).native")
                try Data(block.native).write(to: file)
                sql += "SELECT \(number), n, \(Self.cell) FROM file('\(file.path)', Native);\n"
            }
        }
        var found = borders.map { [String?](repeating: nil, count: $0.values.count) }
        for line in try await ClickHouseOracle.query(sql).split(separator: "\n") {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
            guard fields.count == 3, let number = Int(fields[0]), let place = Int(fields[1]) else { continue }
            found[number][place] = fields[2].text
        }
        return found
    }

    /// What sluice takes and ClickHouse does not, though there is but one meaning: a zero with a sign or an exponent, and
    /// a bare `nan`. For a null in the place of an enumeration ClickHouse stores 0 even where no member has it, and
    /// fails when that is read; sluice stores the column's default.
    private func isKinder(_ type: String, _ value: String, _ theirs: String?) -> Bool {
        guard theirs == nil else { return false }
        return ["-0", "0e100", "nan"].contains(value) || type.contains("Enum") && ["null", "[null]"].contains(value)
    }

    /// What ClickHouse itself makes of a value; nil: it refuses it.
    private func theirs(
        _ value: String, _ type: String, _ format: ValidateSettings.DateTimeFormat, _ server: ClickHouseServer
    ) async -> String? {
        func quoted(_ text: String) -> String {
            "'" + text.replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'"
        }
        let row = quoted("{\"v\":\(value)}\n")
        let sql = "SELECT \(Self.cell) FROM format(JSONEachRow, \(quoted("v " + type)), \(row)) FORMAT TSVRaw"
        var settings = Self.settings
        settings["date_time_input_format"] = format.rawValue
        return try? await server.query(sql, settings: settings).dropLast().text
    }
}

extension Substring {
    /// Of hexadecimal digits, as far as it is UTF-8.
    fileprivate var text: String {
        var bytes: [UInt8] = []
        var rest = self
        while let byte = UInt8(rest.prefix(2), radix: 16) {
            bytes.append(byte)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self) ?? String(self)
    }
}
