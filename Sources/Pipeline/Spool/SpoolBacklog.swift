import Synchronization

/// Whether rows go on from the disk, because the sink does not keep up or was away: the spool says so, and validate makes less of what it
/// writes then.
public final class SpoolBacklog: Sendable {
    private let state = Atomic(false)

    public init() {}

    public internal(set) var isThere: Bool {
        get { state.load(ordering: .relaxed) }
        set { state.store(newValue, ordering: .relaxed) }
    }
}
