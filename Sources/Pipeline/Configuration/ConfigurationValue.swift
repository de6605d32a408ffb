/// A value of the configuration, typed.
public enum ConfigurationValue: Sendable, Hashable {
    case flag(Bool)
    case count(Int)
    case bytes(Int)
    case duration(Duration)
    case text(String)
    case mode(UInt16)
    /// Port 0: the protocol's default, which depends on `secure`.
    case hosts([ClickHouseSettings.Host])
    case list([String])
    case settings([String: String])
    case secret(Secret)
    /// Values whose type a table decides.
    case literals([Literal])
    /// The key is optional and switched off.
    case absent
}

/// A scalar as it stood in a file or the environment, with its variables replaced.
struct RawScalar {
    var text: String
    /// Written without quotes.
    var plain = false
    /// Names of the variables that the text comes from; then it is not shown in errors, as it may be a secret.
    var variables: [String] = []
    var place: ConfigurationPlace

    var isNull: Bool { plain && ["", "~", "null", "Null", "NULL"].contains(text) }

    /// The text for an error message: quoted, clipped, one line, and not at all where it may hold a secret.
    var shown: String {
        if !variables.isEmpty { return "the value of " + variables.map { "$\($0)" }.joined(separator: " and ") }
        if isNull { return "nothing" }
        if text.contains("@") { return "a text with an @, not shown as it may hold a password" }
        let clipped = text.count > 60 ? text.prefix(60) + "…" : text[...]
        return "\"" + String(clipped.map { $0.isNewline || $0.asciiValue.map { $0 < 0x20 } == true ? "?" : $0 }) + "\""
    }
}

enum RawValue {
    case scalar(RawScalar)
    case list([RawScalar])
}

/// Why a text is no value of a type.
struct ValueProblem: Error {
    let code: ConfigurationIssue.Code
    let message: String
    /// Where in a list; nil: the value as a whole.
    var place: ConfigurationPlace?
}

/// What a key takes.
public indirect enum ValueType: Sendable {
    case flag
    case count(ClosedRange<Int>)
    case bytes(ClosedRange<Int>)
    case duration(ClosedRange<Duration>)
    /// A duration, or a bare number of milliseconds, as the `database.clickhouse` block has it.
    case milliseconds(ClosedRange<Duration>)
    /// Not empty, at most so many bytes.
    case text(bytesMax: Int)
    case choice([String])
    case mode
    case hosts
    case files
    case settings
    /// ClickHouse's error codes, and what is done about each.
    case treatments
    /// Names, each with so many a second: a number, or a size.
    case rates(ClosedRange<Int>, areBytes: Bool)
    /// Any of these.
    case names([String])
    case secret
    /// A file whose content is the secret.
    case secretFile
    /// A value of a table's column, and a list of them.
    case literal, literals
    /// Texts that are not empty.
    case texts(countMax: Int, bytesMax: Int)
    /// Absent where the word, or null, stands.
    case optional(word: String, ValueType)

    /// For the reference and for "expected …".
    public var expectation: String {
        switch self {
        case .flag: "true or false"
        case .count: "a whole number"
        case .bytes: "a size such as 64MiB"
        case .duration: "a duration such as 250ms or 5s"
        case .milliseconds: "milliseconds such as 30000"
        case .text: "a text"
        case .choice(let names): "one of " + names.joined(separator: ", ")
        case .mode: "an octal mode such as \"0660\""
        case .hosts: "hosts such as [\"localhost:9000\"]"
        case .files: "a list of files"
        case .settings: "a map of names to values"
        case .treatments: "a map of error codes to " + Self.treatmentWords.joined(separator: ", ")
        case .rates(_, let areBytes): "a map of names to \(areBytes ? "sizes such as 10MiB" : "whole numbers")"
        case .names(let names): "a list of " + names.joined(separator: ", ")
        case .secret: "a text"
        case .secretFile: "the path of a file"
        case .literal: "a value"
        case .literals: "a list of values"
        case .texts: "a list of texts"
        case .optional(let word, let type): "\(type.expectation), or \(word)"
        }
    }

    var isSecret: Bool { if case .secret = self { true } else { false } }
    /// A map whose elements are assigned one by one.
    var isMap: Bool {
        switch self {
        case .settings, .treatments, .rates: true
        default: false
        }
    }

    static let treatmentWords = ClickHouseSettings.ErrorTreatment.allCases.map(\.rawValue)

    func parse(_ raw: RawValue) throws(ValueProblem) -> ConfigurationValue {
        switch (self, raw) {
        case (.hosts, .list(let items)): return .hosts(try Self.hosts(items))
        case (.hosts, .scalar(let scalar)): return .hosts(try Self.hosts(Self.split(scalar)))
        case (.files, .list(let items)): return .list(items.map(\.text))
        case (.files, .scalar(let scalar)): return .list(scalar.isNull ? [] : Self.split(scalar).map(\.text))
        case (.names(let names), .list(let items)): return .list(try Self.names(items, of: names))
        case (.names(let names), .scalar(let scalar)):
            return .list(scalar.isNull ? [] : try Self.names(Self.split(scalar), of: names))
        case (.literals, .list(let items)): return try Self.literals(items)
        case (.texts, .list(let items)): return try texts(items)
        case (.texts, .scalar(let scalar)): return try texts(scalar.isNull ? [] : Self.split(scalar))
        case (_, .list): throw ValueProblem(code: .wrongType, message: "expected \(expectation), got a list")
        case (_, .scalar(let scalar)): return try parse(scalar)
        }
    }

    private func parse(_ scalar: RawScalar) throws(ValueProblem) -> ConfigurationValue {
        switch self {
        case .optional(let word, let type):
            if scalar.isNull || scalar.text == word { return .absent }
            do { return try type.parse(scalar) } catch  where error.code == .wrongType {
                throw ValueProblem(code: .wrongType, message: "expected \(expectation), got \(scalar.shown)")
            }
        case .secret: return .secret(Secret(scalar.isNull ? "" : scalar.text))
        case .flag: return .flag(try need(Self.flag(scalar.text), scalar))
        case .count(let range):
            let number = try need(wholeNumber(scalar.text[...]), scalar)
            return .count(try within(range, number, scalar) { String($0) })
        case .bytes(let range):
            let size = try need(ByteSize.parse(scalar.text), scalar)
            return .bytes(try within(range, size, scalar, format: ByteSize.format))
        case .duration(let range):
            let span = try need(TimeSpan.parse(scalar.text), scalar)
            return .duration(try within(range, span, scalar, format: TimeSpan.format))
        case .milliseconds(let range):
            let bare = wholeNumber(scalar.text[...]).map(Duration.milliseconds)
            let span = try need(bare ?? TimeSpan.parse(scalar.text), scalar)
            return .duration(try within(range, span, scalar, format: TimeSpan.format))
        case .text(let bytesMax):
            guard !scalar.isNull, !scalar.text.isEmpty else { return try need(nil, scalar) }
            guard scalar.text.utf8.count <= bytesMax, !scalar.text.utf8.contains(0) else {
                throw ValueProblem(code: .outOfRange, message: "must be at most \(bytesMax) bytes long, without NUL")
            }
            return .text(scalar.text)
        case .secretFile: return try ValueType.text(bytesMax: 4096).parse(scalar)
        case .choice(let names):
            if names.contains(scalar.text) { return .text(scalar.text) }
            let near = scalar.variables.isEmpty ? Suggestion.nearest(to: scalar.text, among: names) : nil
            let hint = near.map { ", did you mean \"\($0)\"?" } ?? ""
            throw ValueProblem(code: .wrongType, message: "expected \(expectation), got \(scalar.shown)\(hint)")
        case .mode: return .mode(try Self.mode(scalar))
        case .treatments: return try ValueType.choice(Self.treatmentWords).parse(scalar)
        case .rates(let range, let areBytes):
            return try (areBytes ? ValueType.bytes(range) : ValueType.count(range)).parse(scalar)
        case .literal: return try Self.literals([scalar])
        case .literals: return try Self.literals([scalar])
        case .hosts, .files, .settings, .names, .texts: return try need(nil, scalar)
        }
    }

    private func need<T>(_ value: T?, _ scalar: RawScalar) throws(ValueProblem) -> T {
        if let value { return value }
        throw ValueProblem(code: .wrongType, message: "expected \(expectation), got \(scalar.shown)")
    }

    private func within<T: Comparable>(
        _ range: ClosedRange<T>, _ value: T, _ scalar: RawScalar, format: (T) -> String
    ) throws(ValueProblem) -> T {
        if range.contains(value) { return value }
        let bounds = "\(format(range.lowerBound)) to \(format(range.upperBound))"
        throw ValueProblem(code: .outOfRange, message: "must be \(bounds), got \(scalar.shown)")
    }

    private static func flag(_ text: String) -> Bool? {
        switch text.lowercased() {
        case "true", "yes", "on": true
        case "false", "no", "off": false
        default: nil
        }
    }

    /// Octal digits with a leading 0: a bare 660 would be a decimal number to YAML, and 0660 one of two numbers,
    /// depending on the YAML revision. The leading zero says what is meant in all of them.
    private static func mode(_ scalar: RawScalar) throws(ValueProblem) -> UInt16 {
        let text = scalar.text
        let digits = text.hasPrefix("0o") ? text.dropFirst(2) : text.dropFirst(text.hasPrefix("0") ? 1 : 0)
        guard let mode = UInt16(digits, radix: 8), !digits.hasPrefix("+") else {
            throw ValueProblem(
                code: .wrongType, message: "expected \(ValueType.mode.expectation), got \(scalar.shown)")
        }
        guard text.hasPrefix("0") else {
            throw ValueProblem(
                code: .wrongType,
                message: "expected \(ValueType.mode.expectation), got \(text): write it as \"0\(text)\"")
        }
        guard mode <= 0o777 else {
            throw ValueProblem(code: .outOfRange, message: "must be \"0000\" to \"0777\", got \(scalar.shown)")
        }
        return mode
    }

    private static func split(_ scalar: RawScalar) -> [RawScalar] {
        scalar.text.split(separator: ",").map { part in
            var item = scalar
            item.text = String(part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
            return item
        }
    }

    private static func names(_ items: [RawScalar], of names: [String]) throws(ValueProblem) -> [String] {
        var found: [String] = []
        for item in items {
            guard case .text(let name) = try ValueType.choice(names).parse(item), !found.contains(name) else {
                continue
            }
            found.append(name)
        }
        return found
    }

    private static func hosts(_ items: [RawScalar]) throws(ValueProblem) -> [ClickHouseSettings.Host] {
        guard !items.isEmpty else {
            throw ValueProblem(code: .wrongType, message: "expected at least one host, got an empty list")
        }
        guard items.count <= ConfigurationLimits.hostsMax else {
            throw ValueProblem(
                code: .outOfRange, message: "must be at most \(ConfigurationLimits.hostsMax) hosts, got \(items.count)")
        }
        var hosts: [ClickHouseSettings.Host] = []
        for item in items {
            guard let host = host(item.text) else {
                throw ValueProblem(
                    code: .wrongType,
                    message: "expected a host such as db1:9000 or [::1]:9000, got \(item.shown)", place: item.place)
            }
            hosts.append(host)
        }
        return hosts
    }

    /// `name`, `name:port`, `[v6]`, `[v6]:port`, or a bare IPv6 address, which has no place for a port.
    private static func host(_ text: String) -> ClickHouseSettings.Host? {
        var name = text[...]
        var port: Substring?
        if text.hasPrefix("[") {
            guard let close = text.firstIndex(of: "]") else { return nil }
            name = text[..<close].dropFirst()
            let rest = text[close...].dropFirst()
            guard rest.isEmpty || rest.hasPrefix(":"), name.contains(":") else { return nil }
            port = rest.isEmpty ? nil : rest.dropFirst()
        } else if text.count(where: { $0 == ":" }) == 1, let colon = text.firstIndex(of: ":") {
            name = text[..<colon]
            port = text[colon...].dropFirst()
        }
        let forbidden: (UInt8) -> Bool = { $0 <= 0x20 || $0 >= 0x7F || "/@?#[]\\\"'".utf8.contains($0) }
        guard !name.isEmpty, name.utf8.count <= 255, !name.utf8.contains(where: forbidden) else { return nil }
        guard let port else { return ClickHouseSettings.Host(name: String(name), port: 0) }
        guard let number = wholeNumber(port), (1...65_535).contains(number) else { return nil }
        return ClickHouseSettings.Host(name: String(name), port: number)
    }
}

/// Bounds of the configuration itself.
public enum ConfigurationLimits {
    /// A configuration or schema file, in bytes.
    public static let fileBytesMax = 4 << 20
    /// A secret's file, in bytes.
    public static let secretBytesMax = 64 << 10
    public static let hostsMax = 64
    public static let tablesMax = 4096
    public static let settingsMax = 256
    /// Items of one list of names.
    public static let textsMax = 256
    public static let schemaFilesMax = 1024
    /// Errors that are listed; the rest is counted.
    public static let errorsMax = 200
}
