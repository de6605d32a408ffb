import ArgumentParser

/// Tells what a change did to the counts, and fails where it made them worse.
struct CompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Compares two reports of `count --json`; exits with 1 if a row costs more than it did.",
        discussion: """
            Time is not compared: on a machine with neighbours it differs by more than most changes make. Counts do not; what is \
            within a count's tolerance is called the same.
            """)

    @Argument(help: "The report from before.")
    var before: String

    @Argument(help: "The report from after.")
    var after: String

    func run() throws {
        let (old, new) = (try CountReport.read(before), try CountReport.read(after))
        var isWorse = false
        print(CountCommand.line(["work", "of a row", "before", "after", "change", ""]))
        for line in new.counts {
            guard let earlier = old.counts.first(where: { $0.name == line.name }) else {
                print("\(line.name): new")
                continue
            }
            for kind in CountKind.allCases {
                guard let a = earlier[kind], let b = line[kind] else { continue }
                let verdict = kind.compare(a, b)
                if verdict == .worse { isWorse = true }
                let change = a > 0 ? CountCommand.number((b / a - 1) * 100) + " %" : ""
                print(
                    CountCommand.line([
                        line.name, kind.rawValue, CountCommand.number(a), CountCommand.number(b), change,
                        verdict.rawValue,
                    ]))
            }
        }
        for line in old.counts where !new.counts.contains(where: { $0.name == line.name }) {
            print("\(line.name): no longer counted")
            isWorse = true
        }
        if isWorse { throw ExitCode.failure }
    }
}
