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
