import CLZ4
import CZstd
import ClickHouseNative
import Foundation
import NIOCore
import TestSupport
import Testing

@testable import sluice

/// `sluice cat` on whole and damaged files.
@Suite struct BlockFileTests {
    private static let rowsPerBlock = 500

    enum Packing: CaseIterable { case bare, lz4, zstd, frames }

    /// A column of numbers, and one of text.
    private static func block() -> [UInt8] {
        var bytes: [UInt8] = []
        func put(_ number: Int) {
            var rest = number
            while rest >= 0x80 {
                bytes.append(UInt8(rest & 0x7F) | 0x80)
                rest >>= 7
            }
            bytes.append(UInt8(rest))
        }
        func put(_ text: String) {
            put(text.utf8.count)
            bytes += Array(text.utf8)
        }
        put(2)
        put(rowsPerBlock)
        put("id")
        put("UInt32")
        for row in 0..<rowsPerBlock { withUnsafeBytes(of: UInt32(row).littleEndian) { bytes += Array($0) } }
        put("name")
        put("String")
        for row in 0..<rowsPerBlock { put("row \(row)") }
        return bytes
    }

    private static func packed(_ raw: [UInt8], _ packing: Packing) throws -> [UInt8] {
        switch packing {
        case .bare: return raw
        case .lz4:
            return [UInt8](unsafeUninitializedCapacity: LZ4F_compressFrameBound(raw.count, nil)) { room, count in
                count = LZ4F_compressFrame(room.baseAddress, room.count, raw, raw.count, nil)
            }
        case .zstd:
            return [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(raw.count)) { room, count in
                count = ZSTD_compress(room.baseAddress, room.count, raw, raw.count, 3)
            }
        case .frames:
            var bytes = ByteBuffer(bytes: raw)
            guard let block = try BlockReader.read(&bytes, revision: nil) else { return [] }
            let encoding = BlockEncoding(revision: nil, compression: .lz4)
            return Array(try BlockEncoder.encode([block], as: encoding).body.readableBytesView)
        }
    }

    private func withFile<Result>(_ bytes: [UInt8], _ body: (String) throws -> Result) throws -> Result {
        // A name that says nothing.
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-\(UUID()).data").path
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try body(path)
    }

    /// Rows up to the end, or to what is damaged.
    private func rows(of path: String) throws(CatError) -> (rows: Int, problem: CatError?) {
        var file = try BlockFile(path)
        var rows = 0
        do {
            while let block = try file.next() { rows += block.rows }
        } catch {
            return (rows, error)
        }
        return (rows, nil)
    }

    @Test(arguments: Packing.allCases) func allBlocksOfAFileAreFoundHoweverItIsPacked(packing: Packing) throws {
        let one = try Self.packed(Self.block(), packing)
        for count in [0, 1, 3, 200] {
            let (found, problem) = try withFile(Array(repeatElement(one, count: count).joined())) { try rows(of: $0) }
            #expect(problem == nil)
            #expect(found == count * Self.rowsPerBlock)
        }
    }

    @Test(arguments: Packing.allCases) func aFileThatWasCutOffGivesItsWholeBlocksAndSaysWhereItEnds(packing: Packing)
        throws
    {
        let one = try Self.packed(Self.block(), packing)
        for cut in [1, one.count / 2, one.count - 1] {
            let (found, problem) = try withFile(one + one + one.prefix(cut)) { try rows(of: $0) }
            // An LZ4 frame ends with a mark: without its last byte all rows are there, and the end is missing.
            #expect(found >= 2 * Self.rowsPerBlock, "cut at \(cut)")
            #expect(try #require(problem?.offset) >= one.count * 2, "cut at \(cut)")
        }
    }

    @Test(arguments: Packing.allCases) func aDamagedByteNeverStopsTheProgram(packing: Packing) throws {
        let whole = try Self.packed(Self.block(), packing)
        for seed in Seeds.some(40) {
            var random = SeededRandom(seed: seed)
            var bytes = whole
            bytes[random.int(0...bytes.count - 1)] ^= UInt8(random.int(1...255))
            let (found, problem) = try withFile(bytes) { try rows(of: $0) }
            #expect(problem != nil || found <= 1 << 20, "seed \(seed)")
        }
    }

    @Test func aFrameWithADamagedByteIsNamedByItsOffset() throws {
        let one = try Self.packed(Self.block(), .frames)
        var bytes = one + one
        bytes[one.count + 40] ^= 1
        let (found, problem) = try withFile(bytes) { try rows(of: $0) }

        #expect(found == Self.rowsPerBlock)
        #expect(problem?.offset == one.count)
        #expect(problem?.reason.contains("checksum") == true)
    }

    @Test func aFileThatIsNotThereIsAnError() {
        #expect(throws: CatError.self) { try rows(of: "/nonexistent/file.native") }
    }
}
