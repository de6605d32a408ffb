import ProducerProtocol
import Testing

@testable import Ingest

/// Rows of CSV that differed from what ClickHouse stores of them.
@Suite struct OddTextRowsTests {
    @Test(arguments: [
        ("Nullable(String)", #"{"n":1,"v":"\\N"}"#), ("Nullable(UInt8)", nil), ("Int128", nil),
        ("Nullable(Tuple(a UInt8))", nil), ("LowCardinality(Nullable(String))", #"{"n":1,"v":"\\N"}"#),
    ])
    func aNullHasItsDelimiterRightBehindIt(type: String, stored: String?) throws {
        let fixture = try RowFixture([("n", "UInt8", nil), ("v", type, nil)])
        for blank in [" ", "\t"] {
            let outcome = try fixture.read(Array("1,\\N\(blank)\n".utf8), as: SessionFormat(.csv), rows: 1)
            #expect(outcome.rows == (stored.map { [$0] } ?? []))
        }
        let null = try fixture.read(Array("1, \\N\n".utf8), as: SessionFormat(.csv), rows: 1)
        #expect(null.rejections.isEmpty)
    }

    @Test(arguments: [SessionFormat(.csv), SessionFormat(.tsv)])
    func jsonOverSeveralLinesLands(format: SessionFormat) throws {
        let fixture = try RowFixture([("n", "UInt8", nil), ("j", "JSON", nil)])
        let cells =
            format.format.isCSV
            ? ["\"{\n\"\"a\"\": [1,\r\n2]\n}\"", "\"{\"\"a\"\":\"\"x\ny\"\"}\"", "{}"]
            : [#"{\n"a": [1,\r\n2]\n}"#, #"{"a":"x\ny"}"#, "{}"]
        let text = cells.map { "1\(format.format.isCSV ? "," : "\t")\($0)\n" }.joined()
        let outcome = try fixture.read(Array(text.utf8), as: format, rows: 3)
        #expect(outcome.refusals == ["type_mismatch j"])
        #expect(outcome.rows == ["{\"n\":1,\"j\":{ \"a\": [1,\r 2] }}", #"{"n":1,"j":{}}"#])
    }

    @Test func aVariantsRowOfTextWithoutAMatchingTypeIsRejected() throws {
        let fixture = try RowFixture([("n", "UInt8", nil), ("v", "Variant(Array(UInt8), UInt64)", nil)])
        let csv = "1,7\n2,x\n3,\"[1,2]\"\n4,\\N\n5,\n6,300\n"
        let outcome = try fixture.read(Array(csv.utf8), as: SessionFormat(.csv), rows: 6)
        // ClickHouse takes 7 for [7], and 300 for none of the array's.
        #expect(outcome.refusals == Array(repeating: "type_mismatch v", count: 3))
        #expect(outcome.rows == [#"{"n":3,"v":[1,2]}"#, #"{"n":4,"v":null}"#, #"{"n":5,"v":null}"#])
    }

    @Test func rowsOfTextHaveNoSayInHowJSONIsRead() throws {
        // The list that a cell becomes is no value of a Variant in JSON.
        let fixture = try RowFixture([("v", "Variant(String, UInt64)", nil), ("d", "Dynamic", nil)])
        let outcome = try fixture.read([#"{"v":[1,"5"]}"#, #"{"d":["Int64","5"]}"#])
        #expect(outcome.rows == [#"{"v":"[1,\"5\"]","d":null}"#, #"{"v":null,"d":["Int64","5"]}"#])
    }

    /// Unlike one of other columns: of a Variant ClickHouse takes the cell first, without blanks, and looks for NULL then.
    @Test(arguments: [("Variant(String)", "null"), ("Variant(Array(UInt8), String)", "null"), ("Dynamic", #""\\N""#)])
    func aNullOfAVariantMayHaveBlanksBehindIt(type: String, stored: String) throws {
        let fixture = try RowFixture([("n", "UInt8", nil), ("v", type, nil)])
        for blank in [" ", "\t"] {
            let outcome = try fixture.read(Array("1,\\N\(blank)\n".utf8), as: SessionFormat(.csv), rows: 1)
            #expect(outcome.rows == [#"{"n":1,"v":\#(stored)}"#])
        }
    }

    /// In CSV each value of a tuple is a cell. A NULL at the beginning of one within it is to ClickHouse all of that one.
    @Test func aNullIsNotTheFirstValueOfATupleWithinATuple() throws {
        let fixture = try RowFixture([("v", "Tuple(a UInt8, b Tuple(c UInt8, d Nullable(UInt8)))", nil)])
        let outcome = try fixture.read(Array("1,\\N,3\n4,5,\\N\n".utf8), as: SessionFormat(.csv), rows: 2)
        #expect(outcome.rows.count == 1 && outcome.refusals.count == 1)
        let single = try RowFixture([("v", "Tuple(a UInt8, b Tuple(c Nullable(UInt8)))", nil)])
        let taken = try single.read(Array("2,\\N\n".utf8), as: SessionFormat(.csv), rows: 1)
        #expect(taken.rows == [#"{"v":{"a":2,"b":{"c":null}}}"#])
    }

    /// In an array a Bool is one of few words. By itself it may be any that ClickHouse knows.
    @Test func aBoolInAnArrayIsNotShortened() throws {
        let fixture = try RowFixture([
            ("v", "Array(Bool)", nil), ("w", "Variant(Array(Bool))", nil), ("b", "Bool", nil),
        ])
        let rows = ["\"[1,t]\",\\N,t", "\\N,\"[1,t]\",t", "\"[TRUE,0]\",\"[false]\",yes", "\"[y]\",\\N,y"]
        let outcome = try fixture.read(
            Array((rows.joined(separator: "\n") + "\n").utf8), as: SessionFormat(.csv), rows: rows.count)
        #expect(outcome.rows == [#"{"v":[true,false],"w":[false],"b":true}"#])
        #expect(outcome.refusals.count == 3)
    }

    /// ClickHouse stores a 0 for some of them, and fails at others.
    @Test(arguments: ["t7", " n1", "tinf", "f-0.5", "[1,t2]", "tn1", " tn1", "tFALSE", "fnnull"])
    func halfAWordBeforeANumberIsOfNoCertainType(cell: String) throws {
        let fixture = try RowFixture([("v", "Dynamic", nil)])
        let outcome = try fixture.read(Array("\(cell)\n".utf8), as: SessionFormat(.tsv), rows: 1)
        #expect(outcome.refusals == ["type_mismatch v"])
        let text = try fixture.read(Array("tin\n".utf8), as: SessionFormat(.tsv), rows: 1)
        #expect(text.rows == [#"{"v":"tin"}"#])
    }
}
