import Foundation

/// Where and when a measurement was made.
struct Machine: Codable, Sendable {
    let processor: String
    let cores: Int
    let kernel: String
    let swift: String
    let date: String
    /// Of the sources, where git knows it; with a `+` when files were changed since.
    let commit: String?
    /// Processes that wanted to run in the last minute, on average.
    let load: Double

    init() {
        let about = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let model = about.split(separator: "\n").first { $0.hasPrefix("model name") }
        processor = model?.split(separator: ":").last?.trimmingCharacters(in: .whitespaces) ?? "unknown"
        cores = ProcessInfo.processInfo.activeProcessorCount
        let release = try? String(contentsOfFile: "/proc/sys/kernel/osrelease", encoding: .utf8)
        kernel =
            release.map { "Linux " + $0.trimmingCharacters(in: .whitespacesAndNewlines) }
            ?? ProcessInfo.processInfo.operatingSystemVersionString
        swift = Self.compiler
        date = Date.now.formatted(.iso8601)
        let head = Self.output(of: ["git", "rev-parse", "--short", "HEAD"])
        let changes = Self.output(of: ["git", "status", "--porcelain", "--untracked-files=no"])
        commit = head.map { $0 + (changes ?? "" == "" ? "" : "+") }
        var averages = [0.0]
        load = getloadavg(&averages, 1) == 1 ? averages[0] : 0
    }

    /// Others compute at the same time: what is measured then says little.
    var isBusy: Bool { load > Double(cores) * 0.5 }

    var description: String {
        let source = commit.map { ", commit \($0)" } ?? ""
        return "\(processor), \(cores) cores, \(kernel), Swift \(swift), \(date)\(source)"
    }

    private static var compiler: String {
        #if compiler(>=6.4)
            "6.4 or newer"
        #elseif compiler(>=6.3)
            "6.3"
        #else
            "6.2"
        #endif
    }

    private static func output(of command: [String]) -> String? {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil, let bytes = try? pipe.fileHandleForReading.readToEnd() else { return nil }
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { return nil }
        return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
