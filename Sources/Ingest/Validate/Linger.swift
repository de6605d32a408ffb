import Pipeline

/// Whether to wait a moment for more rows before those that are here go on.
///
/// A producer that wants acks sends what its credit allows, waits, and sends again, so that the stage runs out of input
/// many times a second although rows come fast. Each time a row batch would go on: its columns compressed one by one, a
/// record written and synced, threads woken. A moment later there are more rows for the same effort. Where rows come
/// slowly nothing waits: an ack then takes as long as the disk does.
struct Linger {
    /// How fast rows have to come, and how long those that are here wait then.
    struct Patience {
        /// Bytes of input a second from which waiting is worth it.
        let bytesASecondMin: Int
        /// How long one wait is, and how many there are.
        let wait: Duration
        let waitsMax: Int

        /// Of rows that somebody may wait for an ack of.
        static let short = Patience(bytesASecondMin: 128 << 20, wait: .milliseconds(1), waitsMax: 3)
        /// Of rows that nobody waits for, of so many tables that there are few of each yet: a row costs the less the more there are, and their
        /// block waits much longer for them to become enough.
        static let long = Patience(bytesASecondMin: 16 << 20, wait: .milliseconds(5), waitsMax: 40)
    }

    /// Fewer bytes of input say nothing about how fast they come.
    static let bytesMin = 128 << 10

    private var bytes = 0
    private var waits = 0
    private var since: StageClock.Instant

    init(at now: StageClock.Instant) { since = now }

    mutating func read(bytes count: Int) { bytes += count }

    /// All that was read goes on.
    mutating func passedOn(at now: StageClock.Instant) {
        bytes = 0
        waits = 0
        since = now
    }

    /// - Returns: How long to wait, and then to ask again if nothing came; nil: not at all.
    mutating func wait(_ patience: Patience, at now: StageClock.Instant) -> Duration? {
        guard waits < patience.waitsMax, bytes >= Self.bytesMin else { return nil }
        let seconds = (now - since).seconds
        guard seconds > 0, Double(bytes) >= seconds * Double(patience.bytesASecondMin) else { return nil }
        waits += 1
        return patience.wait
    }
}
