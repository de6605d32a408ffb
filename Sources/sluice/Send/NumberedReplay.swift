import ClickHouseNative
import Foundation
import ProducerProtocol
import SluiceClient

/// Sends lines whose numbers are their places in a source that does not change, under a name of the source's: what is sent a
/// second time, after an interruption or by mistake, is dropped by the daemon.
///
/// That holds for as long as the daemon remembers the name (`spool.producer_age_max`, `spool.producers_max`).
final class NumberedReplay {
    struct Totals: Equatable {
        /// That were sent now.
        var rows = 0
        /// That the daemon had already.
        var present = 0
        var rejected = 0
    }

    private static let pieceBytes = 256 << 10

    private let socketPath: String
    private(set) var totals = Totals()
    /// For the person at the terminal.
    private(set) var notes: [String] = []
    private var connection: AckedConnection?
    private var piece: [UInt8] = []
    private var format = SluiceFormat.ndjson
    /// Of another format than NDJSON: rows in `piece`, and numbers without rows behind them.
    private var rows = 0
    private var gaps = 0
    private var number: UInt64 = 0
    private var resume: UInt64 = 0

    init(socketPath: String) { self.socketPath = socketPath }

    /// Sends the lines of one numbering, and returns when all are durable.
    ///
    /// - Parameters:
    ///   - name: at most 128 bytes.
    ///   - table: of rows that name none.
    ///   - format: of the rows.
    ///   - lines: calls `row` and `gap` for each place, in order.
    /// - Returns: How many rows were rejected.
    /// - Throws: `SendError`, and what `lines` throws.
    @discardableResult
    func run(
        name: String, table: String?, format: SluiceFormat = .ndjson, _ lines: (NumberedReplay) throws -> Void
    ) throws -> Int {
        var plan = Sending.Plan(socketPath: socketPath, table: table, rate: nil, producers: 1)
        plan.identity = (name, 1)
        plan.format = format
        self.format = format
        let connection = AckedConnection(plan, ack: .durable, onAcked: { _, _ in })
        self.connection = connection
        piece = []
        (number, rows, gaps) = (0, 0, 0)
        do {
            resume = try connection.open()
            try lines(self)
            try flush()
            try connection.finish()
        } catch let error as SluiceClientError {
            connection.abandon()
            throw SendError(
                error.code == .refused("no_spool")
                    ? "the daemon has no spool: it cannot say that rows are durable, nor which it has" : error.message)
        } catch {
            connection.abandon()
            throw error
        }
        let report = connection.report
        notes += report.notes
        totals.rejected += report.rejectedRows
        guard report.problems.isEmpty else { throw SendError(report.problems.joined(separator: "; ")) }
        return report.rejectedRows
    }

    /// The line of the next place, without its line break.
    func row(_ line: some Collection<UInt8>) throws {
        number += 1
        guard number > resume else {
            totals.present += 1
            return
        }
        totals.rows += 1
        guard format == .ndjson else { return try frame(line) }
        piece.append(contentsOf: line)
        try endLine()
    }

    /// The next place holds nothing that is to be sent.
    func gap() throws {
        number += 1
        guard number > resume else { return }
        guard format == .ndjson else {
            gaps += 1
            return
        }
        try endLine()
    }

    private func frame(_ row: some Collection<UInt8>) throws {
        if gaps > 0 { try flush() }
        piece.append(contentsOf: row)
        if RowFormat(name: format.name)?.isText == true { piece.append(UInt8(ascii: "\n")) }
        rows += 1
        if piece.count >= Self.pieceBytes { try flush() }
    }

    private func endLine() throws {
        piece.append(UInt8(ascii: "\n"))
        if piece.count >= Self.pieceBytes { try flush() }
    }

    private func flush() throws {
        guard format == .ndjson else {
            if rows > 0 { try connection?.send(piece, rows: rows) }
            if gaps > 0 { try connection?.send([], rows: gaps) }
            (piece, rows, gaps) = ([], 0, 0)
            return
        }
        guard !piece.isEmpty else { return }
        try connection?.send(piece)
        piece.removeAll(keepingCapacity: true)
    }

    /// The rows of a block, each at its place; those that `selection` leaves out are gaps.
    func rows(of block: Block, selection: [Range<Int>]? = nil, timeZone: String) throws {
        var printer = try RowPrinter(block, timeZone: timeZone)
        var line: [UInt8] = []
        while printer.appendRow(to: &line) {
            let place = printer.row - 1
            if selection?.contains(where: { $0.contains(place) }) ?? true {
                try row(line.dropLast())
            } else {
                try gap()
            }
            line.removeAll(keepingCapacity: true)
        }
    }

    /// A name within what the daemon takes: of a long one, the hash.
    static func name(_ prefix: String, _ text: String, _ suffix: String = "") -> String {
        let isShort =
            prefix.utf8.count + text.utf8.count + suffix.utf8.count <= 120
            && !text.unicodeScalars.contains { $0.properties.generalCategory == .control }
        return prefix + (isShort ? text : hash(Array(text.utf8))) + suffix
    }

    /// 32 hexadecimal digits.
    static func hash(_ bytes: [UInt8]) -> String {
        let hash = bytes.withUnsafeBytes { CityHash128(hashing: $0) }
        return hex(hash.high) + hex(hash.low)
    }

    private static func hex(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// Of a file's content: the same rows under another file's name are the same rows.
    static func hash(ofFile path: String) throws -> String {
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw SendError("\(path): cannot be opened: \(SystemError.text)")
        }
        defer { try? file.close() }
        var state: [UInt8] = []
        while let data = try file.read(upToCount: 1 << 20), !data.isEmpty { state = Array(hash(state + data).utf8) }
        return String(decoding: state, as: UTF8.self)
    }
}

/// Where a replay goes.
enum ReplayExit {
    /// Tells what was sent, and ends with 65 when not all of it was taken.
    static func report(_ replay: NumberedReplay, leftOut: Int = 0, _ what: String = "") throws {
        replay.notes.forEach { Output.complain($0) }
        let totals = replay.totals
        Output.write(
            "\(totals.rows) rows sent and durable, \(totals.present) were there already, \(totals.rejected) rejected again\n"
        )
        if leftOut > 0 { Output.complain("\(leftOut) \(what)") }
        guard totals.rejected == 0, leftOut == 0 else { throw Exit.data }
    }
}

/// One line of JSON.
enum JSONLine {
    static func write(_ value: some Encodable) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else { return }
        Output.writeAll(Array(data) + [UInt8(ascii: "\n")], to: STDOUT_FILENO)
    }
}

/// Columns for people: the last as it is, the others as wide as their widest.
struct TextTable {
    private var lines: [[String]]

    init(_ head: String...) { lines = [head] }

    mutating func add(_ fields: String...) { lines.append(fields) }

    func write() {
        var widths: [Int] = []
        for line in lines {
            for (place, field) in line.enumerated() {
                if place == widths.count { widths.append(0) }
                widths[place] = max(widths[place], field.count)
            }
        }
        for line in lines {
            let text = line.enumerated().map { place, field in
                place == line.count - 1 ? field : field + String(repeating: " ", count: widths[place] - field.count)
            }
            Output.write(LogLine.escaped(text.joined(separator: "  ")) + "\n")
        }
    }
}
