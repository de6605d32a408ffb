import NIOConcurrencyHelpers
import Pipeline

/// A bucket of tokens for each peer: it may ask `perSecond` times a second on average, and save up for ten seconds.
final class RateLimiter: Sendable {
    /// Time that a peer can save up for.
    static let window: Duration = .seconds(10)
    /// Peers that are told apart; when there are more, the one that has been quiet longest is forgotten.
    static let peersMax = 1024

    private let perSecond: Int
    private let clock: StageClock
    private let buckets = NIOLockedValueBox<[String: TokenBucket]>([:])

    init(perSecond: Int, clock: StageClock) {
        self.perSecond = perSecond
        self.clock = clock
    }

    /// - Returns: nil: go ahead. Otherwise seconds to wait.
    func admit(_ peer: String) -> Int? {
        let now = clock.now
        return buckets.withLockedValue { buckets in
            if buckets[peer] == nil, buckets.count >= Self.peersMax,
                let quietest = buckets.min(by: { $0.value.at < $1.value.at })?.key
            {
                buckets[quietest] = nil
            }
            var bucket = buckets[peer] ?? TokenBucket(rate: perSecond, burst: Self.window, at: now)
            let wait = bucket.wait(for: 1, at: now)
            if wait == nil { bucket.take(1, at: now) }
            buckets[peer] = bucket
            return wait.map { max(1, Int($0.seconds.rounded(.up))) }
        }
    }
}
