import Pipeline
import Testing

@testable import Ingest

/// The words that metrics begin with are those that are counted.
@Suite struct KnownReasonsTests {
    @Test func theyAreTheOnesThatAreCounted() {
        #expect(KnownReasons.deadLetterDiscards == DeadLetter.DiscardReason.allCases.map(\.rawValue).sorted())
        #expect(KnownReasons.rateLimits == RateLimits.Reason.allCases.map(\.rawValue).sorted())
    }
}
