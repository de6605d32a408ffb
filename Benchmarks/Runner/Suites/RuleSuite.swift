import Pipeline

/// What rules cost, on one thread: `parse/plain` with rules of one kind each, none of which rejects a row.
enum RuleSuite {
    static let benchmarks: [Benchmark] = [
        benchmark("rules/range", "four columns in a range") { rules in
            rules.fields["seq", default: FieldRules()].max = Literal("18446744073709551614", isPlain: true)
            rules.fields["urgency", default: FieldRules()].min = Literal("-100", isPlain: true)
            rules.fields["created_at", default: FieldRules()].min = Literal("2000-01-01 00:00:00", isPlain: true)
            rules.fields["score", default: FieldRules()].min = Literal("-1e30", isPlain: true)
        },
        benchmark("rules/text", "a regex on three texts, lengths on two") { rules in
            for column in ["kind", "country", "subject"] {
                rules.fields[column, default: FieldRules()].regex = "^[^<>]*$"
            }
            for column in ["msg", "kind"] { rules.fields[column, default: FieldRules()].length.charactersMax = 100_000 }
        },
        benchmark("rules/names", "two columns under an alias that rows do not use, one default, two required") {
            rules in
            for column in ["mid", "vid"] { rules.fields[column, default: FieldRules()].aliases = ["\(column)_"] }
            rules.fields["xid", default: FieldRules()].fallback = Literal("none", isPlain: true)
            for column in ["seq", "created_at"] { rules.fields[column, default: FieldRules()].required = true }
        },
        benchmark("rules/mask", "two texts masked") { rules in
            for column in ["subject", "msg"] { rules.fields[column, default: FieldRules()].redaction.method = .mask }
        },
        benchmark("rules/hash", "two texts hashed") { rules in
            for column in ["kind", "country"] {
                rules.fields[column, default: FieldRules()].redaction.method = .hash
                rules.fields[column, default: FieldRules()].redaction.key = Secret("0123456789abcdef")
            }
        },
        benchmark("rules/route", "a route that leads nowhere, so that each row is walked over once more") { rules in
            rules.route.field = "nowhere"
            rules.route.tables = ["x": "y"]
            rules.route.otherwise = .keep
        },
        benchmark("rules/sample", "one row in ten, by a column") { rules in
            rules.sample.keepOneIn = 10
            rules.sample.by = "oid"
        },
    ]

    private static func benchmark(
        _ name: String, _ about: String, _ fill: (inout TableRules) -> Void
    ) -> Benchmark {
        var rules = TableRules()
        fill(&rules)
        return ParseSuite.benchmark(name, about, .plain, rules: rules)
    }
}
