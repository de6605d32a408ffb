/// How the bytes of a file of blocks are packed; told by the bytes, for names lie.
enum FileKind: Sendable, Equatable {
    /// Blocks, one after the other.
    case bare
    /// Standard LZ4 frames, as of the command `lz4`.
    case lz4
    /// Standard ZSTD, as of the command `zstd`.
    case zstd
    /// ClickHouse's own compressed frames.
    case frames

    /// Bytes at the start of a file that tell, if there are as many.
    static let prefixBytes = 25

    init(startingWith prefix: some Collection<UInt8>) {
        let prefix = Array(prefix.prefix(Self.prefixBytes))
        if prefix.starts(with: [0x04, 0x22, 0x4D, 0x18]) {
            self = .lz4
        } else if prefix.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) {
            self = .zstd
        } else {
            self = Self.isFrame(prefix) ? .frames : .bare
        }
    }

    /// 16 bytes of checksum, which may be anything; then the method and two sizes that have to go together.
    private static func isFrame(_ prefix: [UInt8]) -> Bool {
        guard prefix.count == prefixBytes else { return false }
        func number(at offset: Int) -> Int {
            (0..<4).reduce(0) { $0 | Int(prefix[offset + $1]) << (8 * $1) }
        }
        let (size, rawSize) = (number(at: 17) - 9, number(at: 21))
        guard (0...1 << 30).contains(size), rawSize <= 1 << 30 else { return false }
        switch prefix[16] {
        case 0x02: return size == rawSize
        case 0x82: return size > 0 && rawSize <= size * 255
        case 0x90: return size > 0
        default: return false
        }
    }
}
