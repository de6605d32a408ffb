import Testing

@testable import Pipeline

@Suite struct RuleConfigurationTests {
    private static let key = "0123456789abcdef0123456789abcdef"

    private func errors(_ rules: String, environment: [String: String] = [:]) -> [String] {
        configurationErrors(["stages/validate.yaml": Self.file(rules)], environment: environment)
    }

    /// Each line of the rules stands below `rules`.
    private static func file(_ rules: String) -> String {
        "tables:\n  t:\n    rules:\n" + rules.split(separator: "\n").map { "      \($0)\n" }.joined()
    }

    @Test func allKeysAreRead() throws {
        let text = """
            fields:
              id: {aliases: [uid, userId], required: true, range: {min: 1, max: 2e3}}
              name: {length: {min_bytes: 1, max_bytes: 9, min_characters: 1, max_characters: 8}, regex: "^a", one_of: [ab, "5", 5]}
              region: {constant: eu-west-1}
              level: {default: 3}
              card: {redact: {method: mask, keep_last: 4}}
              phone: {redact: {method: mask, text: "(phone)"}}
              mail: {redact: {method: hash, key: "${KEY}"}}
              ip: {redact: {method: truncate_ip, ipv4_prefix: 16, ipv6_prefix: 32}}
            unknown_fields: {action: collect, column: extra, bytes_max: 1KiB}
            route: {field: kind, tables: {"a b": other, c: shop.third}, patterns: ["x_*"], otherwise: keep, tables_max: 3}
            sample: {keep_one_in: 10, by: id}
            """
        let configuration = try loadConfiguration(
            ["stages/validate.yaml": Self.file(text)], environment: ["KEY": Self.key])
        #expect(configuration.warnings.isEmpty)
        let rules = try #require(configuration.settings.validate.rules(of: TableName(database: "d", table: "t")))
        #expect(rules.fields["id"]?.aliases == ["uid", "userId"])
        #expect(rules.fields["id"]?.required == true)
        #expect(rules.fields["id"]?.min == Literal("1", isPlain: true))
        #expect(
            rules.fields["name"]?.oneOf == [
                Literal("ab", isPlain: true), Literal("5", isPlain: false), Literal("5", isPlain: true),
            ])
        #expect(rules.fields["name"]?.length.charactersMax == 8)
        #expect(rules.fields["region"]?.constant == Literal("eu-west-1", isPlain: true))
        #expect(rules.fields["mail"]?.redaction.key.revealed == Self.key)
        #expect(rules.fields["ip"]?.redaction.ipv4Prefix == 16)
        #expect(rules.unknownFields.column == "extra")
        #expect(rules.unknownFields.bytesMax == 1024)
        #expect(rules.route.tables == ["a b": "other", "c": "shop.third"])
        #expect(rules.route.otherwise == .keep)
        #expect(rules.sample.keepOneIn == 10)
        #expect(rules.place(of: "card").shortDescription == "stages/validate.yaml:9")
    }

    @Test func theRenderingReadsBackAsTheSameAndHidesKeys() throws {
        let text = """
            fields:
              id: {required: true, range: {min: 1}, one_of: [a, "b c"]}
              mail: {redact: {method: hash, key: "${KEY}"}}
            route: {field: kind, tables: {"a b": other}}
            sample: {keep_one_in: 10}
            """
        let first = try loadConfiguration(["stages/validate.yaml": Self.file(text)], environment: ["KEY": Self.key])
        let rendering = first.render()
        #expect(!rendering.contains(Self.key))
        #expect(rendering.contains("key: \"********\"  # stages/validate.yaml:6 $KEY"))
        let lines = rendering.split(separator: "\n").map(String.init)
        let start = try #require(lines.firstIndex { $0 == "      rules:" })
        let body = lines[(start + 1)...].prefix { $0.hasPrefix("        ") }.map { $0.dropFirst(8) }
        let again = body.joined(separator: "\n").replacing("********", with: Self.key)
        let second = try loadConfiguration(["stages/validate.yaml": Self.file(again)])
        #expect(
            second.settings.validate.rules["t"]?.values.map(\.text)
                == first.settings.validate.rules["t"]?.values.map(\.text))
    }

    @Test func changesAreTakenOverByAReloadAndNamed() throws {
        func settings(_ rules: String) throws -> Settings {
            try loadConfiguration(
                ["stages/validate.yaml": Self.file(rules)], environment: ["A": Self.key, "B": Self.key + "x"]
            ).settings
        }
        let before = try settings("fields: {a: {range: {min: 1}}, m: {redact: {method: hash, key: \"${A}\"}}}")
        let after = try settings(
            "fields: {a: {range: {min: 2}}, m: {redact: {method: hash, key: \"${B}\"}}}\nsample: {keep_one_in: 2}")
        let differences = before.differences(to: after)
        #expect(
            differences.map(\.description) == [
                "validate.tables.t.rules.fields.a.range.min: 1 → 2",
                "validate.tables.t.rules.fields.m.redact.key: \"********\" → \"********\"",
                "validate.tables.t.rules.sample.keep_one_in: none → 2",
            ])
        #expect(differences.allSatisfy { $0.change == .reload })
        #expect(before.differences(to: before).isEmpty)
    }

    @Test func aKeyMayComeFromAFileAndOneThatStandsInTheConfigurationGivesAWarning() throws {
        let rules = Self.file("fields: {m: {redact: {method: hash, key_file: secret}}}")
        let configuration = try loadConfiguration(["stages/validate.yaml": rules, "stages/secret": Self.key + "\n"])
        #expect(configuration.settings.validate.rules["t"]?.fields["m"]?.redaction.key.revealed == Self.key)
        #expect(configuration.render().contains("secret file stages/secret, named by stages/validate.yaml:4"))
        let literal = try loadConfiguration(
            ["stages/validate.yaml": Self.file("fields: {m: {redact: {method: hash, key: \(Self.key)}}}")])
        #expect(literal.warnings.map(\.code) == [.exposedSecret])
        #expect(!literal.warnings.description.contains(Self.key))
    }

    @Test(arguments: [
        ("feilds: {}", "stages/validate.yaml:4:7: unknown key \"feilds\", did you mean \"fields\"?"),
        (
            "fields: {a: {requird: true}}",
            "stages/validate.yaml:4:20: unknown key \"requird\", did you mean \"required\"?"
        ),
        ("fields: [a]", "stages/validate.yaml:4:15: expected a map, each of its keys a column, got a list"),
        (
            "fields: {a: {required: maybe}}",
            "stages/validate.yaml:4:30: t.a: required: expected true or false, got \"maybe\""
        ),
        ("fields: {a: {range: {min: }}}", "stages/validate.yaml:4:33: t.a: min: expected a value, got nothing"),
        (
            "fields: {a: {regex: \"a(\"}}",
            "stages/validate.yaml:4:27: t.a: regex: character 3: a ( without its )"
        ),
        (
            "fields: {a: {length: {min_bytes: 3, max_bytes: 2}}}",
            "stages/validate.yaml:4:40: t.a: length.min_bytes: must be at most max_bytes, 2, got 3"
        ),
        (
            "fields: {a: {default: 1, required: true}}",
            "stages/validate.yaml:4:29: t.a: default and required exclude each other"
        ),
        (
            "fields: {a: {redact: {method: hash}}}",
            "stages/validate.yaml:4:37: t.a: redact.key: a hash needs a key of at least 16 bytes; `openssl rand -hex 32` makes a good one"
        ),
        (
            "fields: {a: {redact: {method: drop, keep_last: 2}}}",
            "stages/validate.yaml:4:54: t.a: redact.keep_last: goes with redact.method: mask"
        ),
        (
            "fields: {a: {redact: {method: drop}, regex: x}}",
            "stages/validate.yaml:4:37: t.a: redact.method drop: the value is not looked at, so that no other rule goes with it but aliases"
        ),
        (
            "fields: {a: {aliases: [x]}, b: {aliases: [x]}}",
            "stages/validate.yaml:4:48: t.b: aliases: \"x\" is an alias of a, too"
        ),
        (
            "unknown_fields: {action: collect}",
            "stages/validate.yaml:4:32: t: unknown_fields.action collect: needs unknown_fields.column, which takes them"
        ),
        ("route: {field: k}", "stages/validate.yaml:4:22: t: route: needs route.tables or route.patterns"),
        (
            "route: {field: k, tables: {a: t}}",
            "stages/validate.yaml:4:37: t: route.tables.a: t has a route itself; a row is routed once"
        ),
        ("sample: {by: a}", "stages/validate.yaml:4:20: t: sample.by: goes with sample.keep_one_in, which is not set"),
        (
            "sample: {keep_one_in: 0}",
            "stages/validate.yaml:4:29: t: keep_one_in: must be 1 to 1000000000, got \"0\""
        ),
    ]) func whatCannotBeIsRefusedWithItsPlace(_ rules: String, _ message: String) {
        #expect(errors(rules) == [message])
    }
}
