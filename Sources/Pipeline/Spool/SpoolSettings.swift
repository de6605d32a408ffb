/// The spool: rows on disk between validate and ship.
public struct SpoolSettings: Sendable, Hashable {
    /// When what was written is made to last.
    public enum Sync: String, Sendable, CaseIterable {
        /// Before anybody hears of it.
        case always
        /// Every `syncInterval`.
        case interval
        /// When the kernel likes.
        case never
    }

    /// What happens to new rows while there is no room.
    public enum FullPolicy: String, Sendable, CaseIterable {
        /// They wait, and so do their producers.
        case block
        /// Sessions that want acks are ended with `spool_full`, and not let in; others wait.
        case reject
        /// They are dropped, acked, and counted.
        case discardNewest = "discard_newest"
    }

    public enum Compression: String, Sendable, CaseIterable { case lz4, none }

    public var enabled = true
    public var directory = "spool"
    public var segmentBytes = 64 << 20
    /// All segments together.
    public var bytesMax = 8 << 30
    /// What the file system must have left after a write.
    public var freeBytesMin = 64 << 20
    /// Room that is taken beforehand for seals and settlements; 0: none.
    public var reserveBytes = 4 << 20
    public var fullPolicy: FullPolicy = .block
    /// Rows that have waited for longer are given up, and counted; nil: never.
    public var ageMax: Duration?
    public var sync: Sync = .always
    public var syncInterval: Duration = .milliseconds(100)
    /// Records written at once.
    public var groupBytes = 4 << 20
    public var compression: Compression = .lz4
    /// Rows that are on disk and in memory as well, on their way to batching.
    public var memoryMax = 16 << 20
    /// Names of producers that are remembered, and for how long after their last session.
    public var producersMax = 10_000
    public var producerAgeMax: Duration = .seconds(7 * 86_400)
    /// Row batches with their producers that wait to be written.
    public var queue = QueueSettings(elementsMax: 64, bytesMax: 8 << 20)

    public init() {}
}

extension Settings {
    /// Rows go to the server in the frames that they were compressed into for the spool, or, without one, as soon as they were read: they
    /// are compressed once, and take the less memory the earlier that is.
    ///
    /// Not for files, which are compressed as a whole, and not where blocks are to have other frames.
    public var compressesOnce: Bool {
        (!spool.enabled || spool.compression == .lz4) && compress.method == .lz4 && ship.sink != .file
            && compress.frameBytes >= SpoolFormat.frameBytes
    }
}
