import ArgumentParser
import Pipeline

struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Tells what can be configured.",
        subcommands: [ReferenceCommand.self])

    struct ReferenceCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "reference",
            abstract: "Prints all keys with their types, defaults and meanings, as Markdown.",
            discussion: """
                docs/configuration.md is made with it:

                  sluice config reference > docs/configuration.md
                """)

        func run() {
            Output.ignoreBrokenPipes()
            Output.write(ConfigurationReference.markdown())
        }
    }
}
