import Foundation

/// Runs the repository's own scripts.
public enum ScriptRunner {
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    /// The repository's root: the folder above this file that holds the package.
    public static let root: URL = {
        var folder = URL(fileURLWithPath: #filePath)
        repeat {
            folder.deleteLastPathComponent()
        } while folder.path != "/"
            && !FileManager.default.fileExists(atPath: folder.appendingPathComponent("Package.swift").path)
        return folder
    }()

    /// What the script prints, once it has ended with 0; else its last words are thrown.
    public static func run(_ script: String, _ arguments: [String], input: [UInt8] = []) async throws -> String {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(with: Result { try runBlocking(script, arguments, input) })
            }
        }
    }

    /// Input and output go through files: no pipe can fill up, and no child can hold one open.
    private static func runBlocking(_ script: String, _ arguments: [String], _ input: [UInt8]) throws -> String {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-script-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let files = ["in", "out", "err"].map { folder.appendingPathComponent($0) }
        for file in files { try Data(file.lastPathComponent == "in" ? input : []).write(to: file) }

        let process = Process()
        process.executableURL = root.appendingPathComponent(script)
        process.arguments = arguments
        process.standardInput = try FileHandle(forReadingFrom: files[0])
        process.standardOutput = try FileHandle(forWritingTo: files[1])
        process.standardError = try FileHandle(forWritingTo: files[2])
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            let words = String(decoding: try Data(contentsOf: files[2]).suffix(4000), as: UTF8.self)
            throw Failure(description: "\(script) ended with \(process.terminationStatus): \(words)")
        }
        return String(decoding: try Data(contentsOf: files[1]), as: UTF8.self)
    }
}
