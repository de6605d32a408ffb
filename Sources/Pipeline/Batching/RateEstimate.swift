import Foundation

/// How fast a table's rows come: an exponentially weighted mean, for the adaptive strategy.
struct RateEstimate: Sendable, Hashable {
    /// Half of the weight lies within the last so many seconds × ln 2.
    static let timeConstant: Duration = .seconds(5)
    /// Arrivals closer together than this are one sample: a burst of row batches is not an infinite rate.
    static let sampleInterval: Duration = .milliseconds(20)

    /// Nil until there were two samples.
    private(set) var rowsPerSecond: Double?
    private(set) var bytesPerSecond: Double?
    private var sampleBegan: StageClock.Instant?
    private var rows = 0
    private var bytes = 0

    mutating func arrived(rows: Int, bytes: Int, at now: StageClock.Instant) {
        defer {
            self.rows += rows
            self.bytes += bytes
        }
        guard let began = sampleBegan else {
            sampleBegan = now
            return
        }
        let elapsed = began.duration(to: now)
        guard elapsed >= Self.sampleInterval else { return }
        let keep = exp(-(elapsed / Self.timeConstant))
        rowsPerSecond = Self.mix(rowsPerSecond, Double(self.rows) / elapsed.seconds, keep: keep)
        bytesPerSecond = Self.mix(bytesPerSecond, Double(self.bytes) / elapsed.seconds, keep: keep)
        sampleBegan = now
        self.rows = 0
        self.bytes = 0
    }

    /// How long a block takes to fill; nil: not known yet.
    func timeToFill(rows: Int, bytes: Int) -> Duration? {
        guard let rowsPerSecond, let bytesPerSecond, rowsPerSecond > 0, bytesPerSecond > 0 else { return nil }
        // A century is as good as never, and fits a Duration.
        return .seconds(min(Double(rows) / rowsPerSecond, Double(bytes) / bytesPerSecond, 3e9))
    }

    private static func mix(_ old: Double?, _ sample: Double, keep: Double) -> Double {
        old.map { $0 * keep + sample * (1 - keep) } ?? sample
    }
}
