// Unsafe by design: `base` points to `count` readable bytes for the cursor's whole life (it lives inside a
// withUnsafeReadableBytes call). Every take compares with what is left first.

/// Reads forward over bytes of someone else's.
struct ByteCursor {
    private let base: UnsafeRawPointer?
    private let count: Int
    private(set) var offset = 0

    init(_ bytes: UnsafeRawBufferPointer) {
        base = bytes.baseAddress
        count = bytes.count
    }

    var left: Int { count - offset }

    mutating func take(_ length: Int) throws(BlockReadFailure) -> UnsafeRawBufferPointer {
        guard length >= 0, length <= left else { throw .short }
        guard length > 0, let base else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        defer { offset += length }
        return UnsafeRawBufferPointer(start: base + offset, count: length)
    }

    mutating func take<T: FixedWidthInteger>(_: T.Type) throws(BlockReadFailure) -> T {
        let bytes = try take(MemoryLayout<T>.size)
        return T(littleEndian: bytes.loadUnaligned(as: T.self))
    }

    mutating func takeVarUInt() throws(BlockReadFailure) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), through: 63, by: 7) {
            let byte = try take(UInt8.self)
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 {
                guard shift < 63 || byte <= 1 else { break }
                return value
            }
        }
        throw .refused(BlockError(.malformed, "a number is longer than 64 bits"))
    }

    mutating func takeString(bytesMax: Int) throws(BlockReadFailure) -> String {
        let length = try takeVarUInt()
        guard length <= UInt64(bytesMax) else {
            throw .refused(BlockError(.limit, "a name of \(length) bytes, allowed are \(bytesMax)"))
        }
        return String(decoding: try take(Int(length)), as: UTF8.self)
    }
}

enum BlockReadFailure: Error {
    /// More bytes may make the input whole.
    case short
    case refused(BlockError)
}
