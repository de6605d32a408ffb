// Unsafe by design, under RowParser's invariant: operations, nodes and rules are found by numbers that the plan made, and input is
// read under LineCursor's. Texts are passed on as pointers that live until the next value is read.

import ClickHouseNative
import Pipeline

/// What only a table with rules needs.
extension RowParser {
    // MARK: - Keys

    /// The value of a key that is the rules': an alias, or a field that decides something.
    mutating func ruledKey(
        _ key: Int, _ rules: RulePlan, _ rows: Int, _ cursor: inout LineCursor
    ) throws(ParseFault) {
        let column = rules.column(ofKey: key)
        guard column < 0 else { return try field(column, rows, &cursor) }
        if cursor.takeWord("null") { return }
        try sample(rules, cursor)
        try cursor.skipValue(depthMax: options.depthMax)
    }

    /// Keeps an unknown field for the column that takes them.
    mutating func collect(_ rules: RulePlan, _ cursor: inout LineCursor) throws(ParseFault) {
        if let asked = askedFields, !asked.contains(unknownName) { throw ParseFault(.unknownColumn) }
        guard let key = rules.state.pointee.key else { throw ParseFault(.malformed) }
        var name = LineCursor(key, end: cursor.end)
        try name.skipString()
        let value = cursor.p
        try cursor.skipValue(depthMax: options.depthMax)
        let kept = rules.state.pointee.collected.count
        let more = (name.p - key) + (cursor.p - value) + 3
        guard kept + more <= rules.collectedBytesMax else {
            throw ParseFault(.ruleUnknownFields, column: Int32(rules.collecting))
        }
        rules.state.pointee.collected.append(kept == 0 ? UInt8(ascii: "{") : UInt8(ascii: ","))
        rules.state.pointee.collected.append(key, count: name.p - key)
        rules.state.pointee.collected.append(UInt8(ascii: ":"))
        rules.state.pointee.collected.append(value, count: cursor.p - value)
    }

    /// What is asked of a row as a whole, once all of it is read.
    mutating func finishRules(_ rules: RulePlan, _ rows: Int) throws(ParseFault) {
        for number in 0..<rules.requiredCount {
            let column = rules.required(number)
            guard has(column, rows) else { throw ParseFault(.ruleRequired, column: Int32(column)) }
        }
        for number in 0..<rules.filledCount {
            let rule = rules.filled(number)
            let column = Int(rules.columns[rule].column)
            guard !has(column, rows) else { continue }
            block.pad(Int(operations[column].root), to: rows)
            try fill(rules, rule)
        }
        guard rules.state.pointee.collected.count > 0 else { return }
        let column = rules.collecting
        guard !has(column, rows) else { throw ParseFault(.duplicateKey, column: Int32(column)) }
        block.pad(Int(operations[column].root), to: rows)
        rules.state.pointee.collected.append(UInt8(ascii: "}"))
        rules.state.pointee.collected.append(UInt8(0x0A))
        guard let base = rules.state.pointee.collected.base?.assumingMemoryBound(to: UInt8.self) else { return }
        var cursor = LineCursor(base, end: base + rules.state.pointee.collected.count)
        do throws(ParseFault) {
            try unrestrictedValue(column, rules, &cursor)
        } catch {
            throw ParseFault(error.code, column: Int32(column))
        }
    }

    private func has(_ column: Int, _ rows: Int) -> Bool {
        let root = Int(operations[column].root)
        return root >= 0 && nodes[root].rows > rows
    }

    /// An object of ours, which a String takes whatever the table's settings say of objects.
    private mutating func unrestrictedValue(
        _ column: Int, _ rules: RulePlan, _ cursor: inout LineCursor
    ) throws(ParseFault) {
        var operation = operations[column]
        if operation.kind == .ruled { operation = rules.operations[Int(operation.detail)] }
        if operation.kind == .restricted { operation.kind = operation.restricted }
        try value(&operation, &cursor)
    }

    private mutating func fill(_ rules: RulePlan, _ rule: Int) throws(ParseFault) {
        guard let start = rules.columns[rule].fill, let end = rules.columns[rule].fillEnd else { return }
        var cursor = LineCursor(start, end: end)
        try value(rules.operations + rule, &cursor)
    }

    private mutating func sample(_ rules: RulePlan, _ cursor: LineCursor) throws(ParseFault) {
        var ahead = cursor
        rules.state.pointee.sampleHash = RulePlan.hash(try text(&ahead, orRaw: true))
        rules.state.pointee.hasSample = true
    }

    // MARK: - Values

    /// A value of a column with rules.
    mutating func ruled(_ op: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor) throws(ParseFault) {
        guard let rules = plan.rules else { throw ParseFault(.malformed) }
        let number = Int(op.pointee.detail)
        let rule = rules.columns + number
        if rule.pointee.isSampled { try sample(rules, cursor) }
        switch rule.pointee.action {
        case .plain: try value(rules.operations + number, &cursor)
        case .text: try ruledText(rules, number, &cursor)
        case .fixed: try ruledFixed(rules, number, &cursor)
        case .drop:
            try cursor.skipValue(depthMax: options.depthMax)
            block.appendDefault(Int(op.pointee.root))
        case .constant:
            try cursor.skipValue(depthMax: options.depthMax)
            try fill(rules, number)
        }
    }

    /// A null, which was read. False when it is for the column as it would be without rules.
    mutating func ruledNull(_ op: UnsafeMutablePointer<FieldOperation>) throws(ParseFault) -> Bool {
        guard let rules = plan.rules else { return false }
        let number = Int(op.pointee.detail)
        let rule = rules.columns + number
        guard !rule.pointee.isRequired else { throw ParseFault(.ruleRequired, column: rule.pointee.column) }
        switch rule.pointee.action {
        case .constant: try fill(rules, number)
        case .drop: block.appendDefault(Int(op.pointee.root))
        default:
            guard rule.pointee.fill != nil, !op.pointee.takesNull else { return false }
            try fill(rules, number)
        }
        return true
    }

    private mutating func ruledFixed(
        _ rules: RulePlan, _ number: Int, _ cursor: inout LineCursor
    ) throws(ParseFault) {
        let rule = rules.columns + number
        let operation = rules.operations + number
        try value(operation, &cursor)
        let node = nodes + Int(operation.pointee.value)
        let width = operation.pointee.node.width
        guard let base = node.pointee.data.base else { return }
        let stored = base + (node.pointee.data.count - width)
        if rule.pointee.hasRange || rule.pointee.valueCount > 0 {
            guard let key = rule.pointee.order.key(stored, width: width) else {
                throw ParseFault(rule.pointee.hasRange ? .ruleRange : .ruleOneOf)
            }
            guard key >= rule.pointee.keyMin, key <= rule.pointee.keyMax else { throw ParseFault(.ruleRange) }
            if let values = rule.pointee.values, !Self.contains(values, rule.pointee.valueCount, key) {
                throw ParseFault(.ruleOneOf)
            }
        }
        switch rule.pointee.redaction {
        case .ipv4:
            let address = stored.loadUnaligned(as: UInt32.self)
            stored.storeBytes(of: address & AddressBits.mask(rule.pointee.ipv4Prefix), as: UInt32.self)
        case .ipv6:
            AddressBits.truncate(
                stored.assumingMemoryBound(to: UInt8.self), rule.pointee.ipv4Prefix, rule.pointee.ipv6Prefix)
        default: break
        }
    }

    private static func contains(_ values: UnsafePointer<UInt128>, _ count: Int, _ key: UInt128) -> Bool {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if values[middle] < key { low = middle + 1 } else { high = middle }
        }
        return low < count && values[low] == key
    }

    private mutating func ruledText(
        _ rules: RulePlan, _ number: Int, _ cursor: inout LineCursor
    ) throws(ParseFault) {
        let rule = rules.columns + number
        var operation = rules.operations[number]
        if operation.kind == .restricted {
            if rule.pointee.redaction != .hashNumber { try checkRestrictions(operation.restrictions, cursor) }
            operation.kind = operation.restricted
        }
        let start = cursor
        // Of FixedString; a dictionary of them is read by a plan of its own.
        let isFixedDictionary = operation.kind == .lowCardinality && operation.detail >= 0
        let isFixed = (operation.kind == .fixedString || isFixedDictionary) && rule.pointee.redaction == .none
        let bytes = try text(&cursor, orRaw: !isFixed)
        try check(rule, bytes)
        switch rule.pointee.redaction {
        case .none where isFixedDictionary:
            cursor = start
            try value(&operation, &cursor)
        case .none: try store(&operation, bytes)
        case .maskAll:
            guard let mask = rule.pointee.mask, let end = rule.pointee.maskEnd else { return }
            try store(&operation, UnsafeRawBufferPointer(start: mask, count: end - mask - 1))
        case .maskStart:
            Self.mask(bytes, rule.pointee.keepLast, &rules.state.pointee.output)
            try store(&operation, rules.state.pointee.output.bytes)
        case .hashText, .hashBytes, .hashNumber:
            try hash(rule, bytes, &rules.state.pointee.output)
            if rule.pointee.redaction == .hashNumber {
                storeNumber(&operation, rules.state.pointee.output.load(UInt64.self, at: 0).bigEndian)
            } else {
                try store(&operation, rules.state.pointee.output.bytes)
            }
        case .address:
            var ahead = start
            try AddressBits.append(
                &ahead, rule.pointee.ipv4Prefix, rule.pointee.ipv6Prefix, &rules.state.pointee.output)
            try store(&operation, rules.state.pointee.output.bytes)
        case .ipv4, .ipv6: break
        }
    }

    /// Where no bytes are.
    private var anyPlace: UnsafeRawPointer { UnsafeRawPointer(successors) }

    private func check(_ rule: UnsafeMutablePointer<ColumnRule>, _ text: UnsafeRawBufferPointer) throws(ParseFault) {
        if rule.pointee.hasLength {
            guard text.count >= rule.pointee.bytesMin, text.count <= rule.pointee.bytesMax else {
                throw ParseFault(.ruleLength)
            }
            if rule.pointee.countsCharacters {
                let characters = Self.characters(text)
                guard characters >= rule.pointee.charactersMin, characters <= rule.pointee.charactersMax else {
                    throw ParseFault(.ruleLength)
                }
            }
        }
        if let names = rule.pointee.names {
            let base = text.baseAddress ?? anyPlace
            guard names.find(base.assumingMemoryBound(to: UInt8.self), text.count) >= 0 else {
                throw ParseFault(.ruleOneOf)
            }
        }
        if let pattern = rule.pointee.pattern {
            guard pattern._withUnsafeGuaranteedRef({ $0.matches(text) }) else { throw ParseFault(.ruleRegex) }
        }
    }

    private static func characters(_ text: UnsafeRawBufferPointer) -> Int {
        var count = 0
        for byte in text where byte & 0xC0 != 0x80 { count &+= 1 }
        return count
    }

    // MARK: - Storing

    private mutating func store(
        _ op: inout FieldOperation, _ bytes: UnsafeRawBufferPointer
    ) throws(ParseFault) {
        let (base, count) = (bytes.baseAddress ?? anyPlace, bytes.count)
        if op.kind == .lowCardinality {
            block.appendLowCardinality(Int(op.root), base, count: count)
            return
        }
        if op.kind == .fixedString { guard count <= Int(op.scale) else { throw ParseFault(.tooLong) } }
        if op.isNullable { nodes[Int(op.root)].appendFixed(UInt8(0)) }
        let node = nodes + Int(op.value)
        guard op.kind == .fixedString else {
            node.pointee.appendString(base, count: count, node: op.node)
            return
        }
        node.pointee.data.append(base, count: count)
        node.pointee.data.appendZeros(Int(op.scale) - count)
        node.pointee.rows &+= 1
    }

    private func storeNumber(_ op: inout FieldOperation, _ number: UInt64) {
        if op.isNullable { nodes[Int(op.root)].appendFixed(UInt8(0)) }
        nodes[Int(op.value)].appendFixed(number)
    }

    // MARK: - Redaction

    /// A sign for each character but the last ones; for each of them all where there are no more.
    private static func mask(_ text: UnsafeRawBufferPointer, _ keepLast: Int, _ output: inout ByteRun) {
        output.truncate(to: 0)
        let characters = characters(text)
        let hidden = characters <= keepLast ? characters : characters - keepLast
        output.append(repeating: UInt8(ascii: "*"), count: hidden)
        var (place, seen) = (0, 0)
        while place < text.count {
            if text[place] & 0xC0 != 0x80 {
                if seen == hidden { break }
                seen += 1
            }
            place += 1
        }
        output.append(UnsafeRawBufferPointer(rebasing: text[place...]))
    }

    private func hash(
        _ rule: UnsafeMutablePointer<ColumnRule>, _ text: UnsafeRawBufferPointer, _ output: inout ByteRun
    ) throws(ParseFault) {
        guard let key = rule.pointee.hashKey else { throw ParseFault(.malformed) }
        output.truncate(to: 0)
        output.appendZeros(64)
        guard let base = output.base?.assumingMemoryBound(to: UInt8.self) else { return }
        key._withUnsafeGuaranteedRef { $0.writeCode(of: text, to: base) }
        guard rule.pointee.redaction == .hashText else {
            output.truncate(to: 32)
            return
        }
        // From the end, so that no byte is overwritten before it was read.
        for place in stride(from: 31, through: 0, by: -1) {
            let byte = base[place]
            base[2 * place] = Self.hexDigit(byte >> 4)
            base[2 * place + 1] = Self.hexDigit(byte & 15)
        }
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }
}
