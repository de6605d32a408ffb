import ArgumentParser
import Foundation
import Ingest
import Pipeline

/// Which configuration a command works with.
struct ConfigurationOptions: ParsableArguments {
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "The main file.",
            discussion:
                "Without it: what $SLUICE_CONFIG names, or sluice.yaml or config.yaml of this directory, or defaults.",
            valueName: "file"))
    var config: String?

    /// Reads the configuration; says on standard error what is wrong with it, and ends with 78.
    func load() throws -> EffectiveConfiguration {
        do {
            return try read()
        } catch {
            error.warnings.forEach { Output.complain("\($0) (warning)") }
            error.errors.forEach { Output.complain("\($0)") }
            throw Exit.configuration
        }
    }

    /// Reads the configuration as it is now.
    func read() throws(ConfigurationFailure) -> EffectiveConfiguration {
        let environment = ProcessInfo.processInfo.environment
        let loader = ConfigurationLoader(environment: environment)
        let named = config ?? environment["SLUICE_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }
        return try loader.loadWithRules(named ?? loader.findMainFile())
    }
}

extension ConfigurationLoader {
    /// As `load`; rules are held against the tables that schema files describe.
    func loadWithRules(_ mainFile: String?) throws(ConfigurationFailure) -> EffectiveConfiguration {
        try load(mainFile).judged(by: RuleProblems.find)
    }
}
