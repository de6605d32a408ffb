// Unsafe by design: owns the key indexes of its routes, until it ends.

import ClickHouseNative
import Pipeline

/// Where rows go that come for a table with a route. Belongs to one worker.
final class Routes {
    /// Of one table.
    private struct Route {
        let rule: RouteRule
        let field: KeyIndex
        let values: KeyIndex
        let targets: [TableName]
        /// Tables that rows have named by the patterns, and that can be written to.
        var named: Set<TableName> = []
    }

    /// What becomes of a row.
    enum Target {
        case table(TableName)
        case refused(ParseFault)
        /// It names a table that is one too many.
        case oneTooMany(TableName)
    }

    /// nil: the table has rules of its own, and no route among them.
    private var routes: [TableName: Route?] = [:]
    private var text = ByteRun()
    private var name = ByteRun()

    init(_ rules: [String: TableRules]) {
        for (table, rules) in rules {
            guard let table = TableName(parsing: table) else { continue }
            guard let field = rules.route.field else {
                routes.updateValue(nil, forKey: table)
                continue
            }
            let tables = rules.route.tables.sorted { $0.key < $1.key }
            let targets = tables.compactMap { value, target in TableName(parsing: target).map { (value, $0) } }
            routes[table] = Route(
                rule: rules.route, field: KeyIndex([field]), values: KeyIndex(targets.map(\.0)),
                targets: targets.map(\.1))
        }
        if !routes.values.contains(where: { $0 != nil }) { routes = [:] }
    }

    deinit {
        for case let route? in routes.values {
            route.field.deallocate()
            route.values.deallocate()
        }
        text.deallocate()
        name.deallocate()
    }

    var isEmpty: Bool { routes.isEmpty }

    /// The name under which the table has a route.
    private func key(of table: TableName) -> TableName? {
        if let own = routes[table] { return own == nil ? nil : table }
        let bare = TableName(table: table.table)
        return routes[bare].flatMap { $0 } == nil ? nil : bare
    }

    func has(_ table: TableName) -> Bool { !routes.isEmpty && key(of: table) != nil }

    /// Where the row at the cursor, which is for `table`, goes; nil: the table has no route.
    ///
    /// - Parameter isKnown: the table can be written to.
    func target(
        of row: LineCursor, for table: TableName, depthMax: Int, isKnown: (TableName) -> Bool
    ) -> Target? {
        guard !routes.isEmpty, let key = key(of: table), let route = routes[key].flatMap({ $0 }) else { return nil }
        var found: TableName?
        var fault: ParseFault?
        var ahead = row
        do throws(ParseFault) {
            try ahead.forEachField(scratch: &name, depthMax: depthMax) { name, value in
                guard route.field.find(name.baseAddress!.assumingMemoryBound(to: UInt8.self), name.count) >= 0 else {
                    return true
                }
                do throws(ParseFault) { found = try self.table(at: value, route, depthMax) } catch { fault = error }
                return false
            }
        } catch {
            return .refused(error)
        }
        if let fault { return .refused(fault) }
        guard let found else {
            return route.rule.otherwise == .keep ? .table(table) : .refused(ParseFault(.ruleRoute))
        }
        guard !route.rule.patterns.isEmpty, !route.targets.contains(found), !route.named.contains(found) else {
            return .table(found)
        }
        guard route.named.count < route.rule.tablesMax else { return .oneTooMany(found) }
        if isKnown(found) { routes[key]??.named.insert(found) }
        return .table(found)
    }

    private func table(at value: LineCursor, _ route: Route, _ depthMax: Int) throws(ParseFault) -> TableName? {
        var cursor = value
        if cursor.p.pointee == UInt8(ascii: "\"") {
            try cursor.unescapedString(into: &text)
        } else {
            let start = cursor.p
            try cursor.skipValue(depthMax: depthMax)
            text.truncate(to: 0)
            text.append(start, count: cursor.p - start)
            guard !text.bytes.elementsEqual("null".utf8) else { return nil }
        }
        guard text.count > 0, let base = text.base?.assumingMemoryBound(to: UInt8.self) else { return nil }
        let place = route.values.find(base, text.count)
        if place >= 0 { return route.targets[Int(place)] }
        guard !route.rule.patterns.isEmpty else { return nil }
        let named = String(decoding: text.bytes, as: UTF8.self)
        // A row is routed once; a table with a route is not what it is for in the end.
        guard route.rule.allows(named), let table = TableName(parsing: named), !has(table) else { return nil }
        return table
    }
}
