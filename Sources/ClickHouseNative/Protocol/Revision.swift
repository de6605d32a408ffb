/// The number of the native protocol that a connection speaks: the smaller of what the client announced and what the
/// server's hello says. Fields come and go with it; ask `supports(_:)`, never compare numbers.
public struct Revision: RawRepresentable, Comparable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public init(_ number: UInt64) { rawValue = number }

    /// The oldest that is spoken here: ClickHouse 18.16.
    public static let oldest = Revision(54412)

    /// What we announce. ClickHouse 26.9 offers 54492, whose one change is that every string column comes as sizes apart
    /// from its bytes: our columns hold strings the way all revisions before have them, so that one is left out.
    public static let newest = Revision(54491)

    public func supports(_ feature: Feature) -> Bool { rawValue >= feature.since }

    public static func < (a: Revision, b: Revision) -> Bool { a.rawValue < b.rawValue }
    public var description: String { "\(rawValue)" }
}

extension Revision {
    /// What a revision brought, as far as a client that is no server of a cluster can see it.
    /// Numbers from ClickHouse's Core/ProtocolDefines.h.
    public struct Feature: Hashable, Sendable {
        public let since: UInt64

        init(since: UInt64) { self.since = since }

        // The handshake.
        public static let serverTimeZone = Feature(since: 54058)
        public static let serverDisplayName = Feature(since: 54372)
        public static let patchNumber = Feature(since: 54401)
        /// The client says more after the server's hello; the quota key is the first of it.
        public static let addendum = Feature(since: 54458)
        public static let passwordRules = Feature(since: 54461)
        /// A number used once, for secrets between servers.
        public static let nonce = Feature(since: 54462)
        public static let chunkedFraming = Feature(since: 54470)
        public static let parallelReplicasNumber = Feature(since: 54471)
        /// The server's hello tells which settings its profile changes.
        public static let serverSettings = Feature(since: 54474)
        public static let queryPlanNumber = Feature(since: 54477)
        public static let clusterFunctionNumber = Feature(since: 54479)

        // The query.
        public static let quotaKeyInClientInfo = Feature(since: 54060)
        /// Settings are text with flags; before, they are binary and the receiver must know each type.
        public static let settingsAsStrings = Feature(since: 54429)
        public static let interserverSecret = Feature(since: 54441)
        public static let openTelemetry = Feature(since: 54442)
        public static let distributedDepth = Feature(since: 54448)
        public static let queryStartTime = Feature(since: 54449)
        public static let parallelReplicas = Feature(since: 54453)
        public static let parameters = Feature(since: 54459)
        public static let externallyGrantedRoles = Feature(since: 54472)
        public static let queryAndLineNumbers = Feature(since: 54475)
        public static let tokenInClientInfo = Feature(since: 54476)
        public static let agentInClientInfo = Feature(since: 54485)
        public static let internalQueryFlag = Feature(since: 54486)
        public static let currentRoles = Feature(since: 54488)

        // What the server tells while it works.
        public static let serverLogs = Feature(since: 54406)
        /// A description of the table's defaults comes before the header of an INSERT.
        public static let columnDefaults = Feature(since: 54410)
        public static let writtenRowsInProgress = Feature(since: 54420)
        public static let profileEvents = Feature(since: 54451)
        public static let elapsedInProgress = Feature(since: 54460)
        public static let totalBytesInProgress = Feature(since: 54463)
        public static let timeZoneUpdates = Feature(since: 54464)
        public static let rowsBeforeAggregation = Feature(since: 54469)
        /// Logs, profile events and the description of columns are compressed where the query's data is.
        public static let compressedNews = Feature(since: 54481)

        // Blocks.
        /// One byte for each column says whether its serialization is the usual one.
        public static let customSerialization = Feature(since: 54454)
        /// Servers send columns of mostly defaults as the exceptions only.
        public static let sparseColumns = Feature(since: 54465)
        /// A third field in a block's info.
        public static let outOfOrderBuckets = Feature(since: 54480)
        /// Servers send columns as indexes into distinct values.
        public static let replicatedColumns = Feature(since: 54482)
        public static let sparseNullableColumns = Feature(since: 54483)
        /// The ends of a string column's values come first, as UInt64, then all their bytes.
        public static let stringSizesApart = Feature(since: 54492)
    }
}
