import Foundation
import TestSupport
import Testing
import Yams

/// deploy/prometheus: every alert can fire, is tested to, asks for metrics that there are, and leads to a page of the runbook.
@Suite struct AlertTests {
    private struct Rule {
        let name: String
        let isAlert: Bool
        let expression: String
        let severity: String?
        let annotations: [String: String]
    }

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: ScriptRunner.root.appending(path: path), encoding: .utf8)
    }

    private static func rules() throws -> [Rule] {
        let root = try compose(yaml: text("deploy/prometheus/sluice.rules.yml"))
        let groups = root?["groups"]?.sequence.map(Array.init) ?? []
        return groups.flatMap { $0["rules"]?.sequence.map(Array.init) ?? [] }.map { rule in
            let annotations = rule["annotations"]?.mapping?.map { ($0.key.string ?? "", $0.value.string ?? "") } ?? []
            return Rule(
                name: (rule["alert"] ?? rule["record"])?.string ?? "", isAlert: rule["alert"] != nil,
                expression: rule["expr"]?.string ?? "", severity: rule["labels"]?["severity"]?.string,
                annotations: Dictionary(annotations) { $1 })
        }
    }

    private static func alerts() throws -> [Rule] { try rules().filter(\.isAlert) }

    /// Metrics of docs/specs/metrics.md, which another test holds against the program.
    private static func documented() throws -> Set<String> {
        var names: Set<String> = []
        for line in try text("docs/specs/metrics.md").split(separator: "\n") {
            guard let match = line.firstMatch(of: #/^\| `((?:sluice|process)_[a-z_]+)` \| (\w+)/#) else { continue }
            let name = String(match.1)
            names.formUnion(match.2 == "histogram" ? ["_bucket", "_sum", "_count"].map { name + $0 } : [name])
        }
        return names
    }

    private func unknownMetrics(in expressions: [String]) throws -> [String] {
        let known = try Self.documented()
        #expect(known.count > 60)
        let used = expressions.flatMap { $0.matches(of: #/\b(?:sluice|process)_[a-z_]+/#).map { String($0.0) } }
        #expect(!used.isEmpty)
        return Set(used).subtracting(known).sorted()
    }

    /// What the requirements ask for, by name: critical ones, then warnings.
    @Test func everyAlertOfTheRequirementsIsThere() throws {
        let severity = Dictionary(try Self.alerts().map { ($0.name, $0.severity) }) { $1 }
        let critical = [
            "SluiceErrorRateCritical", "SluiceLatencyCritical", "SluiceNotHealthy", "SluiceNoConnections",
        ]
        let warnings = ["SluiceErrorRateHigh", "SluiceLatencyHigh", "SluiceTrafficHalved", "SluiceBreakerOpen"]
        for name in critical { #expect(severity[name] == "critical", "\(name)") }
        for name in warnings { #expect(severity[name] == "warning", "\(name)") }
    }

    @Test func everyAlertSaysWhatIsWrongWhatToDoAndWhereToReadOn() throws {
        let runbook = try Self.text("docs/runbook.md")
        for alert in try Self.alerts() {
            #expect(["critical", "warning"].contains(alert.severity), "\(alert.name)")
            #expect(alert.annotations["summary"]?.contains("$labels.instance") == true, "\(alert.name)")
            #expect(alert.annotations["action"]?.isEmpty == false, "\(alert.name)")
            #expect(runbook.contains(alert.name), "\(alert.name) is not in the runbook")
        }
    }

    @Test func theRunbookNamesNoAlertThatIsNotThere() throws {
        let alerts = Set(try Self.alerts().map(\.name))
        for match in try Self.text("docs/runbook.md").matches(of: #/\bSluice[A-Z]\w+/#) {
            #expect(alerts.contains(String(match.0)))
        }
    }

    @Test func rulesAskForMetricsThatThereAre() throws {
        #expect(try unknownMetrics(in: Self.rules().map(\.expression)) == [])
    }

    @Test func theDashboardOfGrafanaAsksForMetricsThatThereAre() throws {
        let text = try Self.text("deploy/grafana/sluice.json")
        let expressions = text.matches(of: #/"expr": "((?:[^"\\]|\\.)*)"/#).map { String($0.1) }
        #expect(expressions.count > 20)
        #expect(try unknownMetrics(in: expressions) == [])
    }

    @Test func everyAlertIsTestedToFireAndNotTo() throws {
        let root = try compose(yaml: Self.text("deploy/prometheus/sluice.rules.test.yml"))
        var (fires, isQuiet): (Set<String>, Set<String>) = ([], [])
        for test in root?["tests"]?.sequence.map(Array.init) ?? [] {
            for check in test["alert_rule_test"]?.sequence.map(Array.init) ?? [] {
                let name = check["alertname"]?.string ?? ""
                if check["exp_alerts"]?.sequence?.isEmpty == false { fires.insert(name) } else { isQuiet.insert(name) }
            }
        }
        let all = Set(try Self.alerts().map(\.name))
        #expect(all.subtracting(fires) == [], "never seen to fire")
        #expect(all.subtracting(isQuiet) == [], "never seen not to fire")
    }

    private static let promtool = ["/usr/bin/promtool", "/usr/local/bin/promtool"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    /// Prometheus' own opinion, and its unit tests of the rules.
    @Test(
        .enabled(if: promtool != nil, "promtool is missing: scripts/needs tests"),
        arguments: [
            ["check", "rules", "sluice.rules.yml"], ["test", "rules", "sluice.rules.test.yml"],
            ["check", "config", "prometheus.yml"],
        ])
    func prometheusTakesThem(arguments: [String]) throws {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(filePath: try #require(Self.promtool))
        process.arguments = arguments
        process.currentDirectoryURL = ScriptRunner.root.appending(path: "deploy/prometheus")
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(said)")
    }
}
