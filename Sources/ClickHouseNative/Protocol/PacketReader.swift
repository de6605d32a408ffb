import NIOCore

/// Reads the fields of a packet from what has arrived of it.
///
/// Works on its own copy of the buffer's indexes: a packet that turns out incomplete leaves the caller's untouched.
struct PacketReader {
    /// More bytes are needed. Never leaves this module.
    struct Incomplete: Error {}

    var buffer: ByteBuffer
    let limits: ProtocolLimits

    mutating func byte() throws -> UInt8 {
        guard let byte = buffer.readInteger(as: UInt8.self) else { throw Incomplete() }
        return byte
    }

    mutating func integer<T: FixedWidthInteger>(_ type: T.Type) throws -> T {
        guard let value = buffer.readInteger(endianness: .little, as: type) else { throw Incomplete() }
        return value
    }

    /// 0 or 1; ClickHouse writes nothing else.
    mutating func flag() throws -> Bool {
        let byte = try byte()
        guard byte < 2 else { throw ProtocolError(.malformed, "a flag is \(byte)") }
        return byte == 1
    }

    /// LEB128 of at most 64 bits (ClickHouse's IO/VarInt.h).
    mutating func varUInt() throws -> UInt64 {
        var value: UInt64 = 0
        for place in UInt64(0)..<10 {
            let byte = try byte()
            guard place < 9 || byte < 2 else { break }
            value |= UInt64(byte & 0x7F) << (place * 7)
            if byte < 0x80 { return value }
        }
        throw ProtocolError(.malformed, "a number of more than 64 bits")
    }

    /// A number of things that follow.
    mutating func count(max: Int, of things: StaticString) throws -> Int {
        let count = try varUInt()
        guard count <= UInt64(max) else { throw ProtocolError(.limit, "\(count) \(things), allowed are \(max)") }
        return Int(count)
    }

    /// Text with its length in front. Bytes that are not UTF-8 come out as replacement characters.
    mutating func text(max: Int, _ field: StaticString) throws -> String {
        let length = try varUInt()
        guard length <= UInt64(max) else {
            throw ProtocolError(.limit, "the \(field) has \(length) bytes, allowed are \(max)")
        }
        guard let text = buffer.readString(length: Int(length)) else { throw Incomplete() }
        return text
    }

    /// A block, in frames or bare.
    mutating func block(revision: Revision, compressed: Bool) throws -> Block {
        try content(compressed: compressed) { reader in
            do {
                let block = try BlockReader.read(&reader.buffer, revision: revision)
                guard let block else { throw Incomplete() }
                return block
            } catch let error as BlockError {
                throw ProtocolError(.badBlock, "\(error)")
            }
        }
    }

    /// What `read` reads, out of frames or bare. It may span several frames; a frame never holds a part of what follows.
    mutating func content<T>(compressed: Bool, _ read: (inout PacketReader) throws -> T) throws -> T {
        guard compressed else { return try read(&self) }
        var raw = ByteBuffer()
        while true {
            var frame = try frame(rawBytesMax: limits.blockBytesMax - raw.readableBytes)
            raw.writeBuffer(&frame)
            var reader = PacketReader(buffer: raw, limits: limits)
            let value: T
            do { value = try read(&reader) } catch is Incomplete { continue }
            guard reader.buffer.readableBytes == 0 else {
                throw ProtocolError(.malformed, "\(reader.buffer.readableBytes) bytes too many in a compressed frame")
            }
            return value
        }
    }

    private mutating func frame(rawBytesMax: Int) throws -> ByteBuffer {
        do {
            let limits = FrameLimits(frameBytesMax: rawBytesMax)
            guard let frame = try FrameReader.readFrame(&buffer, limits: limits) else { throw Incomplete() }
            return frame
        } catch let error as FrameError {
            throw ProtocolError(.badBlock, "\(error)")
        }
    }
}

extension ByteBuffer {
    mutating func writeVarUInt(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            writeInteger(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        writeInteger(UInt8(truncatingIfNeeded: rest))
    }

    /// Text with its length in front.
    mutating func writeText(_ text: String) {
        writeVarUInt(UInt64(text.utf8.count))
        writeString(text)
    }
}
