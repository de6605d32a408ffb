import TestSupport
import Testing

@testable import Pipeline

@Suite struct RejectionSamplesTests {
    private let clock = ManualClock()

    private func record(_ samples: RejectionSamples, _ reason: String, message: String = "", table: String? = "t") {
        samples.record(table: table, reason: reason, message: message, session: 1, time: 0) { "" }
    }

    @Test func theNewestOfEachReasonIsKeptAndLookedAtOnceASecond() {
        let samples = RejectionSamples(clock: StageClock(clock))
        record(samples, "a", message: "1")
        record(samples, "a", message: "2")
        #expect(samples.snapshot().map(\.message) == ["1"])
        clock.advance(by: .seconds(1))
        record(samples, "a", message: "3")
        clock.advance(by: .milliseconds(1))
        record(samples, "b", message: "4")
        #expect(samples.snapshot().map(\.message) == ["4", "3"])
    }

    @Test func theirNumberIsBounded() {
        let samples = RejectionSamples(clock: StageClock(clock))
        for number in 0..<RejectionSamples.samplesMax + 20 {
            clock.advance(by: .seconds(1))
            record(samples, "r\(number)")
        }
        let kept = samples.snapshot().map(\.reason)
        #expect(kept.count == RejectionSamples.samplesMax && kept.first == "r83" && !kept.contains("r0"))
    }

    @Test(
        arguments: [
            (#"{"ts":"2024-01-15","n":42}"#, #"{"ts":"9999-99-99","n":99}"#),
            (#"{"mail":"a@b.org"}"#, #"{"mail":"x@x.xxx"}"#),
            (#"{"a":null,"b":true}"#, #"{"a":null,"b":xxxx}"#),
            (#"{"m":{"bob@x.org":1},"l":["k"]}"#, #"{"m":{"xxx@x.xxx":9},"l":["x"]}"#),
            (#"{"q":"say \"hi\": {"}"#, #"{"q":"xxx \"xx\": {"}"#),
            (#"secret"#, "xxxxxx"),
            (#"{"cut":"off"#, #"{"cut":"xxx"#),
            ("{\"a\":\"\u{1}é\"}", #"{"a":" xx"}"#),
            (#"["name":1]"#, #"["name":9]"#),
        ])
    func onlyTheShapeOfARowIsShown(row: String, shape: String) {
        #expect(RedactedRow.of(row.utf8) == shape)
    }

    @Test func aLongRowIsCutAndALongNameIsData() {
        let name = String(repeating: "k", count: RedactedRow.nameBytesMax + 1)
        #expect(!RedactedRow.of("{\"\(name)\":1}".utf8).contains("k"))
        #expect(RedactedRow.of([UInt8](repeating: 0x31, count: 10_000)).utf8.count <= RedactedRow.bytesMax + 3)
    }

    /// No letter or digit of a value comes through, whatever the bytes are.
    @Test(arguments: Seeds.some(20))
    func noValueComesThrough(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let bytes = (0..<200).map { _ in UInt8(random.int(0...255)) }
        let row = Array("{\"name\":\"".utf8) + bytes.filter { $0 != 0x22 && $0 != 0x5C } + Array("\"}".utf8)
        let shape = RedactedRow.of(row).dropFirst(9).dropLast(2)
        #expect(!shape.contains { ($0.isLetter && $0 != "x") || ($0.isNumber && $0 != "9") })
    }
}
