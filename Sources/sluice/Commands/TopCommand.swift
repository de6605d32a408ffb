import ArgumentParser
import Foundation
import Pipeline

struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Shows what a running daemon does.",
        discussion: """
            Flow, queues, backpressure, latencies, hosts, rejections and tables, once a second, as the page at / has them. \
            Asks the endpoints that the configuration names: the Unix socket if there is one, else the port. Ctrl-C ends it.

              sluice top --config /etc/sluice/sluice.yaml
              sluice top --socket /run/sluice/admin.sock
              sluice top --once --quiet || echo "takes no rows"

            With --once it ends with 0 when the daemon takes rows and with 1 when it does not, or does not answer.
            """)

    @OptionGroup var endpoints: EndpointOptions

    @Flag(help: "Show it once, and end.")
    var once = false

    @Flag(name: .shortAndLong, help: "With --once: print nothing.")
    var quiet = false

    func validate() throws {
        guard once || !quiet else { throw ValidationError("--quiet is for --once.") }
    }

    func run() throws {
        Output.ignoreBrokenPipes()
        do {
            if once { try showOnce() } else { try show() }
        } catch let error as TopError {
            if !quiet { Output.complain("\(error)") }
            throw Exit.failure
        }
    }

    private func showOnce() throws {
        let (address, token) = try endpoints.target()
        let connection = try AdminConnection(to: address, path: "/status", token: token)
        var body: [UInt8] = []
        while let more = try connection.next() { body += more }
        let status = try Self.decode(body)
        if !quiet {
            let size = TerminalSize.current
            let screen = TopScreen(
                status: status, width: size?.columns ?? 160, height: .max, isColored: size != nil)
            Output.write(screen.lines().joined(separator: "\n") + "\n")
        }
        if status.intake != "open" { throw Exit.failure }
    }

    private func show() throws {
        let (address, token) = try endpoints.target()
        let isTerminal = TerminalSize.current != nil
        if isTerminal { Terminal.begin() }
        defer { if isTerminal { Terminal.end() } }
        var hasShown = false
        while true {
            do {
                try follow(try AdminConnection(to: address, path: "/events", token: token), &hasShown)
                throw TopError("the daemon ended the stream")
            } catch let error as TopError {
                // Before the first picture it is a mistake; afterwards the daemon restarts.
                guard isTerminal, hasShown else { throw error }
                Output.write("\u{1B}[H\u{1B}[7m \(LogLine.escaped(error.description)); trying again \u{1B}[0m\u{1B}[K")
                sleep(1)
            }
        }
    }

    private func follow(_ connection: AdminConnection, _ hasShown: inout Bool) throws {
        var text: [UInt8] = []
        while let more = try connection.next() {
            text += more
            while let end = text.firstRange(of: Array("\n\n".utf8)) {
                let event = text[..<end.lowerBound]
                text.removeSubrange(..<end.upperBound)
                guard let start = event.firstRange(of: Array("data: ".utf8)) else { continue }
                guard draw(try Self.decode(Array(event[start.upperBound...]))) else { throw ExitCode.success }
                hasShown = true
            }
        }
    }

    /// - Returns: false when nobody reads it any more.
    private func draw(_ status: TopStatus) -> Bool {
        guard let size = TerminalSize.current else {
            let lines = TopScreen(status: status, width: 160, height: .max, isColored: false).lines()
            return Output.write(lines.joined(separator: "\n") + "\n\n")
        }
        let lines = TopScreen(status: status, width: size.columns, height: size.rows, isColored: true).lines()
        return Output.write("\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J")
    }

    private static func decode(_ bytes: [UInt8]) throws -> TopStatus {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        guard let status = try? decoder.decode(TopStatus.self, from: Data(bytes)) else {
            throw TopError("the answer is not the status of this version of sluice")
        }
        return status
    }
}

/// Columns and rows of the terminal that standard output is.
struct TerminalSize {
    var columns: Int
    var rows: Int

    /// nil: it is none.
    static var current: TerminalSize? {
        guard isatty(STDOUT_FILENO) == 1 else { return nil }
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return TerminalSize(columns: 80, rows: 24)
        }
        return TerminalSize(columns: Int(size.ws_col), rows: Int(size.ws_row))
    }
}

/// A screen of its own, which leaves what was there before as it was.
enum Terminal {
    private static let ending = StaticString("\u{1B}[?25h\u{1B}[?1049l")

    static func begin() {
        Output.write("\u{1B}[?1049h\u{1B}[?25l\u{1B}[2J")
        // Only what may be called in a handler: write and _exit.
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number) { _ in
                Terminal.leave()
                _exit(0)
            }
        }
    }

    static func end() { leave() }

    private static func leave() {
        _ = write(STDOUT_FILENO, ending.utf8Start, ending.utf8CodeUnitCount)
    }
}
