// Unsafe by design, under RowParser's invariant: operations and nodes are found by numbers that the plan made, and input is
// read under LineCursor's.

import CSluice
import ClickHouseNative

/// Variants: values whose type is found by trying.
///
/// ClickHouse reads by other, partly stricter, rules while it tries. Where a type would take a value in ClickHouse, though
/// it would store something else than was written, the row is refused: no later type may take it.
extension RowParser {
    /// The first of the types, in ClickHouse's order, that reads the whole value
    /// (ClickHouse's DataTypes/Serializations/SerializationVariant.cpp, tryDeserializeImpl).
    mutating func variant(_ op: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor) throws(ParseFault) {
        guard !options.takesChosen else { return try chosenVariant(op, &cursor) }
        var whole = cursor
        try whole.skipValue(depthMax: options.depthMax)
        let variant = plan.variants[Int(op.pointee.detail)]
        for number in variant.order where try alternative(number, of: variant, cursor, end: whole.p) {
            cursor = whole
            nodes[Int(op.pointee.value)].appendFixed(UInt8(number))
            return
        }
        throw ParseFault(.noAlternative)
    }

    /// Reads the value at the cursor, which ends at `end`, as one of a Variant's types.
    ///
    /// - Returns: false: it is none of this type, and nothing was written.
    mutating func alternative(
        _ number: Int, of variant: VariantPlan, _ cursor: LineCursor, end: Bytes
    ) throws(ParseFault) -> Bool {
        let outer = variantEnd
        variantEnd = end
        defer { variantEnd = outer }
        let operation = operations + variant.first + number
        let savepoint = Savepoint(block, root: Int(operation.pointee.root))
        var attempt = cursor
        let result = Result<Void, ParseFault> { () throws(ParseFault) in try value(operation, &attempt) }
        if case .success = result, attempt.p == end { return true }
        savepoint.restore(block)
        if case .failure(let fault) = result, fault.isFinal { throw fault }
        return false
    }

    /// A scalar within a Variant.
    mutating func tried(_ op: UnsafeMutablePointer<FieldOperation>, _ cursor: inout LineCursor) throws(ParseFault) {
        var operation = op.pointee
        operation.kind = operation.tried
        // What stands for "not null" is written.
        operation.isNullable = false
        let start = cursor
        let isQuoted = start.p.pointee == UInt8(ascii: "\"")
        try checkBefore(operation.kind, start, isQuoted: isQuoted)
        do throws(ParseFault) {
            try value(&operation, &cursor)
        } catch {
            guard !isStoredOtherwise(operation.kind, start, error, isQuoted: isQuoted) else {
                throw ParseFault(.storedOtherwise)
            }
            throw error
        }
        switch operation.kind {
        case .decimal32, .decimal64, .decimal128, .decimal256:
            // Without an exponent ClickHouse takes a decimal only where the whole value ends with its digits.
            var p = start.p
            while p < cursor.p, p.pointee | 0x20 != UInt8(ascii: "e") { p += 1 }
            // What it makes of one with an exponent depends on how many digits there are.
            guard p == cursor.p else { throw ParseFault(.storedOtherwise) }
            guard cursor.p == variantEnd, options.takesChosen || !isQuoted else { throw ParseFault(.notANumber) }
        default: break
        }
    }

    private func checkBefore(_ kind: FieldKind, _ start: LineCursor, isQuoted: Bool) throws(ParseFault) {
        let first = isQuoted ? start.p[1] : start.p.pointee
        switch kind {
        case .bool:
            guard first == UInt8(ascii: "t") || first == UInt8(ascii: "f"), !isQuoted else {
                throw ParseFault(.notABool)
            }
        case .uint8, .uint16, .uint32, .uint64, .uint128, .uint256, .date:
            guard first != UInt8(ascii: "-") else { throw ParseFault(.notANumber) }
        default: break
        }
    }

    /// Whether ClickHouse reads as this kind what was refused here.
    private func isStoredOtherwise(
        _ kind: FieldKind, _ start: LineCursor, _ fault: ParseFault, isQuoted: Bool
    ) -> Bool {
        let first = isQuoted ? start.p[1] : start.p.pointee
        // No element is 0 there, where a tuple has one of these.
        let isNothing = !isQuoted && first == UInt8(ascii: "]")
        switch kind {
        case .int8, .int16, .int32, .int64, .uint8, .uint16, .uint32, .uint64:
            // And so is an empty text.
            return isNothing || isQuoted && first == UInt8(ascii: "\"")
        case .int128, .uint128, .int256, .uint256:
            // No digits at all are 0 there, too.
            return fault.code == .outOfRange || isQuoted && first == UInt8(ascii: "\"")
                || [UInt8(ascii: "]"), UInt8(ascii: "}"), UInt8(ascii: ",")].contains(first)
        case .date: return isNothing || isQuoted && start.stringIsLikeADay
        case .date32: return isNothing || (isQuoted ? start.stringIsLikeADay : fault.code == .outOfRange)
        case .dateTime, .dateTime64:
            guard fault.code != .outOfRange else { return true }
            return isQuoted ? options.times == .basic && start.stringIsLikeATime : start.isLikeANumber
        case .time, .time64: return isNothing || (isQuoted ? start.stringIsLikeATime : start.isLikeANumber)
        case .decimal32, .decimal64, .decimal128, .decimal256:
            // Of two points it takes one, and of signs alone a 0.
            return options.takesChosen && fault.code == .notANumber && start.stringHasNumbersSignsOnly
        case .enum8, .enum16:
            // Of text other than integers it is known that it is no member's number.
            return isNothing || isQuoted && (options.takesChosen ? start.stringIsAnInteger : start.stringHasDigit)
        default: return false
        }
    }
}

extension ParseFault {
    /// No other type of a Variant may take what was refused for this.
    var isFinal: Bool {
        switch code {
        // With input_format_null_as_default off ClickHouse takes a null for a number here, as 0 or nan.
        case .nullValue: true
        case .storedOtherwise, .uncertainType, .badEscape, .duplicateKey, .tooDeep, .unterminatedString: true
        default: false
        }
    }
}

// What ClickHouse may read where this parser does not. Better to refuse a text that is none of it than to store another.
extension LineCursor {
    /// The inside of the string whose opening quote is at the cursor, as far as there are no escapes.
    private var inside: UnsafeBufferPointer<UInt8> {
        var q = p + 1
        while q.pointee != UInt8(ascii: "\""), q.pointee != UInt8(ascii: "\\"), q.pointee != 0x0A { q += 1 }
        return UnsafeBufferPointer(start: p + 1, count: q - p - 1)
    }

    /// Whether there is a digit in the string.
    fileprivate var stringHasDigit: Bool { inside.contains { $0 &- 0x30 <= 9 } }

    /// Whether there is nothing in the string that a number has not.
    fileprivate var stringHasNumbersSignsOnly: Bool {
        inside.allSatisfy(\.isOfNumber)
    }

    /// Whether the string is digits, with or without a sign.
    fileprivate var stringIsAnInteger: Bool {
        let text = inside
        guard let first = text.first else { return false }
        let digits = first == UInt8(ascii: "-") || first == UInt8(ascii: "+") ? text.dropFirst() : text[...]
        return !digits.isEmpty && digits.allSatisfy { $0 &- 0x30 <= 9 }
    }

    /// Whether the string is as long as a day may be written, and begins with a year.
    fileprivate var stringIsLikeADay: Bool {
        let text = inside
        return (6...10).contains(text.count) && text.prefix(4).allSatisfy { $0 &- 0x30 <= 9 }
    }

    /// Whether the string has a digit, and no word that no time has (ClickHouse's IO/parseDateTimeBestEffort.cpp).
    fileprivate var stringIsLikeATime: Bool {
        guard stringHasDigit else { return false }
        let words = inside.split { !($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A) }
        return words.allSatisfy { word in
            let start = String(decoding: word.prefix(3).map { $0 | 0x20 }, as: UTF8.self)
            return Self.timeWords.contains(start)
        }
    }

    private static let timeWords: Set<String> = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "mon", "tue", "wed", "thu",
        "fri", "sat", "sun", "am", "pm", "utc", "gmt", "msk", "msd", "t", "z",
    ]

    /// Whether a bare value begins as a number does.
    fileprivate var isLikeANumber: Bool {
        let byte = p.pointee
        return byte &- 0x30 <= 9 || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+") || byte == UInt8(ascii: ".")
    }
}

extension UInt8 {
    /// Whether numbers are written with it: digits, signs, a point, an `e`.
    var isOfNumber: Bool {
        self &- 0x30 <= 9 || self == UInt8(ascii: ".") || self == UInt8(ascii: "-") || self == UInt8(ascii: "+")
            || self | 0x20 == UInt8(ascii: "e")
    }
}
