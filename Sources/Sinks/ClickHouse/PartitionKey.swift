import ClickHouseNative

/// A table's partition key, as far as it can be computed here: columns, and the usual functions of dates and times, alone or
/// in a tuple. Only which rows belong together matters, not what ClickHouse calls their partition.
struct PartitionKey: Hashable, Sendable {
    /// What is kept of a moment; functions that keep the same are one.
    enum Unit: Hashable, Sendable {
        case year, quarter, month, weekFromMonday, weekFromSunday, day, hour, monthOfYear, dayOfWeek
    }

    struct Element: Hashable, Sendable {
        var column: String
        /// nil: the value itself.
        var unit: Unit?
        /// Given in the expression; nil: that of the column, or of the server.
        var timeZone: String?
    }

    let elements: [Element]

    /// As ClickHouse's Functions/DateTimeTransforms.h names them.
    private static let units: [String: Unit] = [
        "toYear": .year, "toStartOfYear": .year, "toQuarter": .quarter, "toStartOfQuarter": .quarter,
        "toYYYYMM": .month, "toStartOfMonth": .month, "toMonday": .weekFromMonday, "toStartOfWeek": .weekFromSunday,
        "toDate": .day, "toDate32": .day, "toYYYYMMDD": .day, "toStartOfDay": .day, "toStartOfHour": .hour,
        "toMonth": .monthOfYear, "toDayOfWeek": .dayOfWeek,
    ]

    /// - Parameter text: as `system.tables.partition_key` has it. nil: empty, or not understood.
    init?(parsing text: String) {
        var parser = Parser(text[...])
        guard let elements = parser.key(), !elements.isEmpty else { return nil }
        self.elements = elements
    }

    /// The partition of each row, counted from 0 in the order in which they come.
    ///
    /// - Parameter timeZone: of columns that have none of their own.
    /// - Returns: nil when the block has no such column, or one that no key is made of.
    func partitions(of block: Block, timeZone: String) -> [Int]? {
        var partitions = [Int](repeating: 0, count: block.rows)
        for element in elements {
            guard let values = element.values(of: block, timeZone: timeZone) else { return nil }
            var known: [Pair: Int] = [:]
            for row in partitions.indices {
                let pair = Pair(partition: partitions[row], value: values[row])
                if let number = known[pair] {
                    partitions[row] = number
                } else {
                    partitions[row] = known.count
                    known[pair] = known.count
                }
            }
        }
        return partitions
    }

    private struct Pair: Hashable {
        let partition: Int
        let value: Int64
    }
}

extension PartitionKey.Element {
    /// A number for each row; the same for those that belong together.
    fileprivate func values(of block: Block, timeZone serverZone: String) -> [Int64]? {
        guard let place = block.layout.columns.firstIndex(where: { $0.name == column }) else { return nil }
        let root = block.layout.roots[place]
        guard let unit else { return Self.numbers(of: block, root) }
        let ticks: (Int64) -> Int64
        var zone: String?
        let type = block.layout.columns[place].type
        switch type {
        case .date, .date32: ticks = { $0 * 86_400 }
        case .dateTime(let own):
            ticks = { $0 }
            zone = timeZone ?? own ?? serverZone
        case .dateTime64(let precision, let own):
            let scale = (0..<precision).reduce(Int64(1)) { product, _ in product * 10 }
            ticks = { $0 >= 0 ? $0 / scale : -((scale - 1 - $0) / scale) }
            zone = timeZone ?? own ?? serverZone
        default: return nil
        }
        // A zone that this machine does not know: pieces may then have one partition more, which the server says.
        let rules = zone.map { (try? TimeZoneRules.named($0)) ?? .utc } ?? .utc
        let data = block.nodes[root].data
        return (0..<block.rows).map { row in
            let value: Int64 =
                switch type {
                case .date: Int64(data.load(UInt16.self, at: row * 2))
                case .date32: Int64(data.load(Int32.self, at: row * 4))
                case .dateTime: Int64(data.load(UInt32.self, at: row * 4))
                default: data.load(Int64.self, at: row * 8)
                }
            let civil = rules.civil(epochSeconds: ticks(value))
            return unit.number(day: civil.day, second: civil.second)
        }
    }

    /// Values as they are, each by its first occurrence.
    private static func numbers(of block: Block, _ root: Int) -> [Int64]? {
        let node = block.layout.nodes[root]
        switch node.kind {
        case .fixed, .string:
            var cursor = ValueCursor(block.nodes[root].data, width: node.kind == .string ? 0 : node.width)
            var known: [[UInt8]: Int64] = [:]
            return (0..<block.rows).map { _ in
                let bytes = cursor.next().map { Array($0) } ?? []
                let number = known[bytes] ?? Int64(known.count)
                known[bytes] = number
                return number
            }
        // Two places of a dictionary have two values.
        case .lowCardinality:
            return (0..<block.rows).map { Int64(block.nodes[root].data.load(UInt32.self, at: $0 * 4)) }
        case .nullable:
            guard let values = numbers(of: block, node.child) else { return nil }
            return (0..<block.rows).map {
                block.nodes[root].data.load(UInt8.self, at: $0) == 0 ? values[$0] : -1
            }
        // No key is made of others.
        default: return nil
        }
    }
}

extension PartitionKey.Unit {
    fileprivate func number(day: Int32, second: Int32) -> Int64 {
        func floored(_ value: Int32, _ by: Int32) -> Int64 {
            Int64(value >= 0 ? value / by : -((by - 1 - value) / by))
        }
        let date = civilFromDays(day)
        switch self {
        case .year: return Int64(date.year)
        case .quarter: return Int64(date.year) * 4 + Int64(date.month - 1) / 3
        case .month: return Int64(date.year) * 12 + Int64(date.month)
        // 1970-01-01 was a Thursday.
        case .weekFromMonday: return floored(day + 3, 7)
        case .weekFromSunday: return floored(day + 4, 7)
        case .day: return Int64(day)
        case .hour: return Int64(day) * 24 + Int64(second) / 3600
        case .monthOfYear: return Int64(date.month)
        case .dayOfWeek: return Int64(day + 3) - floored(day + 3, 7) * 7
        }
    }
}

extension PartitionKey {
    /// `toYYYYMM(ts)`, `(toDate(ts, 'UTC'), tenant)`, `` `a column` ``.
    private struct Parser {
        private var rest: Substring

        init(_ text: Substring) { rest = text }

        mutating func key() -> [Element]? {
            var elements: [Element] = []
            let isTuple = take("(") || takeWord("tuple") && take("(")
            repeat {
                guard let element = element() else { return nil }
                elements.append(element)
            } while isTuple && take(",")
            if isTuple, !take(")") { return nil }
            skipBlanks()
            return rest.isEmpty ? elements : nil
        }

        private mutating func element() -> Element? {
            guard let name = identifier() else { return nil }
            guard take("(") else { return Element(column: name) }
            guard let unit = units[name], let column = identifier() else { return nil }
            var zone: String?
            if take(",") {
                guard let text = literal() else { return nil }
                zone = text
            }
            guard take(")") else { return nil }
            return Element(column: column, unit: unit, timeZone: zone)
        }

        private mutating func identifier() -> String? {
            skipBlanks()
            if rest.first == "`" { return quoted("`") }
            let name = rest.prefix { $0 == "_" || $0.isASCII && ($0.isLetter || $0.isNumber) }
            guard let first = name.first, !first.isNumber else { return nil }
            rest.removeFirst(name.count)
            return String(name)
        }

        private mutating func literal() -> String? {
            skipBlanks()
            return rest.first == "'" ? quoted("'") : nil
        }

        private mutating func quoted(_ quote: Character) -> String? {
            rest.removeFirst()
            var text = ""
            while let character = rest.popFirst() {
                if character == quote { return text }
                if character == "\\" {
                    guard let escaped = rest.popFirst() else { return nil }
                    text.append(escaped)
                } else {
                    text.append(character)
                }
            }
            return nil
        }

        private mutating func takeWord(_ word: String) -> Bool {
            skipBlanks()
            guard rest.hasPrefix(word + "(") else { return false }
            rest.removeFirst(word.count)
            return true
        }

        private mutating func take(_ character: Character) -> Bool {
            skipBlanks()
            guard rest.first == character else { return false }
            rest.removeFirst()
            return true
        }

        private mutating func skipBlanks() { while rest.first?.isWhitespace == true { rest.removeFirst() } }
    }
}
