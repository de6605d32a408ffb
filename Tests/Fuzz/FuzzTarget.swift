import ClickHouseNative
import Foundation
import NIOCore
import Pipeline
import ProducerProtocol

@testable import Ingest

/// What is given any bytes there are. It may refuse them or read something from them; what it read must hold together.
enum FuzzTarget: String, CaseIterable {
    /// Rows as producers send them, into columns of every type, and by rules and settings of all kinds.
    case rows
    /// Frames of the other formats that producers send.
    case csv, tsv, rowbinary, native
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
    /// Regular expressions of rules, and texts for them.
    case patterns
    /// Rejected rows, which must not keep what their table redacts.
    case letters
    /// A fault that must be found: reads one byte too many when the input says so.
    case canary

    func run(_ bytes: UnsafeRawBufferPointer) {
        switch self {
        case .rows: Self.rows(bytes)
        case .csv: Self.text(bytes, isCSV: true)
        case .tsv: Self.text(bytes, isCSV: false)
        case .rowbinary: Self.binary(bytes, isNative: false)
        case .native: Self.binary(bytes, isNative: true)
        case .blocks: Self.blocks(bytes)
        case .frames: Self.frames(bytes)
        case .types: Self.types(bytes)
        case .packets: Self.packets(bytes)
        case .sessions: Self.sessions(bytes)
        case .patterns: Self.patterns(bytes)
        case .letters: Self.letters(bytes)
        case .canary: Self.canary(bytes)
        }
    }
}

/// Ends the process, and says why: an optimized build keeps the words of `precondition` to itself.
func require(_ condition: Bool, _ message: @autoclosure () -> String) {
    if !condition { fatalError(message()) }
}

extension FuzzTarget {
    /// A buffer that ends where its memory ends, so that one byte too many is seen.
    static func buffer(_ bytes: some Collection<UInt8>, newline: Bool = false) -> ByteBuffer {
        let count = bytes.count + (newline ? 1 : 0)
        // A buffer's memory is a power of two.
        var buffer = ByteBufferAllocator().buffer(capacity: count)
        let room = buffer.capacity - count
        buffer.moveWriterIndex(forwardBy: room)
        buffer.moveReaderIndex(forwardBy: room)
        buffer.writeBytes(bytes)
        if newline { buffer.writeInteger(UInt8(0x0A)) }
        return buffer
    }

    private static let revisions: [Revision?] = [nil, Revision(54412), Revision(54491), Revision(54492)]

    private static func blocks(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        var limits = BlockLimits()
        limits.bytesMax = 1 << 20
        var input = buffer(bytes.dropFirst())
        guard let block = try? BlockReader.read(&input, revision: revisions[Int(first) % 4], limits: limits) else {
            return
        }
        require(block.byteCount <= limits.bytesMax, "the limit is one")
        if block.rows <= 1000, !block.layout.columns.isEmpty { hold(block) }
    }

    /// What is read can be printed, and is written and read back the same.
    static func hold(_ block: Block) {
        var text = ByteBuffer()
        try? RowPrinter.print(block, into: &text)
        guard let written = try? BlockEncoder.encode([block], as: .file).body else {
            fatalError("what was read cannot be written")
        }
        var input = written
        guard let again = try? BlockReader.read(&input, revision: nil), again.rows == block.rows,
            let twice = try? BlockEncoder.encode([again], as: .file).body
        else { fatalError("what was written cannot be read") }
        require(twice == written, "what was written reads as something else")
        if block.rows > 0 { findFrames(of: block) }
    }

    /// Frames that are cut by runs are found again where they lie, or not taken.
    private static func findFrames(of block: Block) {
        let encoding = BlockEncoding(revision: Revision(54412), compression: .lz4)
        guard
            let body = try? BlockEncoder.encodeAsPart(block, as: encoding, frameBytes: 1 << 10, runBytesMin: 0).body,
            let part = BlockPart(
                framesOf: body, rows: block.rows, layout: block.layout, encoding: encoding, frameBytes: 1 << 10)
        else { return }
        guard var joined = try? BlockEncoder.encode([part], as: encoding).body,
            var whole = try? BlockEncoder.encode([block], as: encoding).body
        else { fatalError("what was found cannot be written") }
        require(
            (try? FrameReader.readAll(&joined)) == (try? FrameReader.readAll(&whole)), "frames of something else")
    }

    private static func frames(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        let source = BlockEncoding(revision: revisions[Int(first) % 4], compression: .lz4)
        _ = try? BlockTranscoder.transcode(
            buffer(bytes.dropFirst()), from: source, to: BlockEncoding(revision: nil, compression: nil))
    }

    private static func types(_ bytes: UnsafeRawBufferPointer) {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let type = try? DataType(parsing: text) else { return }
        let name = "\(type)"
        guard let again = try? DataType(parsing: name) else { fatalError("\(name) does not parse") }
        require("\(again)" == name, "\(name) changes")
        _ = BlockLayout([ColumnDefinition(name: "v", type: type)])
    }

    /// The first byte: what was asked for before the server speaks.
    private static func packets(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        var machine = ConnectionStateMachine(ConnectionConfiguration(revision: revisions[Int(first) % 4] ?? .newest))
        _ = machine.connected()
        var input = buffer(bytes.dropFirst())
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
        // Many reads only take time.
        let size = max(Int(first) + 1, rest.count / 16)
        while !rest.isEmpty {
            let read = rest.prefix(size)
            rest = rest.dropFirst(read.count)
            let findings = reader.bytesReceived(buffer(read), at: .now, into: &pieces)
            pieces.removeAll(keepingCapacity: true)
            if findings.error != nil { break }
        }
    }

    private static func canary(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.starts(with: "cat".utf8) else { return }
        let room = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 1)
        defer { room.deallocate() }
        room.copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
        // Something hangs on the byte, so that no compiler leaves the read out.
        if room.load(fromByteOffset: bytes.count, as: UInt8.self) == 0xBE { exit(3) }
    }
}
