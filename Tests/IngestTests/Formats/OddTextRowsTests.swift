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
}
