import Synchronization

/// How long things took, in log-linear buckets as HdrHistogram has them: each doubling is cut into 32 equal parts, so that
/// a bucket is at most 1/32 of its value wide, from a microsecond to two hours, in 7 KiB.
///
/// Noting a duration is a few atomic additions: no lock, no allocation, from any thread. A reader may see a bucket that
/// was counted and a sum that was not yet; nothing is ever lost.
///
/// Memory safety: `counts` points at `LatencyBuckets.count` initialized counters from `init` to `deinit`, and every index
/// comes from `LatencyBuckets.index`, which is held below that.
public final class LatencyHistogram: @unchecked Sendable {
    private let counts: UnsafeMutablePointer<Atomic<UInt64>>
    private let sumNanoseconds = Atomic<UInt64>(0)
    private let maxNanoseconds = Atomic<UInt64>(0)

    public init() {
        counts = .allocate(capacity: LatencyBuckets.count)
        for index in 0..<LatencyBuckets.count { (counts + index).initialize(to: Atomic(0)) }
    }

    deinit {
        counts.deinitialize(count: LatencyBuckets.count)
        counts.deallocate()
    }

    public func observe(_ duration: Duration) {
        let nanoseconds = UInt64(max(0, duration.nanoseconds))
        counts[LatencyBuckets.index(of: nanoseconds)].wrappingAdd(1, ordering: .relaxed)
        sumNanoseconds.wrappingAdd(nanoseconds, ordering: .relaxed)
        maxNanoseconds.max(nanoseconds, ordering: .relaxed)
    }

    public func snapshot() -> LatencySnapshot {
        let copy = [UInt64](unsafeUninitializedCapacity: LatencyBuckets.count) { copy, initialized in
            for index in 0..<LatencyBuckets.count {
                (copy.baseAddress! + index).initialize(to: counts[index].load(ordering: .relaxed))
            }
            initialized = LatencyBuckets.count
        }
        return LatencySnapshot(
            counts: copy,
            sumNanoseconds: sumNanoseconds.load(ordering: .relaxed),
            maxNanoseconds: maxNanoseconds.load(ordering: .relaxed))
    }
}

/// Where a duration falls. Its unit is 1/1024 of a millisecond, so that 1, 2, 4 … ms are the beginnings of octaves and
/// 5, 10 and 25 ms those of buckets.
enum LatencyBuckets {
    /// Parts of an octave: 32.
    private static let partsLog2 = 5
    private static let parts = 1 << partsLog2
    /// Octaves above the first, which is cut into single units.
    private static let octaves = 28
    /// All buckets; the last one also has what is longer than all of them (140 minutes).
    static let count = parts * (octaves + 1)

    /// The bucket of a duration: its upper bound is not below the duration, and the bound before it is.
    static func index(of nanoseconds: UInt64) -> Int {
        // Whole units, rounded down from just below the duration, so that a bound belongs to the bucket that it ends.
        guard nanoseconds > 0 else { return 0 }
        guard nanoseconds < 1 << 53 else { return count - 1 }
        let units = (nanoseconds * 1024 - 1) / 1_000_000
        guard units >= UInt64(parts) else { return Int(units) }
        let shift = UInt64.bitWidth - units.leadingZeroBitCount - 1 - partsLog2
        return min(count - 1, (shift << partsLog2) + Int(units >> UInt64(shift)))
    }

    /// The largest duration of a bucket, in units.
    static func upperBound(of index: Int) -> UInt64 {
        guard index >= parts else { return UInt64(index) + 1 }
        let shift = UInt64(index >> partsLog2) - 1
        return (UInt64(index & (parts - 1)) + UInt64(parts) + 1) << shift
    }

    static func nanoseconds(ofUnits units: UInt64) -> UInt64 { units * 1_000_000 / 1024 }
}

/// A latency histogram at one moment; two of them add up.
public struct LatencySnapshot: Hashable, Sendable {
    /// Bounds of the buckets that are shown to Prometheus, each a bound of ours as well, so that what is counted below them
    /// is exact. 5 and 10 ms are where alerts begin.
    public static let exportedBounds: [Duration] =
        [.microseconds(250), .microseconds(500)] + [1, 2, 4, 5, 8, 10, 16, 25].map { .milliseconds($0) }
        + (5...16).map { .milliseconds(1 << $0) }

    private var counts: [UInt64]
    private var sumNanoseconds: UInt64
    private var maxNanoseconds: UInt64

    public init() {
        self.init(counts: [UInt64](repeating: 0, count: LatencyBuckets.count), sumNanoseconds: 0, maxNanoseconds: 0)
    }

    init(counts: [UInt64], sumNanoseconds: UInt64, maxNanoseconds: UInt64) {
        self.counts = counts
        self.sumNanoseconds = sumNanoseconds
        self.maxNanoseconds = maxNanoseconds
    }

    public var count: UInt64 { counts.reduce(0, &+) }
    public var sum: Duration { .nanoseconds(Int64(clamping: sumNanoseconds)) }
    public var max: Duration { .nanoseconds(Int64(clamping: maxNanoseconds)) }

    public var average: Duration {
        let count = count
        return count == 0 ? .zero : .nanoseconds(Int64(clamping: sumNanoseconds / count))
    }

    /// The duration that this share of all did not exceed: at most 1/32 above the true value.
    public func quantile(_ share: Double) -> Duration {
        let rank = share * Double(count)
        var seen: UInt64 = 0
        for (index, amount) in counts.enumerated() where amount > 0 {
            seen += amount
            // What is beyond all bounds is known by the longest alone.
            if Double(seen) >= rank, index < counts.count - 1 {
                let bound = LatencyBuckets.nanoseconds(ofUnits: LatencyBuckets.upperBound(of: index))
                return min(max, .nanoseconds(Int64(clamping: bound)))
            }
        }
        return max
    }

    /// How many did not exceed a bound of `exportedBounds`.
    func cumulative(to bound: Duration) -> UInt64 {
        counts[...LatencyBuckets.index(of: UInt64(Swift.max(0, bound.nanoseconds)))].reduce(0, &+)
    }

    public static func + (left: LatencySnapshot, right: LatencySnapshot) -> LatencySnapshot {
        LatencySnapshot(
            counts: zip(left.counts, right.counts).map { $0 &+ $1 },
            sumNanoseconds: left.sumNanoseconds &+ right.sumNanoseconds,
            maxNanoseconds: Swift.max(left.maxNanoseconds, right.maxNanoseconds))
    }

    /// What came between two snapshots of one histogram. The longest is not known exactly: it is the bound of its bucket.
    public func since(_ earlier: LatencySnapshot) -> LatencySnapshot {
        let counts = zip(counts, earlier.counts).map { $0 &- $1 }
        var longest: UInt64 = 0
        if let last = counts.lastIndex(where: { $0 > 0 }) {
            longest = Swift.min(
                maxNanoseconds, LatencyBuckets.nanoseconds(ofUnits: LatencyBuckets.upperBound(of: last)))
        }
        return LatencySnapshot(
            counts: counts, sumNanoseconds: sumNanoseconds &- earlier.sumNanoseconds, maxNanoseconds: longest)
    }
}
