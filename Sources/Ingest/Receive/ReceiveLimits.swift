import NIOConcurrencyHelpers
import Pipeline

/// What of the settings a running stage takes over. Sessions keep the limits that they began with.
final class ReceiveLimits: Sendable {
    struct Values: Sendable {
        var session: SessionState.Limits
        var rules: PeerRules
    }

    private let values: NIOLockedValueBox<Values>

    init(_ values: Values) { self.values = NIOLockedValueBox(values) }

    var current: Values {
        get { values.withLockedValue { $0 } }
        set { values.withLockedValue { $0 = newValue } }
    }
}

extension SessionState.Limits {
    /// - Parameter rowBytesMax: what is kept of a line that is too long.
    init(_ settings: ReceiveSettings, rowBytesMax: Int, hasProducers: Bool, hasSpool: Bool) {
        self.init(
            lineBytesMax: settings.lineBytesMax, rowBytesMax: rowBytesMax,
            partialLineTimeout: settings.partialLineTimeout, idleTimeout: settings.idleTimeout,
            frames: FrameReader.Limits(frameBytesMax: settings.frameBytesMax, creditBytes: settings.creditBytes),
            replies: SessionReplies.Limits(
                nacksMax: settings.nacksMax, unreadBytesMax: settings.unreadBytesMax,
                creditBytes: settings.creditBytes),
            hasProducers: hasProducers, hasSpool: hasSpool)
    }
}
