import ClickHouseNative
import Ingest
import NIOCore
import Pipeline
import TestSupport
import Testing

/// Names, constants and fields that the table does not have.
@Suite struct FieldRuleTests {
    // MARK: Names

    @Test func aliasesStandForTheirColumn() throws {
        let fixture = try RowFixture(
            [("id", "UInt32", nil), ("name", "String", nil), ("x", "UInt8", "1")],
            rules: "fields: {id: {aliases: [uid, userId]}, name: {aliases: [\"na\\u00efve\"]}, x: {aliases: [y]}}")
        let outcome = try fixture.read([
            #"{"uid":1,"name":"a","x":5}"#, #"{"userId":2,"naïve":"b","y":6}"#, #"{"id":3,"na\u00efve":"c","x":7}"#,
            #"{"uid":4,"id":5,"x":1}"#, #"{"uid":6,"userId":7,"x":1}"#, #"{"y":8,"uid":8}"#, #"{"uid":"no","x":1}"#,
        ])
        #expect(
            outcome.rows == [
                #"{"id":1,"name":"a","x":5}"#, #"{"id":2,"name":"b","x":6}"#, #"{"id":3,"name":"c","x":7}"#,
                #"{"id":8,"name":"","x":8}"#,
            ])
        #expect(outcome.refusals == ["duplicate_key id", "duplicate_key id", "type_mismatch id"])
    }

    /// A row that leaves the column out under all its names goes into a block without it.
    @Test func aColumnThatTheServerFillsInIsFoundByItsAlias() throws {
        let fixture = try RowFixture(
            [("id", "UInt32", nil), ("x", "UInt8", "1")], rules: "fields: {x: {aliases: [y]}}")
        let outcome = try fixture.read([#"{"id":1,"y":2}"#, #"{"id":2}"#, #"{"y":3,"id":3}"#, #"{"id":4,"y":null}"#])
        #expect(outcome.rows.sorted() == [#"{"id":1,"x":2}"#, #"{"id":2}"#, #"{"id":3,"x":3}"#, #"{"id":4}"#])
        #expect(outcome.rejections.isEmpty)
    }

    // MARK: Constants and defaults

    @Test(arguments: [
        ("String", "eu-west-1", "\"eu-west-1\""), ("String", "5", "\"5\""), ("String", "'a\"b\\c'", "\"a\\\"b\\\\c\""),
        ("UInt8", "5", "5"), ("UInt8", "\"5\"", "5"), ("Bool", "true", "true"), ("Nullable(Int8)", "-1", "-1"),
        ("LowCardinality(String)", "x", "\"x\""), ("LowCardinality(Nullable(String))", "x", "\"x\""),
        ("Enum8('a' = 1, 'b' = 2)", "b", "\"b\""), ("Date", "2024-02-29", "\"2024-02-29\""),
        ("DateTime('UTC')", "2024-02-29 01:02:03", "\"2024-02-29 01:02:03\""), ("Decimal(9, 2)", "1.25", "1.25"),
        ("Array(String)", "'[\"a\", \"b\"]'", "[\"a\",\"b\"]"), ("Map(String, UInt8)", "'{\"a\": 1}'", "{\"a\":1}"),
        ("Tuple(a UInt8, b String)", "'{\"a\": 1, \"b\": \"x\"}'", "{\"a\":1,\"b\":\"x\"}"),
        ("UUID", "61f0c404-5cb3-11e7-907b-a6006ad3dba0", "\"61f0c404-5cb3-11e7-907b-a6006ad3dba0\""),
        ("IPv4", "10.0.0.1", "\"10.0.0.1\""),
    ]) func constantsAndDefaultsAreValuesOfTheColumn(_ type: String, _ literal: String, _ value: String) throws {
        let columns: [(name: String, type: String, expression: String?)] = [("n", "UInt8", nil), ("v", type, nil)]
        let constant = try RowFixture(columns, rules: "fields: {v: {constant: \(literal)}}")
        let expected = [#"{"n":1,"v":\#(value)}"#, #"{"n":2,"v":\#(value)}"#]
        #expect(try constant.read([#"{"n":1}"#, #"{"v":[{"whatever":1}],"n":2}"#]).rows == expected)
        let fallback = try RowFixture(columns, rules: "fields: {v: {default: \(literal)}}")
        #expect(try fallback.read([#"{"n":1}"#, #"{"n":2,"v":\#(value)}"#]).rows == expected)
    }

    @Test func aDefaultStandsForNullOnlyWhereTheColumnHasNone() throws {
        let fixture = try RowFixture(
            [("a", "UInt8", nil), ("b", "Nullable(UInt8)", nil), ("c", "UInt8", "9")],
            rules: "fields: {a: {default: 1}, b: {default: 2}, c: {default: 3, range: {max: 5}}}")
        let outcome = try fixture.read([
            "{}", #"{"a":null,"b":null,"c":null}"#, #"{"a":7,"b":8,"c":4}"#, #"{"c":6}"#, #"{"a":null,"a":1}"#,
        ])
        #expect(
            outcome.rows == [#"{"a":1,"b":2,"c":3}"#, #"{"a":1,"b":null,"c":3}"#, #"{"a":7,"b":8,"c":4}"#])
        #expect(outcome.refusals == ["rule_range c", "duplicate_key a"])
    }

    // MARK: Unknown fields

    @Test func unknownFieldsAreRejectedOrDropped() throws {
        let lines = [#"{"v":1}"#, #"{"v":2,"w":{"x":[1]}}"#]
        let reject = try RowFixture([("v", "UInt8", nil)], rules: "unknown_fields: {action: reject}")
        let outcome = try reject.read(lines)
        #expect(outcome.rows == [#"{"v":1}"#])
        #expect(outcome.refusals == ["unknown_field"])
        var drop = try RowFixture([("v", "UInt8", nil)], rules: "unknown_fields: {action: drop}")
        drop.settings.input.skipUnknownFields = false
        #expect(try drop.read(lines).rows == [#"{"v":1}"#, #"{"v":2}"#])
    }

    @Test(arguments: [
        ("String", #""{\"w\":{\"x\": [1, 2]},\"y\":\"a\\nb\",\"z\\u0041\":null}""#, "\"\""),
        ("Nullable(String)", #""{\"w\":{\"x\": [1, 2]},\"y\":\"a\\nb\",\"z\\u0041\":null}""#, "null"),
        ("LowCardinality(String)", #""{\"w\":{\"x\": [1, 2]},\"y\":\"a\\nb\",\"z\\u0041\":null}""#, "\"\""),
        ("Map(String, Nullable(String))", #"{"w":"{\"x\": [1, 2]}","y":"a\nb","zA":null}"#, "{}"),
    ]) func unknownFieldsAreCollected(_ type: String, _ collected: String, _ none: String) throws {
        let fixture = try RowFixture(
            [("v", "UInt8", nil), ("extra", type, "'x'")], rules: "unknown_fields: {action: collect, column: extra}")
        let outcome = try fixture.read([
            #"{"v":1}"#, #"{"w": {"x": [1, 2]},"v":2, "y" :"a\nb","z\u0041": null}"#, #"{"v":3}"#,
            #"{"v":"no","w":1}"#, #"{"v":4}"#,
        ])
        #expect(
            outcome.rows == [
                #"{"v":1,"extra":\#(none)}"#, #"{"v":2,"extra":\#(collected)}"#, #"{"v":3,"extra":\#(none)}"#,
                #"{"v":4,"extra":\#(none)}"#,
            ])
        #expect(outcome.refusals == ["type_mismatch v"])
    }

    @Test func whatIsCollectedHasALimitAndOneOwner() throws {
        let fixture = try RowFixture(
            [("v", "UInt8", nil), ("extra", "JSON", nil)],
            rules: "unknown_fields: {action: collect, column: extra, bytes_max: 20}\nsample: {keep_one_in: 1, by: who}")
        let fits = #"{"a":1,"b":"234567"}"#
        #expect(fits.utf8.count == 20)
        let outcome = try fixture.read([
            #"{"v":1,"a":1,"b":"234567"}"#, #"{"v":2,"a":1,"b":"2345678"}"#, #"{"v":3,"a":1,"extra":{}}"#,
            #"{"v":4,"extra":{"c":1}}"#, #"{"v":5,"a":1,"a":2}"#, #"{"v":6,"who":"me","table":"t"}"#,
        ])
        #expect(
            outcome.refusals == ["rule_unknown_fields extra", "duplicate_key extra", "type_mismatch extra"])
        #expect(outcome.rows.count == 3)
    }

    // MARK: Sampling

    @Test func samplingByAFieldKeepsAllRowsOfAValue() throws {
        let fixture = try RowFixture(
            [("user", "String", nil), ("n", "UInt32", nil)],
            rules: "fields: {user: {aliases: [u]}}\nsample: {keep_one_in: 4, by: user}")
        let reader = try fixture.reader()
        var lines = ""
        for number in 0..<4000 {
            let name = number % 3 == 0 ? "u" : "user"
            lines += "{\"\(name)\":\"user \(number % 400)\",\"n\":\(number)}\n"
        }
        lines += "{\"n\":\"no\"}\n{\"n\":5000}\n{\"user\":null,\"n\":5001}\n"
        let rejections = reader.read(ByteBuffer(string: lines))
        #expect(rejections.map(\.reason) == [.typeMismatch])
        var users: [String: Int] = [:]
        for block in reader.takeBlocks() {
            var printed = ByteBuffer()
            try RowPrinter.print(block, into: &printed)
            for line in String(buffer: printed).split(separator: "\n") {
                users[String(line.split(separator: "\"")[3]), default: 0] += 1
            }
        }
        // Rows without the field are kept; of them this is what stands in the user's place.
        #expect(users.removeValue(forKey: ",") == 2)
        let kept = users.filter { $0.key.hasPrefix("user ") }
        #expect(kept.values.allSatisfy { $0 == 10 })
        #expect((60...140).contains(kept.count))
        #expect(reader.takeSampledRows() == 4000 - kept.count * 10)
        #expect(reader.takeSampledRows() == 0)
    }

    @Test(arguments: Seeds.some(4)) func samplingByChanceFollowsItsSeed(_ seed: UInt64) throws {
        let fixture = try RowFixture([("n", "UInt32", nil)], rules: "sample: {keep_one_in: 10}")
        func kept(_ seed: UInt64) throws -> (rows: Int, bytes: [[UInt8]], sampled: Int) {
            let reader = try RowReader(
                table: RowFixture.table, structure: fixture.structure, settings: fixture.settings, seed: seed)
            _ = reader.read(ByteBuffer(string: (0..<5000).map { "{\"n\":\($0)}\n" }.joined()))
            let blocks = reader.takeBlocks()
            return (blocks.reduce(0) { $0 + $1.rows }, try blocks.map { try $0.native }, reader.takeSampledRows())
        }
        let first = try kept(seed)
        #expect((350...650).contains(first.rows), "seed \(seed)")
        #expect(first.rows + first.sampled == 5000)
        #expect(try kept(seed).bytes == first.bytes)
        #expect(try kept(seed &+ 1).bytes != first.bytes)
    }
}
