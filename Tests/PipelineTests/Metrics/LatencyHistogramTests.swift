import TestSupport
import Testing

@testable import Pipeline

@Suite struct LatencyHistogramTests {
    private func histogram(_ durations: [Duration]) -> LatencySnapshot {
        let histogram = LatencyHistogram()
        durations.forEach(histogram.observe)
        return histogram.snapshot()
    }

    @Test func whatIsShownToPrometheusIsExact() {
        for bound in LatencySnapshot.exportedBounds {
            let snapshot = histogram([bound, bound + .nanoseconds(1)])
            #expect(snapshot.cumulative(to: bound) == 1, "\(bound) is within its own bound, a nanosecond more is not")
        }
        #expect(LatencySnapshot.exportedBounds == LatencySnapshot.exportedBounds.sorted())
        #expect(LatencySnapshot.exportedBounds.contains(.milliseconds(5)))
        #expect(LatencySnapshot.exportedBounds.contains(.milliseconds(10)))
    }

    @Test(arguments: Seeds.some(10))
    func aQuantileIsAtMostAThirtySecondAboveTheTruth(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let durations = (0..<1_000).map { _ in Duration.nanoseconds(random.int(1...(1 << random.int(10...42)))) }
        let snapshot = histogram(durations)
        let sorted = durations.sorted()
        for share in [0.01, 0.5, 0.9, 0.99, 1] {
            let truth = sorted[max(0, Int((share * 1_000).rounded(.up)) - 1)]
            let answer = snapshot.quantile(share)
            // A unit (0.98 µs) is what the smallest buckets are wide, and bounds are whole nanoseconds.
            #expect(answer >= truth - .nanoseconds(1))
            #expect(answer.seconds <= truth.seconds * (1 + 1.0 / 32) + 1e-6)
        }
    }

    @Test func whatIsBeyondAllBucketsIsCountedAndKnownByTheLongest() {
        let snapshot = histogram([.zero, .seconds(-1), .seconds(86_400), .seconds(1 << 40)])
        #expect(snapshot.count == 4 && snapshot.max == .nanoseconds(Int64.max))
        #expect(snapshot.quantile(0.5) == .zero || snapshot.quantile(0.5) <= .microseconds(1))
        #expect(snapshot.quantile(1) == snapshot.max)
    }

    @Test func twoHistogramsAddUpAndTellWhatCameBetween() {
        let histogram = LatencyHistogram()
        histogram.observe(.milliseconds(1))
        let before = histogram.snapshot()
        histogram.observe(.milliseconds(3))
        histogram.observe(.milliseconds(5))
        let after = histogram.snapshot()

        let between = after.since(before)
        #expect(between.count == 2 && between.average == .milliseconds(4) && between.max == .milliseconds(5))
        #expect(before + between == after)
        #expect(after.since(after).count == 0 && after.since(after).quantile(0.99) == .zero)
    }

    @Test func nothingIsLostBetweenThreads() async {
        let histogram = LatencyHistogram()
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask { for number in 0..<2_000 { histogram.observe(.microseconds(task * 1_000 + number)) } }
            }
        }
        let snapshot = histogram.snapshot()
        #expect(snapshot.count == 16_000)
        #expect(snapshot.sum == (0..<8).reduce(.zero) { $0 + .microseconds($1 * 1_000 * 2_000 + 1_999_000) })
    }
}
