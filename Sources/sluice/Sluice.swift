import ArgumentParser

/// The command `sluice`.
@main
struct Sluice: AsyncParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "sluice",
        abstract: "Takes rows from programs on a Unix socket and ships them to ClickHouse in large blocks.",
        discussion: """
            Start a daemon that writes Native files, send it a row, and look at what it wrote ten seconds later:

              sluice run --config deploy/examples/laptop/sluice.yaml &
              echo '{"table":"mstore","subject":"hello"}' | sluice send
              sluice cat data/mstore/*.native*

            Programs need no client library: they connect to the socket and write one JSON object a line.
            """,
        version: version,
        subcommands: [
            RunCommand.self, CheckCommand.self, ConfigCommand.self, SchemaCommand.self, SendCommand.self,
            TopCommand.self, ControlCommand.self, CatCommand.self, SpoolCommand.self, DlqCommand.self,
            VersionCommand.self,
        ])
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Prints the version.")

    func run() { Output.write("sluice \(Sluice.version)\n") }
}

/// How the process ends, beside 0 and what the daemon itself says.
enum Exit {
    static let failure = ExitCode(1)
    /// EX_DATAERR of sysexits.h: all was done, and some of the input was no good.
    static let data = ExitCode(65)
    /// EX_CONFIG of sysexits.h: trying again helps only after somebody changed the configuration.
    static let configuration = ExitCode(78)
}
