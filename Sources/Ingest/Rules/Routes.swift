// Unsafe by design: a route owns its key indexes, until it ends.

import ClickHouseNative
import Pipeline

/// Where the rows go that come for a table. Belongs to one worker.
final class Route {
    /// What becomes of a row.
    enum Target {
        case table(TableName)
        case refused(ParseFault)
        /// It names a table that is one too many.
        case oneTooMany(TableName)
    }

    private let rule: RouteRule
    private let field: KeyIndex
    /// Values of the field that are known to name a table: those of the rule, and behind them tables that rows have named by the patterns,
    /// and that can be written to.
    private var values: [String]
    private var targets: [TableName]
    private var places: KeyIndex
    /// Of the rule.
    private let ruled: Int
    private var text = ByteRun()
    private var name = ByteRun()

    init(_ rule: RouteRule, on field: String) {
        self.rule = rule
        self.field = KeyIndex([field])
        let named = rule.tables.sorted { $0.key < $1.key }.compactMap { value, target in
            TableName(parsing: target).map { (value, $0) }
        }
        values = named.map(\.0)
        targets = named.map(\.1)
        places = KeyIndex(values)
        ruled = targets.count
    }

    deinit {
        field.deallocate()
        places.deallocate()
        text.deallocate()
        name.deallocate()
    }

    /// Whether a key of a row is that of the field which says where the row goes.
    func isField(_ key: UnsafeRawBufferPointer) -> Bool {
        key.baseAddress.map { field.find($0.assumingMemoryBound(to: UInt8.self), key.count) >= 0 } ?? false
    }

    /// Where the row at the cursor goes, which is for `table`.
    ///
    /// - Parameters:
    ///   - value: where the row's field has its value, or nil in it: the row has no such field; nil: it was not looked for.
    ///   - isKnown: the table can be written to.
    func target(
        of row: LineCursor, value: LineCursor??, for table: TableName, in routes: Routes, depthMax: Int,
        isKnown: (TableName) -> Bool
    ) -> Target {
        do throws(ParseFault) {
            let place: LineCursor? = if let value { value } else { try self.value(in: row, depthMax) }
            if let place, try readText(place, depthMax), let base = text.base?.assumingMemoryBound(to: UInt8.self) {
                let known = Int(places.find(base, text.count))
                if known >= 0 { return .table(targets[known]) }
                if let found = named(in: routes) {
                    guard !targets.contains(found) else { return .table(found) }
                    guard targets.count - ruled < rule.tablesMax else { return .oneTooMany(found) }
                    if isKnown(found) { remember(found) }
                    return .table(found)
                }
            }
        } catch {
            return .refused(error)
        }
        return rule.otherwise == .keep ? .table(table) : .refused(ParseFault(.ruleRoute))
    }

    /// Where the row's field has its value; nil: it has no such field.
    private func value(in row: LineCursor, _ depthMax: Int) throws(ParseFault) -> LineCursor? {
        var found: LineCursor?
        var ahead = row
        try ahead.forEachField(scratch: &name, depthMax: depthMax) { name, value in
            guard isField(name) else { return true }
            found = value
            return false
        }
        return found
    }

    /// - Returns: Whether there is a text, which is then in `text`: what a string says, or what a number and the like look like.
    private func readText(_ value: LineCursor, _ depthMax: Int) throws(ParseFault) -> Bool {
        var cursor = value
        if cursor.p.pointee == UInt8(ascii: "\"") {
            try cursor.unescapedString(into: &text)
        } else {
            let start = cursor.p
            try cursor.skipValue(depthMax: depthMax)
            text.truncate(to: 0)
            text.append(start, count: cursor.p - start)
            guard !text.bytes.elementsEqual("null".utf8) else { return false }
        }
        return text.count > 0
    }

    /// The table that `text` names by itself, if the patterns allow it.
    private func named(in routes: Routes) -> TableName? {
        guard !rule.patterns.isEmpty else { return nil }
        let name = String(decoding: text.bytes, as: UTF8.self)
        // A row is routed once; a table with a route is not what it is for in the end.
        guard rule.allows(name), let table = TableName(parsing: name), !routes.has(table) else { return nil }
        return table
    }

    /// The next row that names the table in these words finds it at once.
    private func remember(_ table: TableName) {
        values.append(String(decoding: text.bytes, as: UTF8.self))
        targets.append(table)
        places.deallocate()
        places = KeyIndex(values)
    }
}

/// The routes of all tables that have one.
final class Routes {
    /// nil: the table has rules of its own, and no route among them.
    private var routes: [TableName: Route?] = [:]

    init(_ rules: [String: TableRules]) {
        for (table, rules) in rules {
            guard let table = TableName(parsing: table) else { continue }
            routes.updateValue(rules.route.field.map { Route(rules.route, on: $0) }, forKey: table)
        }
        if !routes.values.contains(where: { $0 != nil }) { routes = [:] }
    }

    /// The table's own, or that of its name in whatever database.
    func route(of table: TableName) -> Route? {
        guard !routes.isEmpty else { return nil }
        return routes[table] ?? routes[TableName(table: table.table)] ?? nil
    }

    func has(_ table: TableName) -> Bool { route(of: table) != nil }
}
