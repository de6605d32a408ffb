import Foundation
import Pipeline
import TestSupport
import Testing

/// Rules from the stage file to the server: what lands, what is rejected, what is acked, what is kept nowhere.
@Suite(.serialized) struct RuleTests {
    private static let rules = """
        tables:
          inbox:
            rules:
              route: {field: kind, tables: {signup: signups, order: orders}}
          signups:
            rules:
              fields:
                id: {aliases: [uid], required: true, range: {min: 1}}
                country: {one_of: [DE, FR], default: DE}
                mail: {regex: "@", redact: {method: hash, key: "${KEY}"}}
                ip: {redact: {method: truncate_ip}}
                card: {redact: {method: mask, keep_last: 4}}
                region: {constant: eu-west-1}
              unknown_fields: {action: collect, column: extra}
          orders:
            rules:
              sample: {keep_one_in: 4, by: id}
        """

    private struct Files: ConfigurationFiles {
        let text: String
        func read(_ path: String, bytesMax: Int) throws(ConfigurationFileError) -> [UInt8] { Array(text.utf8) }
        func isWorldReadable(_ path: String) -> Bool? { false }
        func list(_ directory: String) throws(ConfigurationFileError) -> [String] { ["validate.yaml"] }
    }

    private static let lines = [
        #"{"kind":"signup","uid":1,"country":"FR","mail":"ann@example.org","ip":"192.0.2.77","card":"4111111111111234","plan":"pro"}"#,
        #"{"kind":"signup","id":2,"mail":"no address","ip":"192.0.2.78"}"#,
        #"{"id":3,"kind":"signup","mail":"bob@example.org","ip":"2001:db8:aaaa:bbbb::1","region":"us","country":"XX"}"#,
        #"{"id":4,"kind":"signup","mail":"cid@example.org","ip":"2001:db8:aaaa:bbbb::1","card":null,"region":"us"}"#,
        #"{"kind":"signup","mail":"dan@example.org"}"#, #"{"kind":"nothing","mail":"eve@example.org"}"#,
        #"{"kind":"signup","id":5,"mail":"fay@example.org""#,
    ]

    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) })
    func rulesHoldFromTheSocketToTheServer() async throws {
        let key = "0123456789abcdef0123456789abcdef"
        let loader = ConfigurationLoader(files: Files(text: Self.rules), environment: ["KEY": key])
        let rules = try loader.load(nil).settings.validate.rules
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.query(
                """
                CREATE TABLE signups (id UInt64, kind String, country LowCardinality(String), mail String, ip IPv6,
                card Nullable(String), region String, extra Map(String, String), made DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY id
                """, database: database)
            try await server.query(
                "CREATE TABLE orders (id UInt64, n UInt64) ENGINE = MergeTree ORDER BY id", database: database)
            try await withFolder { folder in
                var settings = DaemonFixture.settings(in: folder, server: server, database: database)
                settings.validate.defaultTable = "inbox"
                settings.validate.rules = rules
                let orders = (0..<400).map { #"{"kind":"order","id":\#($0 % 100),"n":\#($0)}"# }
                let lines = Self.lines + orders
                let (answers, telemetry) = try await DaemonFixture.run(settings, in: folder) { fixture in
                    let path = fixture.socketPath
                    let answers = try await blocking {
                        let producer = try Producer(path)
                        try producer.send("#sluice ack=committed\n" + lines.joined(separator: "\n") + "\n")
                        return try producer.finish()
                    }
                    return (answers, fixture.daemon.telemetry)
                }
                // Each row has an answer, the rejected ones by their own numbers.
                #expect(answers.contains("{\"ack\":\(lines.count)}"))
                let nacks = answers.split(separator: "\n").filter { $0.hasPrefix("{\"nack\"") }
                #expect(
                    nacks.map { $0.split(separator: "\"")[1...4].joined() } == [
                        "nack:2,reason:", "nack:3,reason:", "nack:5,reason:", "nack:6,reason:", "nack:7,reason:",
                    ])
                let stored = try await server.query(
                    "SELECT id, country, mail, ip, card, region, extra, made > '2020-01-01' FROM signups ORDER BY id",
                    database: database)
                #expect(
                    stored == """
                        1\tFR\t07efee657b59073c3565c11a893c9931d20b667e29f4824bcf0b3f206da46319\t::ffff:192.0.2.0\t************1234\teu-west-1\t{'plan':'pro'}\t1
                        4\tDE\t6a581f2328209f6ac50c5250f34bd75cbd576ce6a63a8f9bf2aa711a29f50156\t2001:db8:aaaa::\t\\N\teu-west-1\t{}\t1

                        """)
                // All rows of an id, or none.
                let counts = try await server.query(
                    "SELECT uniqExact(id), count(), min(c), max(c) FROM (SELECT id, count() OVER (PARTITION BY id) AS c FROM orders)",
                    database: database)
                let parts = counts.split { $0 == "\t" || $0 == "\n" }.compactMap { Int($0) }
                #expect(parts.count == 4 && parts[1] == parts[0] * 4 && parts[2] == 4 && parts[3] == 4)
                #expect((10...45).contains(parts[0]))
                let flow = telemetry.snapshot().conservation
                #expect(flow.accepted == 402 && flow.discarded == UInt64(400 - parts[1]) && flow.inFlight == 0)
                #expect(telemetry.snapshot().discardedRows == ["sampled": UInt64(400 - parts[1])])

                let letters = try DaemonFixture.deadLetters(in: folder)
                // What its route leads nowhere is refused first, the others when their table's rows are read.
                #expect(
                    letters.map { [$0.table, $0.column, $0.reason].map { $0 ?? "-" }.joined(separator: " ") } == [
                        "inbox - rule_route", "signups mail rule_regex", "signups country rule_one_of",
                        "signups id rule_required", "signups - malformed_json",
                    ])
                let kept = letters.compactMap(\.row).joined(separator: "\n")
                for secret in ["example.org", "no address", "192.0.2", "2001:"] { #expect(!kept.contains(secret)) }
                #expect(letters.dropFirst().first?.row == #"{"kind":"signup","id":2,"mail":null,"ip":null}"#)
                // Nothing of it is in the daemon's other files either.
                try Self.expectNowhere("ann@example.org", in: folder)
            }
        }
    }

    private static func expectNowhere(_ text: String, in folder: URL) throws {
        let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
        for case let file as URL in files ?? .init() {
            guard let data = try? Data(contentsOf: file) else { continue }
            #expect(data.range(of: Data(text.utf8)) == nil, "\(file.lastPathComponent)")
        }
    }
}
