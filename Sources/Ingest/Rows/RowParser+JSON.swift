// Unsafe by design, under RowParser's invariant: operations and nodes are found by numbers that the plan made, and input is
// read under LineCursor's.

import CSluice
import ClickHouseNative

/// JSON columns: objects that go to the server as text. What the server would refuse, and the whole block with it, is
/// refused here.
extension RowParser {
    /// Deepest nesting that ClickHouse's own parser takes.
    private static let jsonDepthMax = 1000

    mutating func json(
        _ node: UnsafeMutablePointer<ColumnNode>, _ op: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor
    ) throws(ParseFault) {
        guard cursor.p.pointee == UInt8(ascii: "{") else { throw ParseFault(.notAnObject) }
        let start = cursor.p
        var paths = JSONPaths(op.pointee.detail < 0 ? nil : plan.objects[Int(op.pointee.detail)])
        try object(&cursor, &paths, scope: paths.nextScope(), depth: 1)
        node.pointee.appendString(UnsafeRawPointer(start), count: cursor.p - start, node: op.pointee.node)
    }

    /// - Parameter scope: of the paths that must not repeat: the outermost object's, or that of one in an array.
    private mutating func object(
        _ cursor: inout LineCursor, _ paths: inout JSONPaths, scope: UInt64, depth: Int
    ) throws(ParseFault) {
        guard depth <= min(options.depthMax, Self.jsonDepthMax) else { throw ParseFault(.tooDeep) }
        let own = paths.nextScope()
        let parent = paths.path.count
        cursor.p += 1
        cursor.skipSpace()
        if cursor.take(UInt8(ascii: "}")) { return }
        while true {
            guard cursor.p.pointee == UInt8(ascii: "\"") else { throw ParseFault(.notAnObject) }
            let keyStart = cursor.p
            try cursor.skipStrictString()
            var key = LineCursor(keyStart, end: cursor.end)
            try key.unescapedString(into: &scratch)
            if depth > 1, parent > 0 || paths.isBelowName { paths.path.append(UInt8(ascii: ".")) }
            paths.path.append(contentsOf: scratch.bytes)
            cursor.skipSpace()
            guard cursor.take(UInt8(ascii: ":")) else { throw ParseFault(.notAnObject) }
            cursor.skipSpace()
            try member(&cursor, &paths, scope: scope, own: own, depth: depth)
            paths.path.removeLast(paths.path.count - parent)
            cursor.skipSpace()
            if cursor.take(UInt8(ascii: ",")) {
                cursor.skipSpace()
                continue
            }
            guard cursor.take(UInt8(ascii: "}")) else { throw ParseFault(.notAnObject) }
            return
        }
    }

    /// The name is in `scratch`. As in ClickHouse, one name may be that of an object and of another value, but not of two objects.
    private mutating func member(
        _ cursor: inout LineCursor, _ paths: inout JSONPaths, scope: UInt64, own: UInt64, depth: Int
    ) throws(ParseFault) {
        if let typed = paths.typedPlan {
            var value = cursor
            try check(&value, typed)
        }
        if cursor.p.pointee == UInt8(ascii: "{"), paths.typedPlan == nil {
            guard paths.insert(scratch.bytes, scope: own) else { throw ParseFault(.notAnObject) }
            let wasBelow = paths.isBelowName
            paths.isBelowName = true
            defer { paths.isBelowName = wasBelow }
            return try object(&cursor, &paths, scope: scope, depth: depth + 1)
        }
        let isNew = paths.path.withUnsafeBytes { paths.insert($0, scope: scope) }
        guard isNew else { throw ParseFault(.notAnObject) }
        try item(&cursor, &paths, depth: depth)
    }

    /// A value that is no path's parent.
    private mutating func item(
        _ cursor: inout LineCursor, _ paths: inout JSONPaths, depth: Int
    ) throws(ParseFault) {
        switch cursor.p.pointee {
        case UInt8(ascii: "\""): try cursor.skipStrictString()
        case UInt8(ascii: "t"): guard cursor.takeWord("true") else { throw ParseFault(.notAnObject) }
        case UInt8(ascii: "f"): guard cursor.takeWord("false") else { throw ParseFault(.notAnObject) }
        case UInt8(ascii: "n"): guard cursor.takeWord("null") else { throw ParseFault(.notAnObject) }
        case UInt8(ascii: "{"):
            var inner = JSONPaths(nil, after: paths)
            try object(&cursor, &inner, scope: inner.nextScope(), depth: depth + 1)
            paths.take(inner)
        case UInt8(ascii: "["):
            guard depth < min(options.depthMax, Self.jsonDepthMax) else { throw ParseFault(.tooDeep) }
            cursor.p += 1
            cursor.skipSpace()
            if cursor.take(UInt8(ascii: "]")) { return }
            while true {
                try item(&cursor, &paths, depth: depth + 1)
                cursor.skipSpace()
                if cursor.take(UInt8(ascii: ",")) {
                    cursor.skipSpace()
                    continue
                }
                guard cursor.take(UInt8(ascii: "]")) else { throw ParseFault(.notAnObject) }
                return
            }
        default: try cursor.skipStrictNumber()
        }
    }

    /// Reads a value of a path with a type of its own as that type, into nowhere.
    private mutating func check(_ cursor: inout LineCursor, _ typed: FieldPlan) throws(ParseFault) {
        if cursor.takeWord("null") { return }
        var parser = RowParser(
            plan: typed, block: Block(layout: typed.layout), options: options.ofServer, tableKey: tableKey,
            tableName: tableName,
            successors: successors, scratch: scratch)
        let result = Result<Void, ParseFault> { () throws(ParseFault) in
            try parser.value(typed.operations, &cursor)
        }
        scratch = parser.scratch
        try result.get()
    }
}

/// Where in an object the parser is, and which names it has met.
private struct JSONPaths {
    private let object: ObjectPlan?
    var path: [UInt8] = []
    /// The names above are part of the path, were they empty.
    var isBelowName = false
    /// Hashes of names and paths, each with its scope.
    private var seen: Set<UInt64> = []
    private var scopes: UInt64 = 0

    init(_ object: ObjectPlan?) { self.object = object }

    /// For an object in an array: paths begin anew.
    init(_ object: ObjectPlan?, after outer: JSONPaths) {
        self.object = object
        seen = outer.seen
        scopes = outer.scopes
    }

    mutating func take(_ inner: JSONPaths) {
        seen = inner.seen
        scopes = inner.scopes
    }

    mutating func nextScope() -> UInt64 {
        scopes += 1
        return scopes
    }

    /// False when it was there.
    mutating func insert(_ name: UnsafeRawBufferPointer, scope: UInt64) -> Bool {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325 ^ (scope &* 0x9E37_79B9_7F4A_7C15)
        for byte in name { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return seen.insert(hash ^ hash >> 29).inserted
    }

    /// How the value at the path is read, where it has a type of its own.
    var typedPlan: FieldPlan? {
        guard let object else { return nil }
        let place = path.withUnsafeBufferPointer { path in
            path.baseAddress.map { object.paths.find($0, path.count) } ?? -1
        }
        return place < 0 ? nil : object.plans[Int(place)]
    }
}

extension LineCursor {
    /// Moves over a string as JSON has it: well-formed escapes and UTF-8, no control characters.
    fileprivate mutating func skipStrictString() throws(ParseFault) {
        let start = p + 1
        var isASCII = true
        p += 1
        while true {
            switch p.pointee {
            case UInt8(ascii: "\""):
                if !isASCII {
                    let bytes = UnsafeBufferPointer(start: start, count: p - start)
                    guard String(validating: bytes, as: UTF8.self) != nil else { throw ParseFault(.notAnObject) }
                }
                p += 1
                return
            case 0..<0x20: throw ParseFault(p.pointee == 0x0A ? .unterminatedString : .notAnObject)
            case UInt8(ascii: "\\"):
                switch p[1] {
                case UInt8(ascii: "u"): try skipEscapedUnits()
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
                    UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
                    p += 2
                default: throw ParseFault(.badEscape)
                }
            case 0x80...:
                isASCII = false
                p += 1
            default: p += 1
            }
        }
    }

    /// Moves over `\u` and its digits, and over the second half of a pair.
    private mutating func skipEscapedUnits() throws(ParseFault) {
        let unit = try hexUnit(at: p + 2)
        p += 6
        switch unit {
        case 0xDC00...0xDFFF: throw ParseFault(.badEscape)
        case 0xD800...0xDBFF:
            guard p.pointee == UInt8(ascii: "\\"), p[1] == UInt8(ascii: "u"),
                (0xDC00...0xDFFF).contains(try hexUnit(at: p + 2))
            else { throw ParseFault(.badEscape) }
            p += 6
        default: break
        }
    }

    private func hexUnit(at digits: Bytes) throws(ParseFault) -> UInt32 {
        var unit: UInt32 = 0
        for place in 0..<4 {
            guard let digit = hexValue(digits[place]) else { throw ParseFault(.badEscape) }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }

    /// Moves over a number as JSON has it, and which a Float64 can hold if it is no integer.
    fileprivate mutating func skipStrictNumber() throws(ParseFault) {
        var start = self
        _ = take(UInt8(ascii: "-"))
        let whole = p
        while p.pointee &- 0x30 <= 9 { p += 1 }
        guard p > whole, whole.pointee != 0x30 || p - whole == 1 else { throw ParseFault(.notAnObject) }
        var isInteger = true
        if take(UInt8(ascii: ".")) {
            isInteger = false
            guard p.pointee &- 0x30 <= 9 else { throw ParseFault(.notAnObject) }
            while p.pointee &- 0x30 <= 9 { p += 1 }
        }
        if p.pointee | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            p += 1
            if p.pointee == UInt8(ascii: "-") || p.pointee == UInt8(ascii: "+") { p += 1 }
            guard p.pointee &- 0x30 <= 9 else { throw ParseFault(.notAnObject) }
            while p.pointee &- 0x30 <= 9 { p += 1 }
        }
        guard isAtDelimiter else { throw ParseFault(.notAnObject) }
        if !isInteger {
            guard try start.float64().isFinite else { throw ParseFault(.outOfRange) }
        }
    }
}
