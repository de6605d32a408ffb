/// What it takes to change a value.
public enum ConfigurationChange: String, Sendable { case reload, restart }

/// One key of the configuration, described once: decoding, `sluice check`, the suggestions and the reference all read
/// this description.
public struct ConfigurationKey<Root>: Sendable {
    /// With dots, from the stage's name on: `receive.socket.path`.
    public internal(set) var path: String
    public let type: ValueType
    public private(set) var change: ConfigurationChange
    /// One or two sentences for the reference.
    public let documentation: String
    let get: @Sendable (Root) -> ConfigurationValue
    let set: @Sendable (inout Root, ConfigurationValue) -> Void

    /// A key that lies deeper: its root is a part of another one.
    func lifted<Outer>(
        into keyPath: WritableKeyPath<Outer, Root> & Sendable, under prefix: String
    ) -> ConfigurationKey<Outer> {
        ConfigurationKey<Outer>(
            path: "\(prefix).\(path)", type: type, change: change, documentation: documentation,
            get: { get($0[keyPath: keyPath]) }, set: { set(&$0[keyPath: keyPath], $1) })
    }

    /// The same key, marked as one that a running daemon can take over.
    var reloadable: Self {
        var copy = self
        copy.change = .reload
        return copy
    }

    public var name: Substring { path.split(separator: ".").last ?? "" }
}

extension ConfigurationKey {
    static func key<T>(
        _ path: String, _ type: ValueType, _ keyPath: WritableKeyPath<Root, T> & Sendable, _ documentation: String,
        wrap: @escaping @Sendable (T) -> ConfigurationValue, unwrap: @escaping @Sendable (ConfigurationValue) -> T?
    ) -> Self {
        Self(
            path: path, type: type, change: .restart, documentation: documentation,
            get: { wrap($0[keyPath: keyPath]) },
            set: { root, value in
                // The type decoded the value, so it is of the kind that `unwrap` takes.
                if let value = unwrap(value) { root[keyPath: keyPath] = value }
            })
    }

    static func flag(_ path: String, _ keyPath: WritableKeyPath<Root, Bool> & Sendable, _ text: String) -> Self {
        key(path, .flag, keyPath, text, wrap: { .flag($0) }, unwrap: { if case .flag(let on) = $0 { on } else { nil } })
    }

    static func count(
        _ path: String, _ keyPath: WritableKeyPath<Root, Int> & Sendable, _ range: ClosedRange<Int>, _ text: String
    ) -> Self {
        key(
            path, .count(range), keyPath, text, wrap: { .count($0) },
            unwrap: { if case .count(let number) = $0 { number } else { nil } })
    }

    static func optionalCount(
        _ path: String, _ keyPath: WritableKeyPath<Root, Int?> & Sendable, _ range: ClosedRange<Int>, absent: String,
        _ text: String
    ) -> Self {
        key(
            path, .optional(word: absent, .count(range)), keyPath, text,
            wrap: { $0.map { .count($0) } ?? .absent },
            unwrap: { if case .count(let number) = $0 { .some(number) } else { .some(nil) } })
    }

    static func bytes(
        _ path: String, _ keyPath: WritableKeyPath<Root, Int> & Sendable, _ range: ClosedRange<Int>, _ text: String
    ) -> Self {
        key(
            path, .bytes(range), keyPath, text, wrap: { .bytes($0) },
            unwrap: { if case .bytes(let size) = $0 { size } else { nil } })
    }

    static func duration(
        _ path: String, _ keyPath: WritableKeyPath<Root, Duration> & Sendable, _ range: ClosedRange<Duration>,
        _ text: String
    ) -> Self {
        key(
            path, .duration(range), keyPath, text, wrap: { .duration($0) },
            unwrap: { if case .duration(let span) = $0 { span } else { nil } })
    }

    static func optionalDuration(
        _ path: String, _ keyPath: WritableKeyPath<Root, Duration?> & Sendable, _ range: ClosedRange<Duration>,
        absent: String, _ text: String
    ) -> Self {
        key(
            path, .optional(word: absent, .duration(range)), keyPath, text,
            wrap: { $0.map { .duration($0) } ?? .absent },
            unwrap: { if case .duration(let span) = $0 { .some(span) } else { .some(nil) } })
    }

    static func text(
        _ path: String, _ keyPath: WritableKeyPath<Root, String> & Sendable, bytesMax: Int = 4096, _ text: String
    ) -> Self {
        key(
            path, .text(bytesMax: bytesMax), keyPath, text, wrap: { .text($0) },
            unwrap: { if case .text(let value) = $0 { value } else { nil } })
    }

    static func optionalText(
        _ path: String, _ keyPath: WritableKeyPath<Root, String?> & Sendable, bytesMax: Int = 4096, absent: String,
        _ text: String
    ) -> Self {
        key(
            path, .optional(word: absent, .text(bytesMax: bytesMax)), keyPath, text,
            wrap: { $0.map { .text($0) } ?? .absent },
            unwrap: { if case .text(let value) = $0 { .some(value) } else { .some(nil) } })
    }

    static func choice<T: RawRepresentable<String> & CaseIterable & Sendable>(
        _ path: String, _ keyPath: WritableKeyPath<Root, T> & Sendable, _ text: String
    ) -> Self {
        key(
            path, .choice(T.allCases.map(\.rawValue)), keyPath, text, wrap: { .text($0.rawValue) },
            unwrap: { if case .text(let name) = $0 { T(rawValue: name) } else { nil } })
    }

    static func optionalChoice<T: RawRepresentable<String> & CaseIterable & Sendable>(
        _ path: String, _ keyPath: WritableKeyPath<Root, T?> & Sendable, absent: String, _ text: String
    ) -> Self {
        key(
            path, .optional(word: absent, .choice(T.allCases.map(\.rawValue))), keyPath, text,
            wrap: { $0.map { .text($0.rawValue) } ?? .absent },
            unwrap: { if case .text(let name) = $0 { .some(T(rawValue: name)) } else { .some(nil) } })
    }

    static func mode(_ path: String, _ keyPath: WritableKeyPath<Root, UInt16> & Sendable, _ text: String) -> Self {
        key(
            path, .mode, keyPath, text, wrap: { .mode($0) },
            unwrap: { if case .mode(let bits) = $0 { bits } else { nil } })
    }

    static func hosts(
        _ path: String, _ keyPath: WritableKeyPath<Root, [ClickHouseSettings.Host]> & Sendable, _ text: String
    ) -> Self {
        key(
            path, .hosts, keyPath, text, wrap: { .hosts($0) },
            unwrap: { if case .hosts(let hosts) = $0 { hosts } else { nil } })
    }

    static func files(_ path: String, _ keyPath: WritableKeyPath<Root, [String]> & Sendable, _ text: String) -> Self {
        key(
            path, .files, keyPath, text, wrap: { .list($0) },
            unwrap: { if case .list(let paths) = $0 { paths } else { nil } })
    }

    static func settings(
        _ path: String, _ keyPath: WritableKeyPath<Root, [String: String]> & Sendable, _ text: String
    ) -> Self {
        key(
            path, .settings, keyPath, text, wrap: { .settings($0) },
            unwrap: { if case .settings(let values) = $0 { values } else { nil } })
    }

    static func treatments(
        _ path: String, _ keyPath: WritableKeyPath<Root, [Int32: ClickHouseSettings.ErrorTreatment]> & Sendable,
        _ text: String
    ) -> Self {
        key(
            path, .treatments, keyPath, text,
            wrap: { .settings(Dictionary(uniqueKeysWithValues: $0.map { ("\($0)", $1.rawValue) })) },
            unwrap: { value in
                guard case .settings(let words) = value else { return nil }
                let pairs = words.compactMap { code, word in
                    Int32(code).flatMap { code in
                        ClickHouseSettings.ErrorTreatment(rawValue: word).map { (code, $0) }
                    }
                }
                return Dictionary(pairs) { first, _ in first }
            })
    }

    /// So many a second, by name; see `RateLimitSettings`.
    static func rates(
        _ path: String, _ keyPath: WritableKeyPath<Root, [String: Int]> & Sendable, areBytes: Bool, _ text: String
    ) -> Self {
        key(
            path, .rates(1...1 << 40, areBytes: areBytes), keyPath, text,
            wrap: { .settings($0.mapValues { areBytes ? ByteSize.format($0) : String($0) }) },
            unwrap: { value in
                guard case .settings(let rates) = value else { return nil }
                return rates.compactMapValues { areBytes ? ByteSize.parse($0) : Int($0) }
            })
    }

    /// A list of texts that are not empty.
    static func texts(
        _ path: String, _ keyPath: WritableKeyPath<Root, [String]> & Sendable,
        countMax: Int = ConfigurationLimits.textsMax, bytesMax: Int, _ text: String
    ) -> Self {
        key(
            path, .texts(countMax: countMax, bytesMax: bytesMax), keyPath, text, wrap: { .list($0) },
            unwrap: { if case .list(let texts) = $0 { texts } else { nil } })
    }

    /// A list of words out of a fixed set.
    static func names<T: RawRepresentable<String> & CaseIterable & Sendable>(
        _ path: String, _ keyPath: WritableKeyPath<Root, [T]> & Sendable, _ text: String
    ) -> Self {
        key(
            path, .names(T.allCases.map(\.rawValue)), keyPath, text, wrap: { .list($0.map(\.rawValue)) },
            unwrap: { if case .list(let names) = $0 { names.compactMap(T.init) } else { nil } })
    }

    static func secret(_ path: String, _ keyPath: WritableKeyPath<Root, Secret> & Sendable, _ text: String) -> Self {
        key(
            path, .secret, keyPath, text, wrap: { .secret($0) },
            unwrap: { if case .secret(let secret) = $0 { secret } else { nil } })
    }

    /// Both bounds of a queue.
    static func queue(
        _ path: String, _ keyPath: WritableKeyPath<Root, QueueSettings> & Sendable, of what: String
    ) -> [Self] {
        let inner: [ConfigurationKey<QueueSettings>] = [
            .count(
                "elements_max", \.elementsMax, 1...1_000_000,
                "At most so many \(what) wait; then the stage before waits too."),
            .bytes("bytes_max", \.bytesMax, 64 << 10...1 << 40, "At most so many bytes of \(what) wait."),
        ]
        return inner.map { $0.lifted(into: keyPath, under: path) }
    }
}
