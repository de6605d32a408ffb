import ClickHouseNative
import NIOCore
import Pipeline
import ProducerProtocol

@testable import Ingest

/// What is given any bytes there are. It may refuse them or read something from them; what it read must hold together.
enum FuzzTarget: String, CaseIterable {
    /// Rows as producers send them, into columns of every type.
    case rows
    /// Native blocks, as files and servers have them.
    case blocks
    /// Compressed frames.
    case frames
    /// Names of types.
    case types
    /// A server's side of a dialogue.
    case packets
    /// A producer's side of a session of frames.
    case sessions
    /// A fault that must be found: reads one byte too many when the input says so.
    case canary

    func run(_ bytes: UnsafeRawBufferPointer) {
        switch self {
        case .rows: Self.rows(bytes)
        case .blocks: Self.blocks(bytes)
        case .frames: Self.frames(bytes)
        case .types: Self.types(bytes)
        case .packets: Self.packets(bytes)
        case .sessions: Self.sessions(bytes)
        case .canary: Self.canary(bytes)
        }
    }
}

extension FuzzTarget {
    /// Kept for the life of the process: making them is what would take the time.
    nonisolated(unsafe) private static let tables: [RowReader] =
        [
            "UInt8", "Int64", "UInt256", "Float32", "Float64", "BFloat16", "Decimal(9, 2)", "Decimal(38, 10)",
            "Decimal(76, 20)", "Bool", "String", "FixedString(5)", "UUID", "IPv4", "IPv6", "Date", "Date32", "DateTime",
            "DateTime64(6, 'Europe/Berlin')", "Time", "Time64(3)", "Enum8('a' = 1, 'b b' = -2)", "Array(Array(Int16))",
            "Nullable(String)", "LowCardinality(Nullable(String))", "Tuple(a UInt8, b Array(String))",
            "Map(String, Array(Nullable(Int32)))", "Variant(UInt64, String, Array(Date))", "Dynamic",
            "JSON(t UInt8, s.d Array(Nullable(Int32)), SKIP k)", "Point", "MultiPolygon", "Nested(x UInt8, y String)",
        ].map { name in
            guard let type = try? DataType(parsing: name) else { preconditionFailure(name) }
            return reader([("v", type)])
        } + [
            // Several columns: keys in any order, missing ones, unknown ones.
            reader([
                ("id", .uint64), ("name", .string), ("at", .dateTime64(precision: 3, timeZone: "UTC")),
                ("tags", .array(.string)), ("n.a", .array(.int32)),
            ])
        ]

    private static func reader(_ columns: [(String, DataType)]) -> RowReader {
        let structure = TableStructure(
            columns: columns.map { .init(ColumnDefinition(name: $0.0, type: $0.1), defaultValue: .type) },
            computedColumns: [])
        guard let reader = try? RowReader(table: TableName(table: "t"), structure: structure) else {
            preconditionFailure("\(columns)")
        }
        return reader
    }

    /// The first byte picks the table.
    private static func rows(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        let reader = tables[Int(first) % tables.count]
        // A buffer of its own size, so that one byte too many is seen.
        _ = reader.read(ByteBuffer(bytes: bytes.dropFirst()))
        for block in reader.takeBlocks() {
            hold(block)
            reader.recycle([block])
        }
    }

    private static let revisions: [Revision?] = [nil, Revision(54412), Revision(54491), Revision(54492)]

    private static func blocks(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        var limits = BlockLimits()
        limits.bytesMax = 1 << 20
        var input = ByteBuffer(bytes: bytes.dropFirst())
        guard let block = try? BlockReader.read(&input, revision: revisions[Int(first) % 4], limits: limits) else {
            return
        }
        precondition(block.byteCount <= limits.bytesMax, "the limit is one")
        if block.rows <= 1000, !block.layout.columns.isEmpty { hold(block) }
    }

    /// What is read can be printed, and is written and read back the same.
    private static func hold(_ block: Block) {
        var text = ByteBuffer()
        try? RowPrinter.print(block, into: &text)
        guard let written = try? BlockEncoder.encode([block], as: .file).body else {
            preconditionFailure("what was read cannot be written")
        }
        var input = written
        guard let again = try? BlockReader.read(&input, revision: nil), again.rows == block.rows,
            let twice = try? BlockEncoder.encode([again], as: .file).body
        else { preconditionFailure("what was written cannot be read") }
        precondition(twice == written, "what was written reads as something else")
    }

    private static func frames(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        let source = BlockEncoding(revision: revisions[Int(first) % 4], compression: .lz4)
        _ = try? BlockTranscoder.transcode(
            ByteBuffer(bytes: bytes.dropFirst()), from: source, to: BlockEncoding(revision: nil, compression: nil))
    }

    private static func types(_ bytes: UnsafeRawBufferPointer) {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let type = try? DataType(parsing: text) else { return }
        let name = "\(type)"
        guard let again = try? DataType(parsing: name) else { preconditionFailure("\(name) does not parse") }
        precondition("\(again)" == name, "\(name) changes")
        _ = BlockLayout([ColumnDefinition(name: "v", type: type)])
    }

    /// The first byte: what was asked for before the server speaks.
    private static func packets(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        var machine = ConnectionStateMachine(ConnectionConfiguration(revision: revisions[Int(first) % 4] ?? .newest))
        _ = machine.connected()
        var input = ByteBuffer(bytes: bytes.dropFirst())
        var steps = 0
        while steps < 100, machine.bytesReceived(&input) != nil {
            steps += 1
            if steps == 1 {
                if first & 0x80 == 0 {
                    _ = machine.queryRequested(Query("SELECT 1"))
                } else {
                    _ = machine.insertRequested(Query("INSERT INTO t FORMAT Native"))
                }
            }
        }
    }

    /// The first byte: into how large reads the rest comes.
    private static func sessions(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        var reader = FrameReader(limits: FrameReader.Limits(), lineBytesMax: 1 << 12, headBytesMax: 1 << 8)
        var pieces = CircularBuffer<LineSplitter.Piece>()
        var rest = bytes.dropFirst()
        while !rest.isEmpty {
            let read = rest.prefix(Int(first) + 1)
            rest = rest.dropFirst(read.count)
            let findings = reader.bytesReceived(ByteBuffer(bytes: read), at: .now, into: &pieces)
            pieces.removeAll(keepingCapacity: true)
            if findings.error != nil { break }
        }
    }

    private static func canary(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.starts(with: "cat".utf8) else { return }
        let room = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 1)
        defer { room.deallocate() }
        room.copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
        precondition(room.load(fromByteOffset: bytes.count, as: UInt8.self) < 255 || bytes.count > 0)
    }
}
