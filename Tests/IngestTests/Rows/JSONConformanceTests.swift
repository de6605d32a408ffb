import Foundation
import NIOCore
import Testing

/// The public corpus of Nicolas Seriot (github.com/nst/JSONTestSuite, folder `test_parsing`), which is not part of this
/// repository: `SLUICE_JSON_TEST_SUITE=…/test_parsing swift test --filter JSONConformanceTests`. Files called `y_…` must be
/// read, `n_…` refused; of `i_…` a parser may think what it likes.
@Suite struct JSONConformanceTests {
    static let directory = ProcessInfo.processInfo.environment["SLUICE_JSON_TEST_SUITE"]

    /// A JSON column has each path once, as in ClickHouse (`type_json_skip_duplicated_paths` is off there).
    private static let refusedAnyway = ["y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"]

    @Test(.enabled(if: directory != nil, "SLUICE_JSON_TEST_SUITE names no folder"))
    func valuesAreReadOrRefusedAsTheSuiteSays() throws {
        let folder = try #require(Self.directory)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".json") }
            .sorted()
        #expect(names.count > 300)
        let fixture = try RowFixture(type: "JSON")
        var counts = (read: 0, refused: 0)
        for name in names {
            var text = Array(try Data(contentsOf: URL(fileURLWithPath: folder).appendingPathComponent(name)))
            while text.last == 0x0A { text.removeLast() }
            // A row is a line: breaks between tokens become spaces. In texts they are an error either way.
            guard !name.contains("newline") || !text.contains(0x0A) else { continue }
            text = text.map { $0 == 0x0A ? 0x20 : $0 }
            let row = ByteBuffer(bytes: Array(#"{"v":{"x":"#.utf8) + text + Array("}}\n".utf8))
            let outcome = try fixture.read([row])
            let isRead = outcome.rejections.isEmpty
            isRead ? (counts.read += 1) : (counts.refused += 1)
            #expect(outcome.rejections.count <= 1, "\(name)")
            if name.hasPrefix("y_") {
                #expect(isRead == !Self.refusedAnyway.contains(name), "\(name): \(outcome.refusals)")
            }
            if name.hasPrefix("n_") {
                #expect(!isRead, "\(name) is read as \(outcome.rows)")
            }
        }
        print("JSONTestSuite: \(counts.read) read, \(counts.refused) refused")
    }
}
