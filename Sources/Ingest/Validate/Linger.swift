import Pipeline

/// Whether to wait a moment for more rows before those that are here go on.
///
/// A producer that wants acks sends what its credit allows, waits, and sends again, so that the stage runs out of input
/// many times a second although rows come fast. Each time a row batch would go on: its columns compressed one by one, a
/// record written and synced, threads woken. A moment later there are more rows for the same effort. Where rows come
/// slowly nothing waits: an ack then takes as long as the disk does.
struct Linger {
    /// Bytes of input a second from which waiting is worth it.
    static let bytesASecondMin = 128 << 20
    /// Fewer bytes of input say nothing about how fast they come.
    static let bytesMin = 128 << 10
    /// How long one wait is.
    static let wait: Duration = .milliseconds(1)
    /// How long rows wait in all.
    static let waitsMax = 3

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

    /// - Returns: Whether to wait, and then to ask again if nothing came.
    mutating func isWorthwhile(at now: StageClock.Instant) -> Bool {
        guard waits < Self.waitsMax, bytes >= Self.bytesMin else { return false }
        let seconds = (now - since).seconds
        guard seconds > 0, Double(bytes) >= seconds * Double(Self.bytesASecondMin) else { return false }
        waits += 1
        return true
    }
}
