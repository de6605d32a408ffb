import NIOConcurrencyHelpers

/// What is counted of one host of the sink.
public final class HostTelemetry: Sendable {
    /// Of its circuit breaker.
    public enum BreakerState: String, Sendable, CaseIterable {
        /// Used as any other.
        case closed
        /// Left alone for a while.
        case open
        /// One attempt is to show whether it is well again.
        case halfOpen = "half_open"
    }

    public struct Snapshot: Hashable, Sendable {
        public var host: String
        public var breaker: BreakerState
        public var breakerOpened: UInt64
        public var failures: UInt64
        /// All that went wrong there, by type; types that never happened are not in it.
        public var errors: [Telemetry.InsertErrorType: UInt64]
        public var committedBlocks: UInt64
        public var connections: Int
        public var blocksInFlight: Int
    }

    /// As configured, with its port.
    public let host: String
    public let breakerOpened = Counter()
    public let failures = Counter()
    private let errors: [Telemetry.InsertErrorType: Counter]
    public let committedBlocks = Counter()
    public let connections = Gauge()
    public let blocksInFlight = Gauge()
    private let breaker = NIOLockedValueBox(BreakerState.closed)

    public init(host: String) {
        self.host = host
        errors = Dictionary(uniqueKeysWithValues: Telemetry.InsertErrorType.allCases.map { ($0, Counter()) })
    }

    /// A connect, an insert or a question went wrong, whoever is to blame; `failures` are those that the host is.
    public func erred(_ type: Telemetry.InsertErrorType) { errors[type]?.add() }

    public func set(breaker state: BreakerState) {
        breaker.withLockedValue { breaker in
            if state == .open, breaker != .open { breakerOpened.add() }
            breaker = state
        }
    }

    public func snapshot() -> Snapshot {
        let errors = errors.mapValues(\.current).filter { $0.value > 0 }
        return Snapshot(
            host: host, breaker: breaker.withLockedValue { $0 }, breakerOpened: breakerOpened.current,
            failures: failures.current, errors: errors, committedBlocks: committedBlocks.current,
            connections: connections.current,
            blocksInFlight: blocksInFlight.current)
    }
}
