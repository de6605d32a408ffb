import ClickHouseNative
import Foundation
import Ingest
import Pipeline
import ProducerProtocol
import TestSupport

/// ClickHouse's own writing and reading of formats, and its view of blocks that sluice made of the same bytes.
struct FormatOracle {
    /// Columns `c0`, `c1`, … behind `n`, which numbers the rows.
    let types: [DataType]

    var columns: [(name: String, type: String)] {
        types.enumerated().map { ("c\($0)", $1.description) }
    }

    var table: RowOracle.Table { RowOracle.Table(columns: columns, rows: []) }

    static let settings = [
        "session_timezone": "UTC", "allow_suspicious_low_cardinality_types": "1",
        "allow_suspicious_variant_types": "1", "allow_experimental_nullable_tuple_type": "1",
        "enable_time_time64_type": "1", "max_query_size": "100000000", "input_format_parallel_parsing": "0",
        "date_time_input_format": "best_effort", "output_format_binary_write_json_as_string": "1",
        "output_format_native_write_json_as_string": "1", "input_format_binary_read_json_as_string": "1",
        "engine_file_truncate_on_insert": "1",
    ]

    static var prologue: String {
        "SET " + settings.sorted { $0.key < $1.key }.map { "\($0.key) = '\($0.value)'" }.joined(separator: ", ") + ";\n"
    }

    /// The columns' list for SQL, `n` first.
    var names: String { (["n"] + columns.map { "`\($0.name)`" }).joined(separator: ", ") }

    /// A statement that writes rows, given as JSON, in a format.
    func writing(_ lines: [String], as format: RowFormat, to path: String) -> String {
        """
        INSERT INTO FUNCTION file(\(Self.quoted(path)), \(format.rawValue), \(Self.quoted(table.structure)))
        SELECT \(names) FROM format(JSONEachRow, \(Self.quoted(table.structure)), \(Self.quoted(lines.joined(separator: "\n"))));

        """
    }

    /// A statement that prints, for each row of a file, a tag, the row's number and its cells.
    func showing(_ path: String, _ format: String, tag: Int, extra: String = "") -> String {
        """
        SELECT \(tag), n, \(table.cells) FROM file(\(Self.quoted(path)), \(format), \(Self.quoted(table.structure)))\(extra);

        """
    }

    /// What `showing` printed: by tag and row.
    static func cells(_ output: String) -> [Int: [Int: String]] {
        var found: [Int: [Int: String]] = [:]
        for line in output.split(separator: "\n") {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
            guard fields.count == 3, let tag = Int(fields[0]), let row = Int(fields[1]) else { continue }
            found[tag, default: [:]][row] = readable(fields[2])
        }
        return found
    }

    /// Of hexadecimal digits, what they say, as far as it is text.
    static func readable(_ hex: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = hex
        while let byte = UInt8(rest.prefix(2), radix: 16) {
            bytes.append(byte)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self) ?? String(hex)
    }

    /// What ClickHouse reads of one row of text; nil: it refuses it, or sees more or fewer rows.
    func read(_ row: [UInt8], as format: RowFormat, _ server: ClickHouseServer) async -> String? {
        let sql =
            "SELECT n, \(table.cells) FROM format(\(format.rawValue), \(Self.quoted(table.structure)), \(Self.quoted(row + [10]))) FORMAT TSVRaw"
        guard let answer = try? await server.query(sql, settings: Self.settings) else { return nil }
        let lines = answer.split(separator: "\n")
        guard lines.count == 1, let fields = lines.first?.split(separator: "\t", omittingEmptySubsequences: false),
            fields.count == 2
        else { return nil }
        return Self.readable(fields[1])
    }

    static func quoted(_ text: String) -> String { quoted(Array(text.utf8)) }

    static func quoted(_ bytes: [UInt8]) -> String {
        var text = "'"
        for byte in bytes {
            switch byte {
            case 0x20...0x7E where byte != UInt8(ascii: "'") && byte != UInt8(ascii: "\\"):
                text.unicodeScalars.append(Unicode.Scalar(byte))
            default: text += "\\x" + String(0x100 + Int(byte), radix: 16).dropFirst()
            }
        }
        return text + "'"
    }

    /// A table of these columns in sluice.
    func fixture() throws -> RowFixture {
        var fixture = try RowFixture([("n", "UInt32", nil)] + columns.map { ($0.name, $0.type, nil) })
        fixture.isPrinted = false
        return fixture
    }
}
