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
        "max_threads": "1",
        "date_time_input_format": "best_effort", "output_format_binary_write_json_as_string": "1",
        "output_format_native_write_json_as_string": "1", "input_format_binary_read_json_as_string": "1",
        "engine_file_truncate_on_insert": "1",
    ]

    /// The columns' list for SQL, `n` first.
    var names: String { (["n"] + columns.map { "`\($0.name)`" }).joined(separator: ", ") }

    /// Has ClickHouse write rows, given as JSON, to a file in a format.
    func write(_ lines: [String], as format: RowFormat, to path: String, _ server: ClickHouseServer) async throws {
        let (structure, rows) = (Self.quoted(table.structure), Self.quoted(lines.joined(separator: "\n")))
        try await server.query(
            """
            INSERT INTO FUNCTION file(\(Self.quoted(path)), \(format.rawValue), \(structure))
            SELECT \(names) FROM format(JSONEachRow, \(structure), \(rows))
            """, settings: Self.settings)
    }

    /// The cells of each row that ClickHouse finds in a file, by the rows' numbers.
    ///
    /// - Parameter isTyped: the file is of the table's types; otherwise it says itself of which.
    func cells(_ path: String, _ format: RowFormat, isTyped: Bool = true, _ server: ClickHouseServer) async throws
        -> [Int: String]
    {
        let structure = isTyped ? ", " + Self.quoted(table.structure) : ""
        let sql =
            "SELECT n, \(table.cells) FROM file(\(Self.quoted(path)), \(format.rawValue)\(structure)) FORMAT TSVRaw"
        var found: [Int: String] = [:]
        for line in try await server.query(sql, settings: Self.settings).utf8.split(separator: 0x0A) {
            let fields = line.split(separator: 0x09, omittingEmptySubsequences: false)
            guard fields.count == 2, let row = Int(Substring(fields[0])) else { continue }
            found[row] = Self.readable(Substring(fields[1]))
        }
        return found
    }

    /// Of hexadecimal digits, what they say, as far as it is text.
    static func readable(_ hex: Substring) -> String {
        func digit(_ byte: UInt8) -> UInt8? {
            switch byte {
            case 0x30...0x39: byte - 0x30
            case 0x41...0x46: byte - 0x37
            default: nil
            }
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(hex.utf8.count / 2)
        var high: UInt8?
        for byte in hex.utf8 {
            guard let value = digit(byte) else { return String(hex) }
            if let first = high.take() { bytes.append(first << 4 | value) } else { high = value }
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
