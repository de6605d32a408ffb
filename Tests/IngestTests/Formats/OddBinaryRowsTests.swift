import Pipeline
import ProducerProtocol
import Testing

@testable import Ingest

/// Rows of binary formats that a fuzzer found: they cost themselves only, and none is stored as another one.
@Suite struct OddBinaryRowsTests {
    private func read(
        _ columns: [(name: String, type: String, expression: String?)], _ format: SessionFormat, _ bytes: [UInt8],
        rows: Int, _ change: (inout RowFixture) -> Void = { _ in }
    ) throws -> RowFixture.Outcome {
        var fixture = try RowFixture(columns)
        change(&fixture)
        return try fixture.read(bytes, as: format, rows: rows)
    }

    @Test(arguments: [["v"], ["n.a", "n.b"]])
    func rowsOfABlockWithoutColumnsAreRejected(names: [String]) throws {
        let columns = names.map { (name: $0, type: "Array(UInt8)", expression: String?.none) }
        let outcome = try read(columns, SessionFormat(.native), [0, 2], rows: 2)
        #expect(outcome.refusals == ["malformed_row", "unreadable_rest"])
        #expect(outcome.blocks.isEmpty)
    }

    @Test(arguments: ["Variant(UInt64, String)", "Dynamic"])
    func valuesOfAnotherTypeForAColumnThatIsReadByTryingAreRejected(type: String) throws {
        let format = SessionFormat(.rowBinary, columns: ["v"], types: ["FixedString(1)"])
        let outcome = try read([("v", type, nil)], format, [0x61, 0x62], rows: 2)
        #expect(outcome.refusals == ["type_mismatch v", "type_mismatch v"])
        #expect(outcome.blocks.isEmpty)
    }

    @Test func aNullThatIsRefusedDoesNotHideWhatOtherRowsHave() throws {
        let format = SessionFormat(.rowBinary, columns: ["a"], types: ["Nullable(String)"])
        let outcome = try read([("a", "UInt8", nil)], format, [1, 0, 1, 0x78, 0, 1, 0x37], rows: 3) {
            $0.settings.input.nullAsDefault = false
        }
        #expect(outcome.refusals == ["null_not_allowed a", "type_mismatch a"])
        #expect(outcome.rows == [#"{"a":7}"#])
    }

    @Test func aBadRowWithAFieldThatTheTableLacksIsRejectedOnce() throws {
        let format = SessionFormat(.rowBinary, columns: ["a", "new"], types: ["Bool", "UInt8"])
        let outcome = try read([("a", "Bool", nil)], format, [2, 1, 1, 1], rows: 2)
        #expect(outcome.refusals == ["type_mismatch a"])
        #expect(outcome.rows == [#"{"a":true}"#])
    }

    /// In a table with Nested columns rows are printed, a line each.
    @Test(arguments: [[], ["n.a", "n.b"]])
    func aLineBreakInJSONIsNoSecondRow(nested: [String]) throws {
        let columns = [("j", "JSON", nil)] + nested.map { (name: $0, type: "Array(UInt8)", expression: String?.none) }
        let text = Array("{}}\n{\"j\":{}".utf8)
        let format = SessionFormat(.rowBinary, columns: ["j"], types: ["JSON"])
        let outcome = try read(columns, format, [UInt8(text.count)] + text + [2] + Array("{}".utf8), rows: 2)
        #expect(outcome.refusals == ["malformed_json"])
        #expect(outcome.blocks.reduce(0) { $0 + $1.rows } == 1)
    }

    /// Between tokens it is blank space, and the text goes on on one line; a dead letter has it as it came.
    @Test(arguments: [[], ["n.a", "n.b"]], [RowFormat.rowBinary, .native])
    func jsonOverSeveralLinesLands(nested: [String], format: RowFormat) throws {
        let columns = [("j", "JSON", nil)] + nested.map { (name: $0, type: "Array(UInt8)", expression: String?.none) }
        let texts = ["{\n \"a\":\r\n\"x\\ny\"}\n", "{\"a\":\"x\ny\"}", "{}"].map { Array($0.utf8) }
        let values = texts.flatMap { [UInt8($0.count)] + $0 }
        let bytes: [UInt8] =
            format == .native
            ? [1, 3, 1] + Array("j".utf8) + [4] + Array("JSON".utf8) + [1, 0, 0, 0, 0, 0, 0, 0] + values : values
        let outcome = try read(
            columns,
            SessionFormat(format, columns: format == .native ? nil : ["j"], types: format == .native ? nil : ["JSON"]),
            bytes, rows: 3)
        #expect(outcome.refusals == ["type_mismatch j"])
        #expect(outcome.rejections.first.map { $0.bytes.readableBytesView.contains(0x0A) } == true)
        #expect(outcome.rows.map { $0.prefix { $0 != "}" } } == [#"{"j":{  "a":"# + "\r" + #" "x\ny""#, #"{"j":{"#])
    }

    /// Rows of such a table go by text, in which there is no infinity.
    @Test func aFloatThatIsNoNumberCostsItsOwnRow() throws {
        let format = SessionFormat(.rowBinary, columns: ["f"], types: ["Float32"])
        let bytes = [Float.infinity, 1.5, .nan].flatMap { float in withUnsafeBytes(of: float) { Array($0) } }
        let columns: [(name: String, type: String, expression: String?)] = [
            ("f", "Float32", nil), ("n.a", "Array(UInt8)", nil), ("n.b", "Array(UInt8)", nil),
        ]
        let outcome = try read(columns, format, bytes, rows: 3)
        #expect(outcome.refusals == ["unsupported_format f", "unsupported_format f"])
        #expect(outcome.rows == [#"{"f":1.5,"n.a":[],"n.b":[]}"#])
    }
}
