import ClickHouseNative
import Foundation
import Pipeline

/// Files of exported rows: one for each table and set of columns. What is begun has `.open` behind its name.
final class ExportWriter {
    private struct Shape: Hashable {
        let table: String
        let columns: [String]
    }

    private let directory: String
    private let format: SpoolCommand.Export.Format
    private let timeZone: String
    private var names: [Shape: String] = [:]
    private var numbers: [String: Int] = [:]
    private var rows: [String: Int] = [:]

    /// - Throws: `SendError`.
    init(directory: String, format: SpoolCommand.Export.Format, timeZone: String) throws {
        self.directory = directory
        self.format = format
        self.timeZone = timeZone
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw SendError("cannot make the directory \(directory): \(error.localizedDescription)")
        }
    }

    var written: [(name: String, rows: Int)] { rows.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }

    func write(_ batch: SpoolInspection.Rows, _ selection: [Range<Int>]) throws {
        guard !selection.isEmpty else { return }
        let whole = try batch.block()
        let block = selection == [0..<whole.rows] ? whole : whole.gathering(selection)
        guard block.rows > 0 else { return }
        var bytes: [UInt8] = []
        switch format {
        case .native: bytes = Array(try BlockEncoder.encode([block], as: .file).body.readableBytesView)
        case .ndjson:
            var printer = try RowPrinter(block, timeZone: timeZone)
            while printer.appendRow(to: &bytes) {}
        }
        let shape = Shape(
            table: batch.table.description, columns: block.layout.columns.map { "\($0.name) \($0.type)" })
        let name = try names[shape] ?? begin(shape)
        try append(bytes, to: name)
        rows[name, default: 0] += block.rows
    }

    private func begin(_ shape: Shape) throws -> String {
        let encoded = Self.fileName(of: shape.table)
        let number = numbers[encoded, default: 0] + 1
        numbers[encoded] = number
        let name = "\(encoded)-\(number).\(format.rawValue)"
        let path = "\(directory)/\(name)"
        guard !FileManager.default.fileExists(atPath: path) else {
            throw SendError("\(path) is there already: name another directory")
        }
        let descriptor = open("\(path).open", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SendError("cannot make \(path).open: \(SystemError.text)") }
        close(descriptor)
        names[shape] = name
        return name
    }

    private func append(_ bytes: [UInt8], to name: String) throws {
        let path = "\(directory)/\(name).open"
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
        guard descriptor >= 0 else { throw SendError("cannot open \(path): \(SystemError.text)") }
        defer { close(descriptor) }
        guard Output.writeAll(bytes, to: descriptor) else {
            throw SendError("cannot write \(path): \(SystemError.text)")
        }
    }

    /// Syncs the files and gives them their names.
    func finish() throws {
        for name in rows.keys {
            let path = "\(directory)/\(name)"
            let descriptor = open("\(path).open", O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0, fsync(descriptor) == 0, rename("\(path).open", path) == 0 else {
                throw SendError("cannot finish \(path): \(SystemError.text)")
            }
            close(descriptor)
        }
    }

    /// Letters, digits, `_`, `-` and `.` as they are, other bytes as `%` and two digits.
    static func fileName(of table: String) -> String {
        table.addingPercentEncoding(
            withAllowedCharacters: CharacterSet(
                charactersIn: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")) ?? table
    }

    /// The table that a file's name tells; nil: none.
    static func table(ofFile path: String) -> String? {
        let name = (path as NSString).lastPathComponent
        guard let dash = name.lastIndex(of: "-"), let text = String(name[..<dash]).removingPercentEncoding,
            TableName(parsing: text) != nil
        else { return nil }
        return text
    }
}
