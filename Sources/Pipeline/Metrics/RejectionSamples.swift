import NIOConcurrencyHelpers

/// The newest rejection of each table and reason, for people who want to know what is wrong with what a producer sends. Of
/// the row itself only its shape is kept (`RedactedRow`).
public final class RejectionSamples: Sendable {
    public struct Sample: Hashable, Sendable {
        public var table: String?
        public var column: String?
        public var reason: String
        /// Names of fields and tables, and nothing of the row.
        public var message: String
        public var row: String
        public var session: UInt64
        /// Seconds since 1970.
        public var time: Int64
    }

    /// Pairs of table and reason; when there are more, the oldest goes.
    public static let samplesMax = 64
    /// A pair is looked at once in so much time, so that a producer that sends nothing but nonsense costs no more.
    public static let refreshInterval: Duration = .seconds(1)

    private struct Key: Hashable {
        let table: String?
        let reason: String
    }

    private let state = NIOLockedValueBox<[Key: (sample: Sample, at: StageClock.Instant)]>([:])
    private let clock: StageClock

    public init(clock: StageClock = .continuous) { self.clock = clock }

    /// - Parameters:
    ///   - time: seconds since 1970.
    ///   - row: its shape; only asked for when it is wanted.
    public func record(
        table: String?, column: String? = nil, reason: String, message: String, session: UInt64, time: Int64,
        row: () -> String
    ) {
        let now = clock.now
        let key = Key(table: table, reason: reason)
        state.withLockedValue { samples in
            if let known = samples[key], now - known.at < Self.refreshInterval { return }
            if samples[key] == nil, samples.count >= Self.samplesMax,
                let oldest = samples.min(by: { $0.value.at < $1.value.at })?.key
            {
                samples[oldest] = nil
            }
            let sample = Sample(
                table: table, column: column, reason: reason, message: message, row: row(), session: session, time: time
            )
            samples[key] = (sample, now)
        }
    }

    /// The newest first.
    public func snapshot() -> [Sample] {
        state.withLockedValue { Array($0.values) }.sorted { $0.at > $1.at }.map(\.sample)
    }
}

/// What a row looks like without what it says: the names of its fields and its punctuation stay, each letter becomes `x`
/// and each digit `9`. `{"ts":"2024-01-15","mail":"a@b.org"}` becomes `{"ts":"9999-99-99","mail":"x@x.xxx"}`: enough to
/// see why a date was not taken, and nothing to know anybody by.
public enum RedactedRow {
    /// Bytes that are kept of a row.
    public static let bytesMax = 400
    /// The longest name of a field that is taken for one: a longer one is data.
    static let nameBytesMax = 64

    /// - Parameter row: any bytes. Only names in the outermost object stay, for keys further in are often data.
    public static func of(_ row: some Collection<UInt8>) -> String {
        let bytes = Array(row.prefix(bytesMax))
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + 3)
        var depth = 0
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") {
                let end = endOfString(bytes, from: index)
                let isName = depth == 1 && end - index <= nameBytesMax + 2 && isFollowedByColon(bytes, end)
                result += isName ? bytes[index..<end] : bytes[index..<end].map(masked)[...]
                index = end
                continue
            }
            if bytes[index...].starts(with: "null".utf8) {
                result += Array("null".utf8)
                index += 4
                continue
            }
            if byte == UInt8(ascii: "{") || byte == UInt8(ascii: "[") { depth += 1 }
            if byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]") { depth -= 1 }
            result.append(masked(byte))
            index += 1
        }
        return String(decoding: result, as: UTF8.self) + (row.count > bytesMax ? "…" : "")
    }

    /// Behind the quote that ends a string, or the end of all.
    private static func endOfString(_ bytes: [UInt8], from start: Int) -> Int {
        var index = start + 1
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "\\") { index += 1 } else if bytes[index] == UInt8(ascii: "\"") { break }
            index += 1
        }
        return min(index + 1, bytes.count)
    }

    private static func isFollowedByColon(_ bytes: [UInt8], _ start: Int) -> Bool {
        bytes[start...].first { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") } == UInt8(ascii: ":")
    }

    private static func masked(_ byte: UInt8) -> UInt8 {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt8(ascii: "9")
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), 0x80...: UInt8(ascii: "x")
        case 0..<0x20, 0x7F: UInt8(ascii: " ")
        default: byte
        }
    }
}
