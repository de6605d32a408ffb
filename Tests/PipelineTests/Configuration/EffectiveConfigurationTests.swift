import Foundation
import Testing
import Yams

@testable import Pipeline

@Suite struct EffectiveConfigurationTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path(percentEncoded: false)

    /// Values of a rendered configuration, by path.
    private func values(_ node: Node, under prefix: String = "") -> [String: Node] {
        guard let mapping = node.mapping, mapping.count > 0 else { return [prefix: node] }
        return mapping.reduce(into: [:]) { all, pair in
            let name = pair.key.string ?? ""
            all.merge(values(pair.value, under: prefix.isEmpty ? name : "\(prefix).\(name)")) { first, _ in first }
        }
    }

    /// The rendered text, cut into the files that it came from.
    private func files(of text: String) throws -> [String: String] {
        let node = try #require(try compose(yaml: text)?.mapping)
        var files: [String: String] = [:]
        var main = Node.Mapping([])
        for (key, value) in node {
            let name = try #require(key.string)
            if SettingsKeys.stages.contains(name) {
                var stage = value
                // Its paths lead to files that are not among the texts.
                stage.mapping?["schema"] = nil
                files["stages/\(name).yaml"] = try serialize(node: stage)
            } else if name != "stages" {
                main[key] = value
            }
        }
        files["sluice.yaml"] = try serialize(node: .mapping(main))
        return files
    }

    /// Every set that is handed out: a directory's main file.
    private static let examples: [String] = {
        let directory = "\(root)deploy/examples"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.sorted().map { $0 == "seed" ? "seed/config.yaml" : "\($0)/sluice.yaml" }
    }()

    @Test func theExamplesAreThere() { #expect(Self.examples.count == 6) }

    @Test(arguments: examples)
    func anExampleLoadsAndReadsBackAsItself(_ example: String) throws {
        let loader = ConfigurationLoader(environment: [
            "CLICKHOUSE_PASSWORD": "x", "CLICKHOUSE_HOSTS": "a:9440,b:9440", "ADMIN_TOKEN": "0123456789abcdef",
        ])
        let loaded = try loader.load("\(Self.root)deploy/examples/\(example)")
        // Certificates that are named and not on this machine.
        #expect(loaded.warnings.allSatisfy { $0.code == .unreadableFile })
        #expect(loaded.warnings.count == (example.hasPrefix("seed") ? 1 : example.hasPrefix("replicated") ? 2 : 0))
        var expected = loaded.settings
        let again = try files(of: loaded.render())
        // The mask is not the password.
        expected.validate.schemaFiles = []
        expected.ship.clickhouse.password = Secret(loaded.settings.ship.clickhouse.password.description)
        // The mask would be too short for a token.
        let token = expected.admin.token.revealed
        #expect(
            try loadConfiguration(again, environment: token.isEmpty ? [:] : ["SLUICE_ADMIN_TOKEN": token]).settings
                == expected)
    }

    @Test func everyValueIsShownWithItsSource() throws {
        let loaded = try loadConfiguration(
            ["stages/ship.yaml": "sink: null\nclickhouse:\n  database: \"${DB:-it's}\"\n"],
            environment: ["SLUICE_LOG_LEVEL": "debug"])
        let text = loaded.render()
        #expect(text.contains("\n  sink: \"null\"  # stages/ship.yaml:1\n"))
        #expect(text.contains("\n    database: \"it's\"  # stages/ship.yaml:3 $DB\n"))
        #expect(text.contains("\n  level: debug  # $SLUICE_LOG_LEVEL\n"))
        #expect(text.contains("\n  backlog: 1024  # default\n"))
        let paths = values(try #require(try compose(yaml: text)))
        for key in SettingsKeys.all { #expect(paths[key.path] != nil, "\(key.path) is missing") }
        for line in text.split(separator: "\n") where !line.hasPrefix("#") && !line.hasSuffix(":") {
            #expect(line.contains("  # "), "\(line)")
        }
    }

    @Test func awkwardTextsReadBackAsTheyWere() throws {
        for text in [
            "true", "null", "1e3", "a: b", "#x", "\"q\"", "a\\b", "line\nbreak", "é", "0x1", "-", "a b", "~", "\u{7}",
        ] {
            let rendered = YAMLText.quoted(text)
            #expect(try compose(yaml: "k: \(rendered)")?.mapping?["k"]?.string == text, "\(rendered)")
        }
    }

    @Test func theMemoryCeilingIsReported() throws {
        let loaded = try loadConfiguration(main: nil)
        let parsers = loaded.settings.validate.workersOrDefault
        let compressors = loaded.settings.compress.workersOrDefault
        let sum = 272 + max(48, 24 * parsers) + 64 * compressors
        #expect(
            loaded.settings.memoryCeilingEstimate == sum << 20,
            "64 + 8 + 8 + 3 x 16 + 8 + 16 + 72 + 8 + 8 + 32, and these")
        #expect(loaded.render().contains("#   \(sum)MiB  together"))
    }

    @Test func aParserThatIsAloneMayHoldAsMuchAsTwo() {
        var settings = ValidateSettings()
        let held = [1, 2, 3, 16].map { workers in
            settings.workers = workers
            return settings.gatherBytesMax / settings.rowBatchBytesMax
        }
        #expect(held == [6, 3, 3, 3])
    }

    @Test func theReferenceIsUpToDate() throws {
        let page = try String(contentsOfFile: "\(Self.root)docs/configuration.md", encoding: .utf8)
        #expect(
            page == ConfigurationReference.markdown(),
            "docs/configuration.md is out of date: `sluice config reference > docs/configuration.md`")
    }

    @Test func everyKeyOfTheReferenceSaysWhatItIs() {
        for key in SettingsKeys.all {
            #expect(key.documentation.hasSuffix("."), "\(key.path)")
            #expect(!key.documentation.contains("|"), "\(key.path)")
        }
    }

    @Test func everyDefaultIsWithinItsOwnLimits() throws {
        for key in SettingsKeys.all where !key.type.isMap {
            let text = YAMLText.of(key.get(Settings()), key.type)
            let node = try #require(try compose(yaml: "k: \(text)")?.mapping?["k"])
            let place = ConfigurationPlace.defaults
            let raw: RawValue =
                if let list = node.sequence { .list(list.map { RawScalar(text: $0.string ?? "", place: place) }) } else
                {
                    .scalar(RawScalar(text: node.string ?? "", place: place))
                }
            #expect(try key.type.parse(raw) == key.get(Settings()), "\(key.path)")
        }
    }
}
