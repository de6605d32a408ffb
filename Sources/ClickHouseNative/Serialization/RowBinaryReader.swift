/// Reads rows in ClickHouse's RowBinary format into a block: each value of each row in the type's own binary form, nothing
/// between them (ClickHouse's Formats/Impl/BinaryRowInputFormat.cpp and DataTypes/Serializations).
///
/// A string is its length and bytes, a Nullable a byte (1 for NULL) before the value, an Array or Map its length before the
/// elements, a LowCardinality the value itself, a Variant the number of its type (255 for NULL) before the value, a Dynamic its type in binary
/// form (`BinaryTypeName`) before the value.
public struct RowBinaryReader {
    /// What was read.
    public struct Rows {
        /// Whole rows only; complete.
        public let block: Block
        /// Where each row begins in the input, and behind the last where it ends.
        public let starts: [Int]
        /// Why the row behind the last could not be read; nil: the input ends there.
        public let failure: BlockError?
    }

    /// What comes before the rows in `RowBinaryWithNamesAndTypes`, and without types in `RowBinaryWithNames`.
    public struct Header {
        public let names: [String]
        public let types: [String]
        /// Where the rows begin.
        public let length: Int
    }

    private let block: Block
    /// Bytes that may still be made for values of which the input has a byte: NULLs.
    private var bytesLeft: Int
    /// Of each node, what a default takes with all below it.
    private let defaultBytes: [Int]

    /// - Returns: Why columns of this type cannot be read; nil: they can.
    public static func obstacle(to type: DataType) -> String? {
        switch type {
        case .nothing: "Nothing has no values"
        case .tuple(let elements) where elements.isEmpty: "a Tuple without elements has no bytes"
        case .nullable(let inner), .lowCardinality(let inner), .array(let inner), .named(_, let inner):
            obstacle(to: inner)
        case .tuple(let elements), .nested(let elements): elements.lazy.compactMap { obstacle(to: $0.type) }.first
        case .map(let key, let value): obstacle(to: key) ?? obstacle(to: value)
        case .variant(let types): types.lazy.compactMap { obstacle(to: $0) }.first
        default: nil
        }
    }

    /// - Throws: `BlockError` for what is none.
    public static func header(
        _ bytes: UnsafeRawBufferPointer, hasTypes: Bool, limits: BlockLimits = BlockLimits()
    ) throws(BlockError) -> Header {
        var cursor = ByteCursor(bytes)
        do throws(BlockReadFailure) {
            let count = try cursor.takeVarUInt()
            // A name takes a byte at least.
            guard count <= UInt64(min(limits.columnsMax, cursor.left)) else {
                throw .refused(BlockError(.limit, "\(count) columns, allowed are \(limits.columnsMax)"))
            }
            var names: [String] = []
            for _ in 0..<count { names.append(try cursor.takeString(bytesMax: limits.nameBytesMax)) }
            var types: [String] = []
            if hasTypes {
                for _ in 0..<count { types.append(try cursor.takeString(bytesMax: DataType.nameBytesMax)) }
            }
            return Header(names: names, types: types, length: cursor.offset)
        } catch {
            switch error {
            case .short: throw BlockError(.malformed, "the header is cut off")
            case .refused(let refusal): throw refusal
            }
        }
    }

    /// Reads rows until the input ends, or one is malformed.
    ///
    /// - Parameters:
    ///   - columns: of types without an `obstacle`.
    ///   - start: where the first row begins.
    ///   - rowsMax: no more are read; what is behind them is a failure.
    ///   - bytesMax: of values that are made where the input has none: a NULL of a FixedString is as wide as any other value.
    public static func read(
        _ bytes: UnsafeRawBufferPointer, from start: Int, columns: [ColumnDefinition], rowsMax: Int,
        bytesMax: Int = 1 << 30
    ) -> Rows {
        let layout = BlockLayout(columns)
        let widths = layout.defaultBytes
        let seeds = layout.seedBytes
        guard seeds <= bytesMax else {
            return Rows(
                block: Block(layout: BlockLayout([])), starts: [start],
                failure: BlockError(.limit, "more than \(bytesMax) bytes of values"))
        }
        var reader = RowBinaryReader(
            block: Block(layout: layout), bytesLeft: bytesMax - seeds, defaultBytes: widths)
        let block = reader.block
        var cursor = ByteCursor(UnsafeRawBufferPointer(rebasing: bytes[start...]))
        var starts = [start]
        var failure: BlockError?
        while cursor.left > 0, failure == nil {
            guard block.rows < rowsMax else {
                failure = BlockError(.malformed, "there is more than the rows")
                break
            }
            do throws(BlockReadFailure) {
                for root in block.layout.roots { try reader.value(root, from: &cursor) }
                block.commitRow()
                starts.append(start + cursor.offset)
            } catch {
                block.rollback()
                switch error {
                case .short: failure = BlockError(.malformed, "a value goes beyond the end")
                case .refused(let refusal): failure = refusal
                }
            }
        }
        block.complete()
        return Rows(block: block, starts: starts, failure: failure)
    }

    private init(block: Block, bytesLeft: Int, defaultBytes: [Int]) {
        self.block = block
        self.bytesLeft = bytesLeft
        self.defaultBytes = defaultBytes
    }

    private mutating func value(_ place: Int, from bytes: inout ByteCursor) throws(BlockReadFailure) {
        let node = block.layout.nodes[place]
        switch node.kind {
        case .fixed:
            block.nodes[place].data.append(try bytes.take(node.width))
            block.nodes[place].rows += 1
        case .string:
            if case .dynamic = block.layout.types[place] { return try dynamic(place, node, from: &bytes) }
            let text = try string(&bytes)
            withUnsafeBytes(of: UInt8(0)) { none in
                block.nodes[place].appendString(
                    text.baseAddress ?? none.baseAddress.unsafelyUnwrapped, count: text.count, node: node)
            }
        case .nullable:
            switch try bytes.take(UInt8.self) {
            case 0:
                block.nodes[place].appendFixed(UInt8(0))
                try value(node.child, from: &bytes)
            case 1:
                bytesLeft -= defaultBytes[node.child]
                guard bytesLeft >= 0 else { throw .refused(BlockError(.limit, "NULLs take more bytes than they may")) }
                block.appendNull(place)
            case let flag: throw .refused(BlockError(.malformed, "\(flag) where 0 or 1 says whether there is a value"))
            }
        case .array:
            let count = try bytes.takeVarUInt()
            // An element takes a byte at least.
            guard count <= UInt64(bytes.left) else { throw .short }
            for _ in 0..<count { try value(node.child, from: &bytes) }
            block.nodes[place].appendFixed(UInt64(block.nodes[node.child].rows))
        case .tuple:
            for child in block.layout.children(of: place) { try value(child, from: &bytes) }
            block.nodes[place].rows += 1
        case .variant:
            let number = try bytes.take(UInt8.self)
            let children = block.layout.children(of: place)
            if number != BlockLayout.nullVariant {
                guard Int(number) < children.count else {
                    throw .refused(BlockError(.malformed, "a Variant's type \(number) of \(children.count)"))
                }
                // Where it ends too early, what was written of it is taken back here: the row's byte is not there yet.
                let before = Savepoint(block, root: children[Int(number)])
                do throws(BlockReadFailure) {
                    try value(children[Int(number)], from: &bytes)
                } catch {
                    before.restore(block)
                    throw error
                }
            }
            block.nodes[place].appendFixed(number)
        case .lowCardinality: try lowCardinality(place, node, from: &bytes)
        }
    }

    private func string(_ bytes: inout ByteCursor) throws(BlockReadFailure) -> UnsafeRawBufferPointer {
        let length = try bytes.takeVarUInt()
        guard length <= UInt64(bytes.left) else { throw .short }
        return try bytes.take(Int(length))
    }

    /// A value whose type stands before it, as the block keeps it (`DynamicValue`).
    private mutating func dynamic(
        _ place: Int, _ node: BlockLayout.Node, from bytes: inout ByteCursor
    ) throws(BlockReadFailure) {
        var value = ByteRun()
        defer { value.deallocate() }
        if let type = try BinaryTypeName.take(&bytes) {
            let layout = BlockLayout([ColumnDefinition(name: "", type: type)])
            bytesLeft -= layout.seedBytes
            guard bytesLeft >= 0 else {
                throw .refused(BlockError(.limit, "dictionaries take more bytes than they may"))
            }
            var reader = RowBinaryReader(
                block: Block(layout: layout), bytesLeft: bytesLeft, defaultBytes: layout.defaultBytes)
            try reader.value(layout.roots[0], from: &bytes)
            bytesLeft = reader.bytesLeft
            reader.block.commitRow()
            reader.block.complete()
            do {
                try DynamicValue.write(reader.block, into: &value)
            } catch {
                throw .refused(BlockError(.malformed, "a value of a Dynamic column: \(error)"))
            }
        }
        // A name may be many times what stood for it.
        bytesLeft -= value.count
        guard bytesLeft >= 0 else { throw .refused(BlockError(.limit, "values take more bytes than they may")) }
        withUnsafeBytes(of: UInt8(0)) { none in
            block.nodes[place].appendString(
                value.base.map { UnsafeRawPointer($0) } ?? none.baseAddress.unsafelyUnwrapped, count: value.count,
                node: node)
        }
    }

    private mutating func lowCardinality(
        _ place: Int, _ node: BlockLayout.Node, from bytes: inout ByteCursor
    ) throws(BlockReadFailure) {
        if block.layout.types[place].isNullableDictionary {
            switch try bytes.take(UInt8.self) {
            case 0: break
            case 1:
                // The first of its values stands for NULL.
                block.nodes[place].appendFixed(UInt32(0))
                return
            case let flag: throw .refused(BlockError(.malformed, "\(flag) where 0 or 1 says whether there is a value"))
            }
        }
        let isString = block.layout.nodes[node.child].kind == .string
        let value = isString ? try string(&bytes) : try bytes.take(block.layout.nodes[node.child].width)
        withUnsafeBytes(of: UInt8(0)) { none in
            block.appendLowCardinality(
                place, value.baseAddress ?? none.baseAddress.unsafelyUnwrapped, count: value.count)
        }
    }
}

extension BlockLayout {
    /// Bytes that dictionaries take before there is a row: each begins with a default.
    fileprivate var seedBytes: Int {
        nodes.indices.reduce(0) { sum, place in
            nodes[place].kind == .lowCardinality ? sum + max(1, nodes[nodes[place].child].width) : sum
        }
    }

    /// Of each node, the bytes that its type's default takes.
    fileprivate var defaultBytes: [Int] {
        var bytes = Array(repeating: 0, count: nodes.count)
        for place in nodes.indices.reversed() {
            let below =
                switch nodes[place].kind {
                case .tuple, .nullable: children(of: place).reduce(0) { $0 + bytes[$1] }
                case .fixed, .string, .array, .lowCardinality, .variant: 0
                }
            bytes[place] = max(1, nodes[place].width) + below
        }
        return bytes
    }
}
