import ClickHouseNative
import Ingest
import NIOCore
import Pipeline

/// A table, and rows read into it without sockets or stages.
struct RowFixture {
    /// What became of some lines.
    struct Outcome {
        var rows: [String] = []
        var blocks: [Block] = []
        var rejections: [Rejection] = []

        /// `reason`, or `reason column`, of each refusal.
        var refusals: [String] {
            rejections.map { [$0.reason.rawValue, $0.column].compactMap { $0 }.joined(separator: " ") }
        }
    }

    static let table = TableName(table: "t")
    let structure: TableStructure
    var settings = ValidateSettings()
    /// Seconds since 1970; nil: the real time.
    var now: Int64?
    /// The outcome has its rows as text.
    var isPrinted = true

    /// - Parameter columns: names, ClickHouse's names of types, and expressions that the server would compute.
    init(_ columns: [(name: String, type: String, expression: String?)], computed: [String] = []) throws {
        structure = TableStructure(
            columns: try columns.map { column in
                TableStructure.Column(
                    ColumnDefinition(name: column.name, type: try DataType(parsing: column.type)),
                    defaultValue: column.expression.map { .expression($0) } ?? .type)
            }, computedColumns: computed)
    }

    /// One column, `v`.
    init(type: String) throws { try self.init([("v", type, nil)]) }

    func reader() throws -> RowReader {
        guard let now else { return try RowReader(table: Self.table, structure: structure, settings: settings) }
        return try RowReader(table: Self.table, structure: structure, settings: settings) { now }
    }

    func read(_ lines: [String]) throws -> Outcome { try read([ByteBuffer(string: lines.map { $0 + "\n" }.joined())]) }

    func read(_ chunks: [ByteBuffer]) throws -> Outcome {
        try outcome { reader in chunks.flatMap { reader.read($0) } }
    }

    /// One chunk of another format.
    func read(_ bytes: [UInt8], as format: SessionFormat, rows: Int) throws -> Outcome {
        try outcome { $0.read(ByteBuffer(bytes: bytes), as: format, rows: rows) }
    }

    private func outcome(_ read: (RowReader) -> [Rejection]) throws -> Outcome {
        let reader = try reader()
        var outcome = Outcome()
        outcome.rejections = read(reader)
        outcome.blocks = reader.takeBlocks()
        for block in outcome.blocks where isPrinted {
            var printed = ByteBuffer()
            try RowPrinter.print(block, into: &printed)
            outcome.rows += String(buffer: printed).split(separator: "\n").map(String.init)
        }
        return outcome
    }
}

extension Block {
    /// The block as a file has it: equal bytes are equal rows.
    var native: [UInt8] {
        get throws { Array(try BlockEncoder.encode([self], as: .file).body.readableBytesView) }
    }
}
