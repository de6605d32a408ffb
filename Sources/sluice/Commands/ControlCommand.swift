import ArgumentParser
import Foundation
import Pipeline

struct ControlCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ctl",
        abstract: "Asks a running daemon to do something.",
        discussion: """
            Asks the endpoints that the configuration names, as top does, and waits until it is done (drain: begun). The Unix \
            socket takes it from whoever may open it, the port with a token only. Each call is written to the audit log.

              sluice ctl reload --config /etc/sluice/sluice.yaml
              sluice ctl pause --socket /run/sluice/admin.sock
              sluice ctl flush mstore

            Ends with 0 when it was done, and with 1 and the reason when it was not.
            """,
        subcommands: [Reload.self, Pause.self, Resume.self, Drain.self, Flush.self])

    struct Reload: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Reads the configuration again and takes over what changed: all of it, or nothing.")
        @OptionGroup var endpoints: EndpointOptions

        func run() throws { try endpoints.ask("/reload") }
    }

    struct Pause: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Takes no more rows until resume; producers wait, what was accepted is shipped.")
        @OptionGroup var endpoints: EndpointOptions

        func run() throws { try endpoints.ask("/pause") }
    }

    struct Resume: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Takes rows again.")
        @OptionGroup var endpoints: EndpointOptions

        func run() throws { try endpoints.ask("/resume") }
    }

    struct Drain: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Begins to stop, as SIGTERM does: takes no more rows, ships those it has, ends.")
        @OptionGroup var endpoints: EndpointOptions

        func run() throws { try endpoints.ask("/drain") }
    }

    struct Flush: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Seals what is open of a table now.")
        @OptionGroup var endpoints: EndpointOptions

        @Argument(help: "Its name, as producers write it.")
        var table: String

        func validate() throws {
            guard TableName(parsing: table) != nil else { throw ValidationError("That is not the name of a table.") }
        }

        func run() throws {
            let name =
                table.addingPercentEncoding(withAllowedCharacters: .alphanumerics.union(["_", "-", "."])) ?? table
            try endpoints.ask("/tables/\(name)/flush")
        }
    }
}

/// What the endpoints answer to whoever asks for something.
struct ControlAnswer: Decodable {
    var message: String
    var details: [String]?

    /// For a terminal: the sentence, and what there is to say to it.
    var lines: [String] { [message] + (details ?? []).map { "  \($0)" } }
}

extension EndpointOptions {
    /// A block that waits for a sink which is full may take a while to go on its way.
    private static let patience = 60

    /// Posts, prints what the daemon says, and ends with 1 if it did not do it.
    fileprivate func ask(_ path: String) throws {
        Output.ignoreBrokenPipes()
        let status: Int
        let body: [UInt8]
        do {
            let (address, token) = try target()
            (status, body) = try AdminConnection(
                to: address, method: "POST", path: path, token: token, patience: Self.patience
            ).whole()
        } catch let error as TopError {
            Output.complain("\(error)")
            throw Exit.failure
        }
        let answer =
            (try? JSONDecoder().decode(ControlAnswer.self, from: Data(body)))
            ?? ControlAnswer(message: "the daemon answered \(status)")
        guard status == 200 else {
            answer.lines.forEach(Output.complain)
            throw Exit.failure
        }
        Output.write(answer.lines.map { LogLine.escaped($0) + "\n" }.joined())
    }
}
