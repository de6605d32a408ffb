import NIOCore

/// Bounds on what a block may ask for, checked before memory is allocated.
public struct BlockLimits: Hashable, Sendable {
    public var columnsMax = 10_000
    public var rowsMax = 1 << 26
    /// Of a column's name; type names have `DataType.nameBytesMax`.
    public var nameBytesMax = 1 << 16
    /// Memory for the values: a few bytes can name a great many (sparse columns, dictionaries of wide defaults).
    public var bytesMax = 1 << 32

    public init() {}
}

/// Why bytes are no block.
public struct BlockError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// Bytes that contradict the format.
        case malformed
        /// A column's type is not known here.
        case unsupportedType
        /// A serialization that is not known here (JSON's, aggregate states, the server's internal kinds).
        case unsupportedSerialization
        /// Beyond `BlockLimits`.
        case limit
    }

    public let code: Code
    public let reason: String

    public init(_ code: Code, _ reason: String) {
        self.code = code
        self.reason = reason
    }

    public var description: String { "block: \(reason)" }
}

/// Reads blocks in the Native format (ClickHouse's Formats/NativeReader.cpp).
public enum BlockReader {
    /// The next block; nil when it has not arrived whole (the buffer is untouched then).
    ///
    /// A block that was read is not for writing more rows to.
    ///
    /// - Parameter revision: of the connection it came over; nil for a file.
    public static func read(
        _ buffer: inout ByteBuffer, revision: Revision?, limits: BlockLimits = BlockLimits()
    ) throws(BlockError) -> Block? {
        let result = buffer.withUnsafeReadableBytes { bytes in
            Result<(Block, Int)?, BlockError> { () throws(BlockError) in
                var decoder = BlockDecoder(bytes: ByteCursor(bytes), revision: revision, limits: limits)
                do throws(BlockReadFailure) {
                    let block = try decoder.block()
                    return (block, decoder.bytes.offset)
                } catch {
                    switch error {
                    case .short: return nil
                    case .refused(let refusal): throw refusal
                    }
                }
            }
        }
        guard let (block, length) = try result.get() else { return nil }
        buffer.moveReaderIndex(forwardBy: length)
        return block
    }

    /// The same into a block that is there: no column's type is read, and no memory asked for, if its columns are those of the bytes.
    ///
    /// - Parameter block: empty.
    /// - Returns: Whether it was read. Otherwise the buffer is as it was, and what is in the block is nothing: the bytes are other columns',
    ///   or no block.
    public static func read(
        _ buffer: inout ByteBuffer, into block: Block, revision: Revision, limits: BlockLimits = BlockLimits()
    ) -> Bool {
        let length = buffer.withUnsafeReadableBytes { bytes -> Int? in
            var decoder = BlockDecoder(bytes: ByteCursor(bytes), revision: revision, limits: limits)
            guard (try? decoder.rows(into: block)) == true else { return nil }
            return decoder.bytes.offset
        }
        guard let length else { return false }
        buffer.moveReaderIndex(forwardBy: length)
        return true
    }
}

private struct BlockDecoder {
    var bytes: ByteCursor
    let revision: Revision?
    let limits: BlockLimits

    mutating func block() throws(BlockReadFailure) -> Block {
        if revision != nil { try skipInfo() }
        let columnCount = try count(max: limits.columnsMax, "columns")
        let rows = try count(max: limits.rowsMax, "rows")

        // Columns are read one by one into blocks of their own and then joined: the layout is known only at the end.
        var columns: [ColumnDefinition] = []
        var read: [Block] = []
        var bytesLeft = limits.bytesMax
        columns.reserveCapacity(min(columnCount, 1024))
        for _ in 0..<columnCount {
            let name = try bytes.takeString(bytesMax: limits.nameBytesMax)
            let column = ColumnDefinition(name: name, type: try type(of: name))
            let layout = BlockLayout([column])
            let kinds = try serializationKinds(of: column, layout)
            columns.append(column)
            try spend(layout.dictionaryDefaultBytes, of: &bytesLeft)
            let single = Block(layout: layout)
            if rows > 0 {
                var reader = ColumnDecoder(block: single, revision: revision, bytesMax: bytesLeft)
                try reader.column(rows, kinds: kinds, from: &bytes)
            }
            try spend(single.byteCount, of: &bytesLeft)
            single.rows = rows
            read.append(single)
        }
        return Block(joining: read, columns: columns, rows: rows)
    }

    /// - Returns: false: the columns are others than the block's.
    mutating func rows(into block: Block) throws(BlockReadFailure) -> Bool {
        let layout = block.layout
        if revision != nil { try skipInfo() }
        let columnCount = try count(max: limits.columnsMax, "columns")
        let rows = try count(max: limits.rowsMax, "rows")
        guard columnCount == layout.columns.count else { return false }
        let saysSerialization = revision?.supports(.customSerialization) == true
        var reader = ColumnDecoder(block: block, revision: revision, bytesMax: limits.bytesMax)
        reader.begin(Array(repeating: .plain, count: layout.nodes.count))
        for (head, root) in zip(layout.columnHeads, layout.roots) {
            guard try bytes.take(head.count).elementsEqual(head) else { return false }
            if saysSerialization, try bytes.take(UInt8.self) != 0 { return false }
            guard rows > 0 else { continue }
            try reader.prefix(root, from: &bytes)
            try reader.values(root, rows, from: &bytes)
        }
        block.rows = rows
        return true
    }

    private mutating func count(max: Int, _ what: String) throws(BlockReadFailure) -> Int {
        let value = try bytes.takeVarUInt()
        guard value <= UInt64(max) else {
            throw .refused(BlockError(.limit, "\(value) \(what), allowed are \(max)"))
        }
        return Int(value)
    }

    private func spend(_ bytes: Int, of left: inout Int) throws(BlockReadFailure) {
        guard bytes <= left else { throw .refused(BlockError(.limit, "more than \(limits.bytesMax) bytes of values")) }
        left -= bytes
    }

    private mutating func type(of column: String) throws(BlockReadFailure) -> DataType {
        let name = try bytes.takeString(bytesMax: DataType.nameBytesMax)
        do {
            return try DataType(parsing: name)
        } catch {
            throw .refused(BlockError(.unsupportedType, "column \(column): \(error)"))
        }
    }

    private mutating func skipInfo() throws(BlockReadFailure) {
        while true {
            switch try bytes.takeVarUInt() {
            case 0: return
            case 1: _ = try bytes.take(UInt8.self)
            case 2: _ = try bytes.take(Int32.self)
            case 3:
                let buckets = try bytes.takeVarUInt()
                guard buckets <= 256 else { throw .refused(BlockError(.limit, "\(buckets) buckets, allowed are 256")) }
                _ = try bytes.take(Int(buckets) * 4)
            case let field: throw .refused(BlockError(.malformed, "unknown field \(field) in the block info"))
            }
        }
    }

    /// How the server chose to lay the column out, and the elements of its tuples, one after the other
    /// (ClickHouse's DataTypes/Serializations/SerializationInfo.h and SerializationInfoTuple.cpp).
    private mutating func serializationKinds(
        of column: ColumnDefinition, _ layout: BlockLayout
    ) throws(BlockReadFailure) -> [SerializationKind] {
        var kinds = Array(repeating: SerializationKind.plain, count: layout.nodes.count)
        guard revision?.supports(.customSerialization) == true, try bytes.take(UInt8.self) != 0 else { return kinds }
        var pending = [0]
        while let place = pending.popLast() {
            switch try bytes.take(UInt8.self) {
            case 0: break
            case 1 where layout.nodes[place].kind != .tuple: kinds[place] = .sparse
            case let kind:
                throw .refused(
                    BlockError(
                        .unsupportedSerialization, "column \(column.name): serialization kind \(kind) is not supported")
                )
            }
            if layout.nodes[place].kind == .tuple { pending += layout.children(of: place).reversed() }
        }
        return kinds
    }
}

extension BlockLayout {
    /// What empty columns hold already: the default values in dictionaries.
    fileprivate var dictionaryDefaultBytes: Int {
        nodes.reduce(0) { sum, node in sum + (node.kind == .lowCardinality ? max(1, nodes[node.child].width) : 0) }
    }
}

enum SerializationKind {
    case plain
    /// Only the values that are not the default, and where they stand.
    case sparse
}

extension Block {
    /// Columns of one block each, as one block: their memory moves over.
    fileprivate convenience init(joining columns: [Block], columns definitions: [ColumnDefinition], rows: Int) {
        self.init(layout: BlockLayout(definitions))
        for (root, column) in zip(layout.roots, columns) {
            for place in column.layout.nodes.indices { swap(&nodes[root + place], &column.nodes[place]) }
        }
        self.rows = rows
    }
}
