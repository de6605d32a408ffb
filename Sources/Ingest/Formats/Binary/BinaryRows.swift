// Unsafe by design: reads rows within `withUnsafeReadableBytes`; places in the bytes are those that the reader gave.

import ClickHouseNative
import NIOCore
import ProducerProtocol

/// The rows of a chunk of a binary format: blocks, and what could not be read.
struct BinaryRows {
    /// Complete, checked to be well formed; their rows are the chunk's, one block after the other.
    private(set) var blocks: [Block] = []
    /// Where each row lies in the bytes; empty for Native.
    private var starts: [Int] = []
    /// Why what is behind the last row could not be read, and where it begins.
    private(set) var failure: (message: String, place: Int)?
    /// There are more rows than the frame says.
    private(set) var hasMore = false
    /// By which a row is read again.
    private(set) var form: SessionFormat
    private let bytes: ByteBuffer

    var count: Int { blocks.reduce(0) { $0 + $1.rows } }

    /// - Parameters:
    ///   - structure: of the table, for rows without a header.
    ///   - rowsMax: that the frame says.
    /// - Throws: `BlockError` when nothing of it can be read.
    init(_ bytes: ByteBuffer, _ format: SessionFormat, _ structure: TableStructure, rowsMax: Int) throws(BlockError) {
        self.bytes = bytes
        form = format
        if format.format == .native { try readNative(rowsMax) } else { try readRowBinary(format, structure, rowsMax) }
    }

    // MARK: - RowBinary

    private mutating func readRowBinary(
        _ format: SessionFormat, _ structure: TableStructure, _ rowsMax: Int
    ) throws(BlockError) {
        var (names, types, start) = (format.columns, format.types, 0)
        if format.format.headerRows > 0 {
            let bytes = bytes
            let result = bytes.withUnsafeReadableBytes { raw in
                Result { () throws(BlockError) in
                    try RowBinaryReader.header(raw, hasTypes: format.format.headerRows > 1)
                }
            }
            let header = try result.get()
            names = header.names
            types = format.format.headerRows > 1 ? header.types : nil
            start = header.length
        }
        let columns = try Self.columns(names, types, structure)
        form = SessionFormat(
            .rowBinary, columns: columns.map(\.name), types: types ?? columns.map(\.type.description))
        let rows = bytes.withUnsafeReadableBytes {
            RowBinaryReader.read(
                $0, from: start, columns: columns, rowsMax: rowsMax, bytesMax: FormatLimits.unpackedBytesMax)
        }
        blocks = [rows.block]
        starts = rows.starts
        failure = rows.failure.map { ($0.reason, rows.starts.last ?? start) }
        hasMore = rows.failure != nil && rows.block.rows == rowsMax
    }

    private static func columns(
        _ names: [String]?, _ types: [String]?, _ structure: TableStructure
    ) throws(BlockError) -> [ColumnDefinition] {
        guard let names else { return try checked(structure.columns.map(\.definition)) }
        guard !names.isEmpty, Set(names).count == names.count, !names.contains("") else {
            throw BlockError(.malformed, "the header must have a name for each column, each once")
        }
        let known = Dictionary(
            structure.columns.map { ($0.definition.name, $0.definition.type) }, uniquingKeysWith: { first, _ in first })
        var columns: [ColumnDefinition] = []
        for (place, name) in names.enumerated() {
            if let types {
                guard let type = try? DataType(parsing: types[place]) else {
                    throw BlockError(.unsupportedType, "the header has a type that is not known, of column \(name)")
                }
                columns.append(ColumnDefinition(name: name, type: type))
            } else if let type = known[name] {
                columns.append(ColumnDefinition(name: name, type: type))
            } else {
                throw BlockError(
                    .malformed, "the table has no column \(name), so that how long its values are is not known")
            }
        }
        return try checked(columns)
    }

    private static func checked(_ columns: [ColumnDefinition]) throws(BlockError) -> [ColumnDefinition] {
        for column in columns {
            guard let obstacle = RowBinaryReader.obstacle(to: column.type) else { continue }
            throw BlockError(.unsupportedType, "column \(column.name): \(obstacle)")
        }
        return columns
    }

    // MARK: - Native

    private mutating func readNative(_ rowsMax: Int) throws(BlockError) {
        var rest = try Self.unpacked(bytes)
        var limits = BlockLimits()
        limits.bytesMax = FormatLimits.unpackedBytesMax
        var left = limits.bytesMax
        while rest.readableBytes > 0 {
            do throws(BlockError) {
                guard let block = try BlockReader.read(&rest, revision: nil, limits: limits) else {
                    throw BlockError(.malformed, "a block is cut off")
                }
                guard BlockCheck(block).isCanonical else {
                    throw BlockError(.malformed, "a length is not in its shortest form")
                }
                // Nothing tells such rows apart from none.
                guard block.rows == 0 || !block.layout.columns.isEmpty else {
                    throw BlockError(.malformed, "a block has \(block.rows) rows and no columns")
                }
                guard Set(block.layout.columns.map(\.name)).count == block.layout.columns.count else {
                    throw BlockError(.malformed, "a column stands twice in a block")
                }
                left -= block.byteCount
                guard left >= 0 else { throw BlockError(.limit, "more than \(limits.bytesMax) bytes of values") }
                hasMore = count + block.rows > rowsMax
                guard !hasMore else { return }
                if block.rows > 0 { blocks.append(block) }
            } catch {
                failure = (error.reason, 0)
                return
            }
        }
    }

    /// Bytes of blocks, taken out of compressed frames if they are in such: their checksums say so.
    private static func unpacked(_ bytes: ByteBuffer) throws(BlockError) -> ByteBuffer {
        let limits = FrameLimits(frameBytesMax: FormatLimits.unpackedBytesMax)
        guard bytes.readableBytes > 25, let method = bytes.getInteger(at: bytes.readerIndex + 16, as: UInt8.self),
            [0x02, 0x82, 0x90].contains(method)
        else { return bytes }
        var first = bytes
        guard (try? ClickHouseNative.FrameReader.readFrame(&first, limits: limits)) != nil else { return bytes }
        var packed = bytes
        do {
            return try ClickHouseNative.FrameReader.readAll(
                &packed, limits: limits, totalBytesMax: FormatLimits.unpackedBytesMax)
        } catch {
            throw BlockError(.malformed, error.reason)
        }
    }

    // MARK: - A row

    /// The bytes by which a row is read again; of what could not be read, all there is.
    func bytes(ofRow row: Int) -> ByteBuffer {
        if row + 1 < starts.count {
            return bytes.getSlice(at: bytes.readerIndex + starts[row], length: starts[row + 1] - starts[row])
                ?? ByteBuffer()
        }
        var before = 0
        for block in blocks where form.format == .native {
            if row < before + block.rows {
                let one = block.gathering([row - before..<row - before + 1])
                return (try? BlockEncoder.encode([one], as: .file).body) ?? ByteBuffer()
            }
            before += block.rows
        }
        return unreadBytes
    }

    /// What is behind the last row.
    var unreadBytes: ByteBuffer {
        guard let failure else { return ByteBuffer() }
        return bytes.getSlice(at: bytes.readerIndex + failure.place, length: bytes.readableBytes - failure.place)
            ?? ByteBuffer()
    }
}
