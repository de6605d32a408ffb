import ClickHouseNative
import Foundation
import Pipeline

/// Sends what a spool, a segment or an exported file holds to a daemon. Each row has a number that depends only on where it lies.
struct SpoolReplay {
    let replay: NumberedReplay
    let timeZone: String
    let table: String?

    /// - Returns: Places that could not be read.
    func send(_ source: String) throws -> Int {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: source, isDirectory: &isDirectory) else {
            throw SendError("\(source): there is no such file or directory")
        }
        if isDirectory.boolValue { return try sendSpool(source) }
        if source.hasSuffix(".seg") || source.hasSuffix(".bad") { return try sendSegment(source) }
        return try sendFile(source)
    }

    private func sendSpool(_ path: String) throws -> Int {
        let spool = try SpoolInspection.read(directory: path, decodesBlocks: false)
        guard spool.isInUse != true else {
            throw SendError("\(path): a daemon runs on this spool and ships its rows itself")
        }
        guard let id = spool.spool else { return 0 }
        var unread = spool.damage.count
        for fault in spool.damage { Output.complain("\(fault.file): \(fault.message)") }
        // For a segment at a time, table by table: memory holds one record.
        for segment in spool.segments where segment.unsettledRows > 0 {
            unread += try send(name: "spool/\(id)/\(segment.number)") { body in
                try spool.forEachRows(ofSegment: segment.number, body)
            }
        }
        return unread
    }

    private func sendSegment(_ path: String) throws -> Int {
        let name = (path as NSString).lastPathComponent
        guard let number = UInt64(name.prefix(16), radix: 16) else {
            throw SendError("\(path): the name of a segment is 16 hexadecimal digits")
        }
        // A segment by its place, whatever became of the file; without a head, by its bytes.
        let id = try SpoolInspection.spool(ofFile: path)
        let source = try id.map { "spool/\($0)/\(number)" } ?? "file/\(NumberedReplay.hash(ofFile: path))"
        var unread = 0
        let undecoded = try send(name: source) { body in
            unread = try SpoolInspection.forEachRows(inFile: path, body)
        }
        if unread > 0 { Output.complain("\(path): \(unread) places could not be read") }
        return unread + undecoded
    }

    private func send(name: String, _ forEach: ((SpoolInspection.Rows) throws -> Void) throws -> Void) throws -> Int {
        var tables: Set<String> = []
        try forEach { if !$0.unsettled.isEmpty { tables.insert($0.table.description) } }
        var undecoded = 0
        for table in tables.sorted() {
            let hash = NumberedReplay.hash(Array(table.utf8)).prefix(16)
            try replay.run(name: "\(name)/\(hash)", table: table) { replay in
                try forEach { rows in
                    guard rows.table.description == table else { return }
                    guard !rows.unsettled.isEmpty, let block = try? rows.block() else {
                        if !rows.unsettled.isEmpty { undecoded += 1 }
                        for _ in 0..<rows.rows { try replay.gap() }
                        return
                    }
                    try replay.rows(of: block, selection: rows.unsettled, timeZone: timeZone)
                }
            }
        }
        return undecoded
    }

    private func sendFile(_ path: String) throws -> Int {
        let name = "file/\(try NumberedReplay.hash(ofFile: path))"
        guard let table = table ?? ExportWriter.table(ofFile: path) else {
            throw SendError("\(path): the file's name tells no table, --table does")
        }
        try replay.run(name: name, table: table) { replay in
            if path.hasSuffix(".ndjson") {
                var lines = try LineReader(path)
                while let line = try lines.next() { try replay.row(line) }
                return
            }
            do throws(CatError) {
                var file = try BlockFile(path)
                while let block = try file.next() { try sendBlock(block, replay) }
            } catch {
                throw SendError("\(path): \(error)")
            }
        }
        return 0
    }

    private func sendBlock(_ block: Block, _ replay: NumberedReplay) throws(CatError) {
        do {
            try replay.rows(of: block, timeZone: timeZone)
        } catch {
            throw CatError(offset: nil, reason: "\(error)")
        }
    }
}

/// The whole lines of a file, without their line breaks; one that is begun at the end is left out.
struct LineReader: ~Copyable {
    private let descriptor: Int32
    private let path: String
    private var bytes: [UInt8] = []
    private var at = 0
    private var isAtEnd = false

    init(_ path: String) throws {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SendError("\(path): cannot be opened: \(SystemError.text)") }
    }

    deinit { close(descriptor) }

    mutating func next() throws -> ArraySlice<UInt8>? {
        var searched = at
        while true {
            if let end = bytes[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { at = end + 1 }
                return bytes[at..<end]
            }
            searched = bytes.count - at
            guard !isAtEnd else { return nil }
            bytes.removeFirst(at)
            at = 0
            guard bytes.count <= RowSource.lineBytesMax * 2 else {
                throw SendError("\(path): a line of more than \(RowSource.lineBytesMax * 2) bytes")
            }
            var piece = [UInt8](repeating: 0, count: 256 << 10)
            let count = piece.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw SendError("\(path): cannot be read: \(SystemError.text)") }
            isAtEnd = count == 0
            bytes += piece[..<count]
        }
    }
}
