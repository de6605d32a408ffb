/// A value of a Dynamic column in memory, as a string: nothing for NULL; else the name of its type, its length as a varint
/// before it, and behind it what a column of just this value would be in the Native format.
public enum DynamicValue {
    /// Types that the values of one column may have: as many as ClickHouse's Dynamic has columns for at most.
    static let typesMax = 254

    /// Appends a value's string to `out`, which is emptied first.
    ///
    /// - Parameter block: of one column and one row.
    public static func write(_ block: Block, into out: inout ByteRun) throws(FrameError) {
        precondition(block.layout.columns.count == 1 && block.rows == 1)
        out.truncate(to: 0)
        appendName(block.layout.columns[0].type.description, to: &out)
        try appendColumn(block, to: &out)
    }

    static func appendName(_ name: String, to out: inout ByteRun) {
        var name = name
        name.withUTF8 { bytes in
            out.appendVarUInt(UInt64(bytes.count))
            out.append(UnsafeRawBufferPointer(bytes))
        }
    }

    static func appendColumn(_ block: Block, to out: inout ByteRun) throws(FrameError) {
        // Plain values are what lies in memory.
        if block.layout.isPlain {
            out.append(block.nodes[0].data.bytes)
            return
        }
        var writer = FrameWriter(compression: nil, frameBytes: 1 << 20, expecting: block.byteCount + 64)
        var encoder = ColumnEncoder(layout: block.layout, parts: [BlockPart(block)], revision: nil)
        try encoder.writePrefix(0, to: &writer)
        try encoder.writeValues(0, to: &writer)
        try writer.finish()
        writer.output.withUnsafeReadableBytes { out.append($0) }
    }

    /// The block of one column and one row that a value is; nil for NULL, and for bytes that are none.
    public static func read(_ value: UnsafeRawBufferPointer) -> Block? {
        var cursor = ByteCursor(value)
        guard value.count > 0, let name = try? cursor.takeString(bytesMax: DataType.nameBytesMax),
            let type = try? DataType(parsing: name)
        else { return nil }
        let block = Block(layout: BlockLayout([ColumnDefinition(name: "", type: type)]))
        guard (try? readColumn(&cursor, into: block)) != nil else { return nil }
        return block
    }

    /// The name of a value's type; nil for NULL.
    public static func typeName(of value: UnsafeRawBufferPointer) -> String? {
        var cursor = ByteCursor(value)
        return value.count > 0 ? try? cursor.takeString(bytesMax: DataType.nameBytesMax) : nil
    }

    /// What a server that gets a value of this type would refuse its whole block for, though the type has a name like others: a time zone that is not
    /// known, elements of tuples whose names are taken.
    static func obstacle(to type: DataType) -> String? {
        switch type {
        case .dateTime(let zone?), .dateTime64(_, let zone?):
            TimeZoneRules.isKnown(zone) ? nil : "a time zone that is not known"
        case .tuple(let elements), .nested(let elements):
            elements.contains { $0.name == "" || $0.name == "null" }
                ? "a tuple's element without a name, or named null"
                : elements.lazy.compactMap { obstacle(to: $0.type) }.first
        case .nullable(let inner), .lowCardinality(let inner), .array(let inner), .named(_, let inner):
            obstacle(to: inner)
        case .map(let key, let value): obstacle(to: key) ?? obstacle(to: value)
        case .variant(let types): types.lazy.compactMap { obstacle(to: $0) }.first
        default: nil
        }
    }

    static func readColumn(_ cursor: inout ByteCursor, into block: Block) throws(BlockReadFailure) {
        var decoder = ColumnDecoder(block: block, revision: nil, bytesMax: 1 << 30)
        try decoder.column(
            1, kinds: Array(repeating: .plain, count: block.layout.nodes.count), from: &cursor)
        block.rows = 1
    }
}

extension BlockLayout {
    /// One node whose values lie in memory as they go over the wire, without a prefix.
    var isPlain: Bool {
        nodes.count == 1 && (nodes[0].kind == .fixed || TextColumnFormat(types[0]) == .string)
    }
}
