/// Turns a data type as people write it in SQL into ClickHouse's own name for it: `VARCHAR(20)` is `String`,
/// `Decimal32(4)` is `Decimal(9, 4)`, `Enum('a', 'b')` is `Enum8('a' = 1, 'b' = 2)`. The names are those that
/// `system.data_type_families` of 26.9 lists as aliases.
struct SQLTypeName {
    private let tokens: [SQLToken]
    private var position = 0
    private var result = ""

    static func canonical(_ tokens: some Sequence<SQLToken>) -> String {
        var name = SQLTypeName(tokens: Array(tokens))
        name.run()
        return name.result
    }

    private init(tokens: [SQLToken]) { self.tokens = tokens }

    private mutating func run() {
        while position < tokens.count {
            let token = tokens[position]
            if token.kind == .word {
                words()
                continue
            }
            position += 1
            switch token.kind {
            case .string: result += Self.quoted(token.text)
            case .quotedName:
                // The name of a tuple's element, or a part of a path of JSON's.
                result += "`" + token.text.replacing("\\", with: "\\\\").replacing("`", with: "\\`") + "`"
                if position < tokens.count, tokens[position].kind == .word { result += " " }
            case .sign(UInt8(ascii: ",")): result += ", "
            case .sign(UInt8(ascii: "=")): result += " = "
            default: result += token.text
            }
        }
    }

    /// A name of one or several words, with what becomes of its arguments.
    private mutating func words() {
        let start = position
        while position < tokens.count, tokens[position].kind == .word { position += 1 }
        var written = tokens[start..<position].map(\.text).joined(separator: " ")
        if Self.aliases[written.uppercased()] == nil, position - start > 1 {
            // The name of a tuple's element, and then its type.
            result += tokens[start].text + " "
            written = tokens[(start + 1)..<position].map(\.text).joined(separator: " ")
        }
        let name = Self.aliases[written.uppercased()] ?? written
        switch name {
        case "Decimal": decimal()
        case "Decimal32", "Decimal64", "Decimal128", "Decimal256":
            let digits = ["Decimal32": 9, "Decimal64": 18, "Decimal128": 38][name] ?? 76
            result += "Decimal"
            if takeOpening() { result += "(\(digits), " }
        case "Enum", "Enum8", "Enum16": enumeration(name)
        case "String" where name != written, "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64",
            "Float32", "Float64":
            result += name
            // `INT(11)` and `VARCHAR(20)`: ClickHouse takes the width and does nothing with it.
            if name != written, isOpening { skipArguments() }
        default: result += name
        }
    }

    private var isOpening: Bool { position < tokens.count && tokens[position].isSign("(") }

    private mutating func takeOpening() -> Bool {
        guard isOpening else { return false }
        position += 1
        return true
    }

    private mutating func skipArguments() {
        while position < tokens.count, !tokens[position].isSign(")") { position += 1 }
        position += 1
    }

    /// Ten digits where none are given, and no fraction where no scale is.
    private mutating func decimal() {
        guard isOpening else {
            result += "Decimal(10, 0)"
            return
        }
        result += "Decimal"
        let rest = tokens[position...]
        if rest.count >= 3, rest[position + 2].isSign(")") {
            result += "(\(rest[position + 1].text), 0)"
            position += 3
        }
    }

    /// Members without a number get the next one, from 1 on; a plain Enum is as wide as its numbers need.
    private mutating func enumeration(_ name: String) {
        let start = position
        guard takeOpening() else {
            result += name
            return
        }
        var members: [(name: String, value: Int)] = []
        while position < tokens.count, tokens[position].kind == .string {
            let member = tokens[position].text
            var value = (members.last?.value ?? 0) &+ 1
            position += 1
            if position < tokens.count, tokens[position].isSign("=") {
                position += 1
                let isNegative = position < tokens.count && tokens[position].isSign("-")
                if isNegative { position += 1 }
                guard position < tokens.count, let number = Int(tokens[position].text) else { break }
                value = isNegative ? -number : number
                position += 1
            }
            members.append((member, value))
            if position < tokens.count, tokens[position].isSign(",") { position += 1 }
        }
        guard !members.isEmpty, position < tokens.count, tokens[position].isSign(")") else {
            // Not a list of members: the type's own parser says what is wrong with it.
            position = start
            result += name
            return
        }
        position += 1
        let isNarrow = members.allSatisfy { (-128...127).contains($0.value) }
        // The server sorts the members by their numbers, and a file's header has to name the same type.
        let list = members.sorted { $0.value < $1.value }.map { "\(Self.quoted($0.name)) = \($0.value)" }.joined(
            separator: ", ")
        result += "\(name == "Enum" ? (isNarrow ? "Enum8" : "Enum16") : name)(\(list))"
    }

    private static func quoted(_ text: String) -> String {
        var result = "'"
        for scalar in text.unicodeScalars {
            if scalar == "'" || scalar == "\\" { result += "\\" }
            result.unicodeScalars.append(scalar)
        }
        return result + "'"
    }

    private static let aliases: [String: String] = {
        let groups: [(String, String)] = [
            ("Int8", "TINYINT,INT1,BYTE,TINYINT SIGNED,INT1 SIGNED"),
            ("Int16", "SMALLINT,SMALLINT SIGNED"),
            ("Int32", "INT,INTEGER,MEDIUMINT,INT SIGNED,INTEGER SIGNED,MEDIUMINT SIGNED"),
            ("Int64", "BIGINT,SIGNED,BIGINT SIGNED"),
            ("UInt8", "TINYINT UNSIGNED,INT1 UNSIGNED"),
            ("UInt16", "SMALLINT UNSIGNED,YEAR"),
            ("UInt32", "INT UNSIGNED,INTEGER UNSIGNED,MEDIUMINT UNSIGNED"),
            ("UInt64", "BIGINT UNSIGNED,UNSIGNED,BIT,SET"),
            ("Float32", "FLOAT,REAL,SINGLE"),
            ("Float64", "DOUBLE,DOUBLE PRECISION"),
            ("Bool", "BOOL,BOOLEAN"),
            (
                "String",
                "CHAR,VARCHAR,VARCHAR2,NCHAR,NVARCHAR,CHARACTER,CHAR VARYING,CHARACTER VARYING,TEXT,TINYTEXT,MEDIUMTEXT,LONGTEXT,"
                    + "BLOB,TINYBLOB,MEDIUMBLOB,LONGBLOB,CLOB,BYTEA,VARBINARY,BINARY VARYING,BINARY LARGE OBJECT,NCHAR VARYING,"
                    + "CHAR LARGE OBJECT,CHARACTER LARGE OBJECT,NCHAR LARGE OBJECT,NATIONAL CHAR,NATIONAL CHARACTER,"
                    + "NATIONAL CHAR VARYING,NATIONAL CHARACTER VARYING,NATIONAL CHARACTER LARGE OBJECT"
            ),
            ("FixedString", "BINARY"), ("Decimal", "DECIMAL,DEC,NUMERIC,FIXED"), ("Enum", "ENUM"),
            ("DateTime", "DATETIME,DATETIME32,TIMESTAMP"), ("Date", "DATE"), ("Date32", "DATE32"),
            ("DateTime64", "DATETIME64"), ("Decimal32", "DECIMAL32"), ("Decimal64", "DECIMAL64"),
            ("Decimal128", "DECIMAL128"), ("Decimal256", "DECIMAL256"),
        ]
        return groups.reduce(into: [:]) { all, group in
            for alias in group.1.split(separator: ",") { all[String(alias)] = group.0 }
        }
    }()
}
