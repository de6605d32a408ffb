import Foundation
import Pipeline
import TestSupport
import Testing

/// Columns that are wide, named otherwise, or made of parts: through the socket and over TCP into real servers.
@Suite(.serialized) struct EveryTypeTests {
    static let settings = [
        "date_time_input_format": "best_effort", "session_timezone": "UTC",
        "allow_suspicious_low_cardinality_types": "1",
        "allow_suspicious_variant_types": "1", "allow_experimental_nullable_tuple_type": "1",
        "enable_time_time64_type": "1", "flatten_nested": "1",
    ]

    static let columns = """
        id UInt32, i128 Int128, u128 UInt128, i256 Int256, u256 UInt256, d256 Decimal(76, 20), bf BFloat16, ip4 IPv4, ip6 IPv6,
        t Time, t64 Time64(6), nn Nested(a UInt8, b LowCardinality(String)), tu Tuple(UInt8, String),
        tn Tuple(a UInt8, `b c` Array(LowCardinality(Nullable(String))), d Tuple(e Nullable(Int128))), te Tuple(),
        at Array(Tuple(k String, v Map(String, Nullable(UInt8)))), nt Nullable(Tuple(a UInt8, b String)), m Map(String, UInt64),
        ml Map(LowCardinality(String), LowCardinality(String)), mi Map(Int128, Array(IPv6)), lc LowCardinality(IPv4),
        lw LowCardinality(Nullable(Int256)), p Point, mp MultiPolygon, g Geometry, s SimpleAggregateFunction(sum, UInt64),
        v Variant(UInt64, String, Array(Variant(UInt8, String))), va Array(Variant(Float64, LowCardinality(String))),
        j JSON, jt JSON(max_dynamic_paths=2, a.b UInt8, SKIP c), aj Array(JSON), nj Nullable(JSON), dy Dynamic, ady Array(Dynamic),
        tj Tuple(x JSON, y Map(String, JSON))
        """

    static let rows = [
        #"{"id":1}"#,
        #"{"id":2,"i128":"-170141183460469231731687303715884105728","u128":340282366920938463463374607431768211455,"i256":-5,"#
            + #""u256":"115792089237316195423570985008687907853269984665640564039457584007913129639935","#
            + #""d256":-99999999999999999999999999999999999999999999999999999999.5,"bf":3.14159}"#,
        #"{"id":3,"ip4":"192.0.2.1","ip6":"2001:db8::1","t":"-12:34:56","t64":"999:59:59.999999","lc":"1.2.3.4","lw":-7}"#,
        #"{"id":4,"nn.a":[1,2],"nn.b":["x","y"],"tu":[7,"seven"],"tn":{"d":{"e":12},"b c":["x",null,"x"],"a":1},"te":[]}"#,
        #"{"id":5,"at":[{"k":"x","v":{"a":null,"b":1}},{},{"v":{}}],"nt":{"b":"y"},"m":{"a":1,"a":2},"mi":{"-1":["::1"]}}"#,
        #"{"id":6,"nt":null,"ml":{"a":"x","b":"x","é":"y"},"p":[1.5,-2],"mp":[[[[0,0],[1,1]],[]],[]],"g":[1,2],"s":9}"#,
        #"{"id":7,"g":[[[1,2]]],"v":5,"va":[1.5,"x",null,"x"],"j":{"a":{"b":[1,"x",null]},"c":"2024-02-29"},"lw":null}"#,
        #"{"id":8,"v":[1,"a",null],"jt":{"a":{"b":5},"c":[1],"d":1,"e":"x","f":true},"aj":[{"x":1},{},{"x":[{"y":2}]}]}"#,
        #"{"id":9,"v":"text","g":[[3,4]],"nj":{"a":1},"tj":{"x":{"q":1.5},"y":{"k":{"z":"w"}}},"j":{"a":{"b":7}}}"#,
        #"{"id":11,"dy":1,"ady":[1,"x",null,[1,"y"],{"b":true,"a":1.5}]}"#,
        #"{"id":12,"dy":{"k":[1,null],"j":"2024-02-29"}}"#,
        #"{"id":13,"dy":"text"}"#, #"{"id":14,"dy":"2024-02-29 12:34:56.5","ady":[[],[[1]]]}"#, #"{"id":15,"dy":[]}"#,
        #"{"id":10,"v":null,"g":null,"nj":null,"tj":{},"at":[],"m":{},"tn":null,"j":null,"ip6":null,"va":[]}"#,
    ]

    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) })
    func everyTypeIsStoredAsTheServerStoresIt() async throws {
        let server = try await ClickHouseServer.modern()
        let rows = Self.rows.joined(separator: "\n") + "\n"
        try await server.withDatabase { database in
            for table in ["ours", "theirs"] {
                try await server.query(
                    "CREATE TABLE \(table) (\(Self.columns)) ENGINE = MergeTree ORDER BY id", database: database,
                    settings: Self.settings)
            }
            try await server.query(
                "INSERT INTO theirs FORMAT JSONEachRow", input: Array(rows.utf8), database: database,
                settings: Self.settings)
            try await push(rows, to: "ours", of: database, server)
            try await expectSame(of: database, server, rows: Self.rows.count)
        }
    }

    /// Each of the columns with a value, with null or left out: defaults are the server's, and EPHEMERAL values feed them.
    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) })
    func whatRowsLeaveOutIsWhatTheServerMakesOfIt() async throws {
        let server = try await ClickHouseServer.modern()
        let columns = """
            id UInt32, e String EPHEMERAL 'none', d String DEFAULT upper(e), n Nullable(UInt8) DEFAULT 5,
            a Array(UInt64) DEFAULT [id, 2], m UInt64 MATERIALIZED id * 2, l String ALIAS concat(d, '!')
            """
        var rows: [String] = []
        var random = SeededRandom(seed: 1)
        for (number, choice) in (0..<81).shuffled(using: &random).enumerated() {
            var members = ["\"id\":\(number)"]
            for (place, (name, value)) in [("e", "\"in\""), ("d", "\"given\""), ("n", "7"), ("a", "[]")].enumerated() {
                switch choice / [1, 3, 9, 27][place] % 3 {
                case 0: break
                case 1: members.append("\"\(name)\":\(value)")
                default: members.append("\"\(name)\":null")
                }
            }
            rows.append("{" + members.shuffled(using: &random).joined(separator: ",") + "}\n")
        }
        try await server.withDatabase { database in
            for table in ["ours", "theirs"] {
                try await server.query(
                    "CREATE TABLE \(table) (\(columns)) ENGINE = MergeTree ORDER BY id", database: database)
            }
            // Columns that a row of one block leaves out are another matter there, so each row is an INSERT of its own.
            for row in rows {
                try await server.query(
                    "INSERT INTO theirs (id, e, d, n, a) FORMAT JSONEachRow", input: Array(row.utf8), database: database
                )
            }
            let refused = try await push(rows.joined(), to: "ours", of: database, server)
            #expect(refused == [])
            try await expectSame(of: database, server, rows: rows.count, columns: "id, d, n, a, m, l")
        }
    }

    /// A server of 2018 has tuples, Nested, and low cardinality within them. What it would read itself is said in SQL: its
    /// JSON has no objects for tuples.
    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.legacy) })
    func aServerOf2018StoresWhatItKnows() async throws {
        let server = try await ClickHouseServer.legacy()
        let columns = """
            id UInt32, nn Nested(a UInt8, b String), tu Tuple(UInt8, String), tn Tuple(a UInt8, b Nullable(String)),
            tl Tuple(LowCardinality(String), UInt8), al Array(LowCardinality(String)), tt Tuple(Tuple(UInt8, Date), Array(String))
            """
        let rows = """
            {"id":1,"nn.a":[1,2],"nn.b":["x","y"],"tu":[7,"seven"],"tn":{"b":"q","a":3},"tl":["lc",5],"al":["a","b","a"]}
            {"id":2,"tn":{"a":4,"b":null},"tt":[[1,"2018-12-31"],["z"]]}
            {"id":3,"nn.a":[1],"nn.b":[]}
            {"id":4,"tl":["lc",6],"al":[],"tu":null}

            """
        try await server.withDatabase { database in
            for table in ["ours", "theirs"] {
                try await server.query(
                    "CREATE TABLE \(table) (\(columns)) ENGINE = MergeTree ORDER BY id", database: database,
                    settings: ["allow_experimental_low_cardinality_type": "1"])
            }
            try await server.query(
                """
                INSERT INTO theirs VALUES
                (1, [1, 2], ['x', 'y'], (7, 'seven'), (3, 'q'), ('lc', 5), ['a', 'b', 'a'], ((0, '0000-00-00'), [])),
                (2, [], [], (0, ''), (4, NULL), ('', 0), [], ((1, '2018-12-31'), ['z'])),
                (4, [], [], (0, ''), (0, NULL), ('lc', 6), [], ((0, '0000-00-00'), []))
                """, database: database)
            let refused = try await push(rows, to: "ours", of: database, server)
            #expect(refused == ["type_mismatch"])
            try await expectSame(of: database, server, rows: 3)
        }
    }

    /// Returns the reasons for which rows were refused.
    @discardableResult
    private func push(
        _ rows: String, to table: String, of database: String, _ server: ClickHouseServer
    ) async throws -> [String] {
        try await withFolder { folder in
            var settings = DaemonFixture.settings(in: folder, server: server, database: database)
            settings.validate.defaultTable = table
            try await DaemonFixture.run(settings, in: folder) { fixture in
                let path = fixture.socketPath
                try await blocking {
                    let producer = try Producer(path)
                    try producer.send(Array(rows.utf8))
                    try producer.finish()
                }
            }
            return try DaemonFixture.deadLetters(in: folder).map(\.reason)
        }
    }

    private func expectSame(
        of database: String, _ server: ClickHouseServer, rows: Int, columns: String = "*"
    ) async throws {
        var found: [[Substring]] = []
        for table in ["ours", "theirs"] {
            let text = try await server.query(
                "SELECT \(columns) FROM \(table) ORDER BY id FORMAT JSONEachRow", database: database)
            found.append(text.split(separator: "\n"))
        }
        #expect(found.map(\.count) == [rows, rows])
        for (ours, theirs) in zip(found[0], found[1]) { #expect(ours == theirs) }
    }
}
