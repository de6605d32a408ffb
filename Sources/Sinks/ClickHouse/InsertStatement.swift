import ClickHouseNative
import Pipeline

/// The INSERT of a block: its statement and settings.
struct InsertStatement: Sendable {
    private let settings: [String: String]
    private let isAsync: Bool
    private let deduplicates: Bool

    /// - Parameter settings: the operator's, by ClickHouse's names; they go before ours.
    ///
    /// Batching by the server, which servers of today do by default, would only add a wait to blocks that are batched
    /// already; so it is off unless the operator turned it on. None is marked as important: a server that does not know
    /// one goes on without it, and revisions before 54429, which cannot skip any, are not sent those they do not know.
    init(settings: [String: String]) {
        self.settings = ["async_insert": "0"].merging(settings) { $1 }
        func isOff(_ name: String) -> Bool { settings[name].map { ["0", "false"].contains($0.lowercased()) } ?? false }
        isAsync = settings["async_insert"] != nil && !isOff("async_insert")
        deduplicates = !isOff("insert_deduplicate") && settings["deduplicate_insert"] != "disable"
    }

    /// - Parameters:
    ///   - isInDoubt: The server may have the block already. It is asked for its log then, which alone says so.
    ///   - reading: how the server is to read JSON, which it gets as text; the operator's own settings go before it.
    func query(
        for block: EncodedBlock, to server: ServerHello, compression: Compression?, isInDoubt: Bool,
        reading: [String: String] = [:]
    ) -> Query {
        let columns = block.layout.columns.map { Self.quoted($0.name) }.joined(separator: ", ")
        var ours = deduplication(of: block, at: server)
        if isInDoubt, ours["insert_deduplication_token"] != nil { ours["send_logs_level"] = "information" }
        let all = settings.merging(ours) { own, _ in own }.merging(reading) { own, _ in own }
        return Query(
            "INSERT INTO \(block.table.quoted) (\(columns)) FORMAT Native",
            settings: all.sorted { $0.key < $1.key }.map { QuerySetting($0.key, $0.value) },
            compression: compression)
    }

    /// Whether the server knows the block again by its token, whatever columns it has by then.
    func isKnownByToken(_ block: EncodedBlock, at server: ServerHello) -> Bool {
        block.identity.token != nil && deduplicates && server.knowsDeduplicationTokens
    }

    /// What makes an INSERT that is sent again harmless. Before 22.2 servers know a block by the hash of its rows only; a
    /// setting that they do not know would be skipped, but need not be sent.
    private func deduplication(of block: EncodedBlock, at server: ServerHello) -> [String: String] {
        guard let token = block.identity.token, deduplicates else { return [:] }
        var settings = ["insert_deduplicate": "1"]
        if isAsync { settings["async_insert_deduplicate"] = "1" }
        if server.knowsDeduplicationTokens { settings["insert_deduplication_token"] = token }
        return settings
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

extension ServerHello {
    /// `insert_deduplication_token` came with 22.2 (ClickHouse's CHANGELOG.md, #32304); no revision of the protocol tells.
    var knowsDeduplicationTokens: Bool { (major, minor) >= (22, 2) }
}
