import CLZ4
import CZstd
import ClickHouseNative
import NIOCore

/// The libraries under the frames alone, on the bytes of a block of mstore. CPU seconds are for a GB of raw bytes.
enum CodecSuite {
    private static let rows = 65_536
    private static let pieceBytes = 1 << 20

    static let benchmarks: [Benchmark] = [
        benchmark("codec/lz4", "LZ4, pieces of 1 MiB") { raw, out in
            Int(LZ4_compress_default(chars(raw), chars(out), Int32(raw.count), Int32(out.count)))
        },
        benchmark("codec/zstd", "ZSTD of level 1, pieces of 1 MiB") { raw, out in
            let size = ZSTD_compress(out.baseAddress, out.count, raw.baseAddress, raw.count, 1)
            return ZSTD_isError(size) != 0 ? 0 : size
        },
        benchmark("codec/cityhash", "CityHash128, pieces of 1 MiB") { raw, _ in
            // Used, so that the hash is not left out by the optimizer.
            Int(CityHash128(hashing: raw).low & 1) + raw.count
        },
        benchmark("codec/copy", "memcpy, for comparison") { raw, out in
            out.copyMemory(from: raw)
            return raw.count
        },
    ]

    /// - Parameter work: turns the first bytes into the second and returns how many they are; 0: it failed.
    private static func benchmark(
        _ name: String, _ about: String,
        _ work: @escaping @Sendable (UnsafeRawBufferPointer, UnsafeMutableRawBufferPointer) -> Int
    ) -> Benchmark {
        Benchmark(name: name, about: about) { plan in
            let blocks = try EncodeSuite.blocks(plan, rows: rows, whole: true)
            let raw = try BlockEncoder.encode(blocks, as: .file).body
            let out = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 * pieceBytes, alignment: 16)
            defer { out.deallocate() }
            var written = 0
            var failed = false
            let rounds = raw.withUnsafeReadableBytes { bytes in
                plan.rounds.measure {
                    written = 0
                    for start in stride(from: 0, to: bytes.count, by: pieceBytes) {
                        let piece = UnsafeRawBufferPointer(
                            rebasing: bytes[start..<min(start + pieceBytes, bytes.count)])
                        let size = work(piece, out)
                        failed = failed || size == 0
                        written += size
                    }
                }
            }
            return Measurement(
                name: name, unit: .byte, count: raw.readableBytes, bytes: raw.readableBytes, rounds: rounds,
                ratio: Double(written) / Double(raw.readableBytes), fault: failed ? "the library refused" : nil)
        }
    }

    private static func chars(_ bytes: UnsafeRawBufferPointer) -> UnsafePointer<CChar>? {
        bytes.bindMemory(to: CChar.self).baseAddress
    }

    private static func chars(_ bytes: UnsafeMutableRawBufferPointer) -> UnsafeMutablePointer<CChar>? {
        bytes.bindMemory(to: CChar.self).baseAddress
    }
}
