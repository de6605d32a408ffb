import ClickHouseNative
import Pipeline
import Sinks
import TestSupport
import Testing

/// Against real servers: answers in every kind of frame, and errors on a connection that goes on.
@Suite(
    .enabled { await ClickHouseServer.isAvailable(.modern) }, .enabled { await ClickHouseServer.isAvailable(.legacy) },
    .endsEvenIfItHangs)
struct LiveQueryTests {
    static let cases = ClickHouseServer.Kind.allCases.flatMap { kind in
        ["LZ4", "ZSTD"].map { (kind, $0) } + (kind == .modern ? [(kind, "LZ4HC"), (kind, "NONE")] : [])
    }

    @Test(arguments: cases)
    func answersAreReadWhateverTheyAreCompressedWith(kind: ClickHouseServer.Kind, method: String) async throws {
        let server = try await ClickHouseServer.of(kind)
        // 2018 wrote it small.
        let method = kind == .legacy ? method.lowercased() : method
        let blocks = try await server.blocks(
            "SELECT number AS n, toString(number) AS s FROM system.numbers LIMIT 100000", database: "default",
            compression: .lz4, settings: ["network_compression_method": method])
        #expect(blocks.reduce(0) { $0 + $1.rows } == 100_000)
        var expected: UInt64 = 0
        for block in blocks {
            var texts = ValueCursor(block.nodes[block.layout.roots[1]].data, width: 0)
            for row in 0..<block.rows {
                let number = block.nodes[0].data.load(UInt64.self, at: row * 8)
                let text = texts.next().map { String(decoding: $0, as: UTF8.self) }
                guard number == expected, text == "\(expected)" else {
                    Issue.record("row \(expected) is \(number), \(text ?? "nothing")")
                    return
                }
                expected += 1
            }
        }
    }

    @Test(arguments: [nil, Compression.lz4])
    func columnsOfMostlyDefaultsAreRead(compression: Compression?) async throws {
        let server = try await ClickHouseServer.modern()
        try await server.withDatabase { database in
            try await server.query(
                """
                CREATE TABLE t (id UInt64, n UInt32, s String, f Nullable(String)) ENGINE = MergeTree ORDER BY id
                SETTINGS ratio_of_defaults_for_sparse_serialization = 0.5
                """, database: database)
            try await server.query(
                """
                INSERT INTO t SELECT number, if(number % 1000 = 1, number, 0), if(number % 500 = 2, toString(number), ''),
                    if(number % 700 = 3, 'x', NULL) FROM numbers(20000)
                """, database: database)
            let kinds = try await server.query(
                "SELECT countIf(serialization_kind = 'Sparse') FROM system.parts_columns WHERE database = '\(database)' AND active FORMAT TSV"
            )
            #expect(kinds != "0\n")
            let parts = try await server.blocks(
                "SELECT * FROM t ORDER BY id", database: database, compression: compression)
            try await server.query("CREATE TABLE copy AS t", database: database)
            let fixture = try SinkFixture(SinkFixture.settings(port: server.nativePort, database: database))
            try await fixture.ship([SealedBlock(TableName(table: "copy"), parts)])
            let columns = try await server.insertableColumns(of: "t", database: database)
            let expected = try await server.fingerprint(of: "t", columns, database: database)
            let stored = try await server.fingerprint(of: "copy", columns, database: database)
            #expect(stored == expected)
        }
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func aStatementThatFailsLeavesTheConnectionAsItWas(kind: ClickHouseServer.Kind) async throws {
        let server = try await ClickHouseServer.of(kind)
        let connection = try await server.connect(database: "default")
        let error = try await #require(throws: ConnectionError.self) {
            try await connection.query(Query("SELECT * FROM no_such_table"), timeout: .seconds(120))
        }
        #expect(error.exception?.code == .unknownTable)
        try await connection.ping(timeout: .seconds(120))
        let result = try await connection.query(Query("SELECT toUInt64(42) AS n"), timeout: .seconds(120))
        #expect(result.blocks.last?.nodes[0].data.load(UInt64.self, at: 0) == 42)
        #expect(connection.isOpen)
        await connection.close()
        #expect(!connection.isOpen)
    }

    @Test(arguments: ClickHouseServer.Kind.allCases)
    func aWrongPasswordIsTheServersWord(kind: ClickHouseServer.Kind) async throws {
        let server = try await ClickHouseServer.of(kind)
        let host = ClickHouseSettings.Host(name: server.host, port: server.nativePort)
        let wrong = ConnectionConfiguration(credentials: Credentials(user: "pw", password: "not it"))
        let error = try await #require(throws: ConnectionError.self) {
            try await NativeConnection.connect(to: host, wrong)
        }
        #expect(error.code == .refusedByServer)
        #expect(!error.isTransient)
        let right = ConnectionConfiguration(credentials: Credentials(user: "pw", password: "pw-secret"))
        let connection = try await NativeConnection.connect(to: host, right)
        try await connection.ping(timeout: .seconds(120))
        await connection.close()
    }
}
