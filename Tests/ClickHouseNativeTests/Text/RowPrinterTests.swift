import Foundation
import NIOCore
import Testing

@testable import ClickHouseNative

@Suite("Rows as text")
struct RowPrinterTests {
    /// ClickHouse leaves a DateTime's zone out of files: these are shown in the zone of their query, others in UTC.
    static let timeZones = [
        "datetime_america_new_york": "America/New_York", "datetime_asia_kolkata": "Asia/Kolkata",
        "datetime_australia_lord_howe": "Australia/Lord_Howe", "datetime_europe_berlin": "Europe/Berlin",
    ]

    @Test("Rows are printed as ClickHouse prints them, byte for byte")
    func goldenRows() throws {
        let files = Golden.files("modern", suffix: ".native")
        #expect(files.count >= 40)
        for file in files { try Self.compare(file, engine: "modern") }
    }

    @Test("Blocks of the old engine print the same rows")
    func legacyRows() throws {
        let files = Golden.files("legacy", suffix: ".native")
        #expect(files.count >= 10)
        for file in files { try Self.compare(file, engine: "modern") }
    }

    private static func compare(_ file: URL, engine: String) throws {
        let name = file.deletingPathExtension().lastPathComponent
        // Two zones in one block, which the file does not tell.
        guard name != "dates" else { return }
        var input = try Golden.bytes(file)
        var printed = ByteBuffer()
        while input.readableBytes > 0 {
            let block = try #require(try BlockReader.read(&input, revision: nil))
            try RowPrinter.print(block, timeZone: timeZones[name] ?? "UTC", into: &printed)
        }
        let expected = try #require(
            Golden.files(engine, suffix: ".ndjson").first { $0.lastPathComponent == "\(name).ndjson" })
        let want = try Golden.bytes(expected)
        guard printed != want else { return }
        let ours = printed.readableBytesView.split(separator: 0x0A)
        let theirs = want.readableBytesView.split(separator: 0x0A)
        #expect(ours.count == theirs.count, "\(name)")
        for (row, (a, b)) in zip(ours, theirs).enumerated() where a != b {
            Issue.record(
                "\(name), row \(row): \(String(decoding: a, as: UTF8.self)) for \(String(decoding: b, as: UTF8.self))")
            return
        }
    }

    @Test("Rows come one at a time, and then no more")
    func rowByRow() throws {
        let block = Block(layout: BlockLayout([ColumnDefinition(name: "n", type: .uint8)]))
        for value: UInt8 in [1, 2] {
            block.nodes[0].appendFixed(value)
            block.commitRow()
        }
        var printer = try RowPrinter(block)
        var out: [UInt8] = []
        let first = printer.appendRow(to: &out)
        #expect(String(decoding: out, as: UTF8.self) == "{\"n\":1}\n")
        let second = printer.appendRow(to: &out)
        let third = printer.appendRow(to: &out)
        #expect(first && second && !third)
        #expect(String(decoding: out, as: UTF8.self) == "{\"n\":1}\n{\"n\":2}\n")
    }

    @Test("Times without a zone of their own are shown in the server's, and an unknown zone is an error")
    func serverZone() throws {
        let block = Block(layout: BlockLayout([ColumnDefinition(name: "t", type: .dateTime(timeZone: nil))]))
        block.nodes[0].appendFixed(UInt32(1_710_054_000))
        block.commitRow()
        var out = ByteBuffer()
        try RowPrinter.print(block, timeZone: "America/New_York", into: &out)
        #expect(String(buffer: out) == "{\"t\":\"2024-03-10 03:00:00\"}\n")
        #expect(throws: TimeZoneError.self) { try RowPrinter(block, timeZone: "Nowhere") }
    }

    @Test("An enum's value without a name is printed as its number")
    func namelessEnum() throws {
        let members = try #require(EnumMembers([("a", 1)]))
        let block = Block(layout: BlockLayout([ColumnDefinition(name: "e", type: .enum8(members))]))
        block.nodes[0].appendFixed(Int8(-3))
        block.commitRow()
        var out = ByteBuffer()
        try RowPrinter.print(block, into: &out)
        #expect(String(buffer: out) == "{\"e\":-3}\n")
    }
}
