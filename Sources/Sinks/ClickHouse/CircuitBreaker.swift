import Pipeline

/// Leaves a host alone for a while after it failed several times in a row: attempts that only wait for a dead host would
/// hold up blocks that another one could take, and a host that comes up again is not met by all of them at once.
///
///     closed ──failures──▶ open ──time──▶ half-open ──success──▶ closed
///                           ▲                 └──────failure──────┐
///                           └─────────────────────────────────────┘
///
/// A value without a clock; whoever owns it says what the time is.
struct CircuitBreaker: Sendable {
    enum Admission: Equatable {
        case yes
        /// As the one attempt that decides; it must end in `succeeded`, `failed` or `abandoned`.
        case probe
        /// Not before; nil: the probe that is under way decides.
        case no(until: StageClock.Instant?)
    }

    private enum State {
        case closed(failures: Int)
        case open(until: StageClock.Instant)
        /// Can transition to: closed on success, open on failure or when nobody probes any more.
        case halfOpen
    }

    private let failuresMax: Int
    private let openTime: Duration
    private var state = State.closed(failures: 0)

    init(failuresMax: Int, openTime: Duration) {
        self.failuresMax = failuresMax
        self.openTime = openTime
    }

    /// What would be said now, without taking the probe.
    func admission(now: StageClock.Instant) -> Admission {
        switch state {
        case .closed: .yes
        case .open(let until): now >= until ? .probe : .no(until: until)
        case .halfOpen: .no(until: nil)
        }
    }

    /// An attempt begins.
    mutating func begin(now: StageClock.Instant) -> Admission {
        let admission = admission(now: now)
        if admission == .probe { state = .halfOpen }
        return admission
    }

    /// The host did what was asked.
    mutating func succeeded() { state = .closed(failures: 0) }

    /// The host is there, but was not asked for what counts: enough to let it be tried again, not to forget failures.
    mutating func answered() {
        if case .halfOpen = state { state = .closed(failures: 0) }
    }

    mutating func failed(now: StageClock.Instant) {
        switch state {
        case .closed(let failures) where failures + 1 < failuresMax: state = .closed(failures: failures + 1)
        case .closed, .halfOpen: state = .open(until: now + openTime)
        // An attempt from before: the time does not begin anew.
        case .open: break
        }
    }

    /// The probe ended without a word on the host; the next one may try at once.
    mutating func abandoned(now: StageClock.Instant) {
        if case .halfOpen = state { state = .open(until: now) }
    }

    var telemetryState: HostTelemetry.BreakerState {
        switch state {
        case .closed: .closed
        case .open: .open
        case .halfOpen: .halfOpen
        }
    }
}
