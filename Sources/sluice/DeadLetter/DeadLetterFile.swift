import Foundation
import SluiceClient

/// A file of a dead letter, as docs/specs/ndjson.md has it.
struct DeadLetterFile {
    enum State: String {
        /// The daemon writes to it.
        case open
        case closed
        /// All its rows were sent again.
        case replayed
    }

    let directory: String
    /// Without suffix.
    let base: String
    let isBlock: Bool
    let state: State
    let bytes: Int

    private static let openSuffix = ".open"
    private static let replayedSuffix = ".replayed"

    private var suffix: String { isBlock ? ".native" : ".ndjson" }

    var name: String {
        switch state {
        case .open: base + suffix + Self.openSuffix
        case .closed: base + suffix
        case .replayed: base + suffix + Self.replayedSuffix
        }
    }

    /// Where it is now: a daemon may have closed it since it was found.
    var path: String {
        let found = "\(directory)/\(name)"
        return state == .open && !FileManager.default.fileExists(atPath: found) ? closedPath : found
    }

    private var closedPath: String { "\(directory)/\(base)\(suffix)" }
    var whyPath: String { "\(directory)/\(base).json" }
    var journalPath: String { "\(directory)/\(base).replay" }

    /// The oldest first.
    ///
    /// - Throws: `SendError`.
    static func find(in directory: String) throws -> [DeadLetterFile] {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: directory) else {
            throw SendError("\(directory): the directory of the dead letter cannot be read")
        }
        var found: [(time: Date, file: DeadLetterFile)] = []
        for name in names {
            var base = name
            var state = State.closed
            if base.hasSuffix(openSuffix) {
                base.removeLast(openSuffix.count)
                state = .open
            } else if base.hasSuffix(replayedSuffix) {
                base.removeLast(replayedSuffix.count)
                state = .replayed
            }
            let isBlock = base.hasSuffix(".native")
            guard isBlock ? state != .open : base.hasPrefix("rejected-") && base.hasSuffix(".ndjson") else { continue }
            base.removeLast(7)
            let about = try? FileManager.default.attributesOfItem(atPath: "\(directory)/\(name)")
            guard let about else { continue }
            found.append(
                (
                    about[.modificationDate] as? Date ?? .distantPast,
                    DeadLetterFile(
                        directory: directory, base: base, isBlock: isBlock, state: state,
                        bytes: about[.size] as? Int ?? 0)
                ))
        }
        return found.sorted { ($0.time, $0.file.base) < ($1.time, $1.file.base) }.map(\.file)
    }

    /// Calls for each whole line, with its number from 1. Lines that are no dead letter come as nil.
    func forEachRow(_ body: (Int, RejectedRow?, ArraySlice<UInt8>) throws -> Void) throws {
        var lines = try LineReader(path)
        let decoder = JSONDecoder()
        var number = 0
        while let line = try lines.next() {
            number += 1
            try body(number, try? decoder.decode(RejectedRow.self, from: Data(line)), line)
        }
    }

    /// Why a block is here; nil: the file beside it is gone or damaged.
    func why() -> BlockReason? {
        FileManager.default.contents(atPath: whyPath).flatMap { try? JSONDecoder().decode(BlockReason.self, from: $0) }
    }

    func markReplayed() throws {
        guard state == .closed else { return }
        guard rename(closedPath, closedPath + Self.replayedSuffix) == 0 else {
            throw SendError("cannot rename \(closedPath): \(SystemError.text)")
        }
    }

    func remove() throws {
        for path in [path, journalPath] + (isBlock ? [whyPath] : []) {
            guard unlink(path) == 0 || errno == ENOENT else {
                throw SendError("cannot remove \(path): \(SystemError.text)")
            }
        }
    }
}

/// A line of a dead letter.
struct RejectedRow: Decodable {
    let time: String
    let table: String?
    let column: String?
    let reason: String
    let message: String
    let producer: String?
    let epoch: UInt64?
    let number: UInt64?
    let row: String?
    let rowBase64: String?
    let truncated: Int?
    /// Values of it are null that were not, as its table does not keep them.
    let redacted: Bool?
    /// How the row is written, if it is no NDJSON, and what its columns are.
    let format: String?
    let columns: [String]?
    let types: [String]?
    let delimiter: String?
    /// These bytes are so many rows that could not be told apart; 0: another line has the bytes.
    let rows: Int?

    enum CodingKeys: String, CodingKey {
        case time, table, column, reason, message, producer, epoch, number, row, truncated, redacted
        case format, columns, types, delimiter, rows
        case rowBase64 = "row_base64"
    }

    /// As it came; nil: what is here is not the row.
    var bytes: [UInt8]? {
        guard truncated == nil, rows == nil else { return nil }
        if let row { return Array(row.utf8) }
        return rowBase64.flatMap { Data(base64Encoded: $0) }.map { Array($0) }
    }

    /// What a session says that sends it again.
    var form: SluiceFormat {
        guard let format else { return .ndjson }
        return SluiceFormat(format, columns: columns, types: types, delimiter: delimiter?.first)
    }

    /// What the row is known by, however often it was rejected: a daemon that died before the ack got it again.
    var identity: String? {
        guard let producer, let epoch, let number else { return nil }
        return "\(epoch) \(number) \(producer)"
    }
}

/// What lies beside a block.
struct BlockReason: Decodable {
    let time: String
    let table: String
    let reason: String
    let code: Int?
    let message: String
    let rows: Int

    /// Parts of it may be in the table.
    var isOutcomeUnknown: Bool { message.hasPrefix("outcome_unknown") }
}

/// Which rows are meant.
struct DeadLetterFilter: Equatable {
    var table: String?
    var column: String?
    var reason: String?
    /// As rows have it: text that sorts as time does.
    var since: String?
    var until: String?

    var isEmpty: Bool { self == DeadLetterFilter() }

    func matches(table: String?, column: String?, reason: String, time: String) -> Bool {
        (self.table == nil || self.table == table) && (self.column == nil || self.column == column)
            && (self.reason == nil || self.reason == reason) && (since.map { time >= $0 } ?? true)
            && (until.map { time < $0 } ?? true)
    }

    func matches(_ row: RejectedRow) -> Bool {
        matches(table: row.table, column: row.column, reason: row.reason, time: row.time)
    }

    func matches(_ block: BlockReason?) -> Bool {
        guard let block else { return isEmpty }
        return matches(table: block.table, column: nil, reason: block.reason, time: block.time)
    }

    /// `2026-11-23T12:00:00Z`, `2026-11-23`, or how long ago: `90s`, `30m`, `2h`, `7d`.
    static func time(_ text: String, now: Date = Date()) -> String? {
        let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        let written = ISO8601DateFormatter()
        written.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        if let unit = text.last.flatMap({ units[$0] }), let count = Double(text.dropLast()), count >= 0 {
            return written.string(from: now.addingTimeInterval(-count * unit))
        }
        let day = ISO8601DateFormatter()
        day.formatOptions = [.withFullDate]
        let date = written.date(from: text) ?? ISO8601DateFormatter().date(from: text) ?? day.date(from: text)
        return date.map { written.string(from: $0) }
    }
}
