import ClickHouseNative

/// A column as a CREATE TABLE declares it.
struct ColumnDeclaration: Equatable {
    enum Value: Equatable {
        case none
        case expression(String)
        /// MATERIALIZED or ALIAS: never inserted.
        case computed
        /// Inserted, but not stored.
        case ephemeral(String?)
    }

    let name: String
    /// ClickHouse's name of the type, with `Nullable(…)` for a column that is marked NULL.
    let type: String
    let value: Value
    /// Where the type stands, as a byte offset.
    let offset: Int
}

struct TableDeclaration: Equatable {
    enum Columns: Equatable {
        case listed([ColumnDeclaration])
        /// `CREATE TABLE a AS b`.
        case copied(from: TableName)
    }

    let name: TableName
    let columns: Columns
    let offset: Int
}

/// Finds the CREATE TABLE statements of a file and reads their columns; all other statements are skipped.
struct CreateTableReader {
    typealias Failure = SQLTokenizer.Failure

    private let bytes: [UInt8]
    private let tokens: [SQLToken]
    private var position = 0
    /// From the last USE.
    private var database: String?

    init(_ bytes: [UInt8]) throws(Failure) {
        self.bytes = bytes
        self.tokens = try SQLTokenizer.tokens(of: bytes)
    }

    mutating func tables() throws(Failure) -> [TableDeclaration] {
        var tables: [TableDeclaration] = []
        while position < tokens.count {
            if take("USE"), let name = takeName() { database = name }
            if let table = try createTable() { tables.append(table) }
            // What follows the columns, and any statement that is not ours.
            while let token = next {
                position += 1
                if token.isSign(";") { break }
            }
        }
        return tables
    }

    // MARK: Statement

    private mutating func createTable() throws(Failure) -> TableDeclaration? {
        guard take("CREATE") || take("ATTACH") else { return nil }
        if take("OR") { _ = take("REPLACE") }
        guard take("TABLE") else { return nil }
        if take("IF") { _ = take("NOT") && take("EXISTS") }
        let offset = self.offset
        let name = try tableName()
        if take("UUID") { position += 1 }
        if take("ON") {
            guard take("CLUSTER") else { throw failure("expected CLUSTER after ON") }
            position += 1
            // '{cluster}' is one token, {cluster} three.
            while let token = next, token.isSign("}") || (token.kind == .word && tokens[position - 1].isSign("{")) {
                position += 1
            }
        }
        if takeSign("(") { return TableDeclaration(name: name, columns: .listed(try columns()), offset: offset) }
        if take("AS"), let source = next, !source.isWord("SELECT"), !source.isWord("WITH"), !source.isSign("(") {
            return TableDeclaration(name: name, columns: .copied(from: try tableName()), offset: offset)
        }
        throw failure("expected the columns of table \(name) in parentheses", at: offset)
    }

    private mutating func tableName() throws(Failure) -> TableName {
        let start = offset
        guard let first = takeName() else { throw failure("expected the name of a table") }
        var name = TableName(database: database, table: first)
        if takeSign(".") {
            guard let second = takeName() else { throw failure("expected the name of a table") }
            name = TableName(database: first, table: second)
        }
        guard TableName(parsing: name.description) != nil else {
            throw failure("\"\(name.description.prefix(60))\" cannot be the name of a table", at: start)
        }
        return name
    }

    // MARK: Columns

    /// From behind the opening to behind the closing parenthesis.
    private mutating func columns() throws(Failure) -> [ColumnDeclaration] {
        var columns: [ColumnDeclaration] = []
        var seen: Set<String> = []
        while true {
            if !skipOtherProperty() {
                let start = offset
                let column = try self.column()
                guard seen.insert(column.name).inserted else {
                    throw failure("column \(column.name) stands twice", at: start)
                }
                columns.append(column)
            }
            if takeSign(",") {
                if takeSign(")") { return columns }
            } else if takeSign(")") {
                return columns
            } else {
                throw failure(next == nil ? "the list of columns has no end" : "expected , or ) after a column")
            }
        }
    }

    /// INDEX, CONSTRAINT, PROJECTION, PRIMARY KEY and FOREIGN KEY. All of these can also be columns' names, so each
    /// must have what makes it one.
    private mutating func skipOtherProperty() -> Bool {
        guard let first = next, first.kind == .word else { return false }
        let item = tokens[position..<endOfItem()]
        let isOther =
            switch first.text.uppercased() {
            case "INDEX": item.count > 3 && item.contains { $0.isWord("TYPE") }
            case "CONSTRAINT": item.contains { $0.isWord("CHECK") || $0.isWord("ASSUME") }
            case "PROJECTION": item.count > 3 && item[position + 2].isSign("(")
            case "PRIMARY", "FOREIGN": item.count > 2 && item[position + 1].isWord("KEY")
            default: false
            }
        if isOther { position = item.endIndex }
        return isOther
    }

    private mutating func column() throws(Failure) -> ColumnDeclaration {
        guard var name = takeName() else { throw failure("expected the name of a column") }
        while takeSign(".") {
            guard let part = takeName() else { throw failure("expected the rest of column \(name)'s name") }
            name += ".\(part)"
        }
        let typeOffset = offset
        let start = position
        let end = endOfItem { token, _ in Self.afterType.contains(token) }
        guard end > start, tokens[start].kind == .word else { throw failure("column \(name) has no type") }
        position = end
        var type = SQLTypeName.canonical(tokens[start..<end])
        var value = ColumnDeclaration.Value.none
        while let token = next, !token.isSign(","), !token.isSign(")") {
            position += 1
            switch token.text.uppercased() {
            case "NULL": type = "Nullable(\(type))"
            case "NOT": _ = take("NULL")
            case "DEFAULT":
                guard let text = takeExpression() else { throw failure("DEFAULT of column \(name) has no expression") }
                value = .expression(text)
            case "MATERIALIZED", "ALIAS":
                guard takeExpression() != nil else {
                    throw failure("\(token.text) of column \(name) has no expression")
                }
                value = .computed
            case "EPHEMERAL": value = .ephemeral(takeExpression())
            case "CODEC", "TTL", "COMMENT", "SETTINGS", "STATISTICS", "PRIMARY", "COLLATE", "AUTO_INCREMENT":
                _ = takeExpression()
            default: throw failure("unexpected \(token.text.prefix(60)) in column \(name)", at: token.range.lowerBound)
            }
        }
        return ColumnDeclaration(name: name, type: type, value: value, offset: typeOffset)
    }

    private static let afterType: Set<String> = [
        "NULL", "NOT", "DEFAULT", "MATERIALIZED", "ALIAS", "EPHEMERAL", "CODEC", "TTL", "COMMENT", "SETTINGS",
        "STATISTICS", "PRIMARY", "COLLATE", "AUTO_INCREMENT",
    ]

    /// Up to what can follow an expression in a column's declaration. A word alone does not end it: `comment` may be a
    /// column that the expression uses.
    private mutating func takeExpression() -> String? {
        let start = position
        let tokens = self.tokens
        position = endOfItem { word, index in
            let following = index + 1 < tokens.count ? tokens[index + 1] : nil
            return switch word {
            case "COMMENT": following?.kind == .string && index > start
            case "CODEC", "SETTINGS", "STATISTICS": following?.isSign("(") == true && index > start
            case "PRIMARY": following?.isWord("KEY") == true
            case "TTL": index > start
            default: false
            }
        }
        return position > start ? text(start..<position) : nil
    }

    // MARK: Tokens

    private var next: SQLToken? { position < tokens.count ? tokens[position] : nil }
    private var offset: Int { next?.range.lowerBound ?? bytes.count }

    private mutating func take(_ keyword: String) -> Bool {
        guard let token = next, token.isWord(keyword) else { return false }
        position += 1
        return true
    }

    private mutating func takeSign(_ sign: Unicode.Scalar) -> Bool {
        guard let token = next, token.isSign(sign) else { return false }
        position += 1
        return true
    }

    private mutating func takeName() -> String? {
        guard let token = next, token.kind == .word || token.kind == .quotedName, !token.text.isEmpty else {
            return nil
        }
        position += 1
        return token.text
    }

    /// Index of the comma or closing parenthesis that ends the current item, or of a word that `stops`.
    private func endOfItem(stops: (String, Int) -> Bool = { _, _ in false }) -> Int {
        var depth = 0
        for index in position..<tokens.count {
            switch tokens[index].kind {
            case .sign(UInt8(ascii: "(")), .sign(UInt8(ascii: "[")), .sign(UInt8(ascii: "{")): depth += 1
            case .sign(UInt8(ascii: ")")), .sign(UInt8(ascii: "]")), .sign(UInt8(ascii: "}")):
                if depth == 0 { return index }
                depth -= 1
            case .sign(UInt8(ascii: ",")) where depth == 0: return index
            case .sign(UInt8(ascii: ";")): return index
            case .word where depth == 0 && stops(tokens[index].text.uppercased(), index): return index
            default: break
            }
        }
        return tokens.count
    }

    /// The source of some tokens, with one space where there was any space or comment between two.
    private func text(_ range: Range<Int>) -> String {
        var result = ""
        for index in range {
            if index > range.lowerBound, tokens[index].range.lowerBound > tokens[index - 1].range.upperBound {
                result += " "
            }
            result += String(decoding: bytes[tokens[index].range], as: UTF8.self)
        }
        return result
    }

    private func failure(_ message: String, at place: Int? = nil) -> Failure {
        Failure(message: message, offset: place ?? offset)
    }
}
