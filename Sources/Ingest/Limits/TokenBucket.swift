import Pipeline

/// How much may pass on average: a bucket that fills at a steady rate. What is taken may be more than is there; it is then
/// owed, and nothing more should pass until that is paid. A value; time is told to it.
struct TokenBucket: Hashable, Sendable {
    /// So much flows in each second.
    let rate: Double
    /// And is kept, at most.
    let capacity: Double
    /// Below 0: owed.
    private(set) var level: Double
    private var at: StageClock.Instant

    /// Full at first.
    ///
    /// - Parameters:
    ///   - rate: per second, above 0.
    ///   - burst: it holds what flows in in so long a time.
    init(rate: Int, burst: Duration, at now: StageClock.Instant) {
        self.rate = Double(rate)
        capacity = Double(rate) * burst.seconds
        level = capacity
        at = now
    }

    /// The same with other bounds: what is owed stays owed.
    func reconfigured(rate: Int, burst: Duration, at now: StageClock.Instant) -> TokenBucket {
        var old = self
        old.fill(at: now)
        var new = TokenBucket(rate: rate, burst: burst, at: now)
        new.level = min(new.capacity, old.level)
        return new
    }

    mutating func take(_ amount: Int, at now: StageClock.Instant) {
        fill(at: now)
        level -= Double(amount)
    }

    /// When nothing is owed any more; nil: it is not now.
    ///
    /// - Parameter share: of the capacity that is to be there then.
    mutating func due(at now: StageClock.Instant, share: Double = 0) -> StageClock.Instant? {
        fill(at: now)
        guard level < 0 else { return nil }
        return now + .seconds((share * capacity - level) / rate)
    }

    mutating func isFull(at now: StageClock.Instant) -> Bool {
        fill(at: now)
        return level >= capacity
    }

    private mutating func fill(at now: StageClock.Instant) {
        // Of two threads that ask at once, the later one may bring the earlier time.
        guard now > at else { return }
        level = min(capacity, level + (now - at).seconds * rate)
        at = now
    }
}
