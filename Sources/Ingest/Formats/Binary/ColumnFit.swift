import ClickHouseNative

/// Makes the columns of a block those of a table.
struct ColumnFit {
    /// A column of the table: where its values are.
    struct Column {
        let block: Block
        /// In `block`.
        let place: Int
        /// In the table's structure.
        let column: Int
    }

    /// Those that are in the table, in the block's order.
    private(set) var columns: [Column] = []
    /// Places in the block, of columns that the table lacks.
    private(set) var unknown: [Int] = []
    /// The first that the server computes.
    private(set) var computed: String?
    /// Rows with values that cannot become the column's.
    private(set) var misfits: [(row: Int, column: String, code: ParseFault.Code)] = []
    /// There are NULLs for columns that cannot hold one: they are left out, row by row.
    private(set) var leavesOut = false
    /// The first whose values may be lost on the way through text: their type is found by trying.
    private(set) var uncheckable: String?
    /// Rows with values that text does not have: floats that are no number of JSON.
    private(set) var unprintable: [(row: Int, column: String)] = []

    /// - Parameter expressions: columns of the table whose defaults the server computes.
    /// - Throws: `TimeZoneError`.
    init(_ block: Block, to structure: TableStructure, expressions: [Int], nullAsDefault: Bool) throws {
        let places = Dictionary(
            structure.columns.enumerated().map { ($1.definition.name, $0) }, uniquingKeysWith: { first, _ in first })
        for (place, column) in block.layout.columns.enumerated() {
            guard let own = places[column.name] else {
                if computed == nil, structure.computedColumns.contains(column.name) { computed = column.name }
                unknown.append(place)
                continue
            }
            let target = structure.columns[own].definition.type
            if uncheckable == nil, target.cannotBePrinted || column.type.cannotBePrinted { uncheckable = column.name }
            unprintable += block.nonNumberRows(place).map { ($0, column.name) }
            try fit(
                block, place, own, column, target, structure.timeZone, hasExpression: expressions.contains(own),
                nullAsDefault: nullAsDefault)
        }
    }

    /// A column with JSON whose values cannot be printed as what they are.
    func hiddenJSON(_ structure: TableStructure) -> String? {
        let definitions = columns.map { structure.columns[$0.column].definition }
        return definitions.first { $0.type.hasJSON && $0.type.cannotBePrinted }?.name
    }

    private mutating func fit(
        _ block: Block, _ place: Int, _ own: Int, _ column: ColumnDefinition, _ target: DataType, _ timeZone: String,
        hasExpression: Bool, nullAsDefault: Bool
    ) throws {
        if column.type.liesAs(target) { return columns.append(Column(block: block, place: place, column: own)) }
        var (block, place, type) = (block, place, column.type)
        if case .nullable(let inner) = type.underlying, !target.takesNull {
            let nulls = block.nullRows(ofColumn: place)
            if !nulls.isEmpty {
                guard nullAsDefault else {
                    misfits += nulls.map { ($0, column.name, .nullValue) }
                    return
                }
                guard !hasExpression else {
                    leavesOut = true
                    return columns.append(Column(block: block, place: place, column: own))
                }
            }
            if let bare = block.withoutNulls(column: place) { (block, place, type) = (bare, 0, inner) }
        } else if case .nullable(let inner) = target.underlying, type.liesAs(inner) {
            return columns.append(Column(block: block.nullable(column: place), place: 0, column: own))
        }
        if type.liesAs(target) { return columns.append(Column(block: block, place: place, column: own)) }
        switch try ColumnConversion.convert(block.selecting([place]), to: [target], timeZone: timeZone) {
        case .converted(let made): columns.append(Column(block: made, place: 0, column: own))
        case .impossible(let rows): misfits += rows.map { ($0, column.name, .notConvertible) }
        }
    }
}

extension DataType {
    /// Values lie in memory, and mean, the same: but for zones, in which they are shown, and other names.
    func liesAs(_ other: DataType) -> Bool { self == other || bareMeaning == other.bareMeaning }

    private var bareMeaning: DataType {
        func elements(_ elements: [TupleElement]) -> [TupleElement] {
            elements.map { TupleElement(name: $0.name, type: $0.type.bareMeaning) }
        }
        return switch underlying {
        case .dateTime: .dateTime(timeZone: nil)
        case .dateTime64(let precision, _): .dateTime64(precision: precision, timeZone: nil)
        case .nullable(let inner): .nullable(inner.bareMeaning)
        case .lowCardinality(let inner): .lowCardinality(inner.bareMeaning)
        case .array(let inner): .array(inner.bareMeaning)
        case .tuple(let parts): .tuple(elements(parts))
        case .map(let key, let value): .map(key: key.bareMeaning, value: value.bareMeaning)
        case .variant(let types): .variant(types.map(\.bareMeaning))
        case .enum8(let members): .enum8(members.sorted)
        case .enum16(let members): .enum16(members.sorted)
        // Text in either case, and checked to be what the column takes.
        case .json: .json(name: "JSON")
        // Of how many types columns are made is the server's business.
        case .dynamic: .dynamic(name: "Dynamic")
        default: underlying
        }
    }

    var takesNull: Bool {
        switch underlying {
        case .nullable, .variant, .dynamic: true
        case .lowCardinality: underlying.isNullableDictionary
        default: false
        }
    }

    /// Of a value's text, its type is found by trying.
    var cannotBePrinted: Bool {
        contains { type in
            switch type {
            case .variant, .dynamic: true
            default: false
            }
        }
    }

    /// Text, which has to be checked to be JSON.
    var hasJSON: Bool { contains { if case .json = $0 { true } else { false } } }

    /// The type whose text is exact: times as numbers, which no zone makes ambiguous; tuples without names, where objects are not read.
    func exactInText(namesElements: Bool) -> DataType {
        func exact(_ type: DataType) -> DataType { type.exactInText(namesElements: namesElements) }
        return switch underlying {
        case .dateTime: .uint32
        case .dateTime64(let precision, _): .decimal(precision: 18, scale: precision)
        case .nullable(let inner): .nullable(exact(inner))
        case .lowCardinality(let inner): .lowCardinality(exact(inner))
        case .array(let inner): .array(exact(inner))
        case .tuple(let parts):
            .tuple(parts.map { TupleElement(name: namesElements ? $0.name : nil, type: exact($0.type)) })
        // A key is text in any case.
        case .map(let key, let value): .map(key: key, value: exact(value))
        default: underlying
        }
    }
}

extension EnumMembers {
    /// By their values, as ClickHouse writes them.
    fileprivate var sorted: EnumMembers {
        EnumMembers(members.sorted { $0.value < $1.value }.map { ($0.name, $0.value) }) ?? self
    }
}

extension Block {
    /// Rows with floats that JSON has no number for.
    fileprivate func nonNumberRows(_ place: Int) -> [Int] {
        guard hasNonNumbers(place) else { return [] }
        return (0..<rows).filter { gathering([$0..<$0 + 1]).hasNonNumbers(place) }
    }

    private func hasNonNumbers(_ place: Int) -> Bool {
        (layout.roots[place]..<layout.ends[layout.roots[place]]).contains { node in
            let run = nodes[node].data
            return switch layout.types[node] {
            case .float32: (0..<nodes[node].rows).contains { !run.load(Float.self, at: $0 * 4).isFinite }
            case .float64: (0..<nodes[node].rows).contains { !run.load(Double.self, at: $0 * 8).isFinite }
            case .bfloat16:
                (0..<nodes[node].rows).contains {
                    !Float(bitPattern: UInt32(run.load(UInt16.self, at: $0 * 2)) << 16).isFinite
                }
            default: false
            }
        }
    }
}
