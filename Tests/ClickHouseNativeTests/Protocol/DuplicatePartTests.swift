import Testing

@testable import ClickHouseNative

@Suite struct DuplicatePartTests {
    @Test(arguments: [
        ("Block with ID all_1_2 already exists as part all_7_7_0; ignoring it", "all_7_7_0"),
        ("Block with ID a_1 already exists as part a_b_12_12_0_3; ignoring it", "a_b_12_12_0_3"),
        ("Block with ID all_1_2 already exists locally as part all_7_7_0; ignoring it.", nil),
        ("Wrote block with 3 rows", nil),
    ])
    func onlyLinesOfThatKindNameAPart(line: String, part: String?) {
        #expect(DuplicatePart(source: "default.t (x)", text: line)?.name == part)
    }

    @Test func aPartIsKnownByItsPartitionAndBlock() {
        func place(_ name: String) -> String? {
            DuplicatePart(source: "", name: name).place.map { "\($0.partition) \($0.block)" }
        }
        #expect(place("all_7_7_0") == "all 7")
        #expect(place("202601_12_12_0") == "202601 12")
        #expect(place("a_b_12_12_0") == "a_b 12")
        // A merged one, and what is no part at all.
        #expect(place("all_7_9_1") == nil)
        #expect(place("all") == nil)
        #expect(place("") == nil)
    }

    @Test func anotherTablesPartsAreNotOurs() {
        let part = DuplicatePart(source: "default.t2 (uuid)", name: "all_1_1_0")
        #expect(part.isOf(database: "default", table: "t2"))
        #expect(!part.isOf(database: "default", table: "t"))
        #expect(!part.isOf(database: "other", table: "t2"))
    }
}
