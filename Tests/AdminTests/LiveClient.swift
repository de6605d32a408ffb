import Foundation

/// curl, which speaks all that operators' tools speak: TCP, TLS and Unix sockets.
struct LiveClient: Sendable {
    static let isPossible = FileManager.default.isExecutableFile(atPath: "/usr/bin/curl")

    var arguments: [String] = []

    struct Answer: Sendable {
        let status: Int
        let body: String
    }

    /// Ends early if the task is cancelled.
    ///
    /// - Parameter more: further arguments of curl. Status 0: there was no answer.
    func ask(_ url: String, _ more: String...) async -> Answer {
        let process = Process()
        return await withTaskCancellationHandler {
            await answer(url, more, process)
        } onCancel: {
            // What a test process ignores, its children do.
            if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        }
    }

    private func answer(_ url: String, _ more: [String], _ process: Process) async -> Answer {
        let arguments = arguments
        return await withCheckedContinuation { continuation in
            let output = Pipe()
            process.executableURL = URL(filePath: "/usr/bin/curl")
            process.arguments = ["-sS", "--max-time", "120", "-w", "\n%{http_code}"] + arguments + more + [url]
            process.standardOutput = output
            process.standardError = FileHandle.nullDevice
            Thread.detachNewThread {
                let text: String
                do {
                    try process.run()
                    text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
                    process.waitUntilExit()
                } catch {
                    text = "\n0"
                }
                let end = text.lastIndex(of: "\n") ?? text.startIndex
                continuation.resume(
                    returning: Answer(
                        status: Int(text[end...].trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0,
                        body: String(text[..<end])))
            }
        }
    }
}
