import ArgumentParser
import Pipeline
import Sinks

struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Checks the configuration and prints what takes effect.",
        discussion: """
            Prints every value with where it comes from (file and line, environment variable or default), secrets masked, \
            and how much memory rows may take. Errors go to standard error as file:line:column, all of them at once.

              sluice check --config /etc/sluice/sluice.yaml && systemctl reload sluice

            With --online it asks every configured host, and writes nothing there: can it be reached, may the user insert, and \
            for each table (default_table, those of batch.tables and of the schema files, --table) whether it is as the schema \
            files say, whether rows land exactly once, and what else will hurt. Each line is OK, WARN or FAIL, with what to do.

              sluice check --online --config /etc/sluice/sluice.yaml --table mstore

            Ends with 0 when the configuration can be used, with 78 when it cannot, and with 65 when --online found a FAIL.
            """)

    @OptionGroup var options: ConfigurationOptions

    @Flag(name: .shortAndLong, help: "Print nothing but errors and warnings.")
    var quiet = false

    @Flag(name: .long, help: "Ask the servers instead of printing the configuration; writes nothing to them.")
    var online = false

    @Option(
        name: .long, help: ArgumentHelp("With --online: look at this table, too. May be repeated.", valueName: "table"))
    var table: [String] = []

    @Flag(name: .long, help: "With --online: print the findings as JSON.")
    var json = false

    func validate() throws {
        guard online || (table.isEmpty && !json) else { throw ValidationError("--table and --json go with --online") }
        for name in table where TableName(parsing: name) == nil {
            throw ValidationError("--table: \"\(name)\" cannot be the name of a table")
        }
    }

    func run() async throws {
        Output.ignoreBrokenPipes()
        let configuration = try options.load()
        configuration.warnings.forEach { Output.complain("\($0) (warning)") }
        try configuration.refuseUnsupportedTables()
        if online { return try await inspect(configuration) }
        if quiet { return }
        Output.write(configuration.render())
    }

    private func inspect(_ configuration: EffectiveConfiguration) async throws {
        try configuration.refuseOtherSinks()
        let tables = configuration.tables(and: table)
        if tables.isEmpty {
            Output.complain("no table is named: only the hosts are looked at; name tables with --table (warning)")
        } else if tables.count > Inspector.tablesMax {
            Output.complain(
                "\(tables.count) tables are named, the first \(Inspector.tablesMax) are looked at (warning)")
        }
        let report = await Inspector(
            settings: configuration.settings.ship.clickhouse, tables: tables, schema: configuration.schema
        ).run()
        Output.write(json ? try JSONText.of(report) : report.text(quiet: quiet))
        if report.worst == .fail { throw Exit.data }
    }
}

extension EffectiveConfiguration {
    /// Without a server, schema files are all that is known of tables: one that sluice cannot write is an error there.
    /// (With a server they are not read for anything, and its own tables count.)
    var unsupportedTables: [ConfigurationIssue] {
        settings.ship.sink == .clickhouse ? [] : schema.unsupported
    }

    /// default_table, those of batch.tables, of validate.tables, of routes and of the schema files, and others; each once. Not those that no
    /// row stays in.
    func tables(and others: [String]) -> [TableName] {
        let named =
            [settings.validate.defaultTable].compactMap { $0 } + settings.batch.tables.keys.sorted()
            + settings.validate.tables.keys.sorted()
            + settings.validate.rules.values.flatMap(\.route.tables.values).sorted() + others
        var seen: Set<TableName> = []
        return (named.compactMap { TableName(parsing: $0) } + schema.tables).filter {
            !settings.validate.isOnlyRouted($0) && seen.insert($0).inserted
        }
    }

    func refuseOtherSinks() throws {
        guard settings.ship.sink != .clickhouse else { return }
        Output.complain("ship.sink is \(settings.ship.sink.rawValue): there is no server to ask")
        throw Exit.configuration
    }

    func refuseUnsupportedTables() throws {
        guard !unsupportedTables.isEmpty else { return }
        unsupportedTables.forEach { Output.complain("\($0)") }
        throw Exit.configuration
    }
}
