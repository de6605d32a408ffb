import ClickHouseNative
import Ingest
import Pipeline
import Testing

/// What rows have to be.
@Suite struct CheckRuleTests {
    /// A rule for a column `v`, values that it takes and values that it does not.
    struct Case: CustomTestStringConvertible, Sendable {
        let type: String
        let rule: String
        let taken: [String]
        let refused: [String]
        let reason: String
        var testDescription: String { "\(type) \(rule)" }

        init(_ type: String, _ rule: String, _ taken: [String], _ refused: [String], _ reason: String) {
            self.type = type
            self.rule = rule
            self.taken = taken
            self.refused = refused
            self.reason = reason
        }
    }

    static let cases = [
        Case("UInt8", "{range: {min: 5, max: 9}}", ["5", "7", "9", "\"6\""], ["4", "10", "255"], "rule_range"),
        Case(
            "Int64", "{range: {min: -3}}", ["-3", "0", "9223372036854775807"], ["-4", "-9223372036854775808"],
            "rule_range"),
        Case(
            "UInt64", "{range: {max: 18446744073709551614}}", ["0", "18446744073709551614"], ["18446744073709551615"],
            "rule_range"),
        Case(
            "Int128", "{range: {min: -170141183460469231731687303715884105727, max: 0}}", ["0", "-1"],
            ["1", "-170141183460469231731687303715884105728"], "rule_range"),
        Case(
            "UInt128", "{range: {min: 170141183460469231731687303715884105728}}",
            ["340282366920938463463374607431768211455"], ["170141183460469231731687303715884105727", "0"], "rule_range"),
        Case(
            "Float64", "{range: {min: -0.5, max: 1}}", ["-0.5", "-0.0", "0", "1"],
            ["-0.51", "1.0000001", "\"nan\"", "\"inf\""], "rule_range"),
        Case("Float32", "{range: {min: 0}}", ["0", "-0", "1e30"], ["-1e-30"], "rule_range"),
        Case(
            "Decimal(9, 2)", "{range: {min: 0.01, max: \"99.99\"}}", ["0.01", "99.99", "5"], ["0", "100", "-1"],
            "rule_range"),
        Case("Decimal(30, 3)", "{range: {min: -1.5}}", ["-1.5", "0"], ["-1.501"], "rule_range"),
        Case(
            "Date", "{range: {min: \"2020-02-29\"}}", ["\"2020-02-29\"", "\"2021-01-01\""], ["\"2020-02-28\""],
            "rule_range"),
        Case(
            "DateTime('Asia/Tokyo')", "{range: {min: \"2024-01-01 00:00:00\"}}",
            ["\"2024-01-01 00:00:00\"", "\"2023-12-31T15:00:00Z\""], ["\"2023-12-31T14:59:59Z\""], "rule_range"),
        Case(
            "DateTime64(3, 'UTC')", "{range: {max: \"1969-12-31 23:59:59.999\"}}", ["\"1950-01-01 00:00:00\""],
            ["\"1970-01-01 00:00:00\""], "rule_range"),
        Case("Nullable(Int16)", "{range: {min: 1}}", ["null", "1"], ["0"], "rule_range"),
        Case(
            "String", "{length: {min_bytes: 2, max_bytes: 3}}", ["\"ab\"", "\"é\"", "\"a\\nb\"", "123"],
            ["\"\"", "\"a\"", "\"abcd\"", "\"éé\""], "rule_length"),
        Case(
            "String", "{length: {max_characters: 2}}", ["\"\"", "\"éé\"", "\"😀😀\""], ["\"abc\"", "\"ééé\""],
            "rule_length"),
        Case("FixedString(4)", "{length: {min_bytes: 2}}", ["\"ab\"", "\"abcd\""], ["\"a\""], "rule_length"),
        Case(
            "LowCardinality(FixedString(2))", "{one_of: [DE, \"é\", x]}", ["\"DE\"", "\"\\u00e9\"", "\"x\""],
            ["\"D\"", "\"de\""], "rule_one_of"),
        Case(
            "LowCardinality(Nullable(FixedString(3)))", "{regex: ^a, length: {min_bytes: 2}}", ["null", "\"ab\""],
            ["\"a\""], "rule_length"),
        Case(
            "LowCardinality(Nullable(String))", "{length: {max_bytes: 1}}", ["null", "\"a\""], ["\"ab\""], "rule_length"
        ),
        Case(
            "String", "{one_of: [a, \"b c\", 5, \"\"]}", ["\"a\"", "\"b c\"", "5", "\"5\"", "\"\""],
            ["\"b\"", "\"aa\"", "null_not"], "rule_one_of"),
        Case("LowCardinality(String)", "{one_of: [x]}", ["\"x\""], ["\"X\""], "rule_one_of"),
        Case("UInt16", "{one_of: [80, 443, 8080]}", ["443", "80", "8080"], ["0", "81", "65535"], "rule_one_of"),
        Case("Enum8('a' = -1, 'b' = 2, 'c' = 3)", "{one_of: [a, b]}", ["\"a\"", "2"], ["\"c\""], "rule_one_of"),
        Case(
            "UUID", "{one_of: [61f0c404-5cb3-11e7-907b-a6006ad3dba0]}", ["\"61F0C404-5cb3-11e7-907b-a6006ad3dba0\""],
            ["\"00000000-5cb3-11e7-907b-a6006ad3dba0\""], "rule_one_of"),
        Case("Bool", "{one_of: [true]}", ["true", "1"], ["false"], "rule_one_of"),
        Case(
            "String", "{regex: \"^[a-z]+(-[a-z]+)*$\"}", ["\"a\"", "\"ab-c\""], ["\"\"", "\"a-\"", "\"A\""],
            "rule_regex"),
        Case("String", "{regex: b, length: {max_bytes: 2}}", ["\"ab\""], ["\"abb\""], "rule_length"),
        Case("Array(UInt8)", "{required: true}", ["[]", "[1]"], ["null"], "rule_required"),
    ]

    @Test(arguments: cases) func takesWhatItAllowsAndNothingElse(_ test: Case) throws {
        let refused = test.refused.map { $0 == "null_not" ? "\"null\"" : $0 }
        // In turns, so that what a refused row leaves behind would show.
        var lines: [String] = []
        for place in 0..<max(test.taken.count, refused.count) {
            if place < refused.count { lines.append("{\"v\":\(refused[place])}") }
            if place < test.taken.count { lines.append("{\"v\":\(test.taken[place])}") }
        }
        let outcome = try RowFixture(type: test.type, rules: test.rule).read(lines)
        let plain = try RowFixture(type: test.type).read(test.taken.map { "{\"v\":\($0)}" })
        #expect(outcome.rows == plain.rows)
        #expect(outcome.rows.count == test.taken.count)
        #expect(outcome.refusals == refused.map { _ in "\(test.reason) v" })
    }

    @Test func messagesNameTheRuleAndNothingOfTheRow() throws {
        let outcome = try RowFixture(type: "String", rules: "{regex: ^a}").read(["{\"v\":\"secret\"}"])
        #expect(outcome.rejections.map(\.message) == ["regex: the text does not match"])
    }

    @Test func requiredMeansThereAndNotNull() throws {
        let fixture = try RowFixture(
            [("a", "UInt8", nil), ("b", "Nullable(String)", nil), ("c", "UInt8", "7")],
            rules: "fields: {a: {required: true}, b: {required: true}, c: {required: true}}")
        let outcome = try fixture.read([
            #"{"a":0,"b":"","c":1}"#, #"{"b":"x","c":1}"#, #"{"a":1,"c":1}"#, #"{"a":1,"b":null,"c":1}"#,
            #"{"a":1,"b":"x"}"#, #"{"a":null,"b":"x","c":1}"#, #"{"a":1,"b":"x","c":null}"#, #"{"c":2,"b":"y","a":1}"#,
        ])
        #expect(outcome.rows == [#"{"a":0,"b":"","c":1}"#, #"{"a":1,"b":"y","c":2}"#])
        #expect(
            outcome.refusals == [
                "rule_required a", "rule_required b", "rule_required b", "rule_required c", "rule_required a",
                "rule_required c",
            ])
    }

    // MARK: Rules that do not fit

    @Test(arguments: [
        ("UInt8", "{length: {max_bytes: 3}}", "v: length: UInt8 has none; it is for strings"),
        ("String", "{range: {min: 3}}", "v: range: is for numbers and times, not for String; a regex may do"),
        ("UUID", "{range: {min: 3}}", "v: range: values of UUID cannot be compared here"),
        ("Array(String)", "{one_of: [a]}", "v: one_of: values of Array(String) cannot be compared here"),
        ("UInt8", "{regex: a}", "v: regex: is for strings, not for UInt8"),
        ("UInt8", "{range: {max: 300}}", "v: range.max: \"300\" is no value of UInt8"),
        ("UInt8", "{range: {min: 3, max: 2}}", "v: range.min: must be at most range.max"),
        ("Enum8('a' = 1)", "{one_of: [b]}", "v: one_of: \"b\" is no value of Enum8('a' = 1)"),
        ("UInt8", "{default: x}", "v: default: is no value of UInt8"),
        ("Array(UInt8)", "{constant: '[1,'}", "v: constant: is no value of Array(UInt8)"),
        (
            "UInt8", "{redact: {method: mask}}",
            "v: redact.method mask: needs String or LowCardinality(String), not UInt8"
        ),
        (
            "UInt32", "{redact: {method: hash, key: \"${KEY}\"}}",
            "v: redact.method hash: needs String, LowCardinality(String), FixedString(64), FixedString(32) or UInt64, not UInt32"
        ),
        (
            "UInt32", "{redact: {method: truncate_ip}}",
            "v: redact.method truncate_ip: needs IPv4, IPv6, String or LowCardinality(String), not UInt32"
        ),
        ("UInt8", "{required: true}, v2: {required: true}", "v2: the table has no such column, did you mean \"v\"?"),
        ("UInt8", "{aliases: [v]}", "v: aliases: \"v\" is a column of the table"),
    ]) func rulesThatDoNotFitTheTableAreRefused(_ type: String, _ rule: String, _ message: String) throws {
        do {
            _ = try RowFixture(type: type, rules: rule).reader()
            Issue.record("taken")
        } catch let error as RuleProblems {
            #expect(error.problems.map(\.message) == [message])
            #expect(error.problems.map(\.place.shortDescription) == ["stages/validate.yaml:4"])
        } catch let error as ConfigurationFailure {
            // What does not need the table's structure is found earlier.
            #expect(error.errors.map(\.message) == ["t.v: aliases: \"v\" has rules as a column of its own"])
        }
    }
}
