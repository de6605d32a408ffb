import ClickHouseNative
import Pipeline

/// The INSERT of a block: its statement and settings.
struct InsertStatement: Sendable {
    private let settings: [QuerySetting]

    /// - Parameter settings: the operator's, by ClickHouse's names.
    ///
    /// Batching by the server, which servers of today do by default, would only add a wait to blocks that are batched
    /// already; so it is off unless the operator turned it on. None is marked as important: a server that does not know
    /// one goes on without it, and revisions before 54429, which cannot skip any, are not sent those they do not know.
    init(settings: [String: String]) {
        let all = ["async_insert": "0"].merging(settings) { $1 }
        self.settings = all.sorted { $0.key < $1.key }.map { QuerySetting($0.key, $0.value) }
    }

    func query(for block: EncodedBlock, compression: Compression?) -> Query {
        let columns = block.layout.columns.map { Self.quoted($0.name) }.joined(separator: ", ")
        return Query(
            "INSERT INTO \(block.table.quoted) (\(columns)) FORMAT Native", settings: settings,
            compression: compression)
    }

    /// An identifier of any characters, as ClickHouse reads it between backticks.
    static func quoted(_ name: String) -> String {
        var quoted = "`"
        for scalar in name.unicodeScalars {
            if scalar == "`" || scalar == "\\" { quoted.append("\\") }
            quoted.unicodeScalars.append(scalar)
        }
        return quoted + "`"
    }
}
