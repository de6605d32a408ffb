import ClickHouseNative
import Foundation
import NIOCore

/// The blocks of a file, one at a time, however the file is packed. Memory holds about one block and its bytes.
struct BlockFile: ~Copyable {
    /// Raw bytes of one block; a larger one is refused.
    static let blockBytesMax = 2 << 30

    private let descriptor: Int32
    private var packed = ByteBuffer()
    private var raw = ByteBuffer()
    private var unpacker: Unpacker
    /// Raw bytes before those in `raw`.
    private var rawOffset = 0
    /// Below so many raw bytes it is not worth trying to read a block: the last try found too few.
    private var rawBytesWanted = 1
    private var isAtEnd = false

    /// - Parameter path: `-` is standard input.
    init(_ path: String) throws(CatError) {
        let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw CatError(offset: nil, reason: "cannot be opened: \(SystemError.text)")
        }
        var start = ByteBuffer()
        var isAtEnd = false
        while start.readableBytes < FileKind.prefixBytes, !isAtEnd {
            isAtEnd = try Self.read(descriptor, into: &start) == 0
        }
        self.descriptor = descriptor
        self.isAtEnd = isAtEnd
        unpacker = Unpacker(FileKind(startingWith: start.readableBytesView))
        packed = start
    }

    deinit { if descriptor != STDIN_FILENO { close(descriptor) } }

    /// - Returns: nil at the end of the file.
    mutating func next() throws(CatError) -> Block? {
        while true {
            if raw.readableBytes >= rawBytesWanted || (isAtEnd && packed.readableBytes == 0 && raw.readableBytes > 0) {
                if let block = try readBlock() { return block }
            }
            if try unpacker.step(&packed, into: &raw) { continue }
            if isAtEnd { return try end() }
            isAtEnd = try Self.read(descriptor, into: &packed) == 0
        }
    }

    private mutating func readBlock() throws(CatError) -> Block? {
        let before = raw.readableBytes
        do {
            if let block = try BlockReader.read(&raw, revision: nil) {
                rawOffset += before - raw.readableBytes
                raw.discardReadBytes()
                rawBytesWanted = 1
                return block
            }
        } catch {
            throw failure("\(error)")
        }
        guard before < Self.blockBytesMax else {
            throw failure("a block of more than \(Self.blockBytesMax) bytes")
        }
        // Twice as much for the next try, so that a large block is not read over and over again.
        rawBytesWanted = before * 2
        return nil
    }

    private mutating func end() throws(CatError) -> Block? {
        if raw.readableBytes > 0 {
            if let block = try readBlock() { return block }
            throw failure("the last block is cut off")
        }
        guard packed.readableBytes == 0, unpacker.isBetweenFrames else {
            throw CatError(offset: unpacker.taken, reason: "the last compressed frame is cut off")
        }
        return nil
    }

    /// A problem of the block that begins with the first byte in `raw`.
    private func failure(_ reason: String) -> CatError {
        if unpacker.kind == .bare { return CatError(offset: rawOffset, reason: reason) }
        return CatError(offset: unpacker.taken, reason: "\(reason) (in the block at raw byte \(rawOffset))")
    }

    /// - Returns: 0 at the end of the file.
    private static func read(_ descriptor: Int32, into buffer: inout ByteBuffer) throws(CatError) -> Int {
        buffer.discardReadBytes()
        while true {
            var result = 0
            buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: Unpacker.pieceBytes) { room in
                result = Foundation.read(descriptor, room.baseAddress, Unpacker.pieceBytes)
                return max(0, result)
            }
            if result >= 0 { return result }
            guard errno == EINTR else { throw CatError(offset: nil, reason: "cannot be read: \(SystemError.text)") }
        }
    }
}
