import ClickHouseNative
import NIOCore
import Pipeline
import ProducerProtocol

@testable import Ingest

/// Frames of CSV, TSV, RowBinary and Native, for tables that have every kind of column between them.
///
/// The first byte picks the table and what comes before the rows, the second how many rows a binary frame is said to have, or how
/// large the reads of a plain session are.
extension FuzzTarget {
    private static let tables: [[(String, String)]] = [
        [("n", "UInt32"), ("s", "String"), ("f", "Float64"), ("b", "Bool")],
        [("a", "Array(Nullable(Int32))"), ("t", "Tuple(x UInt8, y String)"), ("m", "Map(String, Array(String))")],
        [
            ("d", "Date"), ("t", "DateTime"), ("u", "DateTime64(3, 'Europe/Berlin')"), ("e", "Enum8('a' = 1, 'b' = 2)"),
            ("x", "Decimal(38, 10)"), ("z", "Time64(3)"),
        ],
        [
            ("u", "UUID"), ("v", "IPv4"), ("w", "IPv6"), ("f", "FixedString(3)"), ("i", "Int256"),
            ("l", "LowCardinality(Nullable(String))"), ("o", "LowCardinality(UInt16)"),
        ],
        [
            ("j", "JSON(t UInt8)"), ("p", "Point"), ("g", "MultiPolygon"), ("n.a", "Array(Int8)"),
            ("n.b", "Array(Bool)"),
        ],
        [
            ("t", "Nullable(Tuple(a UInt8, b Nullable(String)))"), ("b", "BFloat16"),
            ("a", "Array(Array(Tuple(Date32, Bool)))"),
        ],
        [("v", "Variant(UInt64, String, Array(Date))"), ("s", "String"), ("d", "Dynamic")],
    ]

    nonisolated(unsafe) private static let plain: [RowReader] = tables.map { reader($0) }
    nonisolated(unsafe) private static let checked: [RowReader] = [
        reader(tables[0]) { rules in
            rules.fields["s", default: FieldRules()].regex = "^[^x-z]*$"
            rules.fields["s"]?.aliases = ["other"]
            rules.fields["n", default: FieldRules()].max = Literal("9", isPlain: true)
        },
        reader(tables[2]) { rules in
            rules.fields["e", default: FieldRules()].fallback = Literal("b", isPlain: true)
            rules.fields["d", default: FieldRules()].required = true
        },
    ]
    nonisolated(unsafe) private static let strict: [RowReader] = tables.map {
        reader($0, { _ in }) { input in
            input.dateTimeInputFormat = .basic
            input.nullAsDefault = false
            input.skipUnknownFields = false
            input.namedTuplesAsObjects = false
        }
    }

    private static func pick(_ byte: UInt8) -> (reader: RowReader, table: Int) {
        let table = Int(byte & 7)
        // The last number is a table with rules, and one of other settings.
        if table == 7 { return byte & 8 == 0 ? (checked[0], 0) : (checked[1], 2) }
        return (byte & 8 == 0 ? plain[table] : strict[table], table)
    }

    // MARK: - Text

    private static let text: [(csv: [SessionFormat], tsv: [SessionFormat])] = tables.map { columns in
        let names = columns.map(\.0).reversed() + ["unknown"]
        return (
            [
                SessionFormat(.csv), SessionFormat(.csvWithNames), SessionFormat(.csvWithNamesAndTypes),
                SessionFormat(.csv, columns: names, delimiter: UInt8(ascii: ";")),
            ],
            [
                SessionFormat(.tsv), SessionFormat(.tsvWithNames), SessionFormat(.tsvWithNamesAndTypes),
                SessionFormat(.tsv, columns: names),
            ]
        )
    }

    static func text(_ bytes: UnsafeRawBufferPointer, isCSV: Bool) {
        guard bytes.count > 2 else { return }
        let (reader, table) = pick(bytes[0])
        let format = (isCSV ? text[table].csv : text[table].tsv)[Int(bytes[0] >> 4 & 3)]
        let frame = buffer(bytes.dropFirst(2), newline: bytes.last != 0x0A)
        split(frame, format, reads: Int(bytes[1]) + 1)
        guard let lines = RowScanner.count(frame, delimiter: isCSV ? format.delimiter : nil) else { return }
        let rows = lines - format.format.headerRows
        guard rows > 0, (try? format.check(frame, rows: UInt32(rows))) != nil else { return }
        read(frame, format, rows: rows, reader)
    }

    /// A plain session has the same rows, however many bytes each read brings.
    private static func split(_ bytes: ByteBuffer, _ format: SessionFormat, reads: Int) {
        let atOnce = pieces(bytes, format, reads: bytes.readableBytes)
        let inParts = pieces(bytes, format, reads: reads)
        // Behind a bad header a session ends.
        require(atOnce.isBad ? inParts.isBad : atOnce == inParts, "other rows of other reads")
    }

    /// What a session makes of bytes: all rows, how many, the header, and the lengths of what is too long.
    private struct Pieces: Equatable {
        var rows = ByteBuffer()
        var count = 0
        var header: [ByteBuffer]?
        var tooLong: [Int] = []
        var isBad = false
    }

    private static func pieces(_ bytes: ByteBuffer, _ format: SessionFormat, reads: Int) -> Pieces {
        var splitter = RowSplitter(format, rowBytesMax: 128, headBytesMax: 8)
        var pieces = CircularBuffer<LineSplitter.Piece>()
        var found = Pieces()
        var rest = bytes
        while let read = rest.readSlice(length: min(reads, rest.readableBytes)), read.readableBytes > 0 {
            splitter.bytesReceived(read, at: .now, into: &pieces)
            if found.header == nil { found.header = splitter.takeHeader() }
        }
        splitter.inputEnded(at: .now, into: &pieces)
        for piece in pieces {
            switch piece {
            case .rows(let rows, _, let window, _):
                found.rows.writeImmutableBuffer(rows)
                found.count += window.total
            case .tooLong(_, let length, _): found.tooLong.append(length)
            default: break
            }
        }
        found.isBad = splitter.hasBadHeader
        return found
    }

    // MARK: - Binary

    private static let binary: [[SessionFormat]] = tables.map { columns in
        [
            SessionFormat(.rowBinary), SessionFormat(.rowBinaryWithNames), SessionFormat(.rowBinaryWithNamesAndTypes),
            SessionFormat(.rowBinary, columns: columns.map(\.0), types: columns.map { _ in "Nullable(String)" }),
        ]
    }
    private static let nativeBlocks = SessionFormat(.native)

    static func binary(_ bytes: UnsafeRawBufferPointer, isNative: Bool) {
        guard bytes.count > 2 else { return }
        let (reader, table) = pick(bytes[0])
        let format = isNative ? nativeBlocks : binary[table][Int(bytes[0] >> 4 & 3)]
        read(buffer(bytes.dropFirst(2)), format, rows: Int(bytes[1] & 15) + 1, reader)
    }

    // MARK: - Rows

    /// Each row is stored or rejected, and one that was rejected is so again when it is read out of the dead letter.
    private static func read(_ frame: ByteBuffer, _ format: SessionFormat, rows: Int, _ reader: RowReader) {
        let rejections = reader.read(frame, as: format, rows: rows)
        let blocks = reader.takeBlocks()
        let stored = blocks.reduce(0) { $0 + $1.rows }
        require(stored + rejections.count == rows, "\(rows) rows are \(stored), and \(rejections.count) rejections")
        for block in blocks { hold(block) }
        reader.recycle(blocks)
        // What types a header of text had is not kept: read again, the row is one of the table's types.
        guard !format.format.isText || format.format.headerRows < 2 else { return }
        for rejection in rejections where rejection.undividedRows == nil {
            guard let form = rejection.form, rejection.reason != .tooManyVariants else { continue }
            var row = rejection.bytes
            if form.format.isText { row.writeInteger(UInt8(0x0A)) }
            let again = reader.read(row, as: form, rows: 1)
            let blocks = reader.takeBlocks()
            require(
                blocks.isEmpty && again.count == 1,
                "\(rejection.reason) \(rejection.column ?? ""): \(rejection.message); then \(again.map { ($0.reason, $0.column, $0.message) })"
            )
        }
    }
}
