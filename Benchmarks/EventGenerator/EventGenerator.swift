/// Makes up events, one JSON object a line, for benchmarks, load and tests.
///
/// A row's bytes follow from the options and the row's number alone: the same on every machine, in any order, however
/// the numbers are split among threads. All is done in integers (floats are written digit by digit), so that no
/// rounding differs. With `badRowsPerMillion` 0 every row is one that ClickHouse's own JSONEachRow takes into the
/// table of `schema/`.
///
/// The rows carry their number: `seq` holds it (`id` in `types_all`), and so do the lowest 40 bits of the UUID that
/// names the row (`mid`, `eid`, `tid` in `mthreads`).
public struct EventGenerator: Sendable {
    /// The tables of `schema/modern`, and `types_all` of `schema/test`.
    public enum Table: String, CaseIterable, Sendable {
        case mstore
        case mthreads
        case mtriage
        case events
        /// A column of each type, with values at the types' borders.
        case typesAll = "types_all"
        /// The same for a server of 2018: without the columns whose types it lacks.
        case typesAllLegacy = "types_all_legacy"

        /// The table's name in ClickHouse.
        public var name: String { self == .typesAllLegacy ? Table.typesAll.rawValue : rawValue }
    }

    public struct Options: Sendable, Hashable {
        public var table: Table
        public var seed: UInt64
        /// Puts `"table":"…"` first in each row.
        public var includesTable = false
        /// Each row has its keys in an order of its own.
        public var shufflesKeys = false
        /// Spaces and tabs between the tokens, a carriage return before some line ends.
        public var variesWhitespace = false
        /// How many of a million rows shall be ones that must be rejected.
        public var badRowsPerMillion = 0

        public init(table: Table = .mstore, seed: UInt64 = 1) {
            self.table = table
            self.seed = seed
        }
    }

    /// No row is longer, its line end included.
    public static let rowBytesMax = 64 << 10

    /// Row numbers are below 2^40: that many bits of a UUID carry them.
    public static let rowNumberLimit = 1 << 40

    public let options: Options

    public init(_ options: Options = Options()) { self.options = options }

    public init(table: Table, seed: UInt64 = 1) { self.init(Options(table: table, seed: seed)) }

    /// Appends the rows of these numbers (0 ..< `rowNumberLimit`), each with its line end.
    public func append(rows: Range<Int>, to bytes: inout [UInt8]) {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= Self.rowNumberLimit)
        switch options.table {
        case .mstore: append(rows, as: MStoreShape(), to: &bytes)
        case .mthreads: append(rows, as: MThreadsShape(), to: &bytes)
        case .mtriage: append(rows, as: MTriageShape(), to: &bytes)
        case .events: append(rows, as: EventsShape(), to: &bytes)
        case .typesAll: append(rows, as: TypesAllShape(legacy: false), to: &bytes)
        case .typesAllLegacy: append(rows, as: TypesAllShape(legacy: true), to: &bytes)
        }
    }

    /// Whether this row is one of those that must be rejected.
    public func isBad(row: Int) -> Bool {
        guard options.badRowsPerMillion > 0 else { return false }
        let draw = Row(number: UInt64(row), seed: options.seed).bits(Salt.bad)
        return scaled(draw, below: 1_000_000) < UInt64(options.badRowsPerMillion)
    }

    private func append<S: RowShape>(_ rows: Range<Int>, as shape: S, to bytes: inout [UInt8]) {
        var order = Array(0..<shape.fieldCount)
        LineBuffer.withLines(of: Self.rowBytesMax, appendingTo: &bytes) { line in
            for number in rows {
                let row = Row(number: UInt64(number), seed: options.seed)
                line.beginRow(whitespace: options.variesWhitespace ? row.bits(Salt.whitespace) | 1 : 0)
                if isBad(row: number) {
                    writeBad(row, of: shape, to: &line)
                } else {
                    if options.includesTable { line.key("table", string: options.table.name) }
                    if options.shufflesKeys { shuffle(&order, by: row) }
                    for field in order { shape.write(field, of: row, to: &line) }
                }
                line.endRow()
            }
        }
    }

    /// A row of which no reading is right: a value that its column cannot hold, or no object at all.
    private func writeBad<S: RowShape>(_ row: Row, of shape: S, to line: inout LineBuffer) {
        let draw = row.bits(Salt.badKind)
        let pick = Int(scaled(draw, below: UInt64(shape.badFields.count + 2)))
        guard pick < shape.badFields.count else { return line.spoil(truncated: pick == shape.badFields.count) }
        let bad = shape.badFields[pick]
        if options.includesTable { line.key("table", string: options.table.name) }
        for field in 0..<shape.fieldCount where field != bad.field { shape.write(field, of: row, to: &line) }
        line.key(bad.key)
        line.raw(bad.value)
    }

    /// Fisher-Yates, always from the same start.
    private func shuffle(_ order: inout [Int], by row: Row) {
        for i in order.indices { order[i] = i }
        for i in stride(from: order.count - 1, to: 0, by: -1) {
            order.swapAt(i, Int(scaled(row.bits(Salt.shuffle &+ UInt64(i)), below: UInt64(i + 1))))
        }
    }
}

/// The fields of one table's rows. A field's value depends on the row alone, not on the fields before it.
protocol RowShape {
    var fieldCount: Int { get }
    /// Values that must be rejected, each in the place of a field.
    var badFields: [BadField] { get }
    /// Writes the key and the value, or nothing: producers leave out what they do not know.
    func write(_ field: Int, of row: Row, to line: inout LineBuffer)
}

struct BadField {
    let field: Int
    let key: StaticString
    let value: StaticString
}
