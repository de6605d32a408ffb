import Foundation
import Logging

/// Who changed what: a line of JSON for each change that somebody asked for, and for each request that was refused.
///
///     {"time":"2024-01-15T10:30:00Z","actor":"unix uid 0 pid 812","action":"tables/mstore/flush","outcome":"done"}
///
/// The file is only ever appended to, belongs to the daemon alone (mode 0600), and is renamed to `….1` when it is large.
/// Each line is one write, so that several processes (the daemon, and a command that purges) may share a file; whoever
/// writes notices that another one, or logrotate, has renamed it. A line that cannot be written is counted, and logged as
/// an error with all that it would have said: nothing happens unseen, and nothing waits for a full disk.
public actor AuditLog {
    /// Bytes of one line; longer details are cut.
    static let detailBytesMax = 1024
    /// Lines about refusals in a second; further ones are counted, and the next line says how many. So that nobody can
    /// push out of the files what he did by knocking often.
    static let refusalsPerSecondMax = 10

    public struct Entry: Sendable, Hashable {
        public enum Outcome: String, Sendable, CaseIterable {
            case done
            /// It was tried and did not work.
            case failed
            /// Whoever asked may not, or asked too often.
            case refused
        }

        /// Who asked: `tcp 10.0.0.7`, `unix uid 0 pid 812`, `signal SIGHUP`, `cli uid 0`.
        public var actor: String
        /// What for, in a word of ours: `reload`, `drain`, `dead-letter purge`.
        public var action: String
        public var outcome: Outcome
        /// For people; no secrets, and nothing of rows.
        public var detail: String?

        public init(actor: String, action: String, outcome: Outcome, detail: String? = nil) {
            self.actor = actor
            self.action = action
            self.outcome = outcome
            self.detail = detail
        }
    }

    private let settings: AuditSettings
    private let path: String
    private let telemetry: Telemetry?
    private let logger: Logger
    private let now: @Sendable () -> Date
    private var file: AuditFile?
    private var refusals = (second: Int64(0), count: 0)
    private var suppressed = 0

    /// Opens the file, so that one that cannot be written is known before it is needed.
    ///
    /// - Returns: nil when the settings name no file.
    /// - Throws: `AuditError` when it cannot be opened or does not belong to us.
    public init?(
        settings: AuditSettings, telemetry: Telemetry? = nil, logger: Logger,
        now: @escaping @Sendable () -> Date = { Date() }
    ) throws {
        guard let path = settings.path else { return nil }
        self.settings = settings
        self.path = path
        self.telemetry = telemetry
        self.logger = logger
        self.now = now
        file = try AuditFile(path: path)
    }

    public func record(_ entry: Entry) {
        let time = now()
        if entry.outcome == .refused {
            let second = Int64(time.timeIntervalSince1970)
            if refusals.second != second { refusals = (second, 0) }
            refusals.count += 1
            guard refusals.count <= Self.refusalsPerSecondMax else {
                suppressed += 1
                return
            }
        }
        let line = line(entry, at: time)
        do {
            try write(line)
            suppressed = 0
        } catch {
            telemetry?.auditErrors.add()
            logger.error(
                "the audit log cannot be written",
                metadata: ["error": "\(error)", "line": "\(String(decoding: line.dropLast(), as: UTF8.self))"])
        }
    }

    private func write(_ line: [UInt8]) throws {
        var file = try self.file ?? AuditFile(path: path)
        self.file = nil
        if try !file.isCurrent() { file = try AuditFile(path: path) }
        try file.append(line)
        if try file.size() >= settings.fileBytesMax {
            // The line is there whatever becomes of the rotation, which the next line tries again.
            if try file.rotate(filesMax: settings.filesMax) { return }
        }
        self.file = file
    }

    private func line(_ entry: Entry, at time: Date) -> [UInt8] {
        var members = [
            ("time", time.formatted(.iso8601)), ("actor", entry.actor), ("action", entry.action),
            ("outcome", entry.outcome.rawValue),
        ]
        if let detail = entry.detail { members.append(("detail", detail)) }
        var text = "{"
        for (name, value) in members {
            if text.utf8.count > 1 { text += "," }
            text += "\"\(name)\":\(JSONText.quoted(value, bytesMax: Self.detailBytesMax))"
        }
        if suppressed > 0 { text += ",\"suppressed\":\(suppressed)" }
        return Array((text + "}\n").utf8)
    }
}

/// A file of the audit log cannot be used.
public struct AuditError: Error, Sendable, CustomStringConvertible {
    public let path: String
    let reason: String

    public var description: String { "cannot write the audit log \(path) (audit.path): \(reason)" }
}

/// Text as a JSON string, for lines that are read by machines.
public enum JSONText {
    /// - Parameter bytesMax: what is longer is cut between two characters, and ends with `…`.
    public static func quoted(_ text: String, bytesMax: Int = .max) -> String {
        var result = "\""
        var bytes = 0
        for scalar in text.unicodeScalars {
            bytes += UTF8.width(scalar)
            if bytes > bytesMax {
                result += "…"
                break
            }
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
