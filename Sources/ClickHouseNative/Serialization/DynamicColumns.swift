/// The values of a Dynamic column by their types, as they go over the wire: the names of the types, for each row the number
/// of its type (one more than the last for NULL), and a column for each type
/// (ClickHouse's DataTypes/Serializations/SerializationDynamic.h, the version FLATTENED, which servers know from 25.6 on).
final class DynamicColumns {
    static let flattened: UInt64 = 3

    private var encoders: [ColumnEncoder] = []
    private let names: [String]
    private let numbers: [UInt32?]

    /// - Parameter runs: strings as `DynamicValue` has them.
    init(_ runs: [ByteRun], revision: Revision?) {
        var columns: [(layout: BlockLayout, parts: [Block])] = []
        var places: [String: Int] = [:]
        var numbers: [UInt32?] = []
        var names: [String] = []
        for run in runs {
            var values = ValueCursor(run, width: 0)
            while let value = values.next() {
                var cursor = ByteCursor(value)
                // Values are made by `DynamicValue` alone; what is none would be no more than a NULL.
                guard value.count > 0, let name = try? cursor.takeString(bytesMax: DataType.nameBytesMax) else {
                    numbers.append(nil)
                    continue
                }
                if places[name] == nil, let type = try? DataType(parsing: name) {
                    places[name] = columns.count
                    names.append(name)
                    let layout = BlockLayout([ColumnDefinition(name: "", type: type)])
                    columns.append((layout, layout.isPlain ? [Block(layout: layout)] : []))
                }
                guard let place = places[name] else {
                    numbers.append(nil)
                    continue
                }
                let layout = columns[place].layout
                if layout.isPlain {
                    let block = columns[place].parts[0]
                    block.nodes[0].data.append(UnsafeRawBufferPointer(rebasing: value[cursor.offset...]))
                    block.nodes[0].rows += 1
                    block.rows += 1
                } else {
                    let block = Block(layout: layout)
                    guard (try? DynamicValue.readColumn(&cursor, into: block)) != nil else {
                        numbers.append(nil)
                        continue
                    }
                    columns[place].parts.append(block)
                }
                numbers.append(UInt32(place))
            }
        }
        // By name, as ClickHouse has them.
        let order = names.indices.sorted { names[$0].utf8.lexicographicallyPrecedes(names[$1].utf8) }
        var ranks = Array(repeating: UInt32(0), count: names.count)
        for (rank, place) in order.enumerated() { ranks[place] = UInt32(rank) }
        self.names = order.map { names[$0] }
        self.numbers = numbers.map { $0.map { ranks[Int($0)] } }
        encoders = order.map { columns[$0] }.map { column in
            // A type all of whose values were none has no rows.
            ColumnEncoder(
                layout: column.layout,
                parts: (column.parts.isEmpty ? [Block(layout: column.layout)] : column.parts).map { BlockPart($0) },
                revision: revision)
        }
    }

    func writePrefix(to writer: inout FrameWriter) throws(FrameError) {
        try writer.write(Self.flattened.littleEndian)
        try writer.write(varUInt: UInt64(names.count))
        for name in names { try writer.write(string: name) }
        for place in encoders.indices { try encoders[place].writePrefix(0, to: &writer) }
    }

    func writeValues(to writer: inout FrameWriter) throws(FrameError) {
        var bytes = ByteRun()
        defer { bytes.deallocate() }
        let null = UInt32(names.count)
        for number in numbers {
            switch Self.width(types: names.count) {
            case 1: bytes.append(UInt8(truncatingIfNeeded: number ?? null))
            case 2: bytes.append(UInt16(truncatingIfNeeded: number ?? null).littleEndian)
            default: bytes.append((number ?? null).littleEndian)
            }
        }
        try writer.write(bytes.bytes)
        for place in encoders.indices { try encoders[place].writeValues(0, to: &writer) }
    }

    /// Bytes of a row's number: as few as hold the number for NULL.
    static func width(types: Int) -> Int { types <= 0xFF ? 1 : types <= 0xFFFF ? 2 : 4 }
}

/// Reads a Dynamic column of the version that `DynamicColumns` writes.
struct DynamicReader {
    private var columns: [(name: String, decoder: ColumnDecoder)] = []
    private let bytesMax: Int

    /// Reads the prefix.
    ///
    /// - Parameter depth: of Dynamic columns within Dynamic columns, this one included.
    init(_ bytes: inout ByteCursor, revision: Revision?, bytesMax: Int, depth: Int) throws(BlockReadFailure) {
        self.bytesMax = bytesMax
        guard depth <= DataType.depthMax else {
            throw .refused(BlockError(.limit, "Dynamic columns nested deeper than \(DataType.depthMax)"))
        }
        let version = try bytes.take(UInt64.self)
        guard version == DynamicColumns.flattened else {
            throw .refused(
                BlockError(
                    .unsupportedSerialization,
                    "Dynamic of version \(version); output_format_native_use_flattened_dynamic_and_json_serialization = 1 "
                        + "makes it one that can be read"))
        }
        let count = try bytes.takeVarUInt()
        // Each has a name of at least one byte, with its length.
        guard count <= UInt64(bytes.left / 2) else {
            if count <= 0xFFFF { throw .short }
            throw .refused(BlockError(.limit, "\(count) types in a Dynamic column"))
        }
        for _ in 0..<count {
            let name = try bytes.takeString(bytesMax: DataType.nameBytesMax)
            let type: DataType
            do {
                type = try DataType(parsing: name)
            } catch {
                throw .refused(BlockError(.unsupportedType, "in a Dynamic column: \(error)"))
            }
            if let obstacle = DynamicValue.obstacle(to: type) {
                throw .refused(BlockError(.unsupportedType, "in a Dynamic column: \(obstacle)"))
            }
            let block = Block(layout: BlockLayout([ColumnDefinition(name: "", type: type)]))
            var decoder = ColumnDecoder(block: block, revision: revision, bytesMax: bytesMax, depth: depth)
            decoder.begin(Array(repeating: .plain, count: block.layout.nodes.count))
            columns.append((type.description, decoder))
        }
        for place in columns.indices { try columns[place].decoder.prefix(0, from: &bytes) }
    }

    /// Appends the rows as `DynamicValue` has them.
    mutating func values(
        _ rows: Int, from bytes: inout ByteCursor, to out: inout ByteRun
    ) throws(BlockReadFailure) {
        let width = DynamicColumns.width(types: columns.count)
        let (size, overflow) = rows.multipliedReportingOverflow(by: width)
        guard !overflow else { throw .refused(BlockError(.malformed, "a column is larger than memory")) }
        var numbers = ByteCursor(try bytes.take(size))
        var order: [Int] = []
        var counts = Array(repeating: 0, count: columns.count + 1)
        for _ in 0..<rows {
            let number =
                switch width {
                case 1: Int(try numbers.take(UInt8.self))
                case 2: Int(try numbers.take(UInt16.self))
                default: Int(try numbers.take(UInt32.self))
                }
            guard number <= columns.count else {
                throw .refused(BlockError(.malformed, "type \(number) of \(columns.count) in a Dynamic column"))
            }
            order.append(number)
            counts[number] += 1
        }
        var copiers: [RowCopier] = []
        for place in columns.indices {
            try columns[place].decoder.values(0, counts[place], from: &bytes)
            columns[place].decoder.block.rows = counts[place]
            copiers.append(RowCopier(columns[place].decoder.block))
        }
        var value = ByteRun()
        defer { value.deallocate() }
        let limit = out.count + bytesMax
        for number in order {
            value.truncate(to: 0)
            if number < columns.count {
                DynamicValue.appendName(columns[number].name, to: &value)
                do {
                    try DynamicValue.appendColumn(copiers[number].next(), to: &value)
                } catch {
                    throw .refused(BlockError(.malformed, "a value of a Dynamic column: \(error)"))
                }
            }
            out.appendVarUInt(UInt64(value.count))
            out.append(value.bytes)
            guard out.count <= limit else {
                throw .refused(BlockError(.limit, "more than \(bytesMax) bytes of values"))
            }
        }
    }
}
