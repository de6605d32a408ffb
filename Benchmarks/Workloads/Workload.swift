import EventGenerator
import Foundation
import NIOCore
import Pipeline

/// Which rows go into which table. The rows are those that the generator makes for `mstore`, with a fixed seed.
public struct Workload: Sendable {
    /// The tables of `schema/`.
    public enum Table: String, Codable, CaseIterable, Sendable {
        case mstore, plain
        case lowCardinality = "low_cardinality"

        /// Below the folder of schemas.
        public var path: String {
            switch self {
            case .mstore: "modern/03_mstore.sql"
            case .plain: "bench/01_plain.sql"
            case .lowCardinality: "bench/02_low_cardinality.sql"
            }
        }

        public var name: TableName { TableName(table: rawValue) }
    }

    /// Rows are generated once and read again after so many: the memory for it stays small.
    public static let distinctRowsMax = 200_000
    /// As sluice reads them from a socket under load.
    public static let chunkBytes = 200 << 10

    /// Whole lines.
    public let bytes: [UInt8]
    public let rows: Int

    /// - Parameter tables: each row names one of so many tables, `t0` and on, as if at random; 0: rows name none.
    public init(rows: Int, shufflesKeys: Bool = false, variesWhitespace: Bool = false, tables: Int = 0) {
        var options = EventGenerator.Options(table: .mstore, seed: 1)
        options.shufflesKeys = shufflesKeys
        options.variesWhitespace = variesWhitespace
        var bytes: [UInt8] = []
        EventGenerator(options).append(rows: 0..<rows, to: &bytes)
        if tables > 0 { bytes = Self.naming(tables, in: bytes) }
        self.bytes = bytes
        self.rows = rows
    }

    /// The rows with the name of a table before their other fields.
    private static func naming(_ tables: Int, in bytes: [UInt8]) -> [UInt8] {
        var named: [UInt8] = []
        named.reserveCapacity(bytes.count + bytes.count / 20)
        var state: UInt64 = 1
        for line in bytes.split(separator: 0x0A) {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            named += Array("{\"table\":\"t\((state >> 33) % UInt64(tables))\",".utf8)
            named += line.dropFirst()
            named.append(0x0A)
        }
        return named
    }

    /// The rows in pieces of whole lines, of about so many bytes each.
    public func pieces(of size: Int) -> [Range<Int>] {
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

    public func chunks() -> [ByteBuffer] { pieces(of: Self.chunkBytes).map { ByteBuffer(bytes: bytes[$0]) } }
}

/// The folder of schemas.
public struct SchemaFolder: Sendable {
    public let path: String

    public init(path: String) { self.path = path }

    public func file(of table: Workload.Table) -> String { path + "/" + table.path }

    public func catalog(for table: Workload.Table) throws -> SchemaCatalog { try Self.catalog(of: file(of: table)) }

    /// Tables of one structure, `t0` and on, whose statements are written to a file.
    public func catalog(for table: Workload.Table, copies: Int, in directory: String) throws -> SchemaCatalog {
        let statement = try statement(of: table)
        guard let name = statement.range(of: "EXISTS \(table.rawValue)\n") else {
            throw BenchmarkError("\(file(of: table)) does not create \(table.rawValue)")
        }
        let all = (0..<copies).map { statement.replacingCharacters(in: name, with: "EXISTS t\($0)\n") }
        let path = directory + "/tables.sql"
        try all.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
        return try Self.catalog(of: path)
    }

    private static func catalog(of file: String) throws -> SchemaCatalog {
        var errors: [ConfigurationIssue] = []
        let catalog = SchemaCatalog(files: [file], errors: &errors)
        if let first = errors.first { throw BenchmarkError("\(first)") }
        return catalog
    }

    /// Its CREATE TABLE statement.
    public func statement(of table: Workload.Table) throws -> String {
        try String(contentsOfFile: file(of: table), encoding: .utf8)
    }
}

/// Why nothing could be measured.
public struct BenchmarkError: Error, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}
