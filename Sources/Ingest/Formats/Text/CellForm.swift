import ClickHouseNative

/// How the text of a type's values becomes JSON that is read as the same value. Made once for a column.
final class CellForm: Sendable {
    enum Kind: Sendable {
        /// Any text.
        case string
        case integer
        case decimal
        case float
        case bool
        /// Text of a certain shape, which whoever reads the JSON checks: dates, UUIDs, addresses. It has no escapes.
        case word
        /// Of enumerations.
        case name
        /// The same; within arrays and the like it may be a number.
        case time
        case json
        case array(CellForm)
        case map(key: CellForm, value: CellForm)
        /// What comes before each element; empty where the elements have no names.
        case tuple([CellForm], keys: [[UInt8]])
        /// Of a Variant: its types in the order in which they are tried, each with its place in the type.
        case alternatives([Alternative])
        /// Of a type that is found by looking at it.
        case inferred(TextInference, namesElements: Bool)
        /// Rows with such a column are not taken.
        case unread
    }

    struct Alternative: Sendable {
        let place: Int
        let form: CellForm
    }

    let kind: Kind
    /// In CSV each part is a cell of its own.
    let isSpread: Bool
    /// Words, within arrays and the like: ClickHouse takes a number for one.
    let takesNumber: Bool

    private init(_ kind: Kind, isSpread: Bool = false, takesNumber: Bool = false) {
        self.kind = kind
        self.isSpread = isSpread
        self.takesNumber = takesNumber
    }

    /// Of a column that the table does not have: whoever reads the JSON decides.
    static let unknown = CellForm(.string)

    /// Of a whole column: only there may values be of a type that is found by trying.
    static func ofColumn(_ type: DataType, _ options: RowOptions, isCSV: Bool) -> CellForm {
        switch type.underlying {
        case .variant(let types):
            let alternatives = VariantOrder.order(of: types).map { place in
                Alternative(place: place, form: of(types[place], namesElements: options.namedTuplesAsObjects))
            }
            // Of a tuple ClickHouse expects the parts to be cells of their own, of which a Variant has one.
            let isRead = alternatives.allSatisfy { alternative in
                if case .tuple = alternative.form.kind { return !isCSV }
                return !alternative.form.isUnread
            }
            return CellForm(isRead ? .alternatives(alternatives) : .unread)
        case .dynamic:
            return CellForm(.inferred(TextInference(options), namesElements: options.namedTuplesAsObjects))
        default: return of(type, namesElements: options.namedTuplesAsObjects)
        }
    }

    /// - Parameter namesElements: tuples with names are read from objects (`input_format_json_named_tuples_as_objects`).
    static func of(_ type: DataType, namesElements: Bool) -> CellForm {
        func form(_ type: DataType) -> CellForm { of(type, namesElements: namesElements) }
        switch type.underlying {
        case .int8, .int16, .int32, .int64, .int128, .int256, .uint8, .uint16, .uint32, .uint64, .uint128, .uint256,
            .interval:
            return CellForm(.integer)
        case .decimal: return CellForm(.decimal)
        case .float32, .float64, .bfloat16: return CellForm(.float)
        case .bool: return CellForm(.bool)
        case .string, .fixedString: return CellForm(.string)
        case .enum8, .enum16: return CellForm(.name)
        case .uuid, .date, .date32, .ipv4, .ipv6: return CellForm(.word)
        case .time, .time64, .dateTime64: return CellForm(.word, takesNumber: true)
        case .dateTime: return CellForm(.time, takesNumber: true)
        // A tuple that may be NULL is one text.
        case .nullable(let inner), .lowCardinality(let inner):
            let form = form(inner)
            return CellForm(form.kind, takesNumber: form.takesNumber)
        case .array(let element): return CellForm(.array(form(element)))
        case .map(let key, let value): return CellForm(.map(key: form(key), value: form(value)))
        case .tuple(let elements) where !elements.isEmpty:
            let forms = elements.map { form($0.type) }
            let names = namesElements ? elements.compactMap(\.name) : []
            return CellForm(.tuple(forms, keys: names.map { JSONKey.bytes($0) }), isSpread: true)
        case .json: return CellForm(.json)
        case .tuple, .nested, .named, .nothing, .variant, .dynamic: return CellForm(.unread)
        }
    }

    /// In CSV a value has more than one cell, if those of its parts have one each.
    var hasSeveralCells: Bool {
        if isSpread, case .tuple(let elements, _) = kind { elements.count > 1 } else { false }
    }

    /// Of which type a value is is written before it.
    var isChosen: Bool {
        switch kind {
        case .alternatives, .inferred: true
        default: false
        }
    }

    /// No value of it, nor of what it is made of, can be read.
    var isUnread: Bool {
        switch kind {
        case .unread: true
        case .array(let element): element.isUnread
        case .map(let key, let value): key.isUnread || value.isUnread
        case .tuple(let elements, _): elements.contains { $0.isUnread }
        default: false
        }
    }
}

/// A name as JSON has it before a value.
enum JSONKey {
    static func bytes(_ name: String) -> [UInt8] {
        var bytes: [UInt8] = [UInt8(ascii: "\"")]
        for byte in name.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case ..<0x20:
                let digits = Array("0123456789abcdef".utf8)
                bytes += Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: bytes.append(byte)
            }
        }
        return bytes + Array("\":".utf8)
    }
}

/// How rows with certain columns are read into a table of a certain structure.
final class TextPlan {
    struct Column {
        /// The name, quoted, and a colon.
        let key: [UInt8]
        let form: CellForm
    }

    let columns: [Column]
    /// By which a rejected row is read again.
    let form: SessionFormat
    /// Why no row can be read: the column, and what of it.
    let obstacle: (column: String, fault: ParseFault)?

    /// - Parameters:
    ///   - names: of the columns; nil: the table's.
    ///   - types: what a header says of them.
    ///   - hasRules: the table has rules, which are read as JSON.
    init(
        _ format: SessionFormat, names: [String]?, types: [String]?, structure: TableStructure, options: RowOptions,
        hasRules: Bool
    ) {
        let names = names ?? structure.columns.map(\.definition.name)
        let known = Dictionary(
            structure.columns.map { ($0.definition.name, $0.definition.type) }, uniquingKeysWith: { first, _ in first })
        var obstacle: (String, ParseFault)?
        columns = names.enumerated().map { place, name in
            guard let type = known[name] else { return Column(key: JSONKey.bytes(name), form: .unknown) }
            let form = CellForm.ofColumn(type, options, isCSV: format.format.isCSV)
            if form.isUnread { obstacle = obstacle ?? (name, ParseFault(.unreadType)) }
            if hasRules, form.isChosen { obstacle = obstacle ?? (name, ParseFault(.uncheckedType)) }
            if let types, (try? DataType(parsing: types[place]))?.liesAs(type) != true {
                obstacle = obstacle ?? (name, ParseFault(.otherType))
            }
            return Column(key: JSONKey.bytes(name), form: form)
        }
        self.obstacle = obstacle
        form = SessionFormat(format.format.bare, columns: names, delimiter: format.delimiter)
    }
}
