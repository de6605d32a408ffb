import ClickHouseNative
import Foundation
import NIOCore
import ProducerProtocol

/// Rows of one file, in frames.
struct FileRows {
    private let path: String
    private let format: RowFormat
    private var names: [String]?
    private var types: [String]?
    private var definitions: [ColumnDefinition] = []
    private let delimiter: UInt8
    private let descriptor: Int32
    /// Read, and not sent.
    private var rest: [UInt8] = []
    private var isAtEnd = false
    /// Of the next row, for messages.
    private var row = 1
    private var blocks: NativeBlocks?

    /// A file of blocks; a class, for what it holds cannot be copied.
    private final class NativeBlocks {
        var file: BlockFile
        /// The block that is being sent, and how many of its rows were.
        var block: Block?
        var sent = 0

        init(_ path: String) throws(CatError) { file = try BlockFile(path) }
    }

    init(
        _ path: String, _ format: RowFormat, _ columns: [String]?, _ types: [String]?, _ delimiter: UInt8?
    ) throws(SendError) {
        self.path = path
        self.format = format
        names = columns
        self.types = types
        self.delimiter = delimiter ?? UInt8(ascii: ",")
        guard format != .native else {
            descriptor = -1
            do {
                blocks = try NativeBlocks(path)
            } catch {
                throw SendError("\(path): \(error)")
            }
            return
        }
        descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SendError("cannot open \(path): \(SystemError.text)") }
    }

    func close() { if descriptor > STDERR_FILENO { Foundation.close(descriptor) } }

    private func problem(_ text: String) -> SendError { SendError("\(path): row \(row): \(text)") }

    // MARK: - The header

    /// What the columns are, as far as the file or whoever sends it says. Once, before the rows.
    mutating func header() throws(SendError) -> (names: [String]?, types: [String]?) {
        if format.isText, format.headerRows > 0 { try readTextHeader() }
        if format.isBinary, format != .native {
            if format.headerRows > 0 { try readBinaryHeader() }
            try define()
        }
        return (names, types)
    }

    private mutating func readTextHeader() throws(SendError) {
        for number in 0..<format.headerRows {
            var scanner = RowScanner(delimiter: format.isCSV ? delimiter : nil)
            var end: Int?
            while true {
                end = rest.withUnsafeBytes { scanner.end(in: $0, from: 0) }
                guard end == nil, !isAtEnd, rest.count <= FormatSource.rowBytesMax else { break }
                scanner = RowScanner(delimiter: format.isCSV ? delimiter : nil)
                try read()
            }
            guard let end, let cells = HeaderCells.of(Array(rest[..<(end - 1)]), isCSV: format.isCSV, delimiter) else {
                throw SendError("\(path): the header is cut off, or no header")
            }
            rest.removeSubrange(..<end)
            if number == 0 { names = cells } else { types = cells }
        }
    }

    private mutating func readBinaryHeader() throws(SendError) {
        while true {
            let header = try? rest.withUnsafeBytes { (raw) throws(BlockError) in
                try RowBinaryReader.header(raw, hasTypes: format.headerRows > 1)
            }
            if let header {
                names = header.names
                if format.headerRows > 1 { types = header.types }
                rest.removeSubrange(..<header.length)
                return
            }
            guard !isAtEnd, rest.count <= FormatSource.rowBytesMax else {
                throw SendError("\(path): the header is cut off, or no header")
            }
            try read()
        }
    }

    private mutating func define() throws(SendError) {
        guard let names, let types else { return }
        guard names.count == types.count else {
            throw SendError("\(path): \(names.count) columns and \(types.count) types")
        }
        for (name, type) in zip(names, types) {
            guard let parsed = try? DataType(parsing: type) else {
                throw SendError("\(path): column \(name) has a type that is not known: \(type)")
            }
            if let obstacle = RowBinaryReader.obstacle(to: parsed) {
                throw SendError("\(path): column \(name): \(obstacle)")
            }
            definitions.append(ColumnDefinition(name: name, type: parsed))
        }
    }

    // MARK: - Rows

    /// - Parameter skipped: rows that are passed over; less by those that were.
    /// - Returns: nil at the end.
    mutating func next(_ skipped: inout Int) throws(SendError) -> FormatSource.Frame? {
        if let blocks { return try nextBlock(blocks, &skipped) }
        while true {
            if let frame = try takeFrame(&skipped) { return frame }
            guard !isAtEnd else { return nil }
            try read()
        }
    }

    private mutating func read() throws(SendError) {
        let start = rest.count
        rest.append(contentsOf: repeatElement(0, count: FormatSource.frameBytes))
        while true {
            let count = rest.withUnsafeMutableBytes {
                Foundation.read(descriptor, $0.baseAddress! + start, FormatSource.frameBytes)
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw SendError("cannot read \(path): \(SystemError.text)") }
            rest.removeLast(FormatSource.frameBytes - count)
            isAtEnd = count == 0
            return
        }
    }

    /// Whole rows of what was read.
    private mutating func takeFrame(_ skipped: inout Int) throws(SendError) -> FormatSource.Frame? {
        guard !rest.isEmpty else { return nil }
        if format.isText, isAtEnd, rest.last != UInt8(ascii: "\n") { rest.append(UInt8(ascii: "\n")) }
        let starts = format.isText ? textStarts() : try binaryStarts()
        let rows = starts.count - 1
        guard rows > 0 else {
            guard !isAtEnd else { throw problem("it is cut off") }
            guard rest.count <= FormatSource.rowBytesMax else {
                throw problem("more than \(FormatSource.rowBytesMax) bytes, or no row")
            }
            return nil
        }
        row += rows
        let left = min(skipped, rows)
        skipped -= left
        let payload = Array(rest[starts[left]..<starts[rows]])
        rest.removeSubrange(..<starts[rows])
        guard left < rows else { return try takeFrame(&skipped) }
        return FormatSource.Frame(payload: payload, rows: rows - left)
    }

    private func textStarts() -> [Int] {
        rest.withUnsafeBytes { raw in
            var scanner = RowScanner(delimiter: format.isCSV ? delimiter : nil)
            var starts = [0]
            while starts[starts.count - 1] < min(raw.count, FormatSource.frameBytes),
                let end = scanner.end(in: raw, from: starts[starts.count - 1])
            {
                starts.append(end)
            }
            return starts
        }
    }

    private func binaryStarts() throws(SendError) -> [Int] {
        let rows = rest.withUnsafeBytes { RowBinaryReader.read($0, from: 0, columns: definitions, rowsMax: .max) }
        if let failure = rows.failure, isAtEnd {
            throw SendError("\(path): row \(row + rows.block.rows): \(failure.reason)")
        }
        // The first row, however long, and what fits beside it.
        return rows.starts.enumerated().prefix { $0.offset <= 1 || $0.element <= FormatSource.frameBytes }.map(
            \.element)
    }

    // MARK: - Blocks

    private mutating func nextBlock(_ blocks: NativeBlocks, _ skipped: inout Int) throws(SendError) -> FormatSource
        .Frame?
    {
        while true {
            if let block = blocks.block, blocks.sent < block.rows {
                let left = min(skipped, block.rows - blocks.sent)
                skipped -= left
                row += left
                blocks.sent += left
                guard blocks.sent < block.rows else { continue }
                return try frame(of: block, blocks)
            }
            do {
                guard let block = try blocks.file.next() else { return nil }
                (blocks.block, blocks.sent) = (block, 0)
            } catch {
                throw SendError("\(path): \(error)")
            }
        }
    }

    /// As many of the block's next rows as make a frame.
    private mutating func frame(of block: Block, _ blocks: NativeBlocks) throws(SendError) -> FormatSource.Frame {
        var count = max(
            1, min(block.rows - blocks.sent, block.rows * FormatSource.frameBytes / max(1, block.byteCount)))
        while true {
            let part = block.gathering([blocks.sent..<blocks.sent + count])
            let payload: [UInt8]
            do {
                payload = Array(try BlockEncoder.encode([part], as: .file).body.readableBytesView)
            } catch {
                throw problem("\(error)")
            }
            if payload.count > FormatSource.rowBytesMax {
                guard count > 1 else { throw problem("more than \(FormatSource.rowBytesMax) bytes") }
                count = max(1, count / 4)
                continue
            }
            blocks.sent += count
            row += count
            return FormatSource.Frame(payload: payload, rows: count)
        }
    }
}

/// The cells of a header of text.
enum HeaderCells {
    /// nil: it is none.
    static func of(_ line: [UInt8], isCSV: Bool, _ delimiter: UInt8) -> [String]? {
        var line = line
        if isCSV, line.last == 13 { line.removeLast() }
        guard isCSV else {
            let cells = line.split(separator: 9, omittingEmptySubsequences: false).map { unescaped($0) }
            return cells.contains("") ? nil : cells
        }
        var cells: [String] = []
        var cell: [UInt8] = []
        var place = 0
        while true {
            while place < line.count, line[place] == 32 || line[place] == 9, line[place] != delimiter { place += 1 }
            if place < line.count, line[place] == UInt8(ascii: "\"") {
                place += 1
                while place < line.count {
                    if line[place] == UInt8(ascii: "\"") {
                        guard place + 1 < line.count, line[place + 1] == UInt8(ascii: "\"") else { break }
                        place += 1
                    }
                    cell.append(line[place])
                    place += 1
                }
                guard place < line.count else { return nil }
                place += 1
                while place < line.count, line[place] != delimiter { place += 1 }
            } else {
                while place < line.count, line[place] != delimiter {
                    cell.append(line[place])
                    place += 1
                }
                while let last = cell.last, last == 32 || last == 9 { cell.removeLast() }
            }
            guard !cell.isEmpty else { return nil }
            cells.append(String(decoding: cell, as: UTF8.self))
            cell = []
            guard place < line.count else { return cells }
            place += 1
        }
    }

    private static func unescaped(_ cell: ArraySlice<UInt8>) -> String {
        var text: [UInt8] = []
        var isEscaped = false
        for byte in cell {
            if isEscaped {
                isEscaped = false
                let known: [UInt8: UInt8] = [
                    UInt8(ascii: "n"): 10, UInt8(ascii: "t"): 9, UInt8(ascii: "r"): 13, UInt8(ascii: "0"): 0,
                    UInt8(ascii: "b"): 8, UInt8(ascii: "f"): 12,
                ]
                text.append(known[byte] ?? byte)
            } else if byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else {
                text.append(byte)
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
