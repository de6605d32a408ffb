import ClickHouseNative
import TestSupport

/// Values of a type as they may stand in a row: such as must be stored, such as are at a border, and such as are broken.
struct RandomValues {
    enum Mood { case plain, border, broken }

    var random: SeededRandom
    var mood = Mood.plain
    /// The last value was of the sort that must be stored.
    private(set) var isPlain = true

    init(random: SeededRandom) { self.random = random }

    mutating func begin(_ mood: Mood) {
        self.mood = mood
        isPlain = true
    }

    mutating func value(of type: DataType) -> String {
        switch mood {
        case .plain: break
        case .border where random.one(in: 3):
            isPlain = false
            return border(of: type)
        case .broken where random.one(in: 4):
            isPlain = false
            return Self.junk.randomElement(using: &random)!
        case .border, .broken: break
        }
        return space() + plain(type.underlying) + space()
    }

    private mutating func space() -> String {
        random.one(in: 12) ? [" ", "  ", "\t", " \r"].randomElement(using: &random)! : ""
    }

    // MARK: - Values that must be stored

    private mutating func plain(_ type: DataType) -> String {
        switch type {
        case .nullable(let inner): return random.one(in: 4) ? "null" : plain(inner.underlying)
        case .lowCardinality(let inner): return plain(inner.underlying)
        case .array(let inner):
            return "[" + (0..<random.int(0...4)).map { _ in value(of: inner) }.joined(separator: ",") + "]"
        case .tuple(let elements) where elements.first?.name != nil: return object(elements)
        case .tuple(let elements):
            return "[" + elements.map { value(of: $0.type) }.joined(separator: ",") + "]"
        case .map(let key, let inner):
            let entries = (0..<random.int(0...3)).map { _ in self.key(key) + ":" + value(of: inner) }
            return "{" + space() + entries.joined(separator: ",") + "}"
        case .variant(let types):
            return random.one(in: 5) ? "null" : value(of: types.randomElement(using: &random)!)
        case .dynamic: return dynamic(depth: 2)
        case .json(let name): return json(depth: 3, isTyped: name.contains("t UInt8"))
        default: return number(type) ?? text(type)
        }
    }

    private mutating func object(_ elements: [TupleElement]) -> String {
        var members: [String] = []
        for element in elements where !random.one(in: 6) {
            members.append("\"\(element.name!)\":" + value(of: element.type))
        }
        if random.one(in: 8) { members.append(#""unknown":{"a":[1,"x"]}"#) }
        return "{" + members.shuffled(using: &random).joined(separator: ",") + "}"
    }

    /// A key in quotes.
    private mutating func key(_ type: DataType) -> String {
        let bare = type.underlying
        if case .lowCardinality(let inner) = bare { return key(inner) }
        if let digits = number(bare, isQuoted: false) { return "\"\(digits)\"" }
        return text(bare, isKey: true)
    }

    private mutating func number(_ type: DataType, isQuoted: Bool? = nil) -> String? {
        let digits: String
        switch type {
        case .int8: digits = "\(integer(Int8.self))"
        case .int16: digits = "\(integer(Int16.self))"
        case .int32: digits = "\(integer(Int32.self))"
        case .int64, .interval: digits = "\(integer(Int64.self))"
        case .int128: digits = "\(integer(Int128.self))"
        case .int256:
            digits = random.one(in: 2) ? "\(integer(Int128.self))" : (random.one(in: 2) ? "-" : "") + whole(76)
        case .uint8: digits = "\(integer(UInt8.self))"
        case .uint16: digits = "\(integer(UInt16.self))"
        case .uint32: digits = "\(integer(UInt32.self))"
        case .uint64: digits = "\(integer(UInt64.self))"
        case .uint128: digits = "\(integer(UInt128.self))"
        case .uint256: digits = whole(77)
        case .float32, .float64, .bfloat16: digits = float()
        case .decimal(let precision, let scale): digits = decimal(precision, scale)
        default: return nil
        }
        return isQuoted ?? random.one(in: 5) ? "\"\(digits)\"" : digits
    }

    private mutating func integer<T: FixedWidthInteger>(_: T.Type) -> T {
        switch random.int(0...5) {
        case 0: return [T.min, T.max, 0, 1].randomElement(using: &random)!
        case 1: return T(truncatingIfNeeded: random.int(0...100))
        default: return T.random(in: .min ... .max, using: &random) >> T(random.int(0...T.bitWidth - 1))
        }
    }

    /// Up to so many digits.
    private mutating func whole(_ count: Int) -> String {
        let length = random.int(1...max(1, count))
        guard length > 1 else { return "\(random.int(0...9))" }
        return "\(random.int(1...9))" + (1..<length).map { _ in "\(random.int(0...9))" }.joined()
    }

    private mutating func fraction(_ count: Int) -> String {
        count == 0 ? "" : "." + (0..<random.int(1...count)).map { _ in "\(random.int(0...9))" }.joined()
    }

    private mutating func float() -> String {
        var text = (random.one(in: 3) ? "-" : "") + whole(12)
        if random.one(in: 2) { text += fraction(9) }
        if random.one(in: 4) { text += "e\(random.int(-20...15))" }
        return text
    }

    private mutating func decimal(_ precision: Int, _ scale: Int) -> String {
        let sign = random.one(in: 3) ? "-" : ""
        return sign + (precision > scale ? whole(precision - scale) : "0") + fraction(min(scale + 2, 20))
    }

    private mutating func text(_ type: DataType, isKey: Bool = false) -> String {
        switch type {
        case .bool: return random.one(in: 2) ? "true" : "false"
        case .string:
            if !isKey, random.one(in: 10) {
                return ["1.50", "true", "[1, 2]", #"{"a" : [null]}"#].randomElement(using: &random)!
            }
            return string(random.int(0...12))
        case .fixedString(let length):
            return "\""
                + (0..<random.int(0...length)).map { _ in "\(Self.letters.randomElement(using: &random)!)" }.joined()
                + "\""
        case .uuid:
            let hex =
                String(random.next(), radix: 16) + String(random.next(), radix: 16) + String(repeating: "0", count: 32)
            let digits = Array(hex.prefix(32))
            let parts = [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(digits[$0]) }
            return "\"" + parts.joined(separator: "-") + "\""
        case .ipv4: return "\"\(address())\""
        case .ipv6: return "\"\(groups())\""
        case .date: return "\"\(day(1970...2148))\""
        case .date32: return "\"\(day(random.one(in: 20) ? 0...9999 : 1900...2299))\""
        case .dateTime:
            return random.one(in: 4) && !isKey
                ? "\(random.int(0...4_294_967_295))" : "\"\(day(1971...2105)) \(clock())\""
        case .dateTime64(let precision, _):
            let fraction = random.one(in: 2) ? self.fraction(9) : ""
            let years = precision == 9 ? 1901...2261 : precision < 6 && random.one(in: 20) ? 1...9998 : 1901...2298
            return "\"\(day(years)) \(clock())\(fraction)\""
        case .time: return "\"\(random.one(in: 4) ? "-" : "")\(clock())\""
        case .time64: return "\"\(random.one(in: 4) ? "-" : "")\(clock())\(random.one(in: 2) ? fraction(9) : "")\""
        case .enum8(let members), .enum16(let members):
            let member = members.members.randomElement(using: &random)!
            return random.one(in: 4) && !isKey ? "\(member.value)" : "\"\(member.name)\""
        default: return "null"
        }
    }

    private static let letters = Array("abcXYZ019 _-")

    private mutating func string(_ length: Int) -> String {
        let pieces = [
            "a", "Z", "0", " ", "é", "日", "😀", #"\n"#, #"\""#, #"\\"#, #"\/"#, #"\u00e9"#, #"\ud83d\ude00"#, "/", "'",
            "\t",
        ]
        return "\"" + (0..<length).map { _ in pieces.randomElement(using: &random)! }.joined() + "\""
    }

    private mutating func address() -> String {
        (0..<4).map { _ in "\(random.int(0...255))" }.joined(separator: ".")
    }

    private mutating func groups() -> String {
        switch random.int(0...3) {
        case 0: return address()
        case 1: return "::" + String(random.int(0...65535), radix: 16)
        case 2: return "2001:db8::" + String(random.int(0...65535), radix: 16) + ":" + address()
        default: return (0..<8).map { _ in String(random.int(0...65535), radix: 16) }.joined(separator: ":")
        }
    }

    private func padded(_ number: Int, _ width: Int = 2) -> String {
        String(repeating: "0", count: max(0, width - "\(number)".count)) + "\(number)"
    }

    private mutating func day(_ years: ClosedRange<Int>) -> String {
        padded(random.int(years), 4) + "-" + padded(random.int(1...12)) + "-" + padded(random.int(1...28))
    }

    private mutating func clock() -> String {
        [random.int(0...23), random.int(0...59), random.int(0...59)].map { padded($0) }.joined(separator: ":")
    }

    private mutating func dynamic(depth: Int) -> String {
        switch random.int(0...(depth > 0 ? 8 : 6)) {
        case 0: return "null"
        case 1: return "false"
        case 2: return "\(integer(Int64.self))"
        case 3: return "\(integer(UInt64.self))"
        case 4: return "\(random.int(-99...99)).\(random.int(0...99))"
        case 5: return string(random.int(0...5))
        case 6: return random.one(in: 2) ? "\"\(day(1971...2100))\"" : "\"\(day(1971...2100)) \(clock())\""
        case 7:
            let members = ["b", "a", "x y"].prefix(random.int(1...3)).map { "\"\($0)\":" + dynamic(depth: depth - 1) }
            return "{" + members.joined(separator: ",") + "}"
        default:
            let isText = random.one(in: 2)
            let items = (0..<random.int(0...3)).map { _ in
                random.one(in: 5) ? "null" : isText ? string(random.int(0...4)) : "\(random.int(-9...9))"
            }
            return "[" + items.joined(separator: ",") + "]"
        }
    }

    /// - Parameter isTyped: the type has paths `t` and `s.d` with types of their own.
    private mutating func json(depth: Int, isTyped: Bool = false) -> String {
        var members: [String] = []
        for name in ["a", "b", "k", "x y", "é"].shuffled(using: &random).prefix(random.int(0...3)) {
            members.append("\"\(name)\":" + jsonValue(depth: depth - 1))
        }
        if isTyped, random.one(in: 2) { members.append("\"t\":\(random.int(0...255))") }
        if isTyped, random.one(in: 2) { members.append(#""s":{"d":[1,null,-5]}"#) }
        return "{" + members.joined(separator: ",") + "}"
    }

    private mutating func jsonValue(depth: Int) -> String {
        switch random.int(0...(depth > 0 ? 8 : 6)) {
        case 0: return "null"
        case 1: return "true"
        case 2: return "\(integer(Int64.self))"
        case 3: return "\(random.int(0...99)).\(random.int(1...9))"
        case 4, 5: return string(random.int(0...4)).replacing("\t", with: "")
        case 6: return "\"\(day(1970...2100))\""
        case 7: return json(depth: depth)
        default:
            // Of one kind: what ClickHouse makes of a mixture depends on the rows before.
            let isText = random.one(in: 2)
            let items = (0..<random.int(0...3)).map { _ in
                isText ? string(random.int(0...4)).replacing("\t", with: "") : json(depth: depth - 1)
            }
            return "[" + items.joined(separator: ",") + "]"
        }
    }

    // MARK: - Others

    private mutating func border(of named: DataType) -> String {
        let type = named.underlying
        switch type {
        case .nullable(let inner), .lowCardinality(let inner): return border(of: inner)
        case .dateTime where random.one(in: 2), .dateTime64 where random.one(in: 2), .dynamic where random.one(in: 3),
            .variant where random.one(in: 6):
            return oddTime()
        default: break
        }
        let shapes = Self.shapes[Self.family(type)] ?? []
        return shapes.randomElement(using: &random)?.randomElement(using: &random) ?? "null"
    }

    private static let pieces = [
        "2024", "1999", "02", "3", "29", "13", "31", "Feb", "march", "SEP", "Sept", "Thu", "Thu,", "Monday", "12:34:56",
        "1:2",
        "23:59", "1:2:3", "PM", "am", "+02:00", "-0330", "+5", "-130", "Z", "UTC", "gmt", "MSK", ".5", ".123456789",
        ".", "20240229",
        "202402", "123456", "20240229123456", "1709210096", "170921009", "1709210096789", "00", "0", "24", "70", "69",
        "x", "T", "t",
    ]

    /// Pieces of times, one after the other; or a whole time in one of the usual shapes.
    mutating func oddTime() -> String {
        let (year, month, date) = (random.int(1971...2105), random.int(1...12), random.int(1...28))
        let name = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][month - 1]
        let zone = ["", "Z", " UTC", "+02:00", " -0330", " MSK", "+1"].randomElement(using: &random)!
        switch random.int(0...9) {
        case 0: return "\"\(date) \(name) \(year) \(clock())\(zone)\""
        case 1: return "\"Mon, \(date) \(name) \(year) \(clock()) GMT\""
        case 2: return "\"\(padded(date))/\(padded(month))/\(year) \(clock())\(zone)\""
        case 3: return "\"\(name) \(date) \(year) \(random.int(1...12)):\(padded(random.int(0...59))) PM\""
        case 4: return "\"\(year)\(padded(month))\(padded(date))T\(padded(random.int(0...23)))\(padded(0))01\(zone)\""
        case 5: return "\"\(year)/\(month)/\(date), \(clock())\(fraction(12))\(zone)\""
        case 6: return "\"\(name) \(date) \(clock())\""
        default:
            let signs = ["", " ", " ", "-", "/", ".", ":", ",", ", ", "T", "  "]
            return "\""
                + (0..<random.int(1...7)).map { _ in
                    Self.pieces.randomElement(using: &random)! + signs.randomElement(using: &random)!
                }.joined() + "\""
        }
    }

    /// The name of a type without what is between its parentheses.
    private static func family(_ type: DataType) -> String { String(type.description.prefix { $0 != "(" }) }

    /// Values at the borders of types, by their families.
    private static let shapes: [String: [[String]]] = {
        var shapes: [String: [[String]]] = [:]
        for border in RowBorders.all {
            guard let type = try? DataType(parsing: border.type) else { continue }
            shapes[family(type.underlying), default: []].append(border.values)
        }
        return shapes
    }()

    private static let junk: [String] = RowBorders.all.flatMap(\.values)
}
