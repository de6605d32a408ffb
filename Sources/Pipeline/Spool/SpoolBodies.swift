import ClickHouseNative
import NIOCore

/// A body that is not what its kind says, though its checksum is right.
struct SpoolBodyError: Error {}

/// The bodies of records: made and read. Pure functions.
extension SpoolFormat {
    /// Of a length that is written before it is known: enough for `bodyBytesMax` and more.
    fileprivate static let wideVarintBytes = 5

    /// What a rows record says, apart from the rows themselves.
    struct RowsHead: Sendable {
        struct Part: Hashable, Sendable {
            let table: TableName
            let rows: Int
            /// Where the block lies in the body.
            let offset: Int
            let length: Int
        }

        /// Milliseconds since 1970.
        let received: Int64
        let spans: [ProducerSpan]
        let parts: [Part]

        var rows: Int { parts.reduce(0) { $0 + $1.rows } }
    }

    /// A rows record while it is being written: row batches come one after the other, and what each was parsed into is free again as soon
    /// as it is here, unless blocks will take its frames over.
    struct RowsWriter {
        private enum Part {
            /// Its frames are a part of blocks to come; where they lie is settled when the record is whole.
            case inFrames(AppendedBlock)
            case whole(BlockPart)
        }

        private let encoding: BlockEncoding
        /// Of row batches whose frames no block takes over.
        private let encodingOfFew: BlockEncoding
        private let isFinal: Bool
        private let buffers: BufferPool
        private var body: ByteBuffer
        private let countPlace: Int
        private var parts: [Part] = []

        /// - Parameters:
        ///   - isFinal: whether blocks may take the rows over as they are compressed here.
        ///   - compressesFew: whether row batches are compressed whose rows are compressed once more for their blocks.
        ///   - buffers: the record is written into one of those.
        ///   - expected: bytes that the row batches have, about.
        init(
            spans: [ProducerSpan], compression: Compression?, isFinal: Bool, compressesFew: Bool = true,
            buffers: BufferPool = .none, expecting expected: Int
        ) {
            encoding = BlockEncoding(revision: blockRevision, compression: compression)
            encodingOfFew =
                isFinal && !compressesFew
                ? BlockEncoding(revision: blockRevision, compression: Compression.none) : encoding
            self.isFinal = isFinal
            self.buffers = buffers
            let rowBytes = encodingOfFew.compression == .lz4 ? expected / 2 : expected
            body = buffers.take(64 + spans.count * 48 + rowBytes)
            // When the first row was received shows at the end.
            body.writeInteger(Int64(0), endianness: .little)
            body.write(varint: UInt64(spans.count))
            for span in spans {
                body.write(text: span.identity.name)
                body.write(varint: span.identity.epoch)
                body.write(varint: span.range.first)
                body.write(varint: span.range.last)
            }
            countPlace = body.writerIndex
            body.writeRepeatingByte(0, count: wideVarintBytes)
        }

        /// - Returns: The rows as a part of blocks to come, if they are not in frames that blocks take over.
        mutating func append(_ batch: RowBatch, keepsWhole: (Block) -> Block) throws(FrameError) -> BlockPart? {
            body.write(text: batch.table.description)
            body.write(varint: UInt64(batch.rows))
            // How long the block is shows when it is written, right where it belongs: the length has room for any.
            let place = body.writerIndex
            body.writeRepeatingByte(0, count: wideVarintBytes)
            let sharesFrames = isFinal && BlockEncoder.canShareFrames(of: batch.block, as: encoding)
            let appended = try BlockEncoder.append(
                batch.block, as: sharesFrames ? encoding : encodingOfFew, byRuns: sharesFrames, to: &body,
                frameBytes: frameBytes)
            body.set(wideVarint: body.writerIndex - place - wideVarintBytes, at: place)
            guard !appended.hasFrames else {
                parts.append(.inFrames(appended))
                return nil
            }
            let part = BlockPart(keepsWhole(batch.block))
            parts.append(.whole(part))
            return part
        }

        /// The record, and each row batch as a part of blocks to come. The writer is of no use afterwards.
        ///
        /// - Parameter received: milliseconds since 1970.
        mutating func finish(received: Int64) -> (record: PreparedRecord, parts: [BlockPart]) {
            // In place: a record that somebody else holds as well would be copied for these bytes.
            body.setInteger(received, at: 0, endianness: .little)
            body.set(wideVarint: parts.count, at: countPlace)
            let record = PreparedRecord(.rows, body)
            buffers.lend(body)
            return (
                record,
                parts.map {
                    switch $0 {
                    case .inFrames(let block): block.part(in: record.body)
                    case .whole(let part): part
                    }
                }
            )
        }
    }

    static func readRows(_ body: ByteBuffer) throws(SpoolBodyError) -> RowsHead {
        var body = body
        let start = body.readerIndex
        guard let received = body.readInteger(endianness: .little, as: Int64.self) else { throw SpoolBodyError() }
        var spans: [ProducerSpan] = []
        for _ in 0..<(try body.readCount()) {
            let name = try body.readText()
            let epoch = try body.readVarint()
            spans.append(ProducerSpan(identity: .init(name: name, epoch: epoch), range: try body.readRange()))
        }
        var parts: [RowsHead.Part] = []
        for _ in 0..<(try body.readCount()) {
            let table = try body.readTable()
            let rows = Int(clamping: try body.readVarint())
            let length = Int(clamping: try body.readVarint())
            parts.append(RowsHead.Part(table: table, rows: rows, offset: body.readerIndex - start, length: length))
            guard length <= body.readableBytes else { throw SpoolBodyError() }
            body.moveReaderIndex(forwardBy: length)
        }
        return RowsHead(received: received, spans: spans, parts: parts)
    }

    /// The rows of one row batch of a record.
    static func readBlock(_ part: RowsHead.Part, of body: ByteBuffer) throws -> Block {
        let blocks = StoredBlocks()
        return try blocks.read(part, of: body)
    }

    static func seal(_ blocks: [SealedParts]) -> PreparedRecord {
        var body = ByteBuffer()
        body.write(varint: UInt64(blocks.count))
        for block in blocks { body.write(block) }
        return PreparedRecord(.seal, body)
    }

    static func readSeal(_ body: ByteBuffer) throws(SpoolBodyError) -> [SealedParts] {
        var body = body
        var blocks: [SealedParts] = []
        for _ in 0..<(try body.readCount()) { blocks.append(try body.readSealedParts()) }
        return blocks
    }

    static func split(parent: UInt64, into children: [SealedParts]) -> PreparedRecord {
        var body = ByteBuffer()
        body.write(varint: parent)
        body.write(varint: UInt64(children.count))
        for child in children { body.write(child) }
        return PreparedRecord(.split, body)
    }

    static func readSplit(_ body: ByteBuffer) throws(SpoolBodyError) -> (parent: UInt64, children: [SealedParts]) {
        var body = body
        let parent = try body.readVarint()
        var children: [SealedParts] = []
        for _ in 0..<(try body.readCount()) { children.append(try body.readSealedParts()) }
        return (parent, children)
    }

    struct Settlement: Hashable, Sendable {
        let id: UInt64
        let outcome: BlockOutcome
        let rows: Int
    }

    static func settled(_ settlements: [Settlement]) -> PreparedRecord {
        var body = ByteBuffer()
        body.write(varint: UInt64(settlements.count))
        for one in settlements {
            body.write(varint: one.id)
            body.writeInteger(one.outcome.rawValue)
            body.write(varint: UInt64(one.rows))
        }
        return PreparedRecord(.settled, body)
    }

    static func readSettled(_ body: ByteBuffer) throws(SpoolBodyError) -> [Settlement] {
        var body = body
        var settlements: [Settlement] = []
        for _ in 0..<(try body.readCount()) {
            let id = try body.readVarint()
            guard let outcome = body.readInteger(as: UInt8.self).flatMap({ BlockOutcome(rawValue: $0) }) else {
                throw SpoolBodyError()
            }
            settlements.append(Settlement(id: id, outcome: outcome, rows: Int(clamping: try body.readVarint())))
        }
        return settlements
    }

    /// What must outlive the segments that are deleted.
    struct State: Hashable, Sendable {
        /// Highest id of a block so far.
        var lastBlock: UInt64 = 0
        var totals = SpoolTotals()
        var producers: [ProducerRegistry.Memory] = []
    }

    static func state(_ state: State) -> PreparedRecord {
        var body = ByteBuffer()
        body.write(varint: state.lastBlock)
        for total in [state.totals.accepted, state.totals.committed, state.totals.deadLettered, state.totals.discarded]
        {
            body.write(varint: total)
        }
        body.write(varint: UInt64(state.producers.count))
        for producer in state.producers {
            body.write(text: producer.identity.name)
            body.write(varint: producer.identity.epoch)
            body.writeInteger(producer.lastUse, endianness: .little)
            body.write(varint: UInt64(producer.durable.runs.count))
            for run in producer.durable.runs {
                body.write(varint: run.first)
                body.write(varint: run.last)
            }
        }
        return PreparedRecord(.state, body)
    }

    static func readState(_ body: ByteBuffer) throws(SpoolBodyError) -> State {
        var body = body
        var state = State()
        state.lastBlock = try body.readVarint()
        state.totals.accepted = try body.readVarint()
        state.totals.committed = try body.readVarint()
        state.totals.deadLettered = try body.readVarint()
        state.totals.discarded = try body.readVarint()
        for _ in 0..<(try body.readCount()) {
            let identity = Producer.Identity(name: try body.readText(), epoch: try body.readVarint())
            guard let lastUse = body.readInteger(endianness: .little, as: Int64.self) else { throw SpoolBodyError() }
            var durable = RowIntervals()
            for _ in 0..<(try body.readCount()) { durable.insert(try body.readRange()) }
            state.producers.append(.init(identity: identity, lastUse: lastUse, durable: durable, unsettled: durable))
        }
        return state
    }

    /// Unsealed row batches that were given up.
    static func discard(_ parts: [SpoolPart], reason: String) -> PreparedRecord {
        var body = ByteBuffer()
        body.write(text: reason)
        body.write(parts)
        return PreparedRecord(.discard, body)
    }

    static func readDiscard(_ body: ByteBuffer) throws(SpoolBodyError) -> (reason: String, parts: [SpoolPart]) {
        var body = body
        return (try body.readText(), try body.readParts())
    }
}

/// Rows that a spool has seen in its life.
public struct SpoolTotals: Hashable, Sendable {
    public var accepted: UInt64 = 0
    public var committed: UInt64 = 0
    public var deadLettered: UInt64 = 0
    public var discarded: UInt64 = 0

    public init() {}

    public var settled: UInt64 { committed + deadLettered + discarded }

    mutating func settled(_ rows: Int, as outcome: BlockOutcome) { self[outcome] += UInt64(rows) }
    mutating func unsettled(_ rows: Int, as outcome: BlockOutcome) { self[outcome] -= UInt64(rows) }

    private subscript(outcome: BlockOutcome) -> UInt64 {
        get {
            switch outcome {
            case .committed: committed
            case .deadLettered: deadLettered
            case .discarded: discarded
            }
        }
        set {
            switch outcome {
            case .committed: committed = newValue
            case .deadLettered: deadLettered = newValue
            case .discarded: discarded = newValue
            }
        }
    }
}

extension ByteBuffer {
    fileprivate mutating func write(varint value: UInt64) {
        var value = value
        while value >= 0x80 {
            writeInteger(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        writeInteger(UInt8(value))
    }

    /// The same in `wideVarintBytes` bytes, whatever the value: LEB128 may have groups of zeros at its end.
    fileprivate mutating func set(wideVarint value: Int, at place: Int) {
        precondition(value >> (7 * SpoolFormat.wideVarintBytes) == 0)
        for byte in 0..<SpoolFormat.wideVarintBytes {
            let more: UInt8 = byte < SpoolFormat.wideVarintBytes - 1 ? 0x80 : 0
            setInteger(UInt8(truncatingIfNeeded: value >> (7 * byte)) & 0x7F | more, at: place + byte)
        }
    }

    fileprivate mutating func write(text: String) {
        write(varint: UInt64(text.utf8.count))
        writeString(text)
    }

    fileprivate mutating func write(_ parts: [SpoolPart]) {
        write(varint: UInt64(parts.count))
        for part in parts {
            write(varint: part.lsn)
            write(varint: UInt64(part.part))
            write(varint: UInt64(part.firstRow))
            write(varint: UInt64(part.rows))
        }
    }

    fileprivate mutating func write(_ block: SealedParts) {
        write(varint: block.id)
        write(text: block.table.description)
        write(block.parts)
    }

    fileprivate mutating func readVarint() throws(SpoolBodyError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), through: 63, by: 7) {
            guard let byte = readInteger(as: UInt8.self), shift < 63 || byte <= 1 else { throw SpoolBodyError() }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { break }
        }
        return value
    }

    /// A number of things that take at least a byte each.
    fileprivate mutating func readCount() throws(SpoolBodyError) -> Int {
        let count = try readVarint()
        guard count <= UInt64(readableBytes) else { throw SpoolBodyError() }
        return Int(count)
    }

    fileprivate mutating func readText() throws(SpoolBodyError) -> String {
        let count = try readCount()
        guard let text = readString(length: count) else { throw SpoolBodyError() }
        return text
    }

    fileprivate mutating func readTable() throws(SpoolBodyError) -> TableName {
        guard let table = TableName(parsing: try readText()) else { throw SpoolBodyError() }
        return table
    }

    fileprivate mutating func readRange() throws(SpoolBodyError) -> RowRange {
        let first = try readVarint()
        let last = try readVarint()
        guard first <= last else { throw SpoolBodyError() }
        return RowRange(first: first, last: last)
    }

    fileprivate mutating func readParts() throws(SpoolBodyError) -> [SpoolPart] {
        var parts: [SpoolPart] = []
        for _ in 0..<(try readCount()) {
            let lsn = try readVarint()
            let part = try readVarint()
            let first = try readVarint()
            let rows = try readVarint()
            guard max(part, first, rows) <= UInt64(Int32.max) else { throw SpoolBodyError() }
            parts.append(SpoolPart(lsn: lsn, part: Int(part), firstRow: Int(first), rows: Int(rows)))
        }
        return parts
    }

    fileprivate mutating func readSealedParts() throws(SpoolBodyError) -> SealedParts {
        SealedParts(id: try readVarint(), table: try readTable(), parts: try readParts())
    }
}
