import ProducerProtocol

/// What a greeting says of the format.
struct GreetedFormat: Hashable, Sendable {
    static let keys: Set<String> = ["format", "columns", "types", "format_csv_delimiter"]

    var format = RowFormat.ndjson
    var columns: [String]?
    var types: [String]?
    var delimiter: UInt8?

    mutating func set(_ key: some StringProtocol, _ value: some StringProtocol) throws(SessionError) {
        switch key {
        case "format":
            guard let format = RowFormat(name: value) else {
                throw SessionError(
                    .badHello, "unknown format \(value.quotedForAnswer) (there are: \(RowFormat.names))")
            }
            self.format = format
        case "columns": columns = try Self.names(key, value)
        case "types": types = try Self.names(key, value)
        default:
            let text = value == "\\t" ? "\t" : String(value)
            guard text.utf8.count == 1, let byte = text.utf8.first, Self.isDelimiter(byte) else {
                throw SessionError(
                    .badHello,
                    "format_csv_delimiter: one character of ASCII that values do not begin with, got \(value.quotedForAnswer)"
                )
            }
            delimiter = byte
        }
    }

    private static func names(
        _ key: some StringProtocol, _ value: some StringProtocol
    ) throws(SessionError) -> [String] {
        guard let names = NameList.parse(value), names.count <= FormatLimits.columnsMax else {
            throw SessionError(
                .badHello,
                "\(key): names separated by commas, at most \(FormatLimits.columnsMax); a backslash stands before , \\ n t s only"
            )
        }
        return names
    }

    private static func isDelimiter(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x09: true
        case ..<0x21, 0x7F...: false
        case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."): false
        case UInt8(ascii: "\\"), 0x30...0x39, 0x41...0x5A, 0x61...0x7A: false
        default: true
        }
    }

    /// What must hold between the keys; nil for NDJSON.
    func checked(isFramed: Bool) throws(SessionError) -> SessionFormat? {
        guard isFramed || !format.isBinary else {
            throw SessionError(
                .badHello, "\(format.rawValue) has no line breaks between rows: it needs the framed dialect")
        }
        guard delimiter == nil || format.isCSV else {
            throw SessionError(.badHello, "format_csv_delimiter is for CSV, not for \(format.rawValue)")
        }
        if columns != nil || types != nil {
            guard format == .csv || format == .tsv || format == .rowBinary else {
                throw SessionError(.badHello, "\(format.rawValue) says itself what its columns are")
            }
            guard let columns, types.map({ $0.count == columns.count }) ?? true else {
                throw SessionError(.badHello, "types: as many as columns are needed")
            }
            guard Set(columns).count == columns.count else {
                throw SessionError(.badHello, "columns: a name stands twice")
            }
        }
        guard format != .ndjson else { return nil }
        return SessionFormat(format, columns: columns, types: types, delimiter: delimiter ?? UInt8(ascii: ","))
    }
}
