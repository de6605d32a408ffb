import EventGenerator
import Foundation
import NIOCore
import Pipeline

/// Which rows go into which table. The rows are those that the generator makes for `mstore`, with a fixed seed.
struct Workload: Sendable {
    /// The tables of `schema/`.
    enum Table: String, Codable, CaseIterable, Sendable {
        case mstore, plain
        case lowCardinality = "low_cardinality"

        /// Below the folder of schemas.
        var path: String {
            switch self {
            case .mstore: "modern/03_mstore.sql"
            case .plain: "bench/01_plain.sql"
            case .lowCardinality: "bench/02_low_cardinality.sql"
            }
        }

        var name: TableName { TableName(table: rawValue) }
    }

    /// Rows are generated once and read again after so many: the memory for it stays small.
    static let distinctRowsMax = 200_000
    /// As sluice reads them from a socket under load.
    static let chunkBytes = 200 << 10

    /// Whole lines.
    let bytes: [UInt8]
    let rows: Int

    init(rows: Int, shufflesKeys: Bool = false, variesWhitespace: Bool = false) {
        var options = EventGenerator.Options(table: .mstore, seed: 1)
        options.shufflesKeys = shufflesKeys
        options.variesWhitespace = variesWhitespace
        var bytes: [UInt8] = []
        EventGenerator(options).append(rows: 0..<rows, to: &bytes)
        self.bytes = bytes
        self.rows = rows
    }

    /// The rows in pieces of whole lines, of about so many bytes each.
    func pieces(of size: Int) -> [Range<Int>] {
        var pieces: [Range<Int>] = []
        var start = 0
        while start < bytes.count {
            let wanted = min(start + size, bytes.count)
            let end = bytes[(wanted - 1)...].firstIndex(of: 0x0A).map { $0 + 1 } ?? bytes.count
            pieces.append(start..<end)
            start = end
        }
        return pieces
    }

    func chunks() -> [ByteBuffer] { pieces(of: Self.chunkBytes).map { ByteBuffer(bytes: bytes[$0]) } }
}

/// The folder of schemas.
struct SchemaFolder: Sendable {
    let path: String

    func file(of table: Workload.Table) -> String { path + "/" + table.path }

    func catalog(for table: Workload.Table) throws -> SchemaCatalog {
        var errors: [ConfigurationIssue] = []
        let catalog = SchemaCatalog(files: [file(of: table)], errors: &errors)
        if let first = errors.first { throw BenchmarkError("\(first)") }
        return catalog
    }

    /// Its CREATE TABLE statement.
    func statement(of table: Workload.Table) throws -> String {
        try String(contentsOfFile: file(of: table), encoding: .utf8)
    }
}

/// Why nothing could be measured.
struct BenchmarkError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
