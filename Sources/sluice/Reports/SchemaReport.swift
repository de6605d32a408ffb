import ArgumentParser
import Sinks

/// A plan, for people and for programs.
struct SchemaReport: Encodable {
    struct File: Encodable {
        let name: String
        let state: String
        let note: String
        let statements: Int
        let pending: [String]
    }

    let files: [File]
    let refusals: [String]
    let warnings: [String]

    init(_ plan: Migrator.Plan) {
        refusals = plan.refusals
        warnings = plan.warnings
        files = plan.steps.map { step in
            let (state, note) = Self.words(step.state)
            return File(
                name: step.file.name, state: state, note: note, statements: step.file.statements.count,
                pending: step.statements.map(\.text))
        }
    }

    private static func words(_ state: MigrationState) -> (state: String, note: String) {
        switch state {
        case .pending: ("pending", "")
        case .applied(let at, let by, _): ("applied", "\(at) by \(by)")
        case .changed(let at, let by): ("changed", "after it was applied, \(at) by \(by)")
        case .changedInPart(let statement): ("changed", "statement \(statement) was run already")
        case .stopped(let done, let uncertain?, let at, let by):
            ("stopped", "\(done) statements are done, outcome of statement \(uncertain) not known, \(at) by \(by)")
        case .stopped(let done, nil, let at, let by):
            ("stopped", "\(done) statements are done, goes on behind them, \(at) by \(by)")
        }
    }

    /// - Throws: `Exit.data` when something stands in the way of applying.
    func write(json: Bool, withStatements: Bool) throws {
        Output.write(json ? try JSONText.of(self) : text(withStatements: withStatements))
        warnings.forEach { Output.complain("\($0) (warning)") }
        refusals.forEach { Output.complain($0) }
        if !refusals.isEmpty { throw Exit.data }
    }

    private func text(withStatements: Bool) -> String {
        let width = files.map(\.name.count).max() ?? 0
        var lines: [String] = []
        for file in files {
            let space = String(repeating: " ", count: width - file.name.count)
            let count = "\(file.statements) statement\(file.statements == 1 ? "" : "s")"
            lines.append("\(file.state)  \(file.name)\(space)  \(file.note.isEmpty ? count : file.note)")
            guard withStatements else { continue }
            for text in file.pending { lines += ["", text + ";", ""] }
        }
        let pending = files.count { $0.state != "applied" }
        lines.append(
            pending == 0
                ? "all \(files.count) files were applied" : "\(pending) of \(files.count) files are not applied")
        return lines.joined(separator: "\n") + "\n"
    }
}
