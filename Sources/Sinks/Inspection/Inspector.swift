import ClickHouseNative
import Foundation
import Pipeline

/// Looks at servers and tables as they are, and tells what that means for those who ship into them. It only asks: no
/// statement of it writes anything.
///
/// A question that a server refuses, because it is old or the user may not ask, becomes a finding and ends nothing.
public struct Inspector: Sendable {
    /// Tables that are looked at in one go.
    public static let tablesMax = 1000

    private let settings: ClickHouseSettings
    private let tables: [TableName]
    private let schema: SchemaCatalog
    private let wallClock: @Sendable () -> Double

    /// - Parameters:
    ///   - tables: each is looked at on each host; those beyond `tablesMax` are not.
    ///   - schema: what the schema files say of them.
    ///   - wallClock: seconds since 1970.
    public init(
        settings: ClickHouseSettings, tables: [TableName], schema: SchemaCatalog,
        wallClock: @escaping @Sendable () -> Double = { Date().timeIntervalSince1970 }
    ) {
        self.settings = settings
        self.tables = Array(tables.prefix(Self.tablesMax))
        self.schema = schema
        self.wallClock = wallClock
    }

    /// Asks all hosts at once.
    public func run() async -> InspectionReport {
        let hosts = await withTaskGroup(of: (Int, Visit).self) { group in
            for (number, host) in settings.hosts.enumerated() {
                group.addTask { (number, await visit(host)) }
            }
            var visits: [(Int, Visit)] = []
            for await visit in group { visits.append(visit) }
            return visits.sorted { $0.0 < $1.0 }.map(\.1)
        }
        var report = InspectionReport()
        for host in hosts { report.add(host.findings) }
        report.add(Self.strangers(hosts))
        return report
    }

    private struct Visit: Sendable {
        let host: String
        var findings: [Finding] = []
        /// Where in Keeper the tables are.
        var paths: [TableName: String] = [:]

        mutating func add(
            _ level: Finding.Level, _ check: Finding.Check, _ message: String, _ advice: String? = nil,
            table: TableName? = nil
        ) {
            findings.append(
                Finding(
                    level: level, host: host, table: table?.description, check: check, message: message, advice: advice)
            )
        }
    }

    /// Hosts have to be replicas of one another.
    private static func strangers(_ hosts: [Visit]) -> [Finding] {
        guard let first = hosts.first(where: { !$0.paths.isEmpty }) else { return [] }
        return hosts.flatMap { host in
            host.paths.sorted { $0.key.description < $1.key.description }.compactMap { table, path -> Finding? in
                guard let other = first.paths[table], other != path else { return nil }
                return Finding(
                    level: .fail, host: host.host, table: table.description, check: .replica,
                    message:
                        "is no replica of the table on \(first.host) (\(path), there \(other)): a block that is sent again "
                        + "to the other host lands twice",
                    advice: "configure the replicas of one shard only; a daemon for each shard")
            }
        }
    }

    // MARK: A host

    private func visit(_ host: ClickHouseSettings.Host) async -> Visit {
        var visit = Visit(host: host.description)
        var session: ServerSession
        do {
            session = try await ServerSession.open(host, settings)
        } catch {
            visit.add(.fail, .reachable, "cannot be used: \(ServerSession.words(error))", Self.advice(error, settings))
            return visit
        }
        visit.add(
            .ok, .reachable,
            "ClickHouse \(session.version), revision \(session.hello.serverRevision), user \(settings.username), database "
                + "\(settings.database)\(settings.secure ? ", TLS" : "")")
        await clock(session, &visit)
        let server = await serverFacts(session, &visit)
        judge(server, &visit)
        for table in tables {
            // A server of 2018 ends the connection after a statement that it cannot read.
            if !session.connection.isOpen, let again = try? await ServerSession.open(host, settings) { session = again }
            await look(at: table, server, session, &visit)
        }
        await session.close()
        return visit
    }

    private static func advice(_ error: any Error, _ settings: ClickHouseSettings) -> String? {
        guard let error = error as? ConnectionError else { return nil }
        switch error.exception?.code {
        case .unknownDatabase:
            return "CREATE DATABASE \(InsertStatement.quoted(settings.database)); or another ship.clickhouse.database"
        case .authenticationFailed, ErrorCode(rawValue: 192), ErrorCode(rawValue: 193), ErrorCode(rawValue: 194):
            return "ship.clickhouse.username and password, and from where the user may come (users' networks, HOST)"
        case .some: return nil
        case nil:
            return settings.secure
                ? "ship.clickhouse.hosts with the port of TLS (9440), ca_cert, and the name in the server's certificate"
                : "ship.clickhouse.hosts with the port of the native protocol (9000, not 8123); is the server up, and does it want TLS?"
        }
    }

    private func clock(_ session: ServerSession, _ visit: inout Visit) async {
        let before = wallClock()
        guard let text = try? await ask("SELECT toString(toUnixTimestamp(now()))", session).first?.first,
            let theirs = Double(text)
        else { return }
        let after = wallClock()
        // The answer is of whole seconds, and of some moment between question and answer.
        let skew = theirs > after ? theirs - after : before > theirs + 1 ? theirs + 1 - before : 0
        guard abs(skew) > 5 else { return visit.add(.ok, .clock, "its clock agrees with ours") }
        visit.add(
            .warn, .clock,
            "its clock is \(Int(abs(skew).rounded())) s \(skew > 0 ? "ahead of" : "behind") ours: times that the server fills in differ "
                + "from the producers'", "NTP on both machines")
    }

    private func ask(_ sql: String, columns: [String]? = nil, _ session: ServerSession) async throws -> [[String]] {
        try await session.rows(sql, columns: columns, timeout: settings.queryTimeout)
    }

    /// The rows; a refusal becomes a finding that names what could not be read.
    private func ask(
        _ sql: String, of what: String, _ session: ServerSession, _ visit: inout Visit, table: TableName? = nil
    ) async -> [[String]]? {
        do { return try await ask(sql, session) } catch {
            visit.add(
                .warn, .permissions, "\(what) cannot be read: \(ServerSession.words(error))",
                "GRANT SELECT ON \(what) TO \(settings.username);", table: table)
            return nil
        }
    }

    private func serverFacts(_ session: ServerSession, _ visit: inout Visit) async -> ServerFacts {
        var server = ServerFacts(major: session.hello.major, minor: session.hello.minor)
        let names = (ServerFacts.settingNames + settings.settings.keys.sorted()).map(ServerSession.literal).joined(
            separator: ", ")
        let filter = "FROM system.settings WHERE name IN (\(names))"
        // Old servers do not say which settings are fixed.
        var rows = try? await ask("SELECT name, value, toString(readonly) \(filter)", session)
        if rows == nil {
            rows = await ask("SELECT name, value, '0' AS fixed \(filter)", of: "system.settings", session, &visit)
        }
        for row in rows ?? [] { server.settings[row[0]] = .init(value: row[1], isFixed: row[2] == "1") }
        let wanted = """
            name IN ('non_replicated_deduplication_window', 'replicated_deduplication_window',
            'replicated_deduplication_window_seconds', 'parts_to_delay_insert')
            """
        let own = await ask(
            "SELECT name, value FROM system.merge_tree_settings WHERE \(wanted)", of: "system.merge_tree_settings",
            session,
            &visit)
        for row in own ?? [] { server.mergeTreeSettings[row[0]] = row[1] }
        // Not every server has this one; then the others hold.
        for row
            in (try? await ask("SELECT name, value FROM system.replicated_merge_tree_settings WHERE \(wanted)", session))
            ?? []
        {
            server.replicatedMergeTreeSettings[row[0]] = row[1]
        }
        return server
    }

    private func judge(_ server: ServerFacts, _ visit: inout Visit) {
        if let readOnly = server.setting("readonly"), readOnly != "0" {
            visit.add(
                .fail, .permissions, "user \(settings.username) has readonly = \(readOnly): no INSERT is taken",
                "another user, or a profile with readonly 0")
            return
        }
        // What each INSERT carries.
        var sent = ["async_insert": "0", "insert_deduplicate": "1"].merging(settings.settings) { $1 }
        if server.knowsTokens { sent["insert_deduplication_token"] = "…" }
        for (name, value) in sent.sorted(by: { $0.key < $1.key }) {
            guard let own = server.settings[name], own.isFixed, own.value != value else { continue }
            visit.add(
                .fail, .settings,
                "the user may not change \(name) (\(own.value.isEmpty ? "empty" : own.value) here), which each INSERT sets to \(value): INSERTs are refused",
                "remove the constraint from the user's profile")
        }
        let isAsync = sent["async_insert"].map { !["0", "false"].contains($0.lowercased()) } ?? false
        if isAsync {
            let wait = settings.settings["wait_for_async_insert"] ?? server.setting("wait_for_async_insert")
            if wait == "0" {
                visit.add(
                    .fail, .settings,
                    "async_insert without wait_for_async_insert: rows are confirmed before they are written",
                    "ship.clickhouse.settings: wait_for_async_insert: 1, or no async_insert")
            } else {
                visit.add(
                    .warn, .settings, "async_insert is on: the server batches what is batched already",
                    "remove async_insert from ship.clickhouse.settings")
            }
        } else if server.setting("async_insert") == "1" {
            visit.add(.ok, .settings, "async_insert is on in the server's profile; INSERTs of sluice switch it off")
        }
    }

    // MARK: A table

    private func look(
        at table: TableName, _ server: ServerFacts, _ session: ServerSession, _ visit: inout Visit
    ) async {
        let full = TableName(database: table.database ?? settings.database, table: table.table)
        let wanted = try? schema.structure(of: table)
        let columns: [TableFacts.Column]
        do {
            columns = try await ask(
                "DESCRIBE TABLE \(full.quoted)", columns: ["name", "type", "default_type", "default_expression"],
                session
            ).map { .init(name: $0[0], type: $0[1], defaultKind: $0[2], defaultExpression: $0[3]) }
        } catch {
            missing(full, error, isInSchema: wanted != nil, &visit)
            return
        }
        let place = "database = \(ServerSession.literal(full.database ?? "")) AND"
        let name = ServerSession.literal(full.table)
        let rows = await ask(
            """
            SELECT engine, engine_full, partition_key,
                arrayStringConcat(arrayMap((d, t) -> concat(d, '.', t), dependencies_database, dependencies_table), ', ')
            FROM system.tables WHERE \(place) name = \(name)
            """, of: "system.tables", session, &visit, table: full)
        guard let row = rows?.first,
            let engine = EngineClause(parsing: row[1].isEmpty ? row[0] : row[1]) ?? EngineClause(parsing: row[0])
        else {
            if rows != nil {
                visit.add(
                    .warn, .permissions, "system.tables does not show the table: its engine cannot be told",
                    "GRANT SHOW TABLES ON \(full.quoted) TO \(settings.username);", table: full)
            }
            return
        }
        var facts = TableFacts(
            name: full, engine: engine, partitionKey: row[2], views: row[3].isEmpty ? [] : [row[3]], columns: columns)
        if facts.isMergeTree {
            let parts = await ask(
                """
                SELECT toString(count()), toString(max(parts)) FROM (SELECT partition, count() AS parts FROM system.parts
                WHERE active AND \(place) table = \(name) GROUP BY partition)
                """, of: "system.parts", session, &visit, table: full)
            facts.parts = parts?.first.map { .init(partitions: Int($0[0]) ?? 0, inFullestPartition: Int($0[1]) ?? 0) }
        }
        if facts.isReplicated {
            let replica = await ask(
                """
                SELECT toString(is_readonly), toString(is_session_expired), toString(absolute_delay), toString(total_replicas),
                toString(active_replicas), zookeeper_path FROM system.replicas WHERE \(place) table = \(name)
                """, of: "system.replicas", session, &visit, table: full)
            facts.replica = replica?.first.map {
                .init(
                    isReadOnly: $0[0] != "0", isSessionExpired: $0[1] != "0", delay: Int($0[2]) ?? 0,
                    total: Int($0[3]) ?? 0, active: Int($0[4]) ?? 0, path: $0[5])
            }
            visit.paths[full] = facts.replica?.path
        }
        visit.add(.ok, .exists, "exists; engine \(engine.name); columns: \(columns.count)", table: full)
        await mayInsert(full, session, &visit)
        if facts.isMergeTree, !facts.isReplicated, server.knowsTokens { await mayLookForRows(full, session, &visit) }
        visit.findings += TableJudgement(
            host: visit.host, table: facts, server: server, settings: settings, wanted: wanted
        ).findings()
    }

    private func missing(_ table: TableName, _ error: any Error, isInSchema: Bool, _ visit: inout Visit) {
        switch (error as? ConnectionError)?.exception?.code {
        case .unknownTable:
            visit.add(
                .fail, .exists, "does not exist: its rows are refused",
                isInSchema ? "sluice schema plan, then apply" : "create it, or correct its name in the configuration",
                table: table)
        case .unknownDatabase:
            visit.add(
                .fail, .exists, "does not exist, nor does its database",
                "CREATE DATABASE \(InsertStatement.quoted(table.database ?? ""));", table: table)
        case ErrorCode(rawValue: 497):
            visit.add(
                .fail, .permissions, "user \(settings.username) may not see it",
                "GRANT INSERT, SHOW COLUMNS ON \(table.quoted) TO \(settings.username);", table: table)
        default: visit.add(.fail, .exists, "cannot be described: \(ServerSession.words(error))", table: table)
        }
    }

    private func mayInsert(_ table: TableName, _ session: ServerSession, _ visit: inout Visit) async {
        // Grants came with 20.4.
        guard (session.hello.major, session.hello.minor) >= (20, 4) else { return }
        switch await isGranted("INSERT", table, session) {
        case true?: visit.add(.ok, .permissions, "user \(settings.username) may insert", table: table)
        case false?:
            visit.add(
                .fail, .permissions, "user \(settings.username) may not insert",
                "GRANT INSERT ON \(table.quoted) TO \(settings.username);", table: table)
        case nil:
            visit.add(
                .warn, .permissions, "whether user \(settings.username) may insert cannot be told", "SHOW GRANTS;",
                table: table)
        }
    }

    /// A server that is not replicated and was killed may call a block a duplicate whose rows it has not: see `DuplicateFinding`.
    private func mayLookForRows(_ table: TableName, _ session: ServerSession, _ visit: inout Visit) async {
        guard await isGranted("SELECT", table, session) == false else { return }
        visit.add(
            .warn, .permissions,
            "user \(settings.username) may not read: a block that a killed server says it has cannot be looked for, and is lost "
                + "if it has not",
            "GRANT SELECT ON \(table.quoted) TO \(settings.username);", table: table)
    }

    /// CHECK GRANT asks for exactly this; servers before it have SHOW GRANTS; those of 2018 have neither, nor grants.
    private func isGranted(_ right: String, _ table: TableName, _ session: ServerSession) async -> Bool? {
        if let result = try? await session.connection.query(
            Query("CHECK GRANT \(right) ON \(table.quoted)"), timeout: settings.queryTimeout)
        {
            let answer = result.blocks.first { $0.rows == 1 && $0.layout.columns.count == 1 }
            guard let answer, [.uint8, .bool].contains(answer.layout.columns[0].type) else { return nil }
            return answer.nodes[answer.layout.roots[0]].data.load(UInt8.self, at: 0) != 0
        }
        guard session.connection.isOpen, let lines = try? await ask("SHOW GRANTS", session) else { return nil }
        return GrantLines(lines: lines.map { $0[0] }).allow(
            right, database: table.database ?? settings.database, table: table.table)
    }
}
