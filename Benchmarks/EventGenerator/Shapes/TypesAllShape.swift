/// Rows of `types_all`: each type at its borders and between them, in every notation that JSONEachRow takes.
///
/// Half of the values are borders. One field in sixteen is left out; a Nullable one is null as often as that.
struct TypesAllShape: RowShape {
    /// Leaves out the columns whose types a server of 2018 lacks.
    let legacy: Bool

    var fieldCount: Int { TypesAllColumn.all.count }

    var badFields: [BadField] { Self.badFields }

    private static let badFields: [BadField] = [
        bad("id", #""abc""#), bad("i8", #""twelve""#), bad("uuid", #""not-a-uuid""#), bad("time", #""yesterday""#),
        bad("enum8", #""no_such_name""#), bad("fixed", #""four""#), bad("a_u64", #"[1,"x"]"#), bad("dec32", #""ten""#),
    ]

    private static func bad(_ name: StaticString, _ value: StaticString) -> BadField {
        let field = TypesAllColumn.all.firstIndex { $0.name.description == name.description }
        return BadField(field: field ?? 0, key: name, value: value)
    }

    func write(_ field: Int, of row: Row, to line: inout LineBuffer) {
        let column = TypesAllColumn.all[field]
        if field == 0 {
            line.key("id")
            return line.decimal(row.number)
        }
        let bits = row.bits(UInt64(field))
        if legacy && column.isModern || bits & 0xF == 0 { return }
        line.key(column.name)
        if column.isNullable && bits & 0xF0 == 0 { return line.null() }
        write(column.kind, bits >> 8 ^ bits << 56, row, &line)
    }

    private func write(_ kind: TypesAllColumn.Kind, _ bits: UInt64, _ row: Row, _ line: inout LineBuffer) {
        switch kind {
        case .signed(let width): line.signed(bits, width: width)
        case .unsigned(let width): line.unsigned(bits, width: width)
        case .float32: line.float(bits, of: Border.float32, digits: 7)
        case .float64: line.float(bits, of: Border.float64, digits: 17)
        case .bool: line.bool(bits & 1 == 0)
        case .text: line.anyText(bits)
        case .fixed: line.pick(bits, of: Border.fixed)
        case .uuid: line.anyUUID(bits)
        case .date: line.date(bits, from: 0, to: 65_535, borders: Border.date)
        case .date32: line.date(bits, from: -25_567, to: 120_529, borders: Border.date32)
        case .time: line.time(bits, borders: Border.time)
        case .timeOfZone: line.time(bits, borders: Border.timeOfNewYork)
        case .time64(let precision): line.time64(bits, precision: precision)
        case .oneOf(let names): line.pick(bits, of: names)
        case .fixedPoint(let whole, let scale): line.fixedPoint(bits, wholeDigits: whole, scale: scale)
        case .fewTexts: line.string(skewed(bits, below: Vocabulary.message.count), of: .message)
        case .manyTexts:
            line.byte(UInt8(ascii: "\""))
            line.decimal(skewed(bits, below: 200_000))
            line.byte(UInt8(ascii: "\""))
        case .array(let element, let nullable): array(of: element, nullable: nullable, bits, row, &line)
        }
    }

    private func array(
        of element: TypesAllColumn.Kind, nullable: Bool, _ bits: UInt64, _ row: Row, _ line: inout LineBuffer
    ) {
        line.byte(UInt8(ascii: "["))
        // Mostly short, often empty, rarely long.
        let count = bits & 0x3FF == 7 ? 300 : skewed(bits, below: 9)
        var state = bits
        for i in 0..<count {
            if i > 0 { line.byte(UInt8(ascii: ",")) }
            state = mixed(state &+ 1)
            if nullable && state & 7 == 0 { line.null() } else { write(element, state >> 3, row, &line) }
        }
        line.byte(UInt8(ascii: "]"))
    }
}

/// The columns of `schema/test/types_all.modern.sql` that rows may bring.
struct TypesAllColumn: Sendable {
    indirect enum Kind: Sendable {
        case signed(Int), unsigned(Int), float32, float64, bool, text, fixed, uuid
        case date, date32, time, timeOfZone, time64(Int)
        case oneOf([StaticString])
        case fixedPoint(whole: Int, scale: Int)
        case fewTexts, manyTexts
        case array(Kind, nullable: Bool)
    }

    let name: StaticString
    let kind: Kind
    var isNullable = false
    /// A server of 2018 lacks the type.
    var isModern = false

    static let all: [TypesAllColumn] = plain + times + nullable + lowCardinality + arrays

    private static let plain: [TypesAllColumn] = [
        .init(name: "id", kind: .unsigned(64)), .init(name: "i8", kind: .signed(8)),
        .init(name: "i16", kind: .signed(16)), .init(name: "i32", kind: .signed(32)),
        .init(name: "i64", kind: .signed(64)), .init(name: "u8", kind: .unsigned(8)),
        .init(name: "u16", kind: .unsigned(16)), .init(name: "u32", kind: .unsigned(32)),
        .init(name: "u64", kind: .unsigned(64)), .init(name: "f32", kind: .float32),
        .init(name: "f64", kind: .float64), .init(name: "flag", kind: .bool, isModern: true),
        .init(name: "str", kind: .text), .init(name: "fixed", kind: .fixed), .init(name: "uuid", kind: .uuid),
        .init(name: "enum8", kind: .oneOf(Border.enum8)), .init(name: "enum16", kind: .oneOf(Border.enum16)),
        .init(name: "dec32", kind: .fixedPoint(whole: 5, scale: 4)),
        .init(name: "dec64", kind: .fixedPoint(whole: 12, scale: 6)),
        .init(name: "dec128", kind: .fixedPoint(whole: 28, scale: 10)),
        .init(name: "dec_9_0", kind: .fixedPoint(whole: 9, scale: 0)),
        .init(name: "dec_18_18", kind: .fixedPoint(whole: 0, scale: 18)),
    ]

    private static let times: [TypesAllColumn] = [
        .init(name: "date", kind: .date), .init(name: "date32", kind: .date32, isModern: true),
        .init(name: "time", kind: .time), .init(name: "time_ny", kind: .timeOfZone),
        .init(name: "time64_0", kind: .time64(0), isModern: true),
        .init(name: "time64_1", kind: .time64(1), isModern: true),
        .init(name: "time64_2", kind: .time64(2), isModern: true),
        .init(name: "time64_3", kind: .time64(3), isModern: true),
        .init(name: "time64_4", kind: .time64(4), isModern: true),
        .init(name: "time64_5", kind: .time64(5), isModern: true),
        .init(name: "time64_6", kind: .time64(6), isModern: true),
        .init(name: "time64_7", kind: .time64(7), isModern: true),
        .init(name: "time64_8", kind: .time64(8), isModern: true),
        .init(name: "time64_9", kind: .time64(9), isModern: true),
        .init(name: "time64_3_ny", kind: .time64(3), isModern: true),
    ]

    private static let nullable: [TypesAllColumn] = [
        .init(name: "n_i8", kind: .signed(8), isNullable: true),
        .init(name: "n_i64", kind: .signed(64), isNullable: true),
        .init(name: "n_u64", kind: .unsigned(64), isNullable: true),
        .init(name: "n_f64", kind: .float64, isNullable: true),
        .init(name: "n_bool", kind: .bool, isNullable: true, isModern: true),
        .init(name: "n_str", kind: .text, isNullable: true), .init(name: "n_fixed", kind: .fixed, isNullable: true),
        .init(name: "n_uuid", kind: .uuid, isNullable: true), .init(name: "n_date", kind: .date, isNullable: true),
        .init(name: "n_date32", kind: .date32, isNullable: true, isModern: true),
        .init(name: "n_time", kind: .time, isNullable: true),
        .init(name: "n_time64", kind: .time64(6), isNullable: true, isModern: true),
        .init(name: "n_enum8", kind: .oneOf([#""a""#, #""b""#]), isNullable: true),
        .init(name: "n_dec64", kind: .fixedPoint(whole: 14, scale: 4), isNullable: true),
        .init(name: "n_dec128", kind: .fixedPoint(whole: 18, scale: 20), isNullable: true),
    ]

    private static let lowCardinality: [TypesAllColumn] = [
        .init(name: "lc_str", kind: .fewTexts), .init(name: "lc_wide", kind: .manyTexts),
        .init(name: "lc_n_str", kind: .fewTexts, isNullable: true), .init(name: "lc_fixed", kind: .fixed),
        .init(name: "lc_u32", kind: .unsigned(32)), .init(name: "lc_date", kind: .date),
    ]

    private static let arrays: [TypesAllColumn] = [
        .init(name: "a_str", kind: .array(.text, nullable: false)),
        .init(name: "a_u64", kind: .array(.unsigned(64), nullable: false)),
        .init(name: "a_f32", kind: .array(.float32, nullable: false)),
        .init(name: "a_uuid", kind: .array(.uuid, nullable: false)),
        .init(name: "a_time", kind: .array(.time, nullable: false)),
        .init(name: "a_dec64", kind: .array(.fixedPoint(whole: 14, scale: 4), nullable: false)),
        .init(name: "a_n_i32", kind: .array(.signed(32), nullable: true)),
        .init(name: "a_n_str", kind: .array(.fewTexts, nullable: true)),
        .init(name: "a_lc_str", kind: .array(.fewTexts, nullable: false)),
        .init(name: "a_lc_n_str", kind: .array(.manyTexts, nullable: true)),
        .init(name: "a_a_u8", kind: .array(.array(.unsigned(8), nullable: false), nullable: false)),
        .init(name: "a_enum8", kind: .array(.oneOf([#""a""#, #""b""#]), nullable: false)),
    ]
}
