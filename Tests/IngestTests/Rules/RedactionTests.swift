import ClickHouseNative
import Foundation
import NIOCore
import Pipeline
import TestSupport
import Testing

@testable import Ingest

/// What is stored in place of a value, and what of it is kept anywhere.
@Suite struct RedactionTests {
    private static let hash = #"{redact: {method: hash, key: "${KEY}"}}"#
    private static let mask = "{redact: {method: mask}}"
    private static let last = "{redact: {method: mask, keep_last: 4}}"
    private static let address = "{redact: {method: truncate_ip}}"

    struct Case: CustomTestStringConvertible, Sendable {
        let type: String
        let rule: String
        let value: String
        let stored: String
        var testDescription: String { "\(type) \(rule) \(value)" }

        init(_ type: String, _ rule: String, _ value: String, _ stored: String) {
            self.type = type
            self.rule = rule
            self.value = value
            self.stored = stored
        }
    }

    /// Hashes are Python's hmac module's.
    static let cases = [
        Case("String", mask, #""ann""#, #""***""#),
        Case("String", "{redact: {method: mask, text: gone}}", "123", #""gone""#),
        Case("LowCardinality(Nullable(String))", mask, #""ann""#, #""***""#),
        Case("LowCardinality(Nullable(String))", mask, "null", "null"),
        Case("String", last, #""4111111111111234""#, #""************1234""#),
        Case("Nullable(String)", last, #""1234""#, #""****""#), Case("String", last, #""""#, #""""#),
        Case("String", last, #""äöüÄÖÜ""#, #""**üÄÖÜ""#), Case("String", last, #""a\u00e4b\"c1""#, #""**b\"c1""#),
        Case(
            "String", hash, #""ann@example.org""#,
            #""07efee657b59073c3565c11a893c9931d20b667e29f4824bcf0b3f206da46319""#),
        Case(
            "LowCardinality(String)", hash, #""ann\u0040example.org""#,
            #""07efee657b59073c3565c11a893c9931d20b667e29f4824bcf0b3f206da46319""#),
        Case(
            "FixedString(64)", hash, "5", #""4afebc3e3a28b434b9c3e261d0a621c413d4cb2b135714fd524af21a28f38cf4""#),
        Case(
            "String", hash, #""""#, #""796cd3078af14636753d26b3b5555422ff55a3e261cf847b48e95371b9bd0aa2""#),
        Case(
            "Nullable(String)", hash, "\"" + String(repeating: "x", count: 200) + "\"",
            #""b305140d52fd4c4394ab32c27ec01b44c3821602e0f32a32ea15729a94249174""#),
        Case("UInt64", hash, #""ann@example.org""#, "571937797327882044"),
        Case("Nullable(UInt64)", hash, "5", "5403963578340914228"), Case("Nullable(UInt64)", hash, "null", "null"),
        Case("IPv4", address, #""192.0.2.77""#, #""192.0.2.0""#),
        Case("Nullable(IPv4)", "{redact: {method: truncate_ip, ipv4_prefix: 10}}", #""10.255.2.77""#, #""10.192.0.0""#),
        Case("IPv4", "{redact: {method: truncate_ip, ipv4_prefix: 0}}", #""10.255.2.77""#, #""0.0.0.0""#),
        Case("IPv4", "{redact: {method: truncate_ip, ipv4_prefix: 32}}", #""10.255.2.77""#, #""10.255.2.77""#),
        Case("IPv6", address, #""2001:db8:aaaa:bbbb::1""#, #""2001:db8:aaaa::""#),
        Case(
            "IPv6", "{redact: {method: truncate_ip, ipv6_prefix: 33}}", #""2001:db8:ffff:bbbb::1""#,
            #""2001:db8:8000::""#),
        Case("IPv6", address, #""::ffff:192.0.2.77""#, #""::ffff:192.0.2.0""#),
        Case("String", address, #""192.0.2.177""#, #""192.0.2.0""#),
        Case("LowCardinality(String)", address, #""2001:DB8:aaaa:bbbb::1""#, #""2001:db8:aaaa::""#),
        Case("String", "{redact: {method: drop}}", #"{"a":1}"#, #""""#),
        Case("Nullable(String)", "{redact: {method: drop}}", #""x""#, "null"),
        Case("UInt8", "{redact: {method: drop}}", #""no number""#, "0"),
        Case("Array(UInt8)", "{redact: {method: drop}}", "[1,2]", "[]"),
        Case("String", #"{regex: "@", redact: {method: mask}}"#, #""a@b""#, #""***""#),
    ]

    @Test(arguments: cases) func isStoredInItsPlace(_ test: Case) throws {
        let fixture = try RowFixture(
            [("n", "UInt8", nil), ("v", test.type, nil)], rules: "fields: {v: \(test.rule)}")
        let outcome = try fixture.read([#"{"n":1,"v":\#(test.value)}"#, #"{"v":\#(test.value),"n":2}"#])
        #expect(outcome.rejections.isEmpty)
        #expect(outcome.rows == [#"{"n":1,"v":\#(test.stored)}"#, #"{"n":2,"v":\#(test.stored)}"#])
    }

    @Test func rawHashesAreThe32Bytes() throws {
        let outcome = try RowFixture(type: "FixedString(32)", rules: Self.hash).read([#"{"v":"ann@example.org"}"#])
        let bytes = try #require(outcome.blocks.first).nodes[0].data.bytes
        #expect(bytes.prefix(4).elementsEqual([0x07, 0xEF, 0xEE, 0x65]) && bytes.count == 32)
    }

    @Test func keysOfAnyLengthAreHMACs() throws {
        var fixture = try RowFixture(type: "String", rules: Self.hash)
        fixture.settings.rules["t"]?.fields["v"]?.redaction.key = Secret(String(repeating: "k", count: 100))
        #expect(
            try fixture.read([#"{"v":"abc"}"#]).rows == [
                #"{"v":"b58b2b694fdba0dd76da3ebe99174f728d327560f36ece224e90867972479922"}"#
            ])
    }

    @Test func whatIsNoAddressIsRejectedInAStringToo() throws {
        let outcome = try RowFixture(type: "String", rules: Self.address).read([
            #"{"v":"localhost"}"#, #"{"v":"10.0.0.1:80"}"#, #"{"v":7}"#, #"{"v":"10.1.2.3"}"#,
        ])
        #expect(outcome.refusals == ["type_mismatch v", "type_mismatch v", "type_mismatch v"])
        #expect(outcome.rows == [#"{"v":"10.1.2.0"}"#])
    }

    /// Dictionaries keep what rejected rows added to them.
    @Test(
        arguments: ["String", "LowCardinality(String)", "Nullable(String)"],
        [mask, last, hash, "{redact: {method: drop}}"])
    func theValueIsNowhereInTheBlock(_ type: String, _ rule: String) throws {
        let fixture = try RowFixture(
            [("v", type, nil), ("n", "UInt8", nil)], rules: "fields: {v: \(rule), n: {range: {max: 9}}}")
        let outcome = try fixture.read([
            #"{"v":"top secret value","n":1}"#, #"{"v":"top secret value","n":10}"#,
            #"{"v":"top secret value","n":"x"}"#,
        ])
        #expect(outcome.refusals == ["rule_range n", "type_mismatch n"])
        let native = String(decoding: try #require(outcome.blocks.first).native, as: UTF8.self)
        #expect(!native.contains("top secret"))
    }

    // MARK: Dead letters

    private func redactor(_ rules: [String: String]) throws -> RowRedactor {
        var settings = ValidateSettings()
        settings.rules = try RuleFixture.tables(rules)
        let redactor = RowRedactor()
        redactor.reconfigure(settings)
        return redactor
    }

    private func kept(
        _ row: String, _ redactor: RowRedactor, table: String? = "t", _ reason: RejectReason = .typeMismatch
    )
        -> (text: String, missing: Int, isRedacted: Bool)
    {
        let rejection = Rejection(
            table: table.map { TableName(table: $0) }, reason: reason, message: "", session: 1,
            bytes: ByteBuffer(string: row))
        let result = redactor.redacted(rejection)
        return (String(buffer: result.bytes), result.length - result.bytes.readableBytes, result.isRedacted)
    }

    @Test(arguments: [
        (#"{"a":1,"mail":"s3cret","n":"x"}"#, #"{"a":1,"mail":null,"n":"x"}"#),
        (#"{"mail":"s3cret"}"#, #"{"mail":null}"#), (#"{"e-mail": "s3cret" , "a":2}"#, #"{"e-mail": null , "a":2}"#),
        (#"{"MAIL":"s3cret"}"#, #"{"MAIL":null}"#),
        (#"{"ma\u0069l":["s3cret",{"x":"s3cret"}]}"#, #"{"ma\u0069l":null}"#),
        (#"{"mail":"s3cret","mail":"s3cret"}"#, #"{"mail":null,"mail":null}"#),
        (#"{"a":{"mail":"kept"}}"#, #"{"a":{"mail":"kept"}}"#), (#"{"a":1}"#, #"{"a":1}"#),
        (#" {"mail":7}"# + " \r", #" {"mail":null}"# + " \r"),
        // What cannot be read is cut off, from the last whole field on.
        (#"{"a":1,"mail":"s3cr"#, #"{"a":1"#), (#"{"a":1,"mail":"s3cret" "b":2}"#, #"{"a":1,"mail":null"#),
        (#"{"a":1} {"mail":"s3cret"}"#, #"{"a":1"#), (#"["s3cret"]"#, ""), ("s3cret", ""), (#"{mail:"s3cret"}"#, ""),
        (#"{"mail":"s3cret","mail": "#, #"{"mail":null"#), (#"{"a":1,"b":{"c":"s3cret"#, #"{"a":1"#),
        (#"{"a":1,"ma"#, #"{"a":1"#), ("", ""),
    ]) func deadLettersHaveNullInItsPlace(_ row: String, _ expected: String) throws {
        let redactor = try redactor(["t": "fields: {mail: {aliases: [e-mail], redact: {method: mask}}}"])
        let result = kept(row, redactor)
        #expect(result.text == expected)
        #expect(!result.text.contains("s3cr"))
        #expect(result.isRedacted == (row != expected))
        #expect((result.missing > 0) == (row.contains("s3cr") && !expected.hasSuffix("}") || row == #"{"a":1,"ma"#))
    }

    @Test func rowsWhoseTableIsNotKnownLoseTheFieldsOfAllTables() throws {
        let redactor = try redactor([
            "t": "fields: {mail: {redact: {method: drop}}}", "u": "fields: {ip: {redact: {method: truncate_ip}}}",
            "in": "route: {field: kind, tables: {t: t}}", "w": "fields: {mail: {required: true}}",
            "nested": "fields: {a.b: {redact: {method: drop}}}",
        ])
        let row = #"{"mail":"x","ip":"10.0.0.1"}"#
        #expect(kept(row, redactor).text == #"{"mail":null,"ip":"10.0.0.1"}"#)
        #expect(kept(row, redactor, table: "u").text == #"{"mail":"x","ip":null}"#)
        #expect(kept(row, redactor, table: "w").text == row)
        #expect(kept(row, redactor, table: nil, .lineTooLong).text == #"{"mail":null,"ip":null}"#)
        #expect(kept(row, redactor, table: "x", .unknownTable).text == #"{"mail":null,"ip":null}"#)
        #expect(kept(row, redactor, table: "in", .ruleRoute).text == #"{"mail":null,"ip":null}"#)
        #expect(kept(#"{"a":{"b":"x"},"a.b":1}"#, redactor, table: "nested").text == #"{"a":null,"a.b":null}"#)
        #expect(kept(row, RowRedactor()).text == row)
        // What cannot be read may be for any table.
        let broken = #"{"mail":"x","ip":"10.0.0.1","table":"t"#
        for table in ["t", "u", "w", "other"] {
            #expect(kept(broken, redactor, table: table).text == #"{"mail":null,"ip":null"#)
        }
        var cut = Rejection(
            table: TableName(table: "u"), reason: .lineTooLong, message: "", session: 1,
            bytes: ByteBuffer(string: row), length: 100)
        cut = redactor.redacted(cut)
        #expect(String(buffer: cut.bytes) == #"{"mail":null,"ip":null}"# && cut.isRedacted)
    }

    /// Whatever a row looks like, what it has under the name is not kept: cut anywhere, mutated anywhere.
    @Test(arguments: Seeds.some(10)) func noRowLeaks(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let redactor = try redactor(["t": "fields: {mail: {redact: {method: mask}}}"])
        let fields = [
            #""a":1"#, #""mail":"QQQQ""#, #""b":"x\"y""#, #""mail":{"z":["QQQQ"]}"#, #""c":null"#,
            #""ma\u0069l" : "QQQQ\u0041""#,
            #""d":[{"e":"f"}]"#,
        ]
        for _ in 0..<300 {
            var row =
                "{" + (0..<random.int(1...5)).map { _ in fields.randomElement(using: &random)! }.joined(separator: ",")
                + "}"
            if random.one(in: 2) { row = String(row.prefix(random.int(0...row.count))) }
            #expect(!kept(row, redactor).text.contains("QQ"), "seed \(seed): \(row)")
        }
    }
}
