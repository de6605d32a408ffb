import Synchronization

/// Only ever grows. An addition is one atomic operation.
public final class Counter: Sendable {
    private let value = Atomic<UInt64>(0)

    public init() {}

    public func add(_ amount: Int = 1) {
        assert(amount >= 0, "a counter only grows")
        value.wrappingAdd(UInt64(truncatingIfNeeded: amount), ordering: .relaxed)
    }

    public var current: UInt64 { value.load(ordering: .relaxed) }
}

/// Goes up and down.
public final class Gauge: Sendable {
    private let value = Atomic<Int>(0)

    public init() {}

    public func add(_ amount: Int = 1) { value.wrappingAdd(amount, ordering: .relaxed) }
    public func subtract(_ amount: Int = 1) { value.wrappingSubtract(amount, ordering: .relaxed) }
    public func set(_ amount: Int) { value.store(amount, ordering: .relaxed) }

    public var current: Int { value.load(ordering: .relaxed) }
}

/// How long things took, in buckets that double: 0.25 ms, 0.5 ms, 1 ms … 131 s, and beyond. Noted once for a batch or
/// block, never for a row; so a lock is cheap enough.
public final class LatencyHistogram: Sendable {
    /// Upper bounds of all buckets but the last, which has none.
    public static let bounds: [Duration] = (0..<20).map { .microseconds(250 << $0) }

    private let state = Mutex(LatencySnapshot())

    public init() {}

    public func observe(_ duration: Duration) {
        let duration = max(.zero, duration)
        // The number of doublings of 250 µs, found without a search.
        let units = UInt64(clamping: (duration.nanoseconds &- 1) / 250_000)
        let bucket = duration <= Self.bounds[0] ? 0 : min(Self.bounds.count, 64 - units.leadingZeroBitCount)
        state.withLock { state in
            state.buckets[bucket] += 1
            state.count += 1
            state.sum += duration
            state.max = Swift.max(state.max, duration)
        }
    }

    public func snapshot() -> LatencySnapshot { state.withLock { $0 } }
}

public struct LatencySnapshot: Hashable, Sendable {
    /// Not cumulative; one for each of `LatencyHistogram.bounds` and one for all that took longer.
    public internal(set) var buckets = [UInt64](repeating: 0, count: LatencyHistogram.bounds.count + 1)
    public internal(set) var count: UInt64 = 0
    public internal(set) var sum: Duration = .zero
    public internal(set) var max: Duration = .zero

    public init() {}

    public var average: Duration { count == 0 ? .zero : sum / Int(clamping: count) }

    /// The bound below which this share of all lies: at most twice the true value.
    public func quantile(_ share: Double) -> Duration {
        guard count > 0 else { return .zero }
        let rank = share * Double(count)
        var seen: UInt64 = 0
        for (bucket, amount) in buckets.enumerated() {
            seen += amount
            if Double(seen) >= rank, amount > 0 {
                return bucket < LatencyHistogram.bounds.count ? min(max, LatencyHistogram.bounds[bucket]) : max
            }
        }
        return max
    }
}

/// Rows per second over the last seconds: a ring with a place for each second.
struct RateWindow: Sendable {
    /// Whole seconds that are looked back on.
    static let secondsMax = 30

    private var places = [(second: Int64, amount: UInt64)](repeating: (-1, 0), count: secondsMax + 1)

    mutating func add(_ amount: Int, at elapsed: Duration) {
        let second = elapsed.components.seconds
        let place = Int(second % Int64(places.count))
        if places[place].second != second { places[place] = (second, 0) }
        places[place].amount += UInt64(clamping: amount)
    }

    /// Over the last whole seconds, or since the start if that is less; the second that runs counts while there is no
    /// whole one.
    func perSecond(at elapsed: Duration) -> Double {
        let current = elapsed.components.seconds
        guard current > 0 else { return Double(amount(of: 0...0)) }
        let first = max(0, current - Int64(Self.secondsMax))
        return Double(amount(of: first...current - 1)) / Double(current - first)
    }

    private func amount(of seconds: ClosedRange<Int64>) -> UInt64 {
        places.reduce(0) { seconds.contains($1.second) ? $0 + $1.amount : $0 }
    }
}
