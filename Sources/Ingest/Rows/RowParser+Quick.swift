// Unsafe by design, under RowParser's invariant. A quick look reads up to `quickBytes` from a value's first byte on, which are
// compared with the input's end before; a text is read to its end, by LineCursor's rules.

import CSluice
import ClickHouseNative

/// Reads and appends the value at `p` if it looks as values of its column mostly do, which is read in one go. Any other shape is left to
/// `RowParser.value`, which reads all of them, and makes the same of this one.
///
/// A function of C, found in the field: one call by pointer, in which nothing is saved that the loop over the keys does not need. Its
/// parser is a `RowParser`, to which no other access is under way.
typealias QuickReader =
    @convention(c) (
        UnsafePointer<sluice_field>?, UnsafeMutableRawPointer?, Bytes?, Bytes?, UnsafeMutableRawPointer?
    ) -> Bytes?

/// An enumeration as plain bytes.
struct QuickEnumeration {
    let names: KeyIndex
    /// By the name's number.
    let values: UnsafeMutablePointer<Int16>

    init(_ names: KeyIndex, _ values: [Int16]) {
        self.names = names
        self.values = .allocate(capacity: max(1, values.count))
        self.values.initialize(from: values, count: values.count)
    }
}

extension FieldOperation {
    /// Sets what quick looks go by, when all else is set.
    mutating func prepareQuickLook(_ layout: BlockLayout, _ options: RowOptions) {
        guard root >= 0, value >= 0 else { return }
        hasNullMap = layout.nodes[Int(root)].kind == .nullable
        let stored = layout.nodes[Int(value)]
        if stored.defaultBits == 0 {
            defaultZeros =
                switch stored.kind {
                case .fixed, .lowCardinality: stored.width
                case .string: 1
                default: 0
                }
        }
        let bits = UInt64(stored.width * 8)
        switch kind {
        case .int8, .int16, .int32, .int64:
            magnitudeMax = 1 << (bits - 1) - 1
            negativeMax = 1 << (bits - 1)
        case .uint8, .uint16, .uint32, .uint64:
            magnitudeMax = .max >> (64 - bits)
        case .decimal32, .decimal64:
            magnitudeMax = UInt64(sluice_power10(precision)) - 1
            negativeMax = magnitudeMax
        default: break
        }
        read = quickReader(options)
        if isNullable || !takesNull && options.nullAsDefault && !hasExpression { nullZeros = min(16, defaultZeros) }
        if nullZeros < defaultZeros { nullZeros = 0 }
        if let read, hasNullMap {
            readValue = read
            self.read = { field, nodes, p, end, parser in
                guard let next = operation(field).pointee.readValue!(field, nodes, p, end, parser) else { return nil }
                // A null has its default there by now.
                let isNull: UInt8 = p.unsafelyUnwrapped.pointee == UInt8(ascii: "n") ? 1 : 0
                (nodes.unsafelyUnwrapped + (field.unsafelyUnwrapped.pointee.count_offset - ColumnNode.rowsOffset))
                    .assumingMemoryBound(to: ColumnNode.self)
                    .pointee.appendFixed(isNull)
                return next
            }
        }
    }

    /// What quick looks need of it.
    ///
    /// - Parameter name: of a column; nil: it is none, or JSON writes it with escapes, which takes a closer look.
    func makeField(
        _ name: UnsafeBufferPointer<UInt8>?, of operation: UnsafeMutablePointer<FieldOperation>
    ) -> sluice_field {
        sluice_field(
            key: name.map { sluice_make_key($0.baseAddress, $0.count) } ?? sluice_no_key(),
            name: name?.baseAddress, read: read,
            count_offset: Int(max(0, root)) * MemoryLayout<ColumnNode>.stride + ColumnNode.rowsOffset,
            value_offset: Int(max(0, value)) * MemoryLayout<ColumnNode>.stride, operation: operation)
    }

    /// nil: no value of the column is read in one go.
    private func quickReader(_ options: RowOptions) -> QuickReader? {
        switch kind {
        case .int8, .int16, .int32, .int64, .uint8, .uint16, .uint32, .uint64:
            { field, nodes, p, _, _ in
                RowParser.quickInteger(operation(field), valueNode(field, nodes), p.unsafelyUnwrapped)
                    ?? RowParser.quickWord(operation(field), valueNode(field, nodes), p.unsafelyUnwrapped)
            }
        case .decimal32 where scale <= RowParser.quickScaleMax, .decimal64 where scale <= RowParser.quickScaleMax:
            { field, nodes, p, _, _ in
                RowParser.quickDecimal(operation(field), valueNode(field, nodes), p.unsafelyUnwrapped)
                    ?? RowParser.quickWord(operation(field), valueNode(field, nodes), p.unsafelyUnwrapped)
            }
        case .float64:
            { field, nodes, p, _, _ in
                RowParser.quickFloat(valueNode(field, nodes), p.unsafelyUnwrapped)
                    ?? RowParser.quickWord(operation(field), valueNode(field, nodes), p.unsafelyUnwrapped)
            }
        case .bool: { field, nodes, p, _, _ in RowParser.quickBool(valueNode(field, nodes), p.unsafelyUnwrapped) }
        case .string:
            { field, nodes, p, end, _ in
                RowParser.quickText(
                    operation(field), valueNode(field, nodes), p.unsafelyUnwrapped, end.unsafelyUnwrapped)
                    ?? RowParser.quickWord(operation(field), valueNode(field, nodes), p.unsafelyUnwrapped)
            }
        case .lowCardinality where detail < 0:
            { field, nodes, p, _, _ in
                RowParser.quickDictionaryText(valueNode(field, nodes), nodes.unsafelyUnwrapped, p.unsafelyUnwrapped)
            }
        case .fixedString where scale < KeyIndex.quickBytes:
            { field, nodes, p, _, _ in
                RowParser.quickFixedText(operation(field), valueNode(field, nodes), p.unsafelyUnwrapped)
            }
        case .uuid:
            { field, nodes, p, _, _ in
                RowParser.quickUUID(valueNode(field, nodes), p.unsafelyUnwrapped)
                    ?? RowParser.quickWord(operation(field), valueNode(field, nodes), p.unsafelyUnwrapped)
            }
        case .dateTime where options.times != .basic:
            { field, nodes, p, _, parser in
                RowParser.quickDateTime(
                    operation(field), valueNode(field, nodes), p.unsafelyUnwrapped, &rowParser(parser).pointee.lastDay)
            }
        case .dateTime64:
            { field, nodes, p, _, parser in
                RowParser.quickDateTime64(
                    operation(field), valueNode(field, nodes), p.unsafelyUnwrapped, &rowParser(parser).pointee.lastDay)
            }
        case .enum8, .enum16:
            { field, nodes, p, _, parser in
                RowParser.quickMember(
                    operation(field), valueNode(field, nodes), p.unsafelyUnwrapped,
                    rowParser(parser).pointee.quickEnumerations)
            }
        default: nil
        }
    }
}

// What the pointers of a `QuickReader` point to.

@inline(__always)
private func operation(_ field: UnsafePointer<sluice_field>?) -> UnsafeMutablePointer<FieldOperation> {
    field.unsafelyUnwrapped.pointee.operation.assumingMemoryBound(to: FieldOperation.self)
}

/// Where the value goes.
@inline(__always)
private func valueNode(
    _ field: UnsafePointer<sluice_field>?, _ nodes: UnsafeMutableRawPointer?
) -> UnsafeMutablePointer<ColumnNode> {
    (nodes.unsafelyUnwrapped + field.unsafelyUnwrapped.pointee.value_offset).assumingMemoryBound(to: ColumnNode.self)
}

@inline(__always)
private func rowParser(_ parser: UnsafeMutableRawPointer?) -> UnsafeMutablePointer<RowParser> {
    parser.unsafelyUnwrapped.assumingMemoryBound(to: RowParser.self)
}

extension RowParser {
    /// Most digits behind a decimal's point, so that eight before it and all of these are a UInt64.
    static let quickScaleMax: Int32 = 9
    /// What is read of a value at most, texts aside.
    private static let quickBytes = Int(SLUICE_VALUE_BYTES)

    /// Reads and appends the value at the cursor, which is one within another. Returns where it ends; nil: it takes a closer look, and
    /// nothing was appended.
    @inline(never)
    mutating func quickElement(_ op: UnsafeMutablePointer<FieldOperation>, _ cursor: LineCursor) -> Bytes? {
        guard let read = op.pointee.read, _fastPath(cursor.end - cursor.p > Self.quickBytes) else { return nil }
        let (field, nodes) = (op.pointee.field, self.nodes)
        return withUnsafeMutablePointer(to: &self) { read(field, nodes, cursor.p, cursor.end, $0) }
    }

    /// What `Block.pad(_:to:)` does, for columns whose defaults are zeros.
    @inline(never)
    mutating func pad(_ op: UnsafeMutablePointer<FieldOperation>, _ rows: Int) {
        let root = nodes + Int(op.pointee.root)
        let missing = rows - root.pointee.rows
        guard op.pointee.defaultZeros > 0 else { return block.pad(Int(op.pointee.root), to: rows) }
        if op.pointee.hasNullMap {
            root.pointee.data.append(repeating: 1, count: missing)
            root.pointee.rows = rows
        }
        let node = nodes + Int(op.pointee.value)
        node.pointee.data.appendZeros(missing &* op.pointee.defaultZeros)
        node.pointee.rows = rows
    }

    // Each sort in a function of its own, which calls no others where all is well: it takes few registers then. Where there is no
    // room for the value, it is left to who makes some.

    /// A null that stands for the type's default, or is a value of a nullable type, which gets the default here; for integers, a boolean
    /// that stands for a number.
    @inline(never)
    fileprivate static func quickWord(
        _ op: UnsafeMutablePointer<FieldOperation>, _ node: UnsafeMutablePointer<ColumnNode>, _ p: Bytes
    ) -> Bytes? {
        let word = UInt32(truncatingIfNeeded: sluice_word(p))
        guard node.pointee.data.hasRoom(16) else { return nil }
        if word == 0x6C6C_756E {
            guard op.pointee.nullZeros > 0 else { return nil }
            if op.pointee.kind == .string {
                node.pointee.appendString(p, count: 0, node: op.pointee.node)
            } else {
                node.pointee.data.appendZeros(op.pointee.nullZeros)
                node.pointee.rows &+= 1
            }
            return p + 4
        }
        guard op.pointee.kind.rawValue <= FieldKind.uint64.rawValue else { return nil }
        let isTrue = word == 0x6575_7274
        guard isTrue || word == 0x736C_6166 && p[4] == UInt8(ascii: "e") else { return nil }
        let next = p + (isTrue ? 4 : 5)
        guard LineCursor.isDelimiter(next.pointee) else { return nil }
        node.pointee.appendNumber(isTrue ? 1 : 0, width: op.pointee.node.width)
        return next
    }

    // MARK: - Texts

    @inline(__always)
    fileprivate static func quickText(
        _ op: UnsafeMutablePointer<FieldOperation>, _ node: UnsafeMutablePointer<ColumnNode>, _ p: Bytes, _ end: Bytes
    ) -> Bytes? {
        guard p.pointee == UInt8(ascii: "\"") else { return nil }
        let length = node.pointee.appendShortString(
            room: Int(SLUICE_COPIED_TEXT_MAX), isBelowArray: op.pointee.node.isBelowArray
        ) { sluice_copy_text(p + 1, end, $0.assumingMemoryBound(to: UInt8.self)) }
        return _fastPath(length >= 0) ? p + (length &+ 2) : longText(op, node, p, end)
    }

    /// Longest text with escapes that is written to its place at once.
    private static let escapedBytesMax = 1 << 10

    @inline(never)
    private static func longText(
        _ op: UnsafeMutablePointer<FieldOperation>, _ node: UnsafeMutablePointer<ColumnNode>, _ p: Bytes, _ end: Bytes
    ) -> Bytes? {
        let start = p + 1
        let stop = sluice_scan_string(start, end)!
        if stop.pointee == UInt8(ascii: "\"") {
            node.pointee.appendString(start, count: stop - start, node: op.pointee.node)
            return stop + 1
        }
        guard stop.pointee == UInt8(ascii: "\\") else { return nil }
        let room = min(end - start, Self.escapedBytesMax)
        var next: Bytes?
        let length = node.pointee.appendLongString(room: room, isBelowArray: op.pointee.node.isBelowArray) {
            place in
            let out = place.assumingMemoryBound(to: UInt8.self)
            let reached = sluice_unescape(start, end, out, out + room)
            guard reached.from < end, reached.from.pointee == UInt8(ascii: "\"") else { return -1 }
            next = reached.from + 1
            return reached.to - out
        }
        return length >= 0 ? next : nil
    }

    @inline(__always)
    fileprivate static func quickDictionaryText(
        _ node: UnsafeMutablePointer<ColumnNode>, _ nodes: UnsafeMutableRawPointer, _ p: Bytes
    ) -> Bytes? {
        guard p.pointee == UInt8(ascii: "\"") else { return nil }
        let text = sluice_read_short_text(p + 1)
        guard text.length >= 0 else { return nil }
        guard node.pointee.data.hasRoom(4), node.pointee.appendKnown(text.low, text.high) else {
            return newDictionaryText(node, nodes, p, text.length)
        }
        return p + (text.length &+ 2)
    }

    @inline(never)
    private static func newDictionaryText(
        _ node: UnsafeMutablePointer<ColumnNode>, _ nodes: UnsafeMutableRawPointer, _ p: Bytes, _ length: Int
    ) -> Bytes? {
        node.pointee.appendLowCardinality(p + 1, count: length, nodes.assumingMemoryBound(to: ColumnNode.self))
        return p + (length &+ 2)
    }

    @inline(__always)
    fileprivate static func quickFixedText(
        _ op: UnsafeMutablePointer<FieldOperation>, _ node: UnsafeMutablePointer<ColumnNode>, _ p: Bytes
    ) -> Bytes? {
        guard p.pointee == UInt8(ascii: "\"") else { return nil }
        let text = sluice_read_short_text(p + 1)
        guard text.length >= 0, text.length <= Int(op.pointee.scale), node.pointee.data.hasRoom(16) else { return nil }
        let place = node.pointee.data.claim(16)
        place.storeBytes(of: text.low.littleEndian, as: UInt64.self)
        place.storeBytes(of: text.high.littleEndian, toByteOffset: 8, as: UInt64.self)
        // Behind the text there is its quote, and zeros behind that.
        place.storeBytes(of: 0, toByteOffset: text.length, as: UInt8.self)
        node.pointee.data.commit(Int(op.pointee.scale))
        node.pointee.rows &+= 1
        return p + (text.length &+ 2)
    }

    @inline(__always)
    fileprivate static func quickUUID(
        _ node: UnsafeMutablePointer<ColumnNode>, _ p: Bytes
    ) -> Bytes? {
        guard node.pointee.data.hasRoom(16) else { return nil }
        let place = node.pointee.data.claim(16)
        guard p.pointee == UInt8(ascii: "\""), p[37] == UInt8(ascii: "\""),
            sluice_uuid(p + 1, 1, place.assumingMemoryBound(to: UInt8.self)) != 0
        else { return nil }
        node.pointee.data.commit(16)
        node.pointee.rows &+= 1
        return p + 38
    }

    @inline(__always)
    fileprivate static func quickMember(
        _ op: UnsafeMutablePointer<FieldOperation>, _ node: UnsafeMutablePointer<ColumnNode>, _ p: Bytes,
        _ enumerations: UnsafeMutablePointer<QuickEnumeration>
    ) -> Bytes? {
        guard p.pointee == UInt8(ascii: "\"") else { return nil }
        let text = sluice_read_short_text(p + 1)
        guard text.length >= 0 else { return nil }
        let members = enumerations + Int(op.pointee.detail)
        let number = members.pointee.names.find(text)
        guard number >= 0 else { return nil }
        guard node.pointee.data.hasRoom(8) else { return nil }
        node.pointee.appendNumber(
            UInt64(truncatingIfNeeded: members.pointee.values[number]), width: op.pointee.node.width)
        return p + (text.length &+ 2)
    }

    // MARK: - Numbers

    /// Up to 15 digits, with a minus before them or not.
    @inline(__always)
    fileprivate static func quickInteger(
        _ op: UnsafeMutablePointer<FieldOperation>, _ node: UnsafeMutablePointer<ColumnNode>, _ p: Bytes
    ) -> Bytes? {
        let isNegative = p.pointee == UInt8(ascii: "-")
        var q = isNegative ? p + 1 : p
        let first = sluice_read_digits(q)
        guard first.digits > 0 else { return nil }
        var value = first.value
        q += Int(first.digits)
        if first.digits == 8 {
            let more = sluice_read_digits(q)
            guard more.digits < 8 else { return nil }
            if more.digits > 0 {
                value = value &* UInt64(truncatingIfNeeded: sluice_power10(more.digits)) &+ more.value
                q += Int(more.digits)
            }
        }
        guard LineCursor.isDelimiter(q.pointee),
            value <= (isNegative ? op.pointee.negativeMax : op.pointee.magnitudeMax)
        else { return nil }
        guard node.pointee.data.hasRoom(8) else { return nil }
        node.pointee.appendNumber(isNegative ? 0 &- value : value, width: op.pointee.node.width)
        return q
    }

    /// What stands before and behind a point, eight digits each at most, as one number; nil: something else is there.
    @inline(__always)
    private static func quickFraction(_ p: Bytes) -> (whole: UInt64, fraction: UInt64, digits: Int32, next: Bytes)? {
        let whole = sluice_read_digits(p)
        guard whole.digits > 0 else { return nil }
        let point = p + Int(whole.digits)
        guard point.pointee == UInt8(ascii: ".") else { return (whole.value, 0, 0, point) }
        let fraction = sluice_read_digits(point + 1)
        guard fraction.digits > 0 else { return nil }
        return (whole.value, fraction.value, fraction.digits, point + 1 + Int(fraction.digits))
    }

    /// As `LineCursor.float64()`: a mantissa and a power of ten that are both exact.
    @inline(__always)
    fileprivate static func quickFloat(
        _ node: UnsafeMutablePointer<ColumnNode>, _ p: Bytes
    ) -> Bytes? {
        let isNegative = p.pointee == UInt8(ascii: "-")
        guard let (whole, fraction, digits, next) = quickFraction(isNegative ? p + 1 : p) else { return nil }
        let mantissa = whole &* UInt64(truncatingIfNeeded: sluice_power10(digits)) &+ fraction
        guard LineCursor.isDelimiter(next.pointee), mantissa <= 1 << 53 else { return nil }
        let value = Double(mantissa) / sluice_float_power10(digits)
        guard node.pointee.data.hasRoom(8) else { return nil }
        node.pointee.appendFixed(isNegative ? -value : value)
        return next
    }

    @inline(__always)
    fileprivate static func quickDecimal(
        _ op: UnsafeMutablePointer<FieldOperation>, _ node: UnsafeMutablePointer<ColumnNode>, _ p: Bytes
    ) -> Bytes? {
        let isQuoted = p.pointee == UInt8(ascii: "\"")
        let sign = isQuoted ? p + 1 : p
        let isNegative = sign.pointee == UInt8(ascii: "-")
        guard let (whole, fraction, digits, end) = quickFraction(isNegative ? sign + 1 : sign),
            digits <= op.pointee.scale
        else { return nil }
        let unit = UInt64(truncatingIfNeeded: sluice_power10(op.pointee.scale))
        let rest = UInt64(truncatingIfNeeded: sluice_power10(op.pointee.scale &- digits))
        let value = whole &* unit &+ fraction &* rest
        guard value <= op.pointee.magnitudeMax else { return nil }
        var next = end
        if isQuoted {
            guard next.pointee == UInt8(ascii: "\"") else { return nil }
            next += 1
        } else {
            guard LineCursor.isDelimiter(next.pointee) else { return nil }
        }
        guard node.pointee.data.hasRoom(8) else { return nil }
        node.pointee.appendNumber(isNegative ? 0 &- value : value, width: op.pointee.node.width)
        return next
    }

    @inline(__always)
    fileprivate static func quickBool(
        _ node: UnsafeMutablePointer<ColumnNode>, _ p: Bytes
    ) -> Bytes? {
        let word = sluice_word(p)
        let isTrue = UInt32(truncatingIfNeeded: word) == 0x6575_7274
        guard isTrue || word & 0xFF_FFFF_FFFF == 0x65_736C_6166 else { return nil }
        guard node.pointee.data.hasRoom(8) else { return nil }
        node.pointee.appendFixed(UInt8(isTrue ? 1 : 0))
        return p + (isTrue ? 4 : 5)
    }
}
