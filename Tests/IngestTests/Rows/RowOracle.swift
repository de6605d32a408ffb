import Foundation
import Ingest
import Pipeline
import TestSupport

/// ClickHouse's own reading of values, and its view of blocks that sluice made: both as text that tells any two values apart.
struct RowOracle {
    let format: ValidateSettings.DateTimeFormat

    /// A value as text, and as JSON: the one tells nan from null, the other texts from numbers.
    private static let cell = "hex(ifNull(toString(v), 'NULL') || ' ' || formatRow('JSONCompactEachRow', v))"

    /// What the oracle needs to have every type, and times of types without a zone in UTC.
    private var settings: [String: String] {
        [
            "session_timezone": "UTC", "allow_suspicious_low_cardinality_types": "1",
            "allow_suspicious_variant_types": "1", "allow_experimental_nullable_tuple_type": "1",
            "enable_time_time64_type": "1", "date_time_input_format": format.rawValue, "max_query_size": "100000000",
            "input_format_parallel_parsing": "0",
        ]
    }

    /// What ClickHouse itself makes of values of a type; nil: it refuses the value.
    ///
    /// It passes over most bad rows. Some end the query: then it is asked for either half.
    func read(_ values: [String], as type: String, _ server: ClickHouseServer) async -> [String?] {
        if values.count <= 1 {
            var found: [String?] = []
            for value in values { found.append(await read(value, as: type, server)) }
            return found
        }
        if let found = try? await readAtOnce(values, as: type, server) { return found }
        let middle = values.count / 2
        return await read(Array(values[..<middle]), as: type, server)
            + read(Array(values[middle...]), as: type, server)
    }

    private func readAtOnce(_ values: [String], as type: String, _ server: ClickHouseServer) async throws -> [String?] {
        var settings = self.settings
        settings["input_format_allow_errors_num"] = "1000000000"
        settings["input_format_allow_errors_ratio"] = "1"
        let rows = values.enumerated().map { "{\"n\":\($0.offset),\"v\":\($0.element)}\n" }.joined()
        let answer = try await server.query(
            """
            SELECT n, \(Self.cell)
            FROM format(JSONEachRow, \(Self.quoted("n UInt32, v " + type)), \(Self.quoted(rows))) FORMAT TSVRaw
            """, settings: settings)
        var found = [String?](repeating: nil, count: values.count)
        for line in answer.split(separator: "\n") {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
            guard fields.count == 2, let place = Int(fields[0]), found.indices.contains(place) else { continue }
            found[place] = fields[1].text
        }
        return found
    }

    /// One value alone: neither what stands before it nor how ClickHouse goes on behind a bad row plays a part.
    func read(_ value: String, as type: String, _ server: ClickHouseServer) async -> String? {
        let sql = """
            SELECT \(Self.cell) FROM format(JSONEachRow, \(Self.quoted("v " + type)), \(Self.quoted("{\"v\":\(value)}\n")))
            FORMAT TSVRaw
            """
        return try? await server.query(sql, settings: settings).dropLast().text
    }

    /// What ClickHouse finds in the blocks that sluice makes of values, for each type; nil: sluice refused the value.
    func stored(_ borders: [RowFidelityTests.Border]) async throws -> [[String?]] {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-rows-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var sql = "SET " + settings.map { "\($0.key) = '\($0.value)'" }.joined(separator: ", ") + ";\n"
        for (number, border) in borders.enumerated() {
            var fixture = try RowFixture([("n", "UInt32", nil), ("v", border.type, nil)])
            fixture.settings.input.dateTimeInputFormat = format
            fixture.isPrinted = false
            let outcome = try fixture.read(
                border.values.enumerated().map { "{\"n\":\($0.offset),\"v\":\($0.element)}" })
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

    private static func quoted(_ text: String) -> String {
        "'" + text.replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'"
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
