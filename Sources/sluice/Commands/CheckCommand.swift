import ArgumentParser
import Pipeline

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Checks the configuration and prints what takes effect.",
        discussion: """
            Prints every value with where it comes from (file and line, environment variable or default), secrets masked, \
            and how much memory rows may take. Errors go to standard error as file:line:column, all of them at once.

              sluice check --config /etc/sluice/sluice.yaml && systemctl reload sluice

            Ends with 0 when the configuration can be used and with 78 when it cannot.
            """)

    @OptionGroup var options: ConfigurationOptions

    @Flag(name: .shortAndLong, help: "Print nothing but errors and warnings.")
    var quiet = false

    func run() throws {
        Output.ignoreBrokenPipes()
        let configuration = try options.load()
        configuration.warnings.forEach { Output.complain("\($0) (warning)") }
        try configuration.refuseUnsupportedTables()
        if quiet { return }
        Output.write(configuration.render())
    }
}

extension EffectiveConfiguration {
    /// Without a server, schema files are all that is known of tables: one that sluice cannot write is an error there.
    /// (With a server they are not read for anything, and its own tables count.)
    var unsupportedTables: [ConfigurationIssue] {
        settings.ship.sink == .clickhouse ? [] : schema.unsupported
    }

    func refuseUnsupportedTables() throws {
        guard !unsupportedTables.isEmpty else { return }
        unsupportedTables.forEach { Output.complain("\($0)") }
        throw Exit.configuration
    }
}
