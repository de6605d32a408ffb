/// How much may pass on average: a bucket that fills at a steady rate. What is taken may be more than is there; it is then
/// owed, and nothing more should pass until that is paid. A value; time is told to it.
public struct TokenBucket: Hashable, Sendable {
    /// So much flows in each second.
    public let rate: Double
    /// And is kept, at most.
    public let capacity: Double
    /// Below 0: owed.
    public private(set) var level: Double
    /// When it was used last.
    public private(set) var at: StageClock.Instant

    /// Full at first.
    ///
    /// - Parameters:
    ///   - rate: per second, above 0.
    ///   - burst: it holds what flows in in so long a time.
    public init(rate: Int, burst: Duration, at now: StageClock.Instant) {
        self.rate = Double(rate)
        capacity = Double(rate) * burst.seconds
        level = capacity
        at = now
    }

    /// The same with other bounds: what is owed stays owed.
    public func reconfigured(rate: Int, burst: Duration, at now: StageClock.Instant) -> TokenBucket {
        var old = self
        old.fill(at: now)
        var new = TokenBucket(rate: rate, burst: burst, at: now)
        new.level = min(new.capacity, old.level)
        return new
    }

    public mutating func take(_ amount: Int, at now: StageClock.Instant) {
        fill(at: now)
        level -= Double(amount)
    }

    /// How long until so much is there; nil: it is.
    public mutating func wait(for amount: Double, at now: StageClock.Instant) -> Duration? {
        fill(at: now)
        return level >= amount ? nil : .seconds((amount - level) / rate)
    }

    /// When nothing is owed any more; nil: it is not now.
    ///
    /// - Parameter share: of the capacity that is to be there then.
    public mutating func due(at now: StageClock.Instant, share: Double = 0) -> StageClock.Instant? {
        guard wait(for: 0, at: now) != nil, let wait = wait(for: share * capacity, at: now) else { return nil }
        return now + wait
    }

    public mutating func isFull(at now: StageClock.Instant) -> Bool { wait(for: capacity, at: now) == nil }

    private mutating func fill(at now: StageClock.Instant) {
        // Of two threads that ask at once, the later one may bring the earlier time.
        guard now > at else { return }
        level = min(capacity, level + (now - at).seconds * rate)
        at = now
    }
}
