import Foundation

/// Seeds for tests with random input. Handed over as a test's arguments, so that a failure names the seed:
/// `@Test(arguments: Seeds.some(20))`. `SLUICE_TEST_SEED=17` repeats one seed alone.
public enum Seeds {
    /// Rows that a test with random ones is to try (`SLUICE_TEST_ROWS`); nil: its own few.
    public static let rows = ProcessInfo.processInfo.environment["SLUICE_TEST_ROWS"].flatMap { Int($0) }
    /// So many that tables have more rows, and a question to a server is about more of them. A seed stands for other rows then.
    public static let isLong = (rows ?? 0) >= 50_000

    /// Half of them the same on every run, half of them fresh; from `SLUICE_TEST_FIRST_SEED` on, if that is set.
    public static func some(_ count: Int) -> [UInt64] {
        if let text = ProcessInfo.processInfo.environment["SLUICE_TEST_FIRST_SEED"], let first = UInt64(text) {
            return (0..<UInt64(count)).map { first &+ $0 }
        }
        if let text = ProcessInfo.processInfo.environment["SLUICE_TEST_SEED"], let seed = UInt64(text) { return [seed] }
        let fixed = (count + 1) / 2
        return (0..<count).map { $0 < fixed ? UInt64($0) : UInt64.random(in: 1_000...UInt64(UInt32.max)) }
    }
}

/// SplitMix64: the same numbers for the same seed, on every machine.
public struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    public mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }

    /// True in one of `odds` cases.
    public mutating func one(in odds: Int) -> Bool { int(1...odds) == 1 }
}
