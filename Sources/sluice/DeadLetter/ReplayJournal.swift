import Foundation

/// Which rows of a dead letter's file were, or are being, sent again: `<name>.replay` beside it.
///
/// A plan is on the disk before the first of its rows is sent, and never changes: so a replay that was cut short sends the
/// same rows under the same name and numbers the next time, whatever it is asked for then. Its lines are JSON: a plan, or
/// `{"done":<plan>}`.
struct ReplayJournal {
    struct Plan: Codable, Equatable {
        /// Counts the file's plans from 1.
        let plan: Int
        /// Of rows that name none.
        let table: String?
        /// Lines of the file, or rows of the block, from 1: first and last of each run, ascending.
        var lines: [[Int]]

        var last: Int { lines.last?.last ?? 0 }
        var count: Int { lines.reduce(0) { $0 + ($1.last ?? 0) - ($1.first ?? 0) + 1 } }

        mutating func append(_ line: Int) {
            if let run = lines.last, run.last == line - 1 {
                lines[lines.count - 1][1] = line
            } else {
                lines.append([line, line])
            }
        }
    }

    private struct Done: Codable { let done: Int }

    /// Numbers that are asked for in ascending order.
    struct Cursor {
        private let lines: [[Int]]
        private var place = 0

        init(_ plan: Plan) { lines = plan.lines }

        mutating func contains(_ line: Int) -> Bool {
            while place < lines.count, lines[place][1] < line { place += 1 }
            return place < lines.count && lines[place][0] <= line
        }
    }

    let path: String
    private(set) var plans: [Plan] = []
    private(set) var done: Set<Int> = []

    /// - Throws: `SendError`.
    init(_ path: String) throws {
        self.path = path
        guard FileManager.default.fileExists(atPath: path) else { return }
        var lines = try LineReader(path)
        let decoder = JSONDecoder()
        // Half a line is of a run that died while it wrote: nothing was sent for it.
        while let line = try lines.next() {
            let data = Data(line)
            if let one = try? decoder.decode(Done.self, from: data) {
                done.insert(one.done)
            } else if let plan = try? decoder.decode(Plan.self, from: data),
                plan.lines.allSatisfy({ $0.count == 2 && $0[0] <= $0[1] })
            {
                plans.append(plan)
            }
        }
    }

    var open: [Plan] { plans.filter { !done.contains($0.plan) } }
    var nextNumber: Int { (plans.map(\.plan).max() ?? 0) + 1 }

    mutating func add(_ plans: [Plan], areDone: Bool = false) throws {
        guard !plans.isEmpty else { return }
        try append(plans.map { try Self.line($0) } + (areDone ? plans.map { try Self.line(Done(done: $0.plan)) } : []))
        self.plans += plans
        if areDone { done.formUnion(plans.map(\.plan)) }
    }

    mutating func finished(_ plan: Plan) throws {
        try append([Self.line(Done(done: plan.plan))])
        done.insert(plan.plan)
    }

    private static func line(_ value: some Encodable) throws -> [UInt8] {
        Array(try JSONEncoder().encode(value)) + [UInt8(ascii: "\n")]
    }

    private func append(_ lines: [[UInt8]]) throws {
        let isNew = !FileManager.default.fileExists(atPath: path)
        let descriptor = Foundation.open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SendError("cannot open \(path): \(SystemError.text)") }
        defer { close(descriptor) }
        var bytes = Array(lines.joined())
        var last: UInt8 = 0
        let end = lseek(descriptor, 0, SEEK_END)
        if end > 0, pread(descriptor, &last, 1, end - 1) == 1, last != UInt8(ascii: "\n") {
            bytes.insert(UInt8(ascii: "\n"), at: 0)
        }
        guard Output.writeAll(bytes, to: descriptor), fsync(descriptor) == 0 else {
            throw SendError("cannot write \(path): \(SystemError.text)")
        }
        guard isNew else { return }
        let directory = Foundation.open((path as NSString).deletingLastPathComponent, O_RDONLY | O_CLOEXEC)
        defer { close(directory) }
        guard directory >= 0, fsync(directory) == 0 else {
            throw SendError("cannot sync the directory of \(path): \(SystemError.text)")
        }
    }
}
