// Unsafe by design, under RowParser's invariant: nodes are found by numbers that the plan made, and input is read under
// LineCursor's.

import CSluice
import ClickHouseNative

/// Dynamic columns: the type of each value is found as ClickHouse finds it, then the value is read as that type. Where that
/// is not certain, as for texts that may be times in shapes not read here, the row is refused.
extension RowParser {
    mutating func dynamic(
        _ node: UnsafeMutablePointer<ColumnNode>, _ op: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor
    ) throws(ParseFault) {
        var ahead = cursor
        let inferred = try inferred(&ahead, depth: 1)
        guard let type = inferred.dataType, let typed = try? plan.plan(ofDynamic: type) else {
            throw ParseFault(.uncertainType)
        }
        let block = Block(layout: typed.layout)
        var parser = RowParser(
            plan: typed, block: block, options: options, tableKey: tableKey, tableName: tableName,
            successors: successors, scratch: scratch)
        let result = Result<Void, ParseFault> { () throws(ParseFault) in
            try parser.value(typed.operations, &cursor)
        }
        scratch = parser.scratch
        try result.get()
        // The inference and the reading must have looked at the same text.
        guard cursor.p == ahead.p else { throw ParseFault(.uncertainType) }
        block.commitRow()
        block.complete()
        do {
            try DynamicValue.write(block, into: &scratch)
        } catch {
            throw ParseFault(.uncertainType)
        }
        node.pointee.appendString(
            scratch.base ?? UnsafeMutableRawPointer(mutating: cursor.p), count: scratch.count, node: op.pointee.node)
    }

    /// What the value at the cursor, which is left behind it, is found to be.
    private mutating func inferred(_ cursor: inout LineCursor, depth: Int) throws(ParseFault) -> InferredType {
        guard depth <= min(options.depthMax, DataType.depthMax) else { throw ParseFault(.tooDeep) }
        switch cursor.p.pointee {
        case UInt8(ascii: "n"):
            guard cursor.takeWord("null") else { throw ParseFault(.malformed) }
            return .null
        case UInt8(ascii: "t"):
            guard cursor.takeWord("true") else { throw ParseFault(.malformed) }
            return .bool
        case UInt8(ascii: "f"):
            guard cursor.takeWord("false") else { throw ParseFault(.malformed) }
            return .bool
        case UInt8(ascii: "\""):
            let text = try text(&cursor, orRaw: false)
            return try TextInference.type(of: text, bestEffort: options.bestEffortTimes)
        case UInt8(ascii: "["):
            cursor.p += 1
            cursor.skipSpace()
            var elements: [InferredType] = []
            if cursor.take(UInt8(ascii: "]")) { return .array([]) }
            while true {
                elements.append(try inferred(&cursor, depth: depth + 1))
                cursor.skipSpace()
                if cursor.take(UInt8(ascii: ",")) {
                    cursor.skipSpace()
                    continue
                }
                guard cursor.take(UInt8(ascii: "]")) else { throw ParseFault(.notAnArray) }
                return .array(elements)
            }
        case UInt8(ascii: "{"): return try inferredObject(&cursor, depth: depth)
        default: return try inferredNumber(&cursor)
        }
    }

    private mutating func inferredObject(_ cursor: inout LineCursor, depth: Int) throws(ParseFault) -> InferredType {
        cursor.p += 1
        cursor.skipSpace()
        if cursor.take(UInt8(ascii: "}")) { return .emptyObject }
        var members: [InferredType.Member] = []
        while true {
            guard cursor.p.pointee == UInt8(ascii: "\"") else { throw ParseFault(.malformed) }
            // Names with escapes are read by other rules later (see `tuple`); none may be empty, or `null`, which names
            // a subcolumn.
            guard let bytes = try cursor.plainString() else { throw ParseFault(.badEscape) }
            guard bytes.count > 0, let name = String(validating: bytes, as: UTF8.self), name != "null" else {
                throw ParseFault(.uncertainType)
            }
            guard !members.contains(where: { $0.name == name }) else { throw ParseFault(.duplicateKey) }
            cursor.skipSpace()
            guard cursor.take(UInt8(ascii: ":")) else { throw ParseFault(.malformed) }
            cursor.skipSpace()
            members.append(.init(name: name, type: try inferred(&cursor, depth: depth + 1)))
            cursor.skipSpace()
            if cursor.take(UInt8(ascii: ",")) {
                cursor.skipSpace()
                continue
            }
            guard cursor.take(UInt8(ascii: "}")) else { throw ParseFault(.malformed) }
            let sorted = members.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
            return .object(sorted)
        }
    }

    private func inferredNumber(_ cursor: inout LineCursor) throws(ParseFault) -> InferredType {
        var whole = cursor
        try whole.skipNumber()
        defer { cursor = whole }
        var p = cursor.p
        let isNegative = p.pointee == UInt8(ascii: "-")
        if isNegative || p.pointee == UInt8(ascii: "+") { p += 1 }
        let digits = p
        while p.pointee &- 0x30 <= 9 { p += 1 }
        guard p == whole.p, p > digits else { return .float }
        var attempt = cursor
        if (try? attempt.integer(Int64.self)) != nil { return .int(isNegative: isNegative && digits.pointee != 0x30) }
        attempt = cursor
        if !isNegative, (try? attempt.integer(UInt64.self)) != nil { return .uint }
        // Too large for either: what becomes of it depends on the rows before.
        throw ParseFault(.uncertainType)
    }
}

/// Whether a text is a time, as ClickHouse's inference has it.
private enum TextInference {
    /// Longest text that may be a time.
    private static let timeBytesMax = 50

    static func type(of text: UnsafeRawBufferPointer, bestEffort: Bool) throws(ParseFault) -> InferredType {
        let groups = text.split { !($0 &- 0x30 <= 9) }
        guard text.count <= timeBytesMax, !groups.isEmpty, groups.map(\.count).reduce(0, +) < text.count else {
            return .string
        }
        if let exact = exact(text, bestEffort: bestEffort) { return exact }
        guard mayBeATime(text, groups) else { return .string }
        throw ParseFault(.uncertainType)
    }

    /// Dates and times in their usual shapes: `2024-02-29`, `2024-02-29 12:34:56.789`, with a T, a Z or an offset.
    private static func exact(_ text: UnsafeRawBufferPointer, bestEffort: Bool) -> InferredType? {
        // In quotes and with a line's end, as the cursor wants it.
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: text.count + 3) { copy in
            copy[0] = UInt8(ascii: "\"")
            for place in 0..<text.count { copy[place + 1] = text[place] }
            copy[text.count + 1] = UInt8(ascii: "\"")
            copy[text.count + 2] = 0x0A
            let start = Bytes(copy.baseAddress!)
            let end = start + text.count + 3
            func isDigit(_ place: Int) -> Bool { copy[place] &- 0x30 <= 9 }
            guard text.count >= 10, (1...4).allSatisfy(isDigit), copy[5] == UInt8(ascii: "-"), isDigit(6), isDigit(7),
                copy[8] == UInt8(ascii: "-"), isDigit(9), isDigit(10)
            else { return nil }
            if text.count == 10 {
                var cursor = LineCursor(start, end: end)
                guard let day = try? cursor.date(), day >= 0, day <= Int32(UInt16.max) else { return nil }
                return .date
            }
            // hh:mm:ss behind a space or T.
            guard bestEffort, text.count >= 19, copy[11] == UInt8(ascii: " ") || copy[11] == UInt8(ascii: "T"),
                copy[14] == UInt8(ascii: ":"), copy[17] == UInt8(ascii: ":")
            else { return nil }
            var cursor = LineCursor(start, end: end)
            guard let time = try? cursor.time(zone: nil, bestEffort: true, takesFraction: true) else { return nil }
            let hasFraction = text.count > 19 && copy[20] == UInt8(ascii: ".")
            // Near the borders the zone decides; there nothing is certain.
            let dayOfSeconds: Int64 = 86400
            if !hasFraction, time.seconds >= dayOfSeconds, time.seconds <= Int64(UInt32.max) - dayOfSeconds {
                return .dateTime
            }
            guard time.seconds >= -2_208_988_800 + dayOfSeconds, time.seconds <= 9_223_372_036 - dayOfSeconds,
                hasFraction || time.seconds < -dayOfSeconds || time.seconds > Int64(UInt32.max) + dayOfSeconds
            else { return nil }
            return .dateTime64
        }
    }

    /// False where ClickHouse's parser of times certainly refuses the text.
    private static func mayBeATime(
        _ text: UnsafeRawBufferPointer, _ groups: [Slice<UnsafeRawBufferPointer>]
    ) -> Bool {
        let known = Set(" -/:.,+0123456789".utf8)
        var hasMonth = false
        var hasDateMark = false
        for word in text.split(whereSeparator: { known.contains($0) }) {
            guard word.allSatisfy({ $0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A }) else { return false }
            let start = String(decoding: word.prefix(3).map { $0 | 0x20 }, as: UTF8.self)
            guard timeWords.contains(start) else { return false }
            hasMonth = hasMonth || start.utf8.count == 3
        }
        for byte in text where byte == UInt8(ascii: "-") || byte == UInt8(ascii: "/") { hasDateMark = true }
        // A date has three numbers, or two and a name; none stands for eight digits and more between other characters.
        let numbers = groups.count + (hasMonth ? 1 : 0)
        return numbers >= 3 && (hasDateMark || hasMonth) || groups.contains { $0.count >= 8 }
    }

    private static let timeWords: Set<String> = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "mon", "tue", "wed", "thu",
        "fri", "sat", "sun", "am", "pm", "utc", "gmt", "msk", "msd", "t", "z",
    ]
}
