/// Reads one column's values into the nodes of a block that has just this column.
struct ColumnDecoder {
    let block: Block
    let revision: Revision?
    /// Bound on the bytes that may be made where the input has fewer than the column.
    let bytesMax: Int
    private var kinds: [SerializationKind] = []
    /// Of Dynamic nodes: the columns of their types.
    private var dynamics: [Int: DynamicReader] = [:]

    /// How many Dynamic columns this one is within.
    private let depth: Int

    init(block: Block, revision: Revision?, bytesMax: Int, depth: Int = 0) {
        self.depth = depth
        self.block = block
        self.revision = revision
        self.bytesMax = bytesMax
    }

    private var layout: BlockLayout { block.layout }

    /// Before the prefix: empties what a fresh block has in its dictionaries.
    mutating func begin(_ kinds: [SerializationKind]) {
        for place in layout.nodes.indices where block.nodes[place].dictionary != nil {
            let child = layout.nodes[place].child
            block.nodes[child].data.truncate(to: 0)
            block.nodes[child].rows = 0
        }
        self.kinds = kinds
    }

    /// - Parameter kinds: of each node; only a column's root and the elements of its tuples can be other than plain.
    mutating func column(
        _ rows: Int, kinds: [SerializationKind], from bytes: inout ByteCursor
    ) throws(BlockReadFailure) {
        begin(kinds)
        try prefix(0, from: &bytes)
        try values(0, rows, from: &bytes)
    }

    mutating func prefix(_ place: Int, from bytes: inout ByteCursor) throws(BlockReadFailure) {
        let node = layout.nodes[place]
        switch node.kind {
        case .fixed: break
        case .string:
            let format = TextColumnFormat(layout.types[place])
            try format.readPrefix(from: &bytes)
            if format == .dynamic {
                dynamics[place] = try DynamicReader(&bytes, revision: revision, bytesMax: bytesMax, depth: depth + 1)
            }
        case .nullable, .array: try prefix(node.child, from: &bytes)
        case .tuple:
            for child in layout.children(of: place) { try prefix(child, from: &bytes) }
        case .variant:
            let mode = try bytes.take(UInt64.self)
            guard mode == VariantFormat.basic else {
                throw .refused(BlockError(.unsupportedSerialization, "variants of mode \(mode)"))
            }
            for child in layout.children(of: place) { try prefix(child, from: &bytes) }
        case .lowCardinality:
            let version = try bytes.take(UInt64.self)
            guard version == 1 else {
                throw .refused(BlockError(.unsupportedSerialization, "low-cardinality version \(version)"))
            }
        }
    }

    mutating func values(_ place: Int, _ rows: Int, from bytes: inout ByteCursor) throws(BlockReadFailure) {
        let node = layout.nodes[place]
        if kinds[place] == .sparse { return try sparse(place, rows, from: &bytes) }
        switch node.kind {
        case .fixed:
            block.nodes[place].data.append(try bytes.take(try product(rows, node.width)))
        case .string:
            if var reader = dynamics[place] {
                try reader.values(rows, from: &bytes, to: &block.nodes[place].data)
                block.nodes[place].rows = rows
                return
            }
            let isDictionary = place > 0 && layout.nodes[place - 1].kind == .lowCardinality
            if revision?.supports(.stringSizesApart) == true, !isDictionary {
                try stringsWithSizesApart(place, rows, from: &bytes)
            } else {
                try strings(place, rows, from: &bytes)
            }
        case .nullable:
            block.nodes[place].data.append(try bytes.take(rows))
            try values(node.child, rows, from: &bytes)
        case .array:
            let elements = try ends(place, rows, from: &bytes)
            try values(node.child, elements, from: &bytes)
        case .lowCardinality:
            try lowCardinality(place, rows, from: &bytes)
        case .tuple:
            for child in layout.children(of: place) { try values(child, rows, from: &bytes) }
        case .variant:
            let counts = try variants(place, rows, from: &bytes)
            for (child, count) in zip(layout.children(of: place), counts) { try values(child, count, from: &bytes) }
        }
        block.nodes[place].rows = rows
    }

    /// Checks which child has each value; returns how many each has.
    private func variants(_ place: Int, _ rows: Int, from bytes: inout ByteCursor) throws(BlockReadFailure) -> [Int] {
        let taken = try bytes.take(rows)
        var counts = Array(repeating: 0, count: 256)
        for byte in taken { counts[Int(byte)] += 1 }
        let children = layout.children(of: place).count
        guard counts[children..<Int(BlockLayout.nullVariant)].allSatisfy({ $0 == 0 }) else {
            throw .refused(BlockError(.malformed, "a variant of a type that it does not have"))
        }
        block.nodes[place].data.append(taken)
        return counts
    }

    private func product(_ rows: Int, _ width: Int) throws(BlockReadFailure) -> Int {
        let (bytes, overflow) = rows.multipliedReportingOverflow(by: width)
        guard !overflow else { throw .refused(BlockError(.malformed, "a column is larger than memory")) }
        return bytes
    }

    private func checkRoom(for rows: Int, width: Int) throws(BlockReadFailure) {
        guard try product(rows, width) <= bytesMax else {
            throw .refused(BlockError(.limit, "more than \(bytesMax) bytes of values"))
        }
    }

    /// Looks at each length only to find the end; the bytes are then taken as they lie.
    private func strings(_ place: Int, _ rows: Int, from bytes: inout ByteCursor) throws(BlockReadFailure) {
        var ahead = bytes
        for _ in 0..<rows {
            let length = try ahead.takeVarUInt()
            guard length <= UInt64(Int.max) else { throw .refused(BlockError(.malformed, "a string is too long")) }
            _ = try ahead.take(Int(length))
        }
        block.nodes[place].data.append(try bytes.take(ahead.offset - bytes.offset))
    }

    private func stringsWithSizesApart(
        _ place: Int, _ rows: Int, from bytes: inout ByteCursor
    ) throws(BlockReadFailure) {
        var ends = ByteCursor(try bytes.take(try product(rows, 8)))
        var previous: UInt64 = 0
        for _ in 0..<rows {
            let end = try ends.take(UInt64.self)
            guard end >= previous, end - previous <= UInt64(Int.max) else {
                throw .refused(BlockError(.malformed, "the ends of strings go backwards"))
            }
            let value = try bytes.take(Int(end - previous))
            block.nodes[place].data.appendVarUInt(UInt64(value.count))
            block.nodes[place].data.append(value)
            previous = end
        }
    }

    /// Checks that array ends never go backwards; returns the number of elements.
    func ends(_ place: Int, _ rows: Int, from bytes: inout ByteCursor) throws(BlockReadFailure) -> Int {
        let taken = try bytes.take(try product(rows, 8))
        var check = ByteCursor(taken)
        var previous: UInt64 = 0
        for _ in 0..<rows {
            let end = try check.take(UInt64.self)
            guard end >= previous, end <= UInt64(Int.max) else {
                throw .refused(BlockError(.malformed, "the ends of arrays go backwards"))
            }
            previous = end
        }
        block.nodes[place].data.append(taken)
        return Int(previous)
    }

    private mutating func lowCardinality(_ place: Int, _ rows: Int, from bytes: inout ByteCursor)
        throws(BlockReadFailure)
    {
        // No values at all, as below empty arrays: nothing is written, not even the flags.
        guard rows > 0 else { return }
        let child = layout.nodes[place].child
        let flags = try bytes.take(UInt64.self)
        let wanted: UInt64 = 1 << 9
        guard flags & wanted != 0, flags & (1 << 8) == 0,
            let width = LowCardinalityFormat.IndexWidth(rawValue: flags & 0xFF)
        else {
            throw .refused(
                BlockError(.unsupportedSerialization, "low-cardinality flags 0x\(String(flags, radix: 16))"))
        }
        let distinct = try bytes.take(UInt64.self)
        guard distinct > 0, distinct <= UInt64(UInt32.max), distinct <= UInt64(bytes.left) else {
            if distinct > 0, distinct <= UInt64(UInt32.max) { throw .short }
            throw .refused(BlockError(.malformed, "a dictionary of \(distinct) values"))
        }
        try values(child, Int(distinct), from: &bytes)
        guard try bytes.take(UInt64.self) == UInt64(rows) else {
            throw .refused(BlockError(.malformed, "a dictionary's rows are not the block's"))
        }
        try checkRoom(for: rows, width: 4)
        var indexes = ByteCursor(try bytes.take(try product(rows, width.bytes)))
        block.nodes[place].data.reserve(rows * 4)
        for _ in 0..<rows {
            let index: UInt64 =
                switch width {
                case .one: UInt64(try indexes.take(UInt8.self))
                case .two: UInt64(try indexes.take(UInt16.self))
                case .four: UInt64(try indexes.take(UInt32.self))
                case .eight: try indexes.take(UInt64.self)
                }
            guard index < distinct else {
                throw .refused(BlockError(.malformed, "index \(index) into \(distinct) distinct values"))
            }
            block.nodes[place].data.append(UInt32(index))
        }
    }

    // MARK: - Sparse

    /// Groups of (defaults before the next value), the last of which has bit 62 set; then the values
    /// (ClickHouse's DataTypes/Serializations/SerializationSparse.cpp).
    private func sparse(_ place: Int, _ rows: Int, from bytes: inout ByteCursor) throws(BlockReadFailure) {
        let endOfGranule: UInt64 = 1 << 62
        var gaps: [Int] = []
        var covered = 0
        while true {
            let group = try bytes.takeVarUInt()
            let gap = group & ~endOfGranule
            guard gap <= UInt64(rows - covered) else {
                throw .refused(BlockError(.malformed, "a sparse column has more values than rows"))
            }
            covered += Int(gap)
            gaps.append(Int(gap))
            if group & endOfGranule != 0 { break }
            covered += 1
            guard covered <= rows else {
                throw .refused(BlockError(.malformed, "a sparse column has more values than rows"))
            }
        }
        guard covered == rows else { throw .refused(BlockError(.malformed, "a sparse column has too few rows")) }

        let type = layout.types[place]
        let inner: DataType
        if case .nullable(let bare) = type { inner = bare } else { inner = type }
        try checkRoom(for: rows, width: (inner.fixedWidth ?? 1) + 1)
        let packed = Block(layout: BlockLayout([ColumnDefinition(name: "", type: inner)]))
        guard packed.layout.nodes[0].kind == .fixed || packed.layout.nodes[0].kind == .string else {
            throw .refused(BlockError(.unsupportedSerialization, "sparse \(type)"))
        }
        var reader = ColumnDecoder(block: packed, revision: revision, bytesMax: bytesMax)
        if gaps.count > 1 { try reader.column(gaps.count - 1, kinds: [.plain], from: &bytes) }
        var values = ValueCursor(packed.nodes[0].data, width: packed.layout.nodes[0].width)
        for (number, gap) in gaps.enumerated() {
            for _ in 0..<gap { block.appendDefault(place) }
            guard number < gaps.count - 1, let value = values.next() else { continue }
            append(value, to: place)
        }
    }

    private func append(_ value: UnsafeRawBufferPointer, to place: Int) {
        var place = place
        if layout.nodes[place].kind == .nullable {
            block.nodes[place].data.append(UInt8(0))
            block.nodes[place].rows += 1
            place = layout.nodes[place].child
        }
        if layout.nodes[place].kind == .string { block.nodes[place].data.appendVarUInt(UInt64(value.count)) }
        block.nodes[place].data.append(value)
        block.nodes[place].rows += 1
    }
}
