import CSluice
import NIOCore
import ProducerProtocol
import TestSupport
import Testing

/// The numbers are zlib's: `python3 -c 'import zlib; print(zlib.crc32(b"…"))'`.
@Suite struct ChecksumTests {
    private static func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ 13) }
    }

    @Test(arguments: [
        (0, 0x00000000),
        (1, 0xACB39330),
        (7, 0xD7E18588),
        (8, 0x2601BB59),
        (15, 0x6D3B1851),
        (16, 0xA1B3C216),
        (63, 0xDB23BAC6),
        (64, 0x72D32E4F),
        (65, 0xD1C6DEAF),
        (79, 0xED5BB852),
        (80, 0x4EE6B29C),
        (127, 0xBDACF4D1),
        (128, 0x6A02E676),
        (129, 0xF807C6FF),
        (255, 0x09B0A666),
        (1000, 0x81A76A55),
        (4096, 0x399208A7),
        (65537, 0x1C227D7B),
    ])
    func checksumsAreThoseOfZlib(count: Int, expected: UInt32) {
        let bytes = Self.bytes(count)
        #expect(sluice_crc32(0, bytes, count) == expected)
        #expect(sluice_crc32_narrow(0, bytes, count) == expected)
        #expect(sluice_crc32_portable(0, bytes, count) == expected)
    }

    @Test func theCheckValueOfTheCatalogue() {
        #expect(ByteBuffer(string: "123456789").crc32() == 0xCBF4_3926)
        #expect(ByteBuffer().crc32() == 0)
    }

    @Test(arguments: Seeds.some(20))
    func pieceByPieceFromAnyAddressItIsTheSame(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let bytes = Self.bytes(random.int(0...5_000))
        let from = random.int(0...min(17, bytes.count))
        let cut = random.int(from...bytes.count)
        bytes.withUnsafeBytes { raw in
            guard let base = raw.baseAddress else { return }
            let whole = sluice_crc32_portable(0, base + from, bytes.count - from)
            #expect(sluice_crc32(0, base + from, bytes.count - from) == whole)
            #expect(sluice_crc32_narrow(0, base + from, bytes.count - from) == whole)
            #expect(sluice_crc32(sluice_crc32(0, base + from, cut - from), base + cut, bytes.count - cut) == whole)
        }
    }

    @Test(arguments: Seeds.some(20))
    func newlinesAreCounted(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let odds = random.int(1...30)
        let bytes = (0..<random.int(0...10_000)).map { _ in
            random.one(in: odds) ? UInt8(10) : UInt8(random.int(0...255))
        }
        var buffer = ByteBuffer(bytes: [1, 2, 3] + bytes)
        buffer.moveReaderIndex(forwardBy: 3)
        let count = bytes.count { $0 == 10 }
        #expect(buffer.countNewlines() == count)
        let lines = random.int(0...count)
        let length = buffer.length(ofLines: lines)
        #expect(bytes.prefix(length).count { $0 == 10 } == lines)
        #expect(lines == 0 ? length == 0 : bytes[length - 1] == 10)
    }
}
