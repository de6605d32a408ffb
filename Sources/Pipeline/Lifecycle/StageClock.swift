/// Time as the stages see it. Injected, so that tests decide when time passes.
public struct StageClock: Sendable {
    public typealias Instant = ContinuousClock.Instant

    private let nowClosure: @Sendable () -> Instant
    private let sleepClosure: @Sendable (Instant) async throws -> Void

    /// - Parameter sleep: Sleeps until a moment; throws `CancellationError` when the task is cancelled.
    public init(now: @escaping @Sendable () -> Instant, sleep: @escaping @Sendable (Instant) async throws -> Void) {
        nowClosure = now
        sleepClosure = sleep
    }

    /// Goes on while the machine sleeps.
    public static let continuous = StageClock(
        now: { .now }, sleep: { try await ContinuousClock().sleep(until: $0, tolerance: nil) })

    public var now: Instant { nowClosure() }

    public func sleep(until deadline: Instant) async throws { try await sleepClosure(deadline) }

    public func sleep(for duration: Duration) async throws { try await sleepClosure(now + duration) }
}

extension Duration {
    /// For reports; decisions compare durations themselves.
    public var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }

    public var milliseconds: Double { seconds * 1_000 }

    /// Whole nanoseconds, held within what 64 bits can say (292 years).
    var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        guard seconds < 9_000_000_000 else { return .max }
        guard seconds > -9_000_000_000 else { return .min }
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
