/// How a session's rows are written (docs/specs/formats.md). The raw value is the name that `format=` has, which is ClickHouse's.
public enum RowFormat: String, Hashable, Sendable, CaseIterable {
    case ndjson
    case csv = "CSV"
    case csvWithNames = "CSVWithNames"
    case csvWithNamesAndTypes = "CSVWithNamesAndTypes"
    case tsv = "TSV"
    case tsvWithNames = "TSVWithNames"
    case tsvWithNamesAndTypes = "TSVWithNamesAndTypes"
    case rowBinary = "RowBinary"
    case rowBinaryWithNames = "RowBinaryWithNames"
    case rowBinaryWithNamesAndTypes = "RowBinaryWithNamesAndTypes"
    case native = "Native"

    /// By its name, or one of ClickHouse's other names for it.
    public init?(name: some StringProtocol) {
        let name = String(name)
        switch name {
        case "JSONEachRow", "JSONLines", "NDJSON": self = .ndjson
        default:
            let short = name.hasPrefix("TabSeparated") ? "TSV" + name.dropFirst("TabSeparated".count) : name
            guard let format = RowFormat(rawValue: short) else { return nil }
            self = format
        }
    }

    /// All names, for whoever gave another one.
    public static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }

    public var isCSV: Bool { self == .csv || self == .csvWithNames || self == .csvWithNamesAndTypes }
    public var isTSV: Bool { self == .tsv || self == .tsvWithNames || self == .tsvWithNamesAndTypes }
    /// Its rows are lines of cells.
    public var isText: Bool { isCSV || isTSV }
    /// Nothing marks where its rows end.
    public var isBinary: Bool {
        switch self {
        case .rowBinary, .rowBinaryWithNames, .rowBinaryWithNamesAndTypes, .native: true
        default: false
        }
    }

    /// Lines, or lists, before the rows that say what the columns are.
    public var headerRows: Int {
        switch self {
        case .csvWithNames, .tsvWithNames, .rowBinaryWithNames: 1
        case .csvWithNamesAndTypes, .tsvWithNamesAndTypes, .rowBinaryWithNamesAndTypes: 2
        case .ndjson, .csv, .tsv, .rowBinary, .native: 0
        }
    }

    /// The same without a header; for Native itself.
    public var bare: RowFormat { isCSV ? .csv : isTSV ? .tsv : isBinary && self != .native ? .rowBinary : self }
}

/// A list of names in one value of a greeting: separated by commas, with `\,` `\\` `\n` `\t` and `\s` (a space) for the character.
public enum NameList {
    public static func text(_ names: [String]) -> String {
        names.map { name in
            var text = ""
            for character in name.unicodeScalars {
                switch character {
                case ",": text += "\\,"
                case "\\": text += "\\\\"
                case "\n": text += "\\n"
                case "\t": text += "\\t"
                case " ": text += "\\s"
                default: text.unicodeScalars.append(character)
                }
            }
            return text
        }.joined(separator: ",")
    }

    /// nil: a backslash stands before another character, or a name is empty.
    public static func parse(_ text: some StringProtocol) -> [String]? {
        var names: [String] = []
        var name = ""
        var isEscaped = false
        for character in text.unicodeScalars {
            if isEscaped {
                isEscaped = false
                switch character {
                case ",", "\\": name.unicodeScalars.append(character)
                case "n": name += "\n"
                case "t": name += "\t"
                case "s": name += " "
                default: return nil
                }
            } else if character == "\\" {
                isEscaped = true
            } else if character == "," {
                names.append(name)
                name = ""
            } else {
                name.unicodeScalars.append(character)
            }
        }
        names.append(name)
        return isEscaped || names.contains("") ? nil : names
    }
}
