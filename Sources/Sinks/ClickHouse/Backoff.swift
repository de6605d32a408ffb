/// How long to wait before the next attempt: doubling from `min` to `max`, with jitter, so that many daemons do not come
/// back at the same moment.
struct Backoff: Sendable {
    /// The first wait after a server said that it has too much to do, so that parts can be merged meanwhile.
    static let overloadDelayMin: Duration = .seconds(1)

    private let min: Duration
    private let max: Duration
    private let random: @Sendable () -> Double
    private(set) var attempts = 0

    /// - Parameter random: 0 up to 1.
    init(min: Duration, max: Duration, random: @escaping @Sendable () -> Double) {
        self.min = min
        self.max = max
        self.random = random
    }

    mutating func reset() { attempts = 0 }

    /// Between half of the step and the whole of it.
    mutating func next(overloaded: Bool = false) -> Duration {
        var step = overloaded ? Swift.max(min, Self.overloadDelayMin) : min
        for _ in 0..<attempts where step < max { step *= 2 }
        attempts += 1
        return Swift.min(step, max) * (0.5 + random() / 2)
    }
}
