import Pipeline
import Synchronization

/// A bucket of tokens for each peer: it may ask `perSecond` times a second on average, and save up for ten seconds.
final class RateLimiter: Sendable {
    /// Time that a peer can save up for.
    static let window: Duration = .seconds(10)
    /// Peers that are told apart; when there are more, the one that has been quiet longest is forgotten.
    static let peersMax = 1024

    private struct Bucket {
        var tokens: Double
        var at: StageClock.Instant
    }

    private let perSecond: Double
    private let clock: StageClock
    private let buckets = Mutex<[String: Bucket]>([:])

    init(perSecond: Int, clock: StageClock) {
        self.perSecond = Double(perSecond)
        self.clock = clock
    }

    private var tokensMax: Double { perSecond * Self.window.seconds }

    /// - Returns: nil: go ahead. Otherwise seconds to wait.
    func admit(_ peer: String) -> Int? {
        let now = clock.now
        return buckets.withLock { buckets in
            if buckets[peer] == nil, buckets.count >= Self.peersMax,
                let quietest = buckets.min(by: { $0.value.at < $1.value.at })?.key
            {
                buckets[quietest] = nil
            }
            var bucket = buckets[peer] ?? Bucket(tokens: tokensMax, at: now)
            bucket.tokens = min(tokensMax, bucket.tokens + (now - bucket.at).seconds * perSecond)
            bucket.at = now
            let isAdmitted = bucket.tokens >= 1
            if isAdmitted { bucket.tokens -= 1 }
            buckets[peer] = bucket
            return isAdmitted ? nil : max(1, Int(((1 - bucket.tokens) / perSecond).rounded(.up)))
        }
    }
}
