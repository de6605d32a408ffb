/// Why a session ends; what ERROR frames and `{"error":…}` lines say.
public enum SessionErrorCode: String, Hashable, Sendable, CaseIterable {
    case badMagic = "bad_magic"
    case badVersion = "bad_version"
    case badHello = "bad_hello"
    case badFrame = "bad_frame"
    case badChecksum = "bad_checksum"
    case frameTooLong = "frame_too_long"
    case unknownKind = "unknown_kind"
    case sequenceGap = "sequence_gap"
    case staleEpoch = "stale_epoch"
    case takenOver = "taken_over"
    case overCredit = "over_credit"
    case slowReader = "slow_reader"
    /// A line or frame was begun, and its end did not come.
    case incomplete
    case idleTimeout = "idle_timeout"
    case spoolFull = "spool_full"
    case noSpool = "no_spool"
    case rateLimit = "rate_limit"
    case notAllowed = "not_allowed"
    case tooManyProducers = "too_many_producers"
    case stopping

    /// The same session may go well a little later.
    public var isRetriable: Bool {
        switch self {
        case .stopping, .takenOver, .spoolFull, .rateLimit, .idleTimeout, .slowReader, .incomplete: true
        default: false
        }
    }
}
