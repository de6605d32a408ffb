import ArgumentParser
import Foundation

/// Counts allocations, bytes and, where valgrind is installed, instructions of fixed work.
struct CountCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "count", abstract: "Counts what a row costs, in figures that no other program disturbs.")

    @Option(help: "The folder with the CREATE TABLE files.")
    var schema = "schema"

    @Flag(help: "Print JSON, for `compare`.")
    var json = false

    @Flag(help: "Count no instructions, which takes a minute.")
    var quick = false

    func run() throws {
        let counter = try Counter(countsInstructions: !quick)
        defer { counter.remove() }
        var report = CountReport(machine: Machine().description)
        if !json { print(Self.line(["work"] + CountKind.allCases.map { $0.rawValue + "/row" })) }
        for name in try counter.names() {
            let line = try counter.count(name, schema: schema)
            report.counts.append(line)
            if !json {
                print(Self.line([name] + CountKind.allCases.map { line[$0].map { Self.number($0) } ?? "" }))
                fflush(nil)
            }
        }
        if json { print(try report.json) }
    }

    static func number(_ value: Double) -> String { String(format: value < 10 ? "%.4f" : "%.1f", value) }

    static func line(_ cells: [String]) -> String {
        cells.enumerated().map { place, cell in
            let room = String(repeating: " ", count: max(1, (place == 0 ? 24 : 20) - cell.count))
            return place == 0 ? cell + room : room + cell
        }.joined()
    }
}

/// Runs `Counts`, which is built beside this program.
struct Counter {
    private let program: String
    /// The same without what debuggers want, over which valgrind stumbles.
    private let stripped: String?
    private let folder: URL

    init(countsInstructions: Bool) throws {
        let own = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        program = own.deletingLastPathComponent().appendingPathComponent("Counts").path
        guard FileManager.default.isExecutableFile(atPath: program) else {
            throw CountError("\(program) is not there; build it: swift build -c release --product Counts")
        }
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-counts-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let copy = folder.appendingPathComponent("Counts").path
        let canCount =
            countsInstructions && Self.output("valgrind", ["--version"]) != nil
            && Self.output("strip", ["-g", "-o", copy, program]) != nil
        stripped = canCount ? copy : nil
    }

    func remove() { try? FileManager.default.removeItem(at: folder) }

    func names() throws -> [String] {
        guard let text = Self.output(program, []) else { throw CountError("\(program) does not run") }
        return text.split(separator: "\n").map(String.init)
    }

    func count(_ name: String, schema: String) throws -> CountReport.Line {
        struct Counted: Decodable {
            let rows: Int
            let allocations: Double
            let allocatedBytes: Double
            let copiedBytes: Double
            let outputBytes: Double
        }
        guard let text = Self.output(program, [name, schema]),
            let counted = try? JSONDecoder().decode(Counted.self, from: Data(text.utf8))
        else { throw CountError("\(program) \(name) \(schema) failed") }
        return CountReport.Line(
            name: name, rows: counted.rows, allocations: counted.allocations, allocatedBytes: counted.allocatedBytes,
            copiedBytes: counted.copiedBytes, outputBytes: counted.outputBytes,
            instructions: instructions(name, schema: schema))
    }

    /// nil: they cannot be counted here.
    private func instructions(_ name: String, schema: String) -> Double? {
        guard let stripped else { return nil }
        let out = folder.appendingPathComponent("callgrind").path
        guard
            Self.output(
                "valgrind",
                [
                    "--tool=callgrind", "--toggle-collect=sluice_counted_work", "--callgrind-out-file=\(out)", stripped,
                    name, schema,
                ]) != nil,
            let text = try? String(contentsOfFile: out, encoding: .utf8),
            let line = text.split(separator: "\n").last(where: { $0.hasPrefix("totals:") || $0.hasPrefix("summary:") })
        else { return nil }
        return line.split(separator: " ").dropFirst().first.flatMap { Double($0) }
    }

    /// What a program printed; nil when it is not there or failed.
    private static func output(_ program: String, _ arguments: [String]) -> String? {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [program] + arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil, let bytes = try? pipe.fileHandleForReading.readToEnd() ?? Data() else {
            return nil
        }
        process.waitUntilExit()
        return process.terminationStatus == 0 ? String(decoding: bytes, as: UTF8.self) : nil
    }
}
